"""Where a pipeline's checkpoints lie: a pipeline folder, a bare checkpoint folder, or the Hugging Face hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from common.checkpoint import load_config

PRETRAINED = Path(__file__).parent / "pretrained"
PARTS = ("motion", "frame_synthesis")  # kinds of checkpoints, and the names of their folders


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder, with its configuration where that had to be read to find out what it holds."""

    folder: Path
    config: dict | None = None


def checkpoint_folders(path: str | Path) -> dict[str, Path]:
    """Folder of each of :data:`PARTS`; arguments and errors as of :func:`find_checkpoints`."""
    return {name: checkpoint.folder for name, checkpoint in find_checkpoints(path).items()}


def find_checkpoints(path: str | Path) -> dict[str, Checkpoint]:
    """Checkpoint of each of :data:`PARTS`; a part that is not there is the one that comes with the repository.

    Args:
        path: a pipeline folder, the checkpoint folder of one model, or a hub id such as ``owner/name``.

    Raises:
        ValueError: one line, where there is no checkpoint.
    """
    folder = Path(path)
    if not folder.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
        folder = download(str(path))
    if not folder.is_dir():
        raise ValueError(f"{path}: no such checkpoint folder")
    found = {name: Checkpoint(folder / name) for name in PARTS if (folder / name).is_dir()}
    if not found:
        config = load_config(folder, PARTS)
        found = {config["kind"]: Checkpoint(folder, config)}
    return {name: Checkpoint(PRETRAINED / name) for name in PARTS} | found


def download(hub_id: str) -> Path:
    """Fetch a pipeline from the Hugging Face hub, or take it from the local cache."""
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(hub_id, allow_patterns=["*.json", "*.safetensors", "*.md"]))
    except Exception as error:  # the hub's errors share no base class across its versions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{hub_id}: no such checkpoint folder, nor available from the hub ({reason})") from None
