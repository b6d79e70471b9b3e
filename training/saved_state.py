"""The state of a training run on disk: written as one file, and read with distrust.

What is loaded has to be the state of the very model and optimizers that go on from it: every tensor by name and shape,
every number by type and limits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.checkpoint import load_weights
from common.plain import Steps, parse_json, plain_value
from common.tensor_files import read_tensors, save_tensors, tensor_metadata
from models.motion.stages import stage_name
from training.state import ExponentialMovingAverage

STATE_FILE = Path("state") / "training.safetensors"
ADVICE = "remove the folder to start again"
MOMENTS = ("exp_avg", "exp_avg_sq")  # what Adam and AdamW keep of each parameter, beside its number of steps


def save_training_state(
    folder: Path,
    step: int,
    *,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    ema: ExponentialMovingAverage,
    extra: Mapping[str, object],  # primitives kept beside the step, such as the stage
) -> None:
    """Write all that resuming needs as one file, so that its parts can't come from different steps."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.shadow.items()}
    summary: dict[str, object] = {"step": step, "ema_updates": ema.updates}
    for number, optimizer in enumerate(optimizers):
        state = optimizer.state_dict()
        for index, values in state["state"].items():
            named = {f"{_numbered('optimizer', number)}.{index}.{name}": value for name, value in values.items()}
            tensors |= {name: torch.as_tensor(value) for name, value in named.items()}
        summary[_numbered("param_groups", number)] = state["param_groups"]
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}  # shared storage is refused by safetensors
    save_tensors(Path(folder) / STATE_FILE, tensors, {"state": json.dumps(summary | dict(extra))})


def _numbered(name: str, number: int) -> str:
    """``optimizer``, ``optimizer_2``, ``optimizer_3`` ...: the first one's name is as old as the format."""
    return name if number == 0 else f"{name}_{number + 1}"


def read_training_state(folder: str | Path) -> dict | None:
    """The primitives of a saved training state (step, extra ...), or None where there is nothing to resume.

    Raises:
        ValueError: one line that names the file and what is wrong in it.
    """
    path = Path(folder) / STATE_FILE
    if not path.is_file():
        return None
    metadata = tensor_metadata(path, advice=ADVICE)
    summary = parse_json(metadata.get("state", ""), f"{path}: state, in its metadata")
    for key in ("step", "ema_updates"):
        plain_value(Steps, summary.get(key), str(path), key=key)
    if "stage" not in summary:
        return summary
    return summary | {"stage": stage_name(plain_value(str, summary["stage"], str(path), key="stage"))}


def load_training_state(
    folder: str | Path,
    *,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    ema: ExponentialMovingAverage,
) -> int:
    """Restore what :func:`save_training_state` wrote and return its step.

    Raises:
        ValueError: one line that names the file, where it holds the state of something else.
    """
    summary = read_training_state(folder)
    if summary is None:
        raise ValueError(f"{folder}: no training state to resume from")
    path = Path(folder) / STATE_FILE
    tensors, _ = read_tensors(path, advice=ADVICE)
    wild = [n for n, tensor in tensors.items() if n.startswith(("ema.", "optimizer")) and not tensor.isfinite().all()]
    if wild:
        raise ValueError(f"{path}: {wild[0]} holds values that are not finite; {ADVICE}")
    averages = _below("ema.", tensors)
    if _shapes(averages) != _shapes(ema.shadow):
        raise ValueError(f"{path}: its averages belong to other parameters; {ADVICE}")
    states = [
        _optimizer_state(
            path,
            optimizer,
            tensors=_below(_numbered("optimizer", number) + ".", tensors),
            groups=summary.get(_numbered("param_groups", number)),
            number=number,
        )
        for number, optimizer in enumerate(optimizers)
    ]
    load_weights(model, _below("model.", tensors), path)
    for name, value in averages.items():
        ema.shadow[name].copy_(value)
    ema.updates = summary["ema_updates"]
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict(state)
    return summary["step"]


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _optimizer_state(
    path: Path, optimizer: torch.optim.Optimizer, *, tensors: Mapping[str, Tensor], groups: Any, number: int
) -> dict:
    """What an optimizer's ``load_state_dict`` takes, found to be of its parameters."""
    key = _numbered("param_groups", number)
    if groups is None:
        raise ValueError(f"{path}: holds no state of optimizer {number + 1}; {ADVICE}")
    own = optimizer.state_dict()["param_groups"]
    found = plain_value(tuple[dict[str, Any], ...], groups, str(path), key=key)
    if len(found) != len(own):
        raise ValueError(f"{path}: {key} has {len(found)} groups, this optimizer {len(own)}; {ADVICE}")
    for place, (theirs, ours) in enumerate(zip(found, own, strict=True)):
        _expect_alike(theirs, ours, path, f"{key}[{place}]")
    shapes = [tuple(p.shape) for group in optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, part = name.partition(".")
        known = index.isdecimal() and int(index) < len(shapes)
        if not known or tuple(tensor.shape) != (() if part == "step" else shapes[int(index)]):
            raise ValueError(f"{path}: {_numbered('optimizer', number)}.{name} fits no parameter; {ADVICE}")
        states.setdefault(int(index), {})[part] = tensor
    for place, parts in states.items():
        missing = [part for part in ("step", *MOMENTS) if part not in parts]
        if missing:
            raise ValueError(f"{path}: {_numbered('optimizer', number)}.{place}.{missing[0]} is missing; {ADVICE}")
    # What other versions of PyTorch did not know yet is this one's.
    return {"state": states, "param_groups": [{**ours, **theirs} for theirs, ours in zip(found, own, strict=True)]}


def _expect_alike(found: Any, own: Any, path: Path, key: str) -> None:
    """Raise ValueError unless a value has the type and the items of this optimizer's own; numbers may be others."""
    if isinstance(own, dict):
        plain_value(dict, found, str(path), key=key)
        for name, value in found.items():
            if name not in own:
                raise ValueError(f"{path}: {key}.{name} is unknown; {ADVICE}")
            _expect_alike(value, own[name], path, f"{key}.{name}")
    elif isinstance(own, list | tuple):
        items = plain_value(tuple[Any, ...], found, str(path), key=key)
        if len(items) != len(own) or (key.endswith(".params") and list(items) != list(own)):
            raise ValueError(f"{path}: {key} is not this optimizer's; {ADVICE}")
        for index, (one, other) in enumerate(zip(items, own, strict=True)):
            _expect_alike(one, other, path, f"{key}[{index}]")
    elif own is not None or found is not None:
        plain_value(
            float if isinstance(own, int | float) and not isinstance(own, bool) else type(own),
            found,
            str(path),
            key=key,
        )
