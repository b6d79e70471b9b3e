"""Whose photos datasets were made of: ``python -m data.synthetic.credits DATASET... --photos CSV --output CREDITS.md``.

Licences such as CC BY ask whoever passes on a photo, or what was learned from it, to name its author, its licence and
where it is from. The CSV says this of each photo, in the columns ``file``, ``author``, ``licence`` and ``evidence``;
the manifests say which photos were used.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from common.command_line import OneLineParser, run_script
from common.files import check_target, temporary_path
from data.csv_files import read_lines

COLUMNS = ("file", "author", "licence", "evidence")
UNKNOWN = "not named"

EXAMPLES = """example:
  python -m data.synthetic.credits layered --photos photos.csv --output CREDITS.md
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data.synthetic.credits``."""
    parser = OneLineParser(
        prog="python -m data.synthetic.credits",
        description="List the authors and licences of the photos that datasets were made of, as Markdown.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("datasets", nargs="+", type=Path, metavar="DATASET", help="folders of data.synthetic")
    add("--photos", type=Path, required=True, metavar="CSV", help=f"columns {', '.join(COLUMNS)}")
    add("--output", type=Path, required=True, metavar="FILE.md", help="the list")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_script(write_credits, build_parser().parse_args(argv))


def write_credits(arguments: argparse.Namespace) -> None:
    """Write the list that the command line asks for.

    Raises:
        ValueError: one line: a folder is no dataset, the CSV lacks a column or a photo that was used.
    """
    check_target(arguments.output)
    lines = {line["file"]: line for line in read_lines(arguments.photos, COLUMNS, option="--photos")}
    photos = used_photos(arguments.datasets)
    unknown = [name for name in photos if name not in lines]
    if unknown:
        raise ValueError(f"--photos {arguments.photos}: no line about {unknown[0]} ({len(unknown)} photos are missing)")
    with temporary_path(arguments.output) as path:
        path.write_text(credit_tables(lines[name] for name in photos), encoding="utf-8")
    print(f"{arguments.output}: {len(photos)} photos")


def used_photos(folders: Iterable[Path]) -> list[str]:
    """File names of the photos of which a dataset kept a sequence, in order."""
    from data.dataset.manifest import load_manifest

    rows = (row for folder in folders for row in load_manifest(folder) if row["status"] == "kept")
    return sorted({Path(row["source"]).name for row in rows})


def credit_tables(lines: Iterable[Mapping[str, str]]) -> str:
    """Markdown: how many photos have which licence, and a table for each licence."""
    by_licence: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for line in lines:
        by_licence[line.get("licence") or UNKNOWN].append(line)
    counts = Counter({licence: len(found) for licence, found in by_licence.items()})
    text = ["# Photos that were learned from", ""]
    text += [
        "| licence | photos |",
        "|---|---|",
        *(f"| {_cell(name)} | {count} |" for name, count in counts.most_common()),
    ]
    for licence, _ in counts.most_common():
        text += ["", f"## {licence}", "", "| photo | author | where it is from |", "|---|---|---|"]
        text += [
            f"| {_cell(line['file'])} | {_cell(line.get('author'))} | {_cell(line.get('evidence'))} |"
            for line in by_licence[licence]
        ]
    return "\n".join(text) + "\n"


def _cell(text: str | None) -> str:
    """Text of a table: in one line, without what Markdown or HTML would read as more than text."""
    plain = re.sub(r"([\\|<>*_`\[\]])", r"\\\1", " ".join((text or "").split()))
    return plain or UNKNOWN


if __name__ == "__main__":
    sys.exit(main())
