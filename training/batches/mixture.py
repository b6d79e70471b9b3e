"""Several datasets that training draws from in given shares."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.utils.data import Dataset


class Mixture:
    """Draws with replacement: a dataset by its share, then any of its items alike.

    Args:
        datasets: map-style datasets.
        shares: of what is drawn, one for each dataset; in proportion to each other. Equal ones by default.
    """

    def __init__(self, datasets: Sequence[Dataset], shares: Sequence[float] | None = None) -> None:
        shares = [1.0] * len(datasets) if shares is None else shares
        if len(shares) != len(datasets):
            raise ValueError(f"{len(shares)} shares for {len(datasets)} datasets; give one for each")
        if not all(math.isfinite(share) and share >= 0 for share in shares) or not sum(shares) > 0:
            raise ValueError(f"shares {', '.join(map(str, shares))}: none may be negative, and not all zero")
        self.datasets = datasets
        self.sizes = [len(dataset) for dataset in datasets]  # type: ignore[arg-type]
        self.shares = [float(share) for share in shares]

    def draw(self, generator: torch.Generator) -> tuple[Dataset, int]:
        """A dataset and the index of one of its items."""
        chosen = int(torch.multinomial(torch.tensor(self.shares), 1, generator=generator))
        return self.datasets[chosen], int(torch.randint(self.sizes[chosen], (), generator=generator))
