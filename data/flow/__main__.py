"""Measuring optical flow estimators: ``python -m data.flow compare CLIP...`` and ``... middlebury FOLDER``."""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS = {"compare": "data.flow.comparison", "middlebury": "data.flow.middlebury"}
HELP = """commands (each has its own --help):
  compare CLIP...       time per pair, error of the warped picture and differences of the estimators, on your clips
  middlebury FOLDER     endpoint errors on the Middlebury pairs, whose flow is known

examples:
  python -m data.flow compare clips/*.mp4
  python -m data.flow middlebury FOLDER
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    from common.command_line import OneLineParser

    words = sys.argv[1:] if argv is None else argv
    parser = OneLineParser(
        prog="python -m data.flow",
        description="Measure optical flow estimators.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=" or ".join(COMMANDS))
    command = parser.parse_args(words[:1]).command
    return importlib.import_module(COMMANDS[command]).main(words[1:])


if __name__ == "__main__":
    sys.exit(main())
