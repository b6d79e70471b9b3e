"""The names that scripts offer are those that the models know."""

import subprocess
import sys

import pytest

from models.choices import MOTION_PRESETS, RENDERER_PRESETS, RENDERERS, SAMPLERS, UNMOVED, WARPS
from models.motion.config import PRESETS as MOTION
from models.motion.diffusion import make_scheduler
from models.rendering.config import PRESETS as RENDERING
from models.rendering.dispatch import find_warp


def test_presets_are_those_of_the_models():
    assert set(MOTION_PRESETS) == set(MOTION)
    assert set(RENDERER_PRESETS) == set(RENDERING)


def test_every_sampler_and_warp_is_found_by_its_name():
    kinds = {"dpmsolver++": ("DPMSolver", 2), "ddim": ("DPMSolver", 1), "ddpm": ("DDPMScheduler", 1)}
    assert list(kinds) == list(SAMPLERS)
    for name, kind in kinds.items():
        scheduler = make_scheduler(MOTION["tiny"], name)
        assert (type(scheduler).__name__, scheduler.order) == kind
    for name in (*WARPS, *UNMOVED):
        assert callable(find_warp(name))
    with pytest.raises(ValueError, match=f"unknown renderer 'paint', expected one of {', '.join(RENDERERS)}"):
        find_warp("paint")


def test_they_can_be_read_without_torch():
    check = "import sys, models.choices; sys.exit(bool({'torch', 'numpy', 'diffusers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
