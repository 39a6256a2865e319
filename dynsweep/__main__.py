"""``python -m dynsweep``: the ``dynsweep`` command."""

from dynsweep.cli.main import main

if __name__ == "__main__":
    main()
