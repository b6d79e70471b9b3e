"""Checkpoint folders, ``config.json`` and ``model.safetensors``: written as a whole, read strictly, never unpickled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from common.command_line import write_json
from common.plain import from_plain, read_json
from common.tensor_files import read_tensors, save_tensors

Model = TypeVar("Model", bound=nn.Module)

FORMAT_VERSION = 1


def save_checkpoint(
    folder: Path,
    kind: str,  # "motion" or "frame_synthesis": a loader refuses the other
    *,
    model_config: dict,  # whatever rebuilds the model, statistics included; primitives only
    tensors: Mapping[str, Tensor],  # the weights that inference uses
    training: dict,  # how the weights came about
    dtype: torch.dtype | None = None,  # floating tensors are stored in it; None keeps each as it is
    base: str | Path | None = None,  # checkpoint folder beside this one: weights that it has already are left out
) -> None:
    """Write ``config.json`` and ``model.safetensors`` of a checkpoint folder."""
    if dtype is not None:
        tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}
    config = {"format_version": FORMAT_VERSION, "kind": kind, "model": model_config, "training": training}
    folder = Path(folder)
    if base is not None:
        if Path(base).resolve().parent != folder.resolve().parent:
            raise ValueError(f"{base}: the checkpoint that {folder} is based on has to lie beside it")
        there = load_checkpoint(base, kind)[1]
        same = {name for name, t in tensors.items() if name in there and t.cpu().float().equal(there[name])}
        tensors = {name: t for name, t in tensors.items() if name not in same}
        config["base"] = Path(base).resolve().name
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
    config = read_json(path)
    if "kind" not in config or "model" not in config:
        raise ValueError(f"{path}: not a checkpoint of this project (it has no kind)")
    if config["kind"] not in kinds:
        needed = " or ".join(map(repr, kinds))
        raise ValueError(f"{folder}: a checkpoint of kind {config['kind']!r} where one of kind {needed} is needed")
    if config.get("format_version") != FORMAT_VERSION:
        found = str(config.get("format_version"))[:20]
        raise ValueError(f"{path}: format version {found}, this code reads {FORMAT_VERSION}")
    header = from_plain(_Header, config, str(path))
    return asdict(header)


@dataclass(frozen=True)
class _Header:
    """What all checkpoints' ``config.json`` have."""

    format_version: int
    kind: str
    model: dict
    training: dict = field(default_factory=dict)
    base: str | None = None  # name of a checkpoint folder beside this one, which has the weights that are not here


def load_checkpoint(folder: str | Path, kind: str, config: dict | None = None) -> tuple[dict, dict[str, Tensor]]:
    """Configuration and float32 weights of a checkpoint folder, without unpickling anything.

    Args:
        folder: the checkpoint's.
        kind: the kind that is needed.
        config: what :func:`load_config` has given for this folder, where that was called already.
    """
    config = load_config(folder, kind) if config is None else config
    weights = _load_weights(Path(folder))
    if config.get("base") is not None:
        weights = _load_base(Path(folder), kind, name=config["base"]) | weights
    return config, weights


def _load_base(folder: Path, kind: str, *, name: str) -> dict[str, Tensor]:
    """Weights of the checkpoint beside this one that it is based on."""
    where = f"{folder / 'config.json'}: base"
    if Path(name).name != name or name in ("", ".."):
        raise ValueError(f"{where}: {name!r} is not the name of a folder beside this one")
    if not (folder.parent / name).is_dir():
        raise ValueError(f"{where}: {folder.parent / name} is missing, which has the weights that are not here")
    if load_config(folder.parent / name, kind)["base"] is not None:
        raise ValueError(f"{where}: {name} is itself based on another checkpoint")
    return _load_weights(folder.parent / name)


def _load_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / "model.safetensors"
    tensors, _ = read_tensors(path, advice="the checkpoint is damaged")
    for name, tensor in tensors.items():
        # A number by itself may stand for a limit that there is none of.
        if tensor.is_floating_point() and not (tensor.isfinite().all() if tensor.ndim else ~tensor.isnan()):
            raise ValueError(f"{path}: {name} holds values that are not finite; the checkpoint is damaged")
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def build_fitting(build: Callable[[], Model], tensors: Mapping[str, Tensor], source: str | Path) -> Model:
    """A model with the weights of its checkpoint, for which a configuration that doesn't fit them costs no memory.

    Args:
        build: makes the model; called on PyTorch's device without memory first.
        tensors: the weights, loaded strictly.
        source: what errors begin with.
    """
    expect_fitting(build_shell(build, source), {name: tuple(t.shape) for name, t in tensors.items()}, source)
    model = build()
    model.load_state_dict(dict(tensors), strict=True)
    return model


def build_shell(build: Callable[[], Model], source: str | Path) -> Model:
    """A model without memory for its weights; a configuration that no model can have is a one-line `ValueError`."""
    try:
        with torch.device("meta"):
            return build()
    except ValueError as error:
        raise ValueError(f"{source}: its configuration makes no model, {error}") from None
    except (RuntimeError, TypeError, ArithmeticError, LookupError, AssertionError, AttributeError) as error:
        # What layers raise where widths, groups and heads don't go together.
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{source}: its configuration makes no model ({reason})") from None


def expect_fitting(model: nn.Module, shapes: Mapping[str, tuple[int, ...]], source: str | Path) -> None:
    """Raise a one-line `ValueError`, which names the first tensors concerned, unless shapes are those of a model."""
    expected = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    wrong = [name for name in expected.keys() | shapes.keys() if expected.get(name) != shapes.get(name)]
    if wrong:
        listing = ", ".join(
            f"{n} {shapes.get(n, 'missing')} for {expected.get(n, 'nothing')}" for n in sorted(wrong)[:3]
        )
        raise ValueError(f"{source}: {len(wrong)} tensors don't fit the configured model: {listing}")


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Load weights strictly; a mismatch is a one-line `ValueError` that names the first tensors concerned."""
    expect_fitting(model, {name: tuple(t.shape) for name, t in tensors.items()}, source)
    model.load_state_dict(dict(tensors), strict=True)
