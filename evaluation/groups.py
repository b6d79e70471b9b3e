"""Groups of sequences, by a column of the manifest or of a CSV that says more about the videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.csv_files import read_lines

if TYPE_CHECKING:
    from evaluation.sequences import EvaluationSequence

NAMING = ("id", "source", "file")  # columns by which a line of a CSV says which sequences it is about


@dataclass(frozen=True)
class Grouping:
    """What sequences are grouped by: a column of the dataset's manifest, or of a CSV file.

    A line of the CSV belongs to the sequences whose id stands in its column ``id``, or whose video's name, with or
    without its folders, stands in its column ``source`` or ``file``.
    """

    column: str
    file: Path | None = None

    def __str__(self) -> str:
        return self.column if self.file is None else f"{self.file.name}:{self.column}"

    def members(self, sequences: Sequence[EvaluationSequence]) -> dict[str, str]:
        """Group of each sequence by its id; one that has none is left out.

        Raises:
            ValueError: one line: there is no such file or column, or no sequence has a value in it.
        """
        values = self._of_manifest(sequences) if self.file is None else self._of_file(sequences)
        known = {identifier: str(value) for identifier, value in values.items() if value not in (None, "")}
        if not known:
            where = "the manifest" if self.file is None else str(self.file)
            raise ValueError(f"{where}: no sequence of the split has a value in the column {self.column!r}")
        return known

    def _of_manifest(self, sequences: Sequence[EvaluationSequence]) -> dict[str, object]:
        columns = sequences[0].row
        if self.column not in columns:
            raise ValueError(
                f"--group {self.column}: {sequences[0].folder / 'manifest.csv'} has no such column, only "
                f"{', '.join(columns)}; FILE.csv:COLUMN names a column of another file"
            )
        return {sequence.id: sequence.row[self.column] for sequence in sequences}

    def _of_file(self, sequences: Sequence[EvaluationSequence]) -> dict[str, object]:
        assert self.file is not None
        found: dict[str, str] = {}
        for line in _lines(self.file, self.column):
            found |= {line[name]: line[self.column] for name in NAMING if line.get(name)}
        values: dict[str, object] = {}
        for sequence in sequences:
            names = (sequence.id, sequence.source, Path(sequence.source).name)
            values[sequence.id] = next((found[name] for name in names if name in found), None)
        return values


def groups_of(groupings: Sequence[Grouping], sequences: Sequence[EvaluationSequence]) -> dict[str, dict[str, str]]:
    """``{grouping: {sequence: group}}``, the groupings by their columns, or with their files where two have the same.

    Raises:
        ValueError: as :meth:`Grouping.members`; two files of one name with the same column.
    """
    distinct = list(dict.fromkeys(groupings))
    columns = [chosen.column for chosen in distinct]
    found: dict[str, dict[str, str]] = {}
    for chosen in distinct:
        name = chosen.column if columns.count(chosen.column) == 1 else str(chosen)
        if name in found:
            raise ValueError(f"--group {chosen.file}:{chosen.column}: another file of this name has the same column")
        found[name] = chosen.members(sequences)
    return found


def grouping(text: str) -> Grouping:
    """``COLUMN`` or ``FILE.csv:COLUMN``, as ``--group`` takes it."""
    file, separator, column = text.rpartition(":")
    if not column or (separator and not file):
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN or FILE.csv:COLUMN")
    return Grouping(column, Path(file) if separator else None)


def _lines(path: Path, column: str) -> list[dict[str, str]]:
    """Lines of a CSV that has this column and one of :data:`NAMING`."""
    lines = [line for line in read_lines(path, (column,), option="--group") if column in line]
    if lines and not any(set(NAMING) & set(line) for line in lines):
        raise ValueError(f"{path}: needs a column {', '.join(NAMING[:-1])} or {NAMING[-1]} that names the videos")
    return lines
