"""Saved training states: exact to the last bit, and refused in one line where they are damaged or of something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from common.tensor_files import read_tensors, save_tensors
from training import saved_state
from training import state as training


def small_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def take_steps(model, optimizer, ema, first, last):
    for step in range(first, last):
        x = torch.randn(8, 3, generator=training.step_generator(5, step))
        loss = (model(x) - x.sum(dim=1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema.update(model)


def test_resumed_training_equals_uninterrupted_bitwise(tmp_path):
    def fresh(seed):
        model = small_model(seed)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1), training.ExponentialMovingAverage(model, 0.9)

    whole = fresh(0)
    take_steps(*whole, 0, 4)
    first = fresh(0)
    take_steps(*first, 0, 2)
    model, optimizer, ema = first
    saved_state.save_training_state(
        tmp_path, 2, model=model, optimizers=[optimizer], ema=ema, extra={"stage": "coordinate"}
    )
    second = fresh(1)  # other weights, so that loading has to replace them
    model, optimizer, ema = second
    assert saved_state.load_training_state(tmp_path, model=model, optimizers=[optimizer], ema=ema) == 2
    take_steps(*second, 2, 4)
    for name, value in whole[0].state_dict().items():
        assert torch.equal(value, second[0].state_dict()[name])
        assert torch.equal(whole[2].shadow[name], second[2].shadow[name])
    assert saved_state.read_training_state(tmp_path)["stage"] == "frequency_attention"  # the present name


# What a file may hold instead ----------------------------------------------------------------------------------------


def trained(tmp_path: Path):
    """A model with its optimizer and average after two steps, saved; a fresh one of each; and the state's file."""
    made = []
    for seed in (0, 1):
        model = small_model(seed)
        made.append((model, torch.optim.AdamW(model.parameters(), lr=0.1), training.ExponentialMovingAverage(model)))
    take_steps(*made[0], 0, 2)
    model, optimizer, ema = made[0]
    saved_state.save_training_state(tmp_path, 2, model=model, optimizers=[optimizer], ema=ema, extra={"stage": "slice"})
    return made[1], tmp_path / saved_state.STATE_FILE


def summary_changed(**values) -> Callable:
    def change(tensors: dict, summary: dict) -> None:
        summary.update(values)

    return change


def tensor_changed(name: str, tensor: torch.Tensor | None) -> Callable:
    def change(tensors: dict, summary: dict) -> None:
        tensors.pop(name, None)
        if tensor is not None:
            tensors[name] = tensor

    return change


def group_changed(**values) -> Callable:
    def change(tensors: dict, summary: dict) -> None:
        summary["param_groups"][0].update(values)

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (summary_changed(step=None), "step is None, expected a whole number"),
        (summary_changed(step=-1), "step is -1"),
        (summary_changed(step=10**30), "step is 1000"),
        (summary_changed(ema_updates="2"), "ema_updates is '2'"),
        (summary_changed(stage=[]), "stage is a list of 0, expected a text"),
        (summary_changed(param_groups=None), "no state of optimizer 1"),
        (summary_changed(param_groups={}), "param_groups is an object of 0, expected a list"),
        (summary_changed(param_groups=[]), "0 groups, this optimizer 1"),
        (summary_changed(param_groups=[5]), r"param_groups\[0\] is 5, expected an object"),
        (group_changed(lr="fast"), r"param_groups\[0\].lr is 'fast', expected a finite number"),
        (group_changed(lr=float("inf")), "lr is inf"),
        (group_changed(betas=[0.9]), "betas is not this optimizer's"),
        (group_changed(params=[0, 1, 2, 9]), "params is not this optimizer's"),
        (group_changed(colour=1), "colour is unknown"),
        (tensor_changed("ema.0.weight", None), "averages belong to other parameters"),
        (tensor_changed("ema.0.weight", torch.zeros(4, 1)), "averages belong to other parameters"),
        (
            tensor_changed("ema.0.weight", torch.full((4, 3), torch.nan)),
            "ema.0.weight holds values that are not finite",
        ),
        (tensor_changed("model.0.weight", torch.zeros(2, 3)), "tensors don't fit the configured model: 0.weight"),
        (tensor_changed("optimizer.0.exp_avg", None), "optimizer.0.exp_avg is missing"),
        (tensor_changed("optimizer.0.exp_avg", torch.zeros(1)), "optimizer.0.exp_avg fits no parameter"),
        (tensor_changed("optimizer.x.exp_avg", torch.zeros(1)), "optimizer.x.exp_avg fits no parameter"),
        (tensor_changed("optimizer.9.exp_avg", torch.zeros(1)), "optimizer.9.exp_avg fits no parameter"),
    ],
)
def test_a_state_of_something_else_is_refused_with_file_and_key(
    tmp_path: Path, change: Callable, expected: str
) -> None:
    (model, optimizer, ema), path = trained(tmp_path)
    tensors, metadata = read_tensors(path)
    summary = json.loads(metadata["state"])
    change(tensors, summary)
    save_tensors(path, tensors, {"state": json.dumps(summary)})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=expected) as error:
        saved_state.load_training_state(tmp_path, model=model, optimizers=[optimizer], ema=ema)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("state", ["", "[" * 100_000, "5", "{"])
def test_a_summary_that_is_none_is_refused(tmp_path: Path, state: str) -> None:
    _, path = trained(tmp_path)
    save_tensors(path, {}, {"state": state})
    with pytest.raises(ValueError, match="state, in its metadata: "):
        saved_state.read_training_state(tmp_path)
    path.write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"can't be read as safetensors .* remove the folder"):
        saved_state.read_training_state(tmp_path)
