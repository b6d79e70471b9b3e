"""Checkpoint folders, ``config.json`` and ``model.safetensors``: written as a whole, read strictly, never unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from common.command_line import write_json
from common.tensor_files import save_tensors

FORMAT_VERSION = 1


def save_checkpoint(
    folder: Path,
    kind: str,  # "motion" or "frame_synthesis": a loader refuses the other
    *,
    model_config: dict,  # whatever rebuilds the model, statistics included; primitives only
    tensors: Mapping[str, Tensor],  # the weights that inference uses
    training: dict,  # how the weights came about
    dtype: torch.dtype | None = None,  # floating tensors are stored in it; None keeps each as it is
) -> None:
    """Write ``config.json`` and ``model.safetensors`` of a checkpoint folder."""
    if dtype is not None:
        tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}
    config = {"format_version": FORMAT_VERSION, "kind": kind, "model": model_config, "training": training}
    folder = Path(folder)
    save_tensors(folder / "model.safetensors", tensors)
    write_json(folder / "config.json", config)


def load_config(folder: str | Path, kind: str | tuple[str, ...]) -> dict:
    """Read and check a checkpoint's ``config.json``; every way in which it can be wrong has a one-line `ValueError`.

    Args:
        folder: the checkpoint's.
        kind: the kind that is needed, or several that will do.
    """
    kinds = (kind,) if isinstance(kind, str) else kind
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise ValueError(
            f"{folder}: no checkpoint there (config.json is missing); give a folder that training has written"
        )
    try:
        config = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}); the checkpoint is damaged") from None
    if not isinstance(config, dict) or "kind" not in config or "model" not in config:
        raise ValueError(f"{path}: not a checkpoint of this project (it has no kind)")
    if config["kind"] not in kinds:
        needed = " or ".join(map(repr, kinds))
        raise ValueError(f"{folder}: a checkpoint of kind {config['kind']!r} where one of kind {needed} is needed")
    if config.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{path}: format version {config.get('format_version')}, this code reads {FORMAT_VERSION}")
    return config


def load_checkpoint(folder: str | Path, kind: str, config: dict | None = None) -> tuple[dict, dict[str, Tensor]]:
    """Configuration and float32 weights of a checkpoint folder, without unpickling anything.

    Args:
        folder: the checkpoint's.
        kind: the kind that is needed.
        config: what :func:`load_config` has given for this folder, where that was called already.
    """
    config = load_config(folder, kind) if config is None else config
    path = Path(folder) / "model.safetensors"
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: can't be read as safetensors ({error}); the checkpoint is damaged") from None
    return config, {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Load weights strictly; a mismatch is a one-line `ValueError` that names the first tensors concerned."""
    expected = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    wrong = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    if wrong:
        listing = ", ".join(
            f"{n} {found.get(n, 'missing')} for {expected.get(n, 'nothing')}" for n in sorted(wrong)[:3]
        )
        raise ValueError(f"{source}: {len(wrong)} tensors don't fit the configured model: {listing}")
    model.load_state_dict(dict(tensors), strict=True)
