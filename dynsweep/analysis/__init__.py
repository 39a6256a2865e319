"""From the records of sweep directories to tables; nothing here draws or prints."""
