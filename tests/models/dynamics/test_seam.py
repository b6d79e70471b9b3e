"""Where a sampled loop begins."""

from __future__ import annotations

import math

import torch

from models.dynamics.seam import begin_where_slow, motion_seam_ratio
from models.spectral_volume import anchor_to_first_frame, spectral_volume_to_motion

FRAMES = 60


def loop_that_jumps_at_its_end() -> torch.Tensor:
    """A disc that drifts to the right and swings back around the end: a sawtooth of seven frequencies."""
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(48.0), indexing="ij")
    disc = ((rows - 12) ** 2 + (columns - 20) ** 2 < 60).float()
    volume = torch.zeros(1, 8, 4, 24, 48)
    for k in range(1, 8):
        volume[0, k, 2] = 2 / (2 * math.pi * k) * disc  # of 2 x (t / T - 1 / 2)
    return volume


def test_the_loop_begins_where_an_ordinary_step_leads_and_keeps_its_frames() -> None:
    volume = loop_that_jumps_at_its_end()
    before = spectral_volume_to_motion(volume, FRAMES)
    assert motion_seam_ratio(before) > 5
    after = spectral_volume_to_motion(begin_where_slow(volume, FRAMES), FRAMES)
    assert motion_seam_ratio(after) < 1.01
    turned = [(after - before.roll(-start, dims=1)).abs().max() for start in range(FRAMES)]
    assert min(turned) < 1e-5


def test_the_photo_is_moved_less_far_in_all() -> None:
    volume = torch.zeros(1, 4, 4, 24, 48)
    volume[0, 1, 0, 6:18, 10:30] = 1.0  # at frame 0 it is as far to the right as it gets
    far, near = (
        spectral_volume_to_motion(anchor_to_first_frame(loop, FRAMES), FRAMES).square().mean()
        for loop in (volume, begin_where_slow(volume, FRAMES))
    )
    assert near < 0.67 * far  # 1 against 3 / 2: it begins half-way in time between middle and end of the swing


def test_what_stands_still_stays_as_it_is() -> None:
    still = torch.zeros(1, 4, 4, 8, 16)
    assert torch.equal(begin_where_slow(still, FRAMES), still)
