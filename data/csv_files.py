"""Tables that people keep as CSV files: read by their column names."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path


def read_lines(path: Path, columns: Sequence[str], *, option: str) -> list[dict[str, str]]:
    """The lines of a CSV file, each by its column names; a cell that a line lacks is left out.

    Args:
        columns: those that must be there.
        option: of the command line, which named the file.

    Raises:
        ValueError: one line: there is no such file, it is no CSV file in UTF-8, or it lacks a column.
    """
    if not path.is_file():
        raise ValueError(f"{option} {path}: no such file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            found = list(reader.fieldnames or ())
            lines = [{name: value for name, value in line.items() if isinstance(value, str)} for line in reader]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{option} {path}: not a CSV file that can be read ({error})") from error
    for column in columns:
        if column not in found:
            raise ValueError(f"{option} {path}: no column {column!r}, only {', '.join(found) or 'an empty file'}")
    return lines
