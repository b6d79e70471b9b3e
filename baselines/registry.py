"""The rows of the motion table: one entry for each method, read by evaluate.py, the plots and the documentation.

Adding a baseline takes one entry in :data:`METHODS` and the function that it names. Nothing heavy is imported here, so
that ``evaluate.py --help`` can list the methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from common.plots import BLUE, GRAY, GREEN, ORANGE, PURPLE, VERMILION
from models.choices import resolve

if TYPE_CHECKING:
    from evaluation.prediction import Predict, Setting


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method of the motion table.

    Attributes:
        name: what the table and ``--methods`` call it.
        summary: one line for the help and the documentation.
        build: a function, or ``"module:function"`` to import when it is needed. It is called once for a table, with the
            :class:`evaluation.prediction.Setting`, the ``options`` below and, for a method that needs one, the keyword
            argument ``checkpoint``, a folder. It returns an :data:`evaluation.prediction.Predict`, called for every
            photo.
        options: further keyword arguments of ``build``.
        parts: parts of the pipeline of ``--checkpoint`` that it samples with, of :data:`models.pipeline.PARTS`.
        checkpoint: for a learned baseline, how its checkpoint is made; ``--method-checkpoint NAME=DIR`` brings it.
        video: ``"rendered"`` by the renderer of the table, ``"own"`` frames that the method makes, or ``"none"``.
        color: in plots; None takes the next free one.
        default: whether the table has it unless ``--methods`` chooses.
    """

    name: str
    summary: str
    build: str | Callable[..., Predict]
    options: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    checkpoint: str | None = None
    video: Literal["rendered", "own", "none"] = "own"
    color: str | None = None
    default: bool = False

    def make(self, setting: Setting, *, checkpoint: Path | None = None) -> Predict:
        """Build the method for a table.

        Raises:
            ValueError: as :meth:`check` does, or whatever ``build`` refuses.
        """
        self.check(checkpoint)
        given = {} if checkpoint is None else {"checkpoint": checkpoint}
        return resolve(self.build)(setting, **self.options, **given)

    def check(self, checkpoint: Path | None) -> None:
        """Refuse a checkpoint for a method that takes none, and none for one that needs it."""
        if self.checkpoint and checkpoint is None:
            raise ValueError(
                f"--methods {self.name}: needs a checkpoint, give --method-checkpoint {self.name}=DIR "
                f"({self.checkpoint})"
            )
        if not self.checkpoint and checkpoint is not None:
            raise ValueError(f"--method-checkpoint {self.name}={checkpoint}: {self.name} takes no checkpoint")


def by_name(*methods: Method) -> dict[str, Method]:
    """Methods under their names, in this order."""
    return {method.name: method for method in methods}


METHODS = by_name(
    Method(
        name="model",
        summary="samples of the motion model, rendered",
        build="baselines.simple:model",
        parts=("motion",),
        video="rendered",
        color=BLUE,
        default=True,
    ),
    Method(
        name="repeat",
        summary="the photo, unmoved",
        build="baselines.simple:repeat",
        color=GRAY,
        default=True,
    ),
    Method(
        name="true-motion",
        summary="the measured motion, rendered: the best that a motion model could do with this renderer",
        build="baselines.simple:true_motion",
        video="rendered",
        color=GREEN,
        default=True,
    ),
    Method(
        name="shuffled",
        summary="the measured motion of another video: real motion in the wrong places",
        build="baselines.simple:shuffled",
        video="rendered",
        color=ORANGE,
        default=True,
    ),
    Method(
        name="jelly",
        summary="one slow sinusoid for all pixels, of random direction and phase and the mean amplitude of the split",
        build="baselines.simple:jelly",
        video="rendered",
        color=VERMILION,
        default=True,
    ),
    Method(
        name="gradient",
        summary="no video: the magnitude of the photo's gradient as a map of where things move",
        build="baselines.simple:gradient",
        video="none",
    ),
    Method(
        name="gradient-8",
        summary="no video: the same map, blurred by 8 pixels",
        build="baselines.simple:gradient",
        options={"blur": 8.0},
        video="none",
    ),
    Method(
        name="gradient-16",
        summary="no video: the same map, blurred by 16 pixels",
        build="baselines.simple:gradient",
        options={"blur": 16.0},
        video="none",
    ),
    Method(
        name="other-start",
        summary="no video: the motion measured from other start frames of the same video, the ceiling for a model",
        build="baselines.simple:other_start",
        video="none",
        default=True,
    ),
    Method(
        name="lfdm",
        summary="clips of latent flow diffusion and the motion of its flow (LFDM, Ni et al. 2023)",
        build="baselines.lfdm.method:lfdm",
        checkpoint="made by python -m baselines.lfdm train",
        color=PURPLE,
    ),
    Method(
        name="cinn",
        summary="samples of a conditional invertible network for video codes (Dorkenwald et al. 2021)",
        build="baselines.cinn.predict:predict",
        checkpoint="python -m baselines.cinn train writes one",
    ),
)
