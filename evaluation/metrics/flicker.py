"""Flicker: how much a point of the scene changes from frame to frame once its known motion is taken out.

With I a video, F_t the flow from frame 0 to frame t, and P_t the pixels p of frame 0 whose point is in sight both at
time t and at t + 1,

    change(I) = mean over t and p in P_t of |I_{t+1}(p + F_{t+1}(p)) - I_t(p + F_t(p))|
    flicker   = change(rendered) / change(real)

The real video's own change holds noise, changing light and what the flow gets wrong, so 1 is as unsteady as film, and
frames that follow the flow exactly lie below. All rows of a table are looked up at the same points. Blur flickers
little: the figure is to be read beside LPIPS.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from models.rendering.warping import magnitude, resample
from models.splatting import plan_splat

SAME_POINT = 1.0  # pixels: what is in front at a landing point moved there by the same flow, up to this
LEAST_CHANGE = 1e-3  # levels of 255: of a video that changes less there is no ratio


class Flicker:
    """Adds up the change of several videos of one sequence, consecutive frames at a time."""

    def __init__(self, importance: Tensor) -> None:
        """``importance``: ``[1, 1, H, W]``, larger is in front."""
        self._importance = importance
        self._last: Tensor | None = None  # colours at the points of the last frame, and whether each is in sight
        self._changes: dict[str, float] = {}
        self._points = 0.0

    def add(self, videos: Mapping[str, Tensor], flows: Tensor) -> None:
        """Take in the next frames.

        Args:
            videos: by name, each float ``[N, 3, H, W]`` in [-1, 1]; the same names every time.
            flows: ``[N, 2, H, W]`` in pixels, from frame 0 to each of them.
        """
        flows = flows.float()
        colours = resample(torch.cat([video.float() for video in videos.values()], dim=1), -flows)
        points = torch.cat([colours.clamp(-1, 1), visible(flows, self._importance).to(colours)], dim=1)
        if self._last is not None:
            points = torch.cat([self._last, points])
        self._last = points[-1:]
        both = points[1:, -1:] * points[:-1, -1:]
        # One sum a frame and channel in float32, all of them in float64.
        changes = ((points[1:, :-1] - points[:-1, :-1]).abs() * both).sum(dim=(2, 3)).double().sum(dim=0).tolist()
        self._points += float(both.sum(dim=(2, 3)).double().sum())
        for index, name in enumerate(videos):
            change = sum(changes[3 * index : 3 * index + 3])
            self._changes[name] = self._changes.get(name, 0.0) + change

    def changes(self) -> dict[str, float | None]:
        """Each video's mean change in levels of 255; None where no point is in sight twice."""
        unit = 127.5 / (3 * self._points) if self._points else None
        return {name: None if unit is None else total * unit for name, total in self._changes.items()}

    def ratios(self, real: str) -> dict[str, float | None]:
        """The other videos' changes over that of the video ``real``; None where that one does not change."""
        changes = self.changes()
        reference = changes.pop(real, None)
        if reference is None or reference < LEAST_CHANGE:
            return dict.fromkeys(changes)
        return {name: None if change is None else change / reference for name, change in changes.items()}


def visible(flows: Tensor, importance: Tensor) -> Tensor:
    """Which pixels of frame 0 are in sight after moving: bool ``[N, 1, H, W]``.

    Inside the frame, and where they land the flow in front (softmax splatting by importance) is their own.
    """
    height, width = flows.shape[2:]
    front = plan_splat(flows, importance)(flows)
    x = torch.arange(width, device=flows.device) + flows[:, 0]
    y = torch.arange(height, device=flows.device)[:, None] + flows[:, 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    # The nearest pixel always has something landed on it: this point's own share.
    found = F.grid_sample(front, grid, mode="nearest", padding_mode="border", align_corners=False)
    return inside[:, None] & (magnitude(found - flows) <= SAME_POINT)
