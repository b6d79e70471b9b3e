"""Shapes of the renderer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from common.plain import Depth, Widths
from models.rendering.grid_net import ACTIVATIONS

IMPORTANCE = ("motion", "learned")
OUTPUTS = ("residual", "direct")
FINEST = (1, 2)
MIXES = ("resampled", "all")


@dataclass(frozen=True)
class FrameSynthesisConfig:
    """Shape of a :class:`FrameSynthesisModel`."""

    channels: Widths = (16, 32, 64)  # of the feature pyramid, one grid row each; each row is half the size of the last
    finest: int = 1  # 1: the first row has the size of the frame; 2: half of it, for about half the cost
    columns: Depth = 4  # of the GridNet: the first half carries information down the rows, the second half up
    importance: str = "motion"  # given by the caller (mean |F_t|), times a learned scale; learned: ImportanceNet
    mix: str = "resampled"  # images that a frame is mixed of, residual mode; all: see FrameSynthesisModel
    output: str = "residual"  # residual: corrects the splatted image; direct: paints the frame from features alone
    activation: str = "leaky_relu"  # one of ACTIVATIONS

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.channels or min(self.channels) < 1:
            raise ValueError(f"the feature pyramid needs positive channel counts, got {self.channels}")
        if self.columns < 2 or self.columns % 2:
            raise ValueError(f"a GridNet has an even number of columns, at least 2, got {self.columns}")
        for value, known, name in (
            (self.mix, MIXES, "mix"),
            (self.finest, FINEST, "finest"),
            (self.importance, IMPORTANCE, "importance"),
            (self.output, OUTPUTS, "output"),
            (self.activation, ACTIVATIONS, "activation"),
        ):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}, expected one of {', '.join(map(str, known))}")
        if self.finest > 1 and (self.output == "direct" or self.importance == "learned"):
            raise ValueError("a network that paints frames or learns importance begins at full size, finest 1")


_DEFAULT = FrameSynthesisConfig()
PRESETS = {
    "tiny": replace(_DEFAULT, channels=(8, 12, 16), columns=2),
    "default": _DEFAULT,
    "half": replace(_DEFAULT, channels=(32, 48, 64), finest=2, mix="all"),
    "reference": replace(
        _DEFAULT, channels=(32, 64, 96), columns=6, importance="learned", output="direct", activation="prelu"
    ),
}
