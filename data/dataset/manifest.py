"""The manifest of a dataset folder, written and read, and reading its statistics."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from common.files import temporary_path
from common.plain import FrameRate, Frames, Frequencies, Range, Side, plain_value, read_json

# What data.dataset.statistics measures. Folders whose sequences were made in other ways lack some of it.
STATISTICS = (
    "mean_magnitude",
    "median_magnitude",
    "p95_magnitude",
    "rms_amplitude",
    "moving_fraction",
    "top_magnitude",
    "consistency",
)
COLUMNS = (
    *("id", "source", "source_sha256", "shot", "start", "fps", "num_frames", "width", "height", "stored_frames"),
    *("estimator", "estimator_parameters", "split", *STATISTICS, "status", "reason", "notes"),
)
# What stats.json says, by type and limits.
Pixels = Annotated[float, Range(0, 1e9)]
KINDS: dict[str, Any] = {
    **{"size": tuple[Side, Side], "num_frames": Frames, "fps": FrameRate, "num_frequencies": Frequencies},
    **{"p95": list[Pixels], "rms": list[Pixels]},
}
AGAIN = "run data.prepare again with the same output folder"
INTEGERS = ("start", "num_frames", "width", "height", "stored_frames", "shot")
NUMBERS = ("fps", *STATISTICS)
NEEDED = ("id", "source", "source_sha256", "start", "fps", "num_frames", "split", "status")


def write_manifest(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write ``manifest.csv`` row by row."""
    with temporary_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)


def iterate_manifest(folder: str | Path) -> Iterator[dict]:
    """Rows of ``manifest.csv`` one by one, with numbers as numbers; None for what a dropped video does not have.

    Raises:
        ValueError: no such file, a column is missing, or something in a line is not what its column holds.
    """
    path = _dataset_file(folder, "manifest.csv")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        try:
            columns = reader.fieldnames or ()
            missing = [name for name in NEEDED if name not in columns]
            if missing:
                raise ValueError(f"no column {missing[0]!r}")
            kinds = dict.fromkeys(INTEGERS, int) | dict.fromkeys(NUMBERS, float)
            present = [(name, kind) for name, kind in kinds.items() if name in columns]
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError("another number of values than columns")
                row.update({name: kind(row[name]) if row[name] else None for name, kind in present})
                yield row
        except (ValueError, csv.Error) as error:
            where = f"{path}: line {max(1, reader.line_num)}"
            raise ValueError(f"{where}: {error}; run data.prepare again with the same output folder") from error


def load_manifest(folder: str | Path, split: str | None = None) -> list[dict]:
    """Rows of ``manifest.csv`` as of :func:`iterate_manifest`: all of them, or the kept sequences of one split."""
    if split is None:
        return list(iterate_manifest(folder))
    splits: set[str] = set()
    chosen = []
    for row in iterate_manifest(folder):
        if row["status"] == "kept":
            splits.add(row["split"])
            if row["split"] == split:
                chosen.append(row)
    if not chosen:
        path, there = Path(folder) / "manifest.csv", ", ".join(sorted(splits)) or "nothing"
        raise ValueError(f"{path}: no sequences in the split {split!r}, the dataset has {there}")
    return chosen


def load_statistics(folder: str | Path) -> dict:
    """``stats.json``: lists ``p95`` and ``rms`` in pixels, one value a frequency; size [W, H], num_frames, fps, ..."""
    path = _dataset_file(folder, "stats.json")
    try:
        values = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path}: not statistics; {AGAIN}") from error
    if values.get("format_version") != 1:
        raise ValueError(f"{path}: format version {str(values.get('format_version'))[:20]}, this program reads 1")
    known = {
        name: plain_value(kind, values[name], str(path), key=name) for name, kind in KINDS.items() if name in values
    }
    return _Statistics(path, values | known)


class _Statistics(dict):
    """Statistics of a dataset, of which something may be missing that is asked for."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise ValueError(f"{self._path}: {key} is missing; {AGAIN}")


def _dataset_file(folder: str | Path, name: str) -> Path:
    path = Path(folder) / name
    if not path.is_file():
        raise ValueError(f"{path}: no such file; make the dataset folder with python -m data.prepare")
    return path
