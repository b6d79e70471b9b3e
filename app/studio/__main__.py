"""Build the studio and serve it on this machine: ``python -m app.studio build OUT`` and ``... serve OUT``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from common.command_line import OneLineParser, run_script, write_report
from common.option_types import whole_number

EXAMPLES = """examples:
  python -m app.studio build outputs/studio                      a folder for any static web host
  python -m app.studio build outputs/studio --checkpoint runs/mine
  python -m app.studio serve outputs/studio                      the same page on this machine
"""
STORAGES = ("int8", "float16", "float32")
WEIGHTS_HELP = "how weights are stored (default: int8, but float16 for what looks at the photo)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(argv)
    return run_script(_build if options.command == "build" else _serve, options)


def build_parser() -> argparse.ArgumentParser:
    """Options of ``python -m app.studio``."""
    parser = OneLineParser(
        "python -m app.studio",
        description="The studio: a page that animates photos in the visitor's own browser.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="export the motion model and write the page")
    add = building.add_argument
    add("output", type=Path, metavar="OUT", help="folder of the page; an earlier build is replaced")
    add("--checkpoint", metavar="DIR", help="folder or hub id of the models (default: those of the repository)")
    add("--weights", choices=STORAGES, help=WEIGHTS_HELP)
    add("--runtime", type=Path, metavar="FILE.tgz", help="onnxruntime-web's npm package (default: npm fetches it)")
    add("--photo", type=Path, metavar="FILE", help="compare a whole sample of this photo with PyTorch's as well")
    add("--report", type=Path, metavar="FILE.json", help="write sizes and differences")
    serving = commands.add_parser("serve", help="serve a built page at 127.0.0.1 until Ctrl-C")
    serving.add_argument("output", type=Path, metavar="OUT", help="folder of the page")
    serving.add_argument(
        "--port",
        type=whole_number(0, 65535),
        default=8574,
        metavar="N",
        help="0 takes a free one (default: %(default)s)",
    )
    return parser


def _build(options: argparse.Namespace) -> None:
    from app.studio.build import build
    from app.studio.weights import MIXED

    results = build(
        options.output,
        checkpoint=options.checkpoint,
        storage=options.weights or MIXED,
        runtime=options.runtime,
        photo=options.photo,
    )
    write_report(options.report, "app.studio", options, results)


def _serve(options: argparse.Namespace) -> None:
    from app.studio.serve import serve

    serve(options.output, port=options.port)


if __name__ == "__main__":
    sys.exit(main())
