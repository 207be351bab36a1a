"""The command `sidbench`, also as `python -m sidbench`."""

import sys

from sidbench import rooms


def main() -> int:
    """Runs the command line and returns its status."""
    rooms.enter()
    rooms.share()
    from benchmarks.cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
