"""The weights of the metrics' networks: ``python -m evaluation.networks fetch`` and ``convert``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from common.command_line import OneLineParser
from evaluation.networks.download import FetchError, convert, fetch
from evaluation.networks.weights import WEIGHTS

DESCRIPTION = """Get the weights of the metrics' networks.

examples:
  python -m evaluation.networks fetch                                  all that can be had
  python -m evaluation.networks fetch lpips_alexnet --output WEIGHTS   one of them, into a folder for --weights
  python -m evaluation.networks convert dti3d_16 CHECKPOINT            the user's own DTI3D checkpoint
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of ``python -m evaluation.networks``; status 2 for bad input, 1 for a failed download."""
    options = build_parser().parse_args(argv)
    try:
        if options.command == "fetch":
            fetch(options.names, options.output)
        else:
            convert(options.name, options.checkpoint, options.output)
    except (ValueError, OSError, FetchError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1 if isinstance(error, FetchError) else 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Options of ``python -m evaluation.networks``."""
    parser = OneLineParser(
        "python -m evaluation.networks",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    fetching = commands.add_parser("fetch", help="download, check and convert")
    fetching.add_argument(
        "names", nargs="*", metavar="NAME", help=f"weights to fetch: {', '.join(WEIGHTS)} (default: all but DTI3D)"
    )
    converting = commands.add_parser("convert", help="convert a DTI3D checkpoint that you have")
    converting.add_argument("name", metavar="NAME", help="dti3d_16 or dti3d_32")
    converting.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="PyTorch checkpoint or safetensors")
    for command in (fetching, converting):
        command.add_argument(
            "--output", type=Path, metavar="DIR", help="folder for the weights (default: the user's cache)"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
