"""Which stages of the baselines are trained in the precision that was asked for, and what ``auto`` stands for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from baselines.cinn.presets import PRESETS
from baselines.cinn.train import CinnRun
from baselines.cinn.train import stage_options as cinn_options
from baselines.lfdm.train import stage_options as lfdm_options
from models.precision import has_fast_bfloat16
from training.batches.options import DataOptions
from training.task import RunOptions

ASKED = RunOptions(output=Path("run"), precision="bfloat16")


def test_auto_is_decided_by_the_device_and_nothing_else_is() -> None:
    cpu = torch.device("cpu")
    fast = RunOptions(output=Path("run"), precision="auto").on(cpu)
    assert fast.precision == ("bfloat16" if has_fast_bfloat16(cpu) else "float32")
    for precision in ("bfloat16", "float32"):
        assert RunOptions(output=Path("run"), precision=precision).on(cpu).precision == precision


@pytest.mark.parametrize(("stage", "precision"), [("autoencoder", "float32"), ("diffusion", "bfloat16")])
def test_lfdms_regions_are_placed_in_float32(stage: str, precision: str) -> None:
    options = lfdm_options(ASKED, stage)
    assert (options.precision, options.output) == (precision, Path("run") / stage)


@pytest.mark.parametrize(("stage", "precision"), [("vae", "bfloat16"), ("condition", "bfloat16"), ("flow", "float32")])
def test_cinns_likelihood_is_computed_in_float32(stage: str, precision: str) -> None:
    run = CinnRun(data=DataOptions(folders=(Path("data"),)), layout="dataset", preset=PRESETS["tiny"], run=ASKED)
    task: Any = SimpleNamespace(stage=stage, validation=None)
    options = cinn_options(run, task)
    assert (options.precision, options.output) == (precision, Path("run") / stage)
