"""`python -m nonesuch.cli` is the command `nonesuch`."""

from nonesuch.cli import main

if __name__ == "__main__":
    main()
