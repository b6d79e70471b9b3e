"""Shapes of the renderer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from common.plain import Depth, Widths
from models.rendering.grid_net import ACTIVATIONS

IMPORTANCE = ("motion", "learned")
OUTPUTS = ("residual", "direct")


@dataclass(frozen=True)
class FrameSynthesisConfig:
    """Shape of a :class:`FrameSynthesisModel`."""

    channels: Widths = (16, 32, 64)  # of the feature pyramid: full size, 1/2, 1/4, ...; one grid row each
    columns: Depth = 4  # of the GridNet: the first half carries information down the rows, the second half up
    importance: str = "motion"  # given by the caller (mean |F_t|), times a learned scale; learned: ImportanceNet
    output: str = "residual"  # residual: corrects the splatted image; direct: paints the frame from features alone
    activation: str = "leaky_relu"  # one of ACTIVATIONS

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.channels or min(self.channels) < 1:
            raise ValueError(f"the feature pyramid needs positive channel counts, got {self.channels}")
        if self.columns < 2 or self.columns % 2:
            raise ValueError(f"a GridNet has an even number of columns, at least 2, got {self.columns}")
        for value, known, name in (
            (self.importance, IMPORTANCE, "importance"),
            (self.output, OUTPUTS, "output"),
            (self.activation, ACTIVATIONS, "activation"),
        ):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}, expected one of {', '.join(known)}")


_DEFAULT = FrameSynthesisConfig()
PRESETS = {
    "tiny": replace(_DEFAULT, channels=(8, 12, 16), columns=2),
    "default": _DEFAULT,
    "reference": replace(
        _DEFAULT, channels=(32, 64, 96), columns=6, importance="learned", output="direct", activation="prelu"
    ),
}
