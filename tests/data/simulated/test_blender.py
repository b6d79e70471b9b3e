"""Rendered by Blender: the exact flow leads from the first frame to the later ones, and is what the volume says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from data.flow.comparison import warp_backward
from data.simulated.kinds.registry import KINDS
from data.simulated.renderer import DEFAULT_PYTHON, BlenderPython, Renderer
from data.simulated.sequence import SimulatedSequence, Timing, simulate
from models.spectral_volume import motion_at_times

PYTHON = Path(os.environ.get("BLENDER_PYTHON", DEFAULT_PYTHON))
TIMING = Timing(num_frames=30, fps=30.0, num_frequencies=16)
SIZE = (128, 80)

pytestmark = [
    pytest.mark.blender,
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.is_file(), reason=f"no {PYTHON}: make simulated, or name one in BLENDER_PYTHON"),
]


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    opened = BlenderPython(PYTHON)()
    yield opened
    opened.close()


def rendered(renderer: Renderer, name: str) -> SimulatedSequence:
    random = np.random.default_rng(1)
    scene = KINDS[name].build(random)
    scene.amplitude = (3.0, 0.0)
    return simulate(scene, random, renderer, timing=TIMING, size=SIZE, frame_indices=np.array([11, 23]))


@pytest.fixture(scope="module")
def sequence(renderer: Renderer) -> SimulatedSequence:
    return rendered(renderer, "hanging_sign")


def test_flows_are_what_the_volume_says(sequence: SimulatedSequence) -> None:
    volume = torch.from_numpy(sequence.spectral_volume)
    motion = motion_at_times(volume[None], [11, 23], TIMING.num_frames)[0].permute(0, 2, 3, 1).numpy()
    assert np.abs(motion).max() > 2
    assert np.abs(motion - sequence.flows).max() < 0.05, "both are means over the same samples of the lens"


def test_flows_lead_from_the_first_frame_to_the_later_ones(sequence: SimulatedSequence) -> None:
    first = sequence.first_frame.astype(np.float32)
    for flow, frame, hidden in zip(sequence.flows, sequence.frames, sequence.hidden, strict=True):
        moving = (np.hypot(flow[..., 0], flow[..., 1]) > 1) & ~hidden
        assert moving.mean() > 0.02
        left = {
            share: np.abs(warp_backward(frame, share * flow) - first).mean(axis=2)[moving].mean()
            for share in (0, 0.5, 0.75, 1, 1.25, 1.5)
        }
        assert min(left, key=lambda share: left[share]) == 1, "neither a shorter nor a longer flow fits better"
        assert left[1] < 0.75 * left[0]


def test_flows_back_are_those_of_the_later_frames(sequence: SimulatedSequence) -> None:
    for flow, back, hidden in zip(sequence.flows, sequence.backward_flows, sequence.hidden, strict=True):
        returned = np.linalg.norm(flow + warp_backward(back, flow), axis=2)
        assert np.median(returned[~hidden]) < 0.05
        assert 0 < hidden.mean() < 0.4


def test_depth_is_that_of_the_wall_and_the_sign(sequence: SimulatedSequence) -> None:
    depth = sequence.depth[sequence.depth > 0]
    assert 1.5 < np.percentile(depth, 2) < np.percentile(depth, 90) < 9


def test_a_scene_is_rendered_the_same_twice(renderer: Renderer, sequence: SimulatedSequence) -> None:
    again = rendered(renderer, "hanging_sign")
    np.testing.assert_array_equal(again.first_frame, sequence.first_frame)
    np.testing.assert_array_equal(again.spectral_volume, sequence.spectral_volume)
