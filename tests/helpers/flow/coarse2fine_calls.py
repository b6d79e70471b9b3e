"""The coarse-to-fine flow called with the names of its parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from data.flow.coarse2fine.cpu import coarse2fine_flow_batch
from data.flow.coarse2fine.parameters import Parameters


def pair_flow(source: Any, target: Any, **parameters: Any) -> np.ndarray:
    """Flow [H, W, 2] of one pair on the CPU."""
    return coarse2fine_flow_batch(source, np.asarray(target)[None], parameters=Parameters(**parameters))[0]
