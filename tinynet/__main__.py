"""`python -m tinynet check FILE.py` checks a student's blocks; `python -m tinynet rates` checks the checker."""

import argparse
import sys


def main(arguments=None):
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tinynet", description="Gradient checks with a diagnosis.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="check the X_forward and X_backward that a file defines")
    check.add_argument("file")
    rates = commands.add_parser("rates", help="how many planted mistakes are caught and named, how many right "
                                              "backwards are rejected")
    rates.add_argument("--draws", type=int, default=2000, help="random right backwards to check (default 2000)")
    given = parser.parse_args(arguments)
    if given.command == "check":
        from tinynet.exercises.student import check_file
        return check_file(given.file)
    from tinynet.check.rates import print_rates
    return print_rates(given.draws)


if __name__ == "__main__":
    sys.exit(main())
