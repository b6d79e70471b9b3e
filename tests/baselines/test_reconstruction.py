"""Figures of clips that are drawn again: whose intervals, and whose codes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.cinn.measure import _strangers
from baselines.cinn.predict import warn_of_rates
from baselines.reconstruction import Errors
from evaluation.metrics.distances import bootstrap_interval


def test_intervals_are_over_videos_and_not_over_their_clips(tmp_path: Path) -> None:
    errors = Errors(tmp_path, torch.device("cpu"))
    found = {f"{video}-{clip}": {"l1": float(value)} for video, value in (("a", 1), ("b", 3)) for clip in range(10)}
    told = errors.summary(found, {clip: clip[0] for clip in found})
    assert (told["l1"], told["clips"], told["sources"]) == (2, 20, 2)
    assert told["intervals"]["l1"] == pytest.approx((1, 3))
    alone = errors.summary(found, dict.fromkeys(found))
    assert alone["sources"] == 20
    assert np.diff(alone["intervals"]["l1"]) < 1
    assert alone["intervals"]["l1"] == bootstrap_interval([1.0] * 10 + [3.0] * 10)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["a", "b", "c"], [1, 2, 0]),
        (["a", "a", "b", "b"], [2, 2, 0, 0]),
        (["a", "a"], None),
        (["a"], None),
    ],
)
def test_the_other_video_is_from_another_file(sources: list[str], expected: list[int] | None) -> None:
    assert _strangers(sources) == expected


@pytest.mark.parametrize(("trained", "shown", "told"), [(10, 30, True), (30, 29.97, False), (0, 30, False)])
def test_another_frame_rate_than_the_trained_one_is_told(trained: float, shown: float, told: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_rates(Path("runs/cinn"), trained, [shown, shown])
    assert [("3 times as fast" in str(warning.message)) for warning in caught] == [True] * told
