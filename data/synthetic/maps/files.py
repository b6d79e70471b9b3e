"""Files of maps: one a photo, ``<stem>.safetensors``, that says which photo and networks it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from common.files import temporary_path

FORMAT_VERSION = "1"
NETWORK_HASHES = ("class_network_sha256", "subject_network_sha256", "saliency_network_sha256")
FOLDER = "maps"  # beside the photos


def maps_path(folder: Path, photo: Path) -> Path:
    """Where the maps of a photo are kept."""
    return folder / f"{photo.stem}.safetensors"


def expected_metadata(photo: Path, sha256: str, networks: Mapping[str, str]) -> dict[str, str]:
    """All that decides what a photo's file holds."""
    return {"format_version": FORMAT_VERSION, "photo": photo.name, "photo_sha256": sha256, **networks}


def write_maps(path: Path, maps: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a file of maps, whole or not at all."""
    from safetensors.numpy import save_file

    with temporary_path(path) as temporary:
        save_file(dict(maps), temporary, dict(metadata))


def read_metadata(path: Path) -> dict[str, str] | None:
    """What a file of maps says about itself; None where there is no such file or it is cut off."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError):
        return None


def read_maps(folder: Path, photo: Path, sha256: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The maps of a photo, and the sha256 of the networks that made them; both empty where there are none.

    Returns:
        Some of ``class_probabilities`` float32 ``[h, w, 32]``, ``subject_matte`` and ``saliency_matte`` uint8
        ``[H, W]``.

    Raises:
        ValueError: the file is cut off, of another format, or of another photo.
    """
    from safetensors import safe_open

    metadata = _checked_metadata(folder, photo, sha256)
    if metadata is None:
        return {}, {}
    maps = {}
    with safe_open(str(maps_path(folder, photo)), framework="numpy") as file:
        names = set(file.keys())
        if "class_logits" in names:
            maps["class_probabilities"] = class_probabilities(file.get_tensor("class_logits"), metadata)
        for name in names & {"subject_matte", "saliency_matte"}:
            maps[name] = file.get_tensor(name)
    return maps, _networks(metadata)


def read_networks(folder: Path, photo: Path, sha256: str) -> dict[str, str]:
    """The second of what :func:`read_maps` gives, without reading the maps; the same errors."""
    return _networks(_checked_metadata(folder, photo, sha256) or {})


def _networks(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name: metadata[name] for name in NETWORK_HASHES if name in metadata}


def _checked_metadata(folder: Path, photo: Path, sha256: str) -> dict[str, str] | None:
    """What the file of a photo's maps says about itself; None where there is none."""
    path = maps_path(folder, photo)
    if not path.is_file():
        return None
    metadata = read_metadata(path)
    again = "delete it and run data.synthetic.maps again"
    if metadata is None or metadata.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{path}: not a file of maps that this program reads; {again}")
    if metadata.get("photo_sha256") != sha256:
        raise ValueError(f"{path}: made of another {metadata.get('photo', 'photo')} than the one at {photo}; {again}")
    return metadata


def class_probabilities(logits: np.ndarray, metadata: Mapping[str, str]) -> np.ndarray:
    """Softmax of quantised class scores int8 ``[h, w, 32]``: float32, in the order of `CLASS_NAMES`."""
    scale, zero_point = float(metadata["class_logits_scale"]), int(metadata["class_logits_zero_point"])
    scores = scale * (logits.astype(np.float32) - zero_point)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
