"""Codes of clips that are made once and drawn again and again, in place of clips that are encoded at each step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from baselines.cinn.data.clips import ClipBatch

if TYPE_CHECKING:
    from baselines.cinn.model import StochasticImageToVideo


class Encoded(NamedTuple):
    """What the invertible network learns of clips."""

    mean: Tensor  # [B, D] of q(z | X)
    log_variance: Tensor  # [B, D]
    about: Tensor  # [B, E] embeddings of the photos, and what controls the videos' ends

    def code(self, noise: Tensor) -> Tensor:
        """Codes ``[B, D]`` drawn from q(z | X) by standard normal numbers ``[B, D]``."""
        return self.mean + (0.5 * self.log_variance).exp() * noise.to(self.mean)


@torch.no_grad()
def encode(networks: StochasticImageToVideo, batch: ClipBatch) -> Encoded:
    """What the frozen encoders say of clips."""
    mean, log_variance = networks.encoder(batch.clip, batch.photo)
    control = batch.control if batch.control.shape[1] else None
    return Encoded(mean, log_variance, networks.embedding(batch.photo, control))


class PlaceBatch(NamedTuple):
    """Places of one training step's codes among those that are kept."""

    places: Tensor  # [B] int64
    ids: list[str]

    def pinned(self) -> PlaceBatch:
        """See `training.task.Batch.pinned`."""
        return self._replace(places=self.places.pin_memory())

    def to(self, device: torch.device) -> PlaceBatch:
        """The same batch on a device."""
        return self._replace(places=self.places.to(device, non_blocking=True))


class KeptCodes:
    """Codes that are made when the first of them are asked for.

    Args:
        make: yields them in batches; a function of the seed alone, so that a resumed training has the same ones.
        count: how many to draw among; no more than are made.
    """

    def __init__(self, make: Callable[[], Iterable[Encoded]], count: int) -> None:
        self._make, self.count = make, count

    @cached_property
    def _codes(self) -> Encoded:
        return Encoded(*(torch.cat(parts) for parts in zip(*self._make(), strict=True)))

    def draw(self, generators: Iterable[torch.Generator]) -> PlaceBatch:
        """A random place by each generator."""
        places = [int(torch.randint(self.count, (), generator=generator)) for generator in generators]
        return PlaceBatch(torch.tensor(places), [f"code {place}" for place in places])

    def at(self, batch: PlaceBatch) -> Encoded:
        """The codes at these places."""
        return Encoded(*(values[batch.places] for values in self._codes))
