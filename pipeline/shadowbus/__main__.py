"""`python -m shadowbus` is the command line."""

from shadowbus.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
