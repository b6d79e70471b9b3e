"""Which sequences move enough to be kept."""

from __future__ import annotations

import numpy as np
import pytest

from data.dataset.sequence import SequenceOptions
from data.dataset.statistics import drop_reason, motion_statistics


def flame(size: tuple[int, int], swing: float, share: float) -> np.ndarray:
    """Motion ``[T, H, W, 2]`` in which a part of the picture swings by so many pixels of a width of 256."""
    width, height = size
    motion = np.zeros((20, height, width, 2), np.float32)
    times = np.sin(np.arange(20) / 2)
    side = round((share * width * height) ** 0.5)
    motion[:, :side, :side, 0] = (swing * width / 256 * times)[:, None, None]
    return motion


@pytest.mark.parametrize(
    ("swing", "share", "kept"), [(3.0, 0.01, True), (1.0, 1.0, True), (0.2, 1.0, False), (3.0, 0.001, False)]
)
@pytest.mark.parametrize("size", [(64, 40), (256, 160), (512, 320)])
def test_what_moves_most_decides_at_any_size(size: tuple[int, int], swing: float, share: float, kept: bool) -> None:
    options = SequenceOptions(size=size, num_frequencies=4, estimator="dis", estimator_parameters={})
    reason = drop_reason(motion_statistics(flame(size, swing, share)), options)
    assert (reason is None) == kept
    assert kept or reason.startswith("no motion")


def test_statistics_of_former_files_drop_nothing_for_want_of_motion() -> None:
    statistics = motion_statistics(flame((64, 40), 0.0, 1.0))
    options = SequenceOptions(size=(64, 40), num_frequencies=4, estimator="dis", estimator_parameters={})
    assert drop_reason(statistics, options).startswith("no motion")
    del statistics["top_magnitude"]
    assert drop_reason(statistics, options) is None
