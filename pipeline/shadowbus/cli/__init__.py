"""The command line, one file per family of verbs."""

import sys

WANTED = ("typer", "rich")
"""What the command line itself is made of; a production service that only captures has neither."""


def main() -> int:
    """Run the command line with the arguments of this process.

    Returns:
        The exit code; most ways out raise SystemExit instead.
    """
    try:
        from shadowbus.cli.program import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in WANTED:
            raise
        sys.stderr.write("The command line is not part of a capture install: install 'shadowbus[worker]'.\n")
        return 1
    return run(sys.argv[1:])
