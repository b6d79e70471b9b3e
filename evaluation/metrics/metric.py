"""What there is to know about one metric: how it is shown and compared, and how it is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from models.choices import resolve

if TYPE_CHECKING:
    import torch

Better = Literal["higher", "lower", "one", None]  # "one": the nearer to 1 the better; None: neither way
# What a metric's function is given and gives. Shapes are those of tensors; volumes are in pixels.
Kind = Literal[
    "frames",  # (frames of each row, a sequence of [N, 3, H, W]; targets, the same, all in [-1, 1]) -> [N] of each row
    "steadiness",  # (importance [1, 1, H, W]) -> an accumulator such as evaluation.metrics.flicker.Flicker
    "sets",  # of two sets of features, compared by evaluation.metrics.set_distance: it has no function
    "motion",  # (predicted and true volume, each [1, K, 4, H, W]) -> float
    "samples",  # (volumes of several samples of one photo) -> float, or None where there is no figure
    "video",  # (frames uint8 [T, 3, H, W]) -> float; one that is not finite is no figure
    "clips",  # (videos of several samples, uint8 [T, 3, H, W] each) -> float
    "loop",  # (volume, number of frames of a period) -> float; one that is not finite is no figure
    "cost",  # (evaluation.tables.sampling_cost.PhotoCost) -> float
]
NO_MOTION = "not computed: there is no motion"
ONE_SAMPLE = "not computed: needs several samples of one photo, which only the model gives (--samples 2 or more)"
NO_STEP = "not computed: most frames equal the one before, there is no usual step to compare the last one with"
NO_SAMPLING = "not computed: this row takes no sampling"
NO_PHOTOS = "not computed: no such photos (--still-photos), or no regions in the class maps (--maps)"
NO_CHANGE = "not computed: the real frames do not change along the flow"


class FeatureSet(NamedTuple):
    """Which features a metric of sets compares: a network's, of single frames or of windows of ``length`` frames."""

    network: str
    length: int | None = None
    unit: str = "frames"  # what one sample is, where it is no window of frames

    @property
    def samples(self) -> str:
        return self.unit if self.length is None else f"{self.length}-frame windows"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric: how it is shown and compared, and how it is computed.

    Attributes:
        label: what plots and pages call it.
        better: which way is better.
        decimals: of its figures.
        kind: what its function is given, see :data:`Kind`; None for one that is known by its name alone.
        tables: of "rendering", "motion" and "sampling", those that have it as a column.
        compute: its function, or ``"module:function"``.
        load: in place of ``compute``, a function of the folder of ``--weights`` and a device that gives the function;
            it raises :class:`evaluation.networks.weights.MissingWeightsError` without the weights.
        weights: names of :data:`evaluation.networks.weights.WEIGHTS` that it is computed with.
        missing: the note in a cell without a figure.
        relative: it relates to the measured motion and has no meaning where nothing moves in that.
        of_map: it can be computed of a map ``[1, 1, H, W]`` of where things move as well.
        features: of a metric of sets, what it compares.
        kernel: of a metric of sets, the unbiased kernel distance in place of the Fréchet distance.
        scale: of a metric of sets, what the distance is multiplied by.
        curve: of a metric of sets, whether its curve over time is drawn.
        column: head of its column in text, where that is not its name.
        parts: of a ratio of two other columns, their names.
        median: whether a table has the median over sequences in place of the mean.
    """

    label: str
    better: Better = None
    decimals: int = 3
    kind: Kind | None = None
    tables: tuple[str, ...] = ()
    compute: str | Callable[..., Any] | None = None
    load: str | Callable[..., Any] | None = None
    weights: tuple[str, ...] = ()
    missing: str = NO_MOTION
    relative: bool = False
    of_map: bool = False
    features: FeatureSet | None = None
    kernel: bool = False
    scale: float = 1.0
    curve: bool = False
    column: str | None = None
    parts: tuple[str, str] | None = None
    median: bool = False

    @property
    def distribution(self) -> bool:
        """Whether it compares two sets of samples: then it has no value for a single sequence."""
        return self.kind == "sets"

    def function(self, *, weights: Path | None = None, device: torch.device | str = "cpu") -> Callable[..., Any]:
        """What computes it, imported and loaded now."""
        if self.load is not None:
            return resolve(self.load)(weights, device)
        if self.compute is None:
            raise ValueError(f"{self.label} has no function of its own")
        return resolve(self.compute)
