"""``python -m dynsweep``: the ``dynsweep`` command."""

from dynsweep.cli.start import dynsweep

if __name__ == "__main__":
    dynsweep()
