"""The methods of the motion table by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from baselines.simple import gradient, jelly, model, other_start, repeat, shuffled, true_motion
from evaluation.prediction import Predict, Setting

METHODS: dict[str, Callable[[Setting], Predict]] = {
    "model": model,
    "repeat": repeat,
    "true-motion": true_motion,
    "shuffled": shuffled,
    "jelly": jelly,
    "gradient": partial(gradient, 0.0),
    "gradient-8": partial(gradient, 8.0),
    "gradient-16": partial(gradient, 16.0),
    "other-start": other_start,
}
RENDERED = ("model", "true-motion", "shuffled", "jelly")  # those whose video the renderer makes
DEFAULT_METHODS = ("model", "repeat", "true-motion", "shuffled", "jelly")
