"""Figures of clips that a learned baseline draws again, alike for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluation.metrics.distances import bootstrap_interval
from evaluation.networks.feature_networks import load_lpips
from evaluation.networks.weights import MissingWeightsError

COMPARED = ("l1", "lpips")  # what is measured of what is drawn and, under NAME_repeat, of the repeated photo


def absolute_errors(true: Tensor, made: Mapping[str, Tensor]) -> dict[str, float]:
    """Mean L1 of several versions of the frames ``true [T, 3, H, W]``, ``l1`` and the ends of their names."""
    return {f"l1{name}": float((frames - true).abs().mean()) for name, frames in made.items()}


class Errors:
    """Mean L1 in [0, 1] and, where its weights are there, LPIPS (AlexNet) over the frames of a clip.

    Args:
        weights: folder with the metrics' weights, searched before the cache.
    """

    def __init__(self, weights: Path | None, device: torch.device) -> None:
        self.distance: Callable[[Tensor, Tensor], Tensor] | None = None
        self.missing: str | None = None
        try:
            self.distance = load_lpips("alex", weights, device)
        except MissingWeightsError as error:
            self.missing = str(error)

    def __call__(self, true: Tensor, made: Mapping[str, Tensor]) -> dict[str, float]:
        """Of several versions of the frames ``true [T, 3, H, W]``, all in [0, 1], by the ends of their names.

        The version ``""`` is what was drawn, ``"_repeat"`` the repeated photo; by how much the former is better than
        the latter is ``l1_gain`` and ``lpips_gain``.
        """
        found = absolute_errors(true, made)
        if self.distance is not None:
            for name, frames in made.items():
                found[f"lpips{name}"] = float(self.distance(2 * frames - 1, 2 * true - 1).mean())
        gains = {f"{name}_gain": found[f"{name}_repeat"] - found[name] for name in COMPARED if name in found}
        return found | gains

    def summary(self, found: Mapping[str, Mapping[str, float]], sources: Mapping[str, str | None]) -> dict[str, Any]:
        """Means over clips, 95 % ``intervals`` of them, and ``each`` clip's figures.

        Args:
            found: figures by clip.
            sources: by clip, the video or person that it is of, since clips of one are alike: the bootstrap draws
                these; None for a clip of its own. There is no interval of a single one.
        """
        names = next(iter(found.values()))
        of = [sources[clip] or clip for clip in found]
        columns = {name: [errors[name] for errors in found.values()] for name in names}
        results: dict[str, Any] = {name: float(np.mean(column)) for name, column in columns.items()}
        results |= {"clips": len(found), "sources": len(set(of))}
        results["intervals"] = {name: bootstrap_interval(column, sources=of) for name, column in columns.items()}
        results["each"] = {name: dict(errors) for name, errors in found.items()}
        return results if self.missing is None else results | {"lpips": f"not computed: {self.missing}"}


def figure_lines(results: Mapping[str, Any]) -> Iterator[str]:
    """A summary as lines for the terminal, a figure each."""
    for name, value in results.items():
        if name in ("intervals", "each"):
            continue
        interval = results["intervals"].get(name)
        spread = f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
        yield f"{name}: {value:.4f}{spread}" if isinstance(value, float) else f"{name}: {value}"
