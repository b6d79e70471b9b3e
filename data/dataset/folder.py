"""A dataset folder without its sequences: the options it was made with, its manifest, and where the videos were."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from common.command_line import MachineFailure, write_json
from common.files import DISK_FULL, is_temporary, locked, remove_stale_files
from common.plain import read_json
from data.footage.sources import Source

SOURCES_VERSION = 1
LOCK = ".lock"
OWN_NAMES = (LOCK, "parameters.json", "sequences", "shards")  # what a run that has just begun has made
FREE_SPACE = "free some space and run the same command again, what is finished is kept"


class DiskFullError(MachineFailure):
    """A disk is full; the message is one line that names the folder."""


@contextmanager
def naming_full_disks(folder: Path) -> Iterator[None]:
    """Turn what a full disk raises into one line that names the dataset folder, or the other folder that is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        parent = Path(os.fsdecode(error.filename)).parent if error.filename else folder
        within = folder.absolute() in (parent.absolute(), *parent.absolute().parents)
        raise DiskFullError(f"{folder if within else parent}: {error.strerror}; {FREE_SPACE}") from error


@contextmanager
def writing(folder: Path, *, shard: str | None = None) -> Iterator[bool]:
    """Hold a dataset folder, which is made if need be, alone or, for a ``shard``, beside other shards.

    Temporary files of killed runs are removed before and after. Gives whether the folder was there before; one that
    was not, and in which nothing but the options was written, is removed at the end.

    Raises:
        ValueError: another run writes to the folder, it holds something else, or it is a file.
    """
    _expect_dataset_or_nothing(folder)
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / LOCK, shared=shard is not None), _shard_lock(folder, shard):
            _remove_stale_files(folder)
            try:
                yield not new
            finally:
                _remove_stale_files(folder)
                if new and shard is None:
                    _remove_beginnings(folder)
    except BlockingIOError:
        raise ValueError(f"{folder}: another run is writing to it, wait until that has ended") from None
    finally:
        if new:
            with suppress(OSError):  # not empty
                folder.rmdir()


def _remove_beginnings(folder: Path) -> None:
    """Remove the options of a dataset of which nothing else has come about: its videos could not be read."""
    if any(path.name not in (LOCK, "parameters.json") for path in folder.rglob("*") if not path.is_dir()):
        return
    with suppress(OSError):
        (folder / "sequences").rmdir()
        (folder / "parameters.json").unlink(missing_ok=True)


def _expect_dataset_or_nothing(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file, --output needs a folder")
    if not folder.is_dir() or (folder / "parameters.json").is_file():
        return
    if any(path.name not in OWN_NAMES and not is_temporary(path) for path in folder.iterdir()):
        raise ValueError(f"{folder}: holds something other than a dataset, choose another --output")


@contextmanager
def _shard_lock(folder: Path, shard: str | None) -> Iterator[None]:
    if shard is None:
        yield
        return
    (folder / "shards").mkdir(exist_ok=True)
    with locked(folder / "shards" / f".{shard}.lock"):
        yield


def _remove_stale_files(folder: Path) -> None:
    for place in (folder, folder / "sequences", folder / "shards"):
        remove_stale_files(place)


def open_dataset(folder: Path, options: Mapping[str, Any], *, overwrite: bool = False) -> None:
    """Record the options of a folder that :func:`writing` holds, or check that they are the same as before.

    Args:
        options: what ``parameters.json`` records, plain values; an unfinished folder is continued if they are equal.
        overwrite: remove what is there if they are not.
    """
    file = folder / "parameters.json"
    wanted = json.loads(json.dumps(options))
    if file.is_file():
        try:
            differing = differences(read_parameters(folder), wanted)
        except ValueError:
            if not overwrite:
                raise
            differing = "nothing that can be read"
        if differing and not overwrite:
            raise ValueError(f"{folder}: made with {differing}; choose another --output or pass --overwrite")
        if differing:
            clear_dataset(folder)
    write_json(file, wanted)  # before the folder for the sequences: by this file a dataset is recognised
    (folder / "sequences").mkdir(exist_ok=True)


def read_parameters(folder: Path) -> dict[str, Any]:
    """The options that a dataset folder was made with, empty where ``parameters.json`` isn't there.

    Raises:
        ValueError: the file holds something else.
    """
    path = folder / "parameters.json"
    try:
        return read_json(path) if path.is_file() else {}
    except ValueError:
        message = f"{path}: not the options of a dataset folder; make the dataset anew with --overwrite"
        raise ValueError(message) from None


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Which of the wanted options are others there, as a line; empty where none is."""
    return ", ".join(
        f"{name} {there.get(name)}, not {value}" for name, value in wanted.items() if there.get(name) != value
    )


def clear_dataset(folder: Path) -> None:
    """Remove everything that this program wrote, and nothing else."""
    written = [folder / name for name in ("manifest.csv", "stats.json", "sources.json")]
    for path in (*written, *(folder / "sequences").glob("*.safetensors"), *(folder / "shards").glob("*-of-*.json")):
        path.unlink(missing_ok=True)


def write_sources(folder: Path, sources: Iterable[Source]) -> None:
    """Write ``sources.json``: where each usable video is now. What earlier runs found elsewhere is kept."""
    paths = read_sources(folder) | {source.sha256: source.path for source in sources if not source.problem}
    write_json(folder / "sources.json", {"format_version": SOURCES_VERSION, "sources": dict(sorted(paths.items()))})


def read_sources(folder: str | Path) -> dict[str, str]:
    """Absolute path of each video by its sha256; empty for a folder that came without ``sources.json``."""
    path = Path(folder) / "sources.json"
    if not path.is_file():
        return {}
    try:
        values = read_json(path)
        if values["format_version"] == SOURCES_VERSION:
            return {str(digest): str(video) for digest, video in values["sources"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise ValueError(f"{path}: not a list of sources that this program reads; delete it and run data.prepare again")
