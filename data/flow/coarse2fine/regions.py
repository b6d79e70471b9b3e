"""How `data.flow.coarse2fine.cuda` cuts a picture into the regions that a block of threads relaxes in registers."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

REGION_WIDTH, MOST_ROWS = 64, 64  # pixels that a block of the kernel `relax` holds, at most
LANES, OWN_ROWS = 32, 4  # threads of a warp, and rows it relaxes
# Sweeps that take about as long as loading a region: an estimate from memory and instructions, not a measurement.
SWEEPS_TO_LOAD = 4


@dataclass(frozen=True)
class Regions:
    """Overlapping regions of one picture.

    A sweep makes two more rings of pixels around a region wrong, so regions overlap by twice ``halo``, and after
    ``sweeps = halo / 2`` sweeps all of them are read anew. A single region has no halo and does all sweeps at once.
    """

    across: int
    down: int
    rows: int  # of a region, all of which have `REGION_WIDTH` columns
    sweeps: int  # of a launch
    halo: int

    @property
    def threads(self) -> int:
        """Of the block that relaxes a region."""
        return self.rows // OWN_ROWS * LANES

    @property
    def pixels(self) -> int:
        """Of all regions together, those beyond the picture included."""
        return self.across * self.down * self.rows * REGION_WIDTH

    def launches(self, num_sweeps: int) -> Iterator[int]:
        """Sweeps of each launch."""
        for done in range(0, num_sweeps, self.sweeps):
            yield min(self.sweeps, num_sweeps - done)


@functools.cache
def plan_regions(width: int, height: int, num_sweeps: int) -> Regions:
    """The cheapest regions by an estimate: time in proportion to ``pixels * (SWEEPS_TO_LOAD + sweeps)`` a launch."""
    if width <= REGION_WIDTH and height <= MOST_ROWS:
        return Regions(1, 1, _rows(height, 1, 0), num_sweeps, halo=0)

    def cost(regions: Regions) -> int:
        return regions.pixels * sum(SWEEPS_TO_LOAD + sweeps for sweeps in regions.launches(num_sweeps))

    return min((cut(width, height, sweeps) for sweeps in range(1, 11)), key=cost)


def cut(width: int, height: int, sweeps: int) -> Regions:
    """The fewest regions that overlap enough for ``sweeps`` sweeps a launch."""
    overlap = 4 * sweeps
    across = 1 if width <= REGION_WIDTH else -(-(width - overlap) // (REGION_WIDTH - overlap))
    down = 1 if height <= MOST_ROWS else -(-(height - overlap) // (MOST_ROWS - overlap))
    return Regions(across, down, _rows(height, down, overlap), sweeps, halo=0 if across == down == 1 else 2 * sweeps)


def _rows(height: int, down: int, overlap: int) -> int:
    """Rows of each of ``down`` regions that cover a height: whole warps, each of `OWN_ROWS` rows."""
    return -(-(height + (down - 1) * overlap) // (down * OWN_ROWS)) * OWN_ROWS
