"""One check for all scripts: what a run writes replaces nothing that it reads and nothing else that it writes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.files import check_target, is_stream

# Files that make a folder a dataset, a checkpoint or a pipeline of two.
DATASET_FILE = "manifest.csv"
PIPELINE_FILES = ("motion/config.json", "frame_synthesis/config.json")
RESERVED_NAMES = (DATASET_FILE, "stats.json", "parameters.json", "config.json")
REPORT_SUFFIXES = (".json", ".html")


def check_paths(
    *,
    inputs: Iterable[Path | None],
    files: Iterable[Path | None] = (),
    folders: Iterable[Path | None] = (),
    datasets: Iterable[Path | None] = (),
) -> None:
    """Find out before any work whether all outputs can be written and none replaces something else; nothing is created.

    A file may lie in a folder that is read, as long as it is new there or replaces an earlier report.

    Args:
        inputs: files and folders that are read; None for an option that was not given.
        files: files that will be written, such as those of ``--report`` and ``--html``.
        folders: folders that will be written to: neither inputs nor datasets nor folders of two checkpoints.
        datasets: folders that become datasets, or are and are continued.

    Raises:
        ValueError: one line that names the path and what to do.
    """
    read = [path for path in inputs if path is not None]
    made = [path for path in folders if path is not None]
    own = [*made, *(path for path in datasets if path is not None)]
    for folder in made:
        _check_folder(folder, read)
    for folder in own:
        check_writable(folder, folder=True)
    taken = {identity(path) for path in (*read, *own)}
    for file in [path for path in files if path is not None]:
        if identity(file) in taken and not is_stream(file):
            raise ValueError(f"{file}: would be written twice, or over an input; choose another path")
        taken.add(identity(file))
        check_writable(file)
        _check_file(file, read, own)


def check_writable(path: Path | None, folder: bool = False) -> None:
    """Find out before hours of work whether a file, or with ``folder`` a folder, can be written; nothing is created.

    Raises:
        ValueError: one line that says why not.
    """
    if path is None:
        return
    if not folder:
        check_target(path)
        if is_stream(path):
            return
    place = (path if folder else path.parent).absolute()
    there = next(parent for parent in (place, *place.parents) if parent.exists())
    if not there.is_dir():
        raise ValueError(f"{path}: {there} is a file, not a folder; choose another path")
    # A real file, since permission bits don't tell about read-only or full disks, nor anything to root.
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise ValueError(f"{path}: no file can be made in {there} ({error.strerror}); choose another path") from None


def identity(path: Path) -> Path:
    """What a path leads to, by which it is compared; links that lead in a circle stay what they are."""
    return Path(os.path.realpath(path))


def _check_folder(folder: Path, inputs: Sequence[Path]) -> None:
    if any(identity(folder) == identity(path) for path in inputs):
        raise ValueError(f"{folder}: is an input of this run; choose another folder to write to")
    if (folder / DATASET_FILE).is_file():
        raise ValueError(f"{folder}: is a dataset; choose another folder to write to")
    if any((folder / name).is_file() for name in PIPELINE_FILES):
        raise ValueError(f"{folder}: holds the checkpoints of a pipeline; choose another folder to write to")


def _check_file(file: Path, inputs: Sequence[Path], own: Sequence[Path]) -> None:
    """Refuse a file that is, or will be, a part of a folder that is read or written."""
    for folder in (*inputs, *own):
        if identity(folder) not in identity(file).parents:
            continue
        planned = folder in own and (file.name in RESERVED_NAMES or file.suffix.lower() not in REPORT_SUFFIXES)
        if planned or (file.exists() and not _is_report(file)):
            raise ValueError(f"{file}: is, or may become, a part of {folder}; choose another path")


def _is_report(path: Path) -> bool:
    """Whether a file is a page, or a report that ``--report`` of some script wrote."""
    if path.suffix.lower() == ".html":
        return True
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(contents, dict) and {"script", "versions"} <= contents.keys()
