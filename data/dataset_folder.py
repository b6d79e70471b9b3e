"""A dataset folder without its sequences: the options it was made with, its manifest, and where the videos were."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data.command_line import write_json
from data.sequences import STATISTICS
from data.sources import Source
from data.video import temporary_path

SOURCES_VERSION = 1
COLUMNS = (
    *("id", "source", "source_sha256", "start", "fps", "num_frames", "width", "height", "stored_frames"),
    *("estimator", "estimator_parameters", "split", *STATISTICS, "status", "reason"),
)


def open_dataset(folder: Path, options: Mapping[str, Any], overwrite: bool = False) -> None:
    """Make the dataset folder, or check that the existing one was made with the same options.

    Args:
        options: what ``parameters.json`` records, plain values; an unfinished folder is gone on with if they are equal.
        overwrite: remove what is there if they are not.
    """
    file = folder / "parameters.json"
    wanted = json.loads(json.dumps(options))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file, --output needs a folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not file.is_file():
            raise ValueError(f"{folder}: holds something other than a dataset, choose another --output")
        differing = _differences(json.loads(file.read_text()), wanted)
        if differing and not overwrite:
            raise ValueError(f"{folder}: made with {differing}; choose another --output or pass --overwrite")
        clear_dataset(folder, everything=bool(differing))
    (folder / "sequences").mkdir(parents=True, exist_ok=True)
    write_json(file, wanted)


def _differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {there.get(name)}, not {value}" for name, value in wanted.items() if there.get(name) != value
    )


def clear_dataset(folder: Path, everything: bool) -> None:
    """Remove the remains of a killed run, or all that this program wrote; nothing else."""
    stale = list((folder / "sequences").glob(".*.tmp.safetensors"))
    if everything:
        stale += [folder / name for name in ("manifest.csv", "stats.json", "sources.json")]
        stale += (folder / "sequences").glob("*.safetensors")
    for path in stale:
        path.unlink(missing_ok=True)


def write_manifest(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write ``manifest.csv``."""
    with temporary_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)


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
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format_version"] == SOURCES_VERSION:
            return {str(digest): str(video) for digest, video in values["sources"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise ValueError(f"{path}: not a list of sources that this program reads; delete it and run data.prepare again")
