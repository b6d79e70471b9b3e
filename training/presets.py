"""How models are trained: the options that shape a training, as dataclasses, and their presets. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from models.motion.stages import STAGES

SCHEDULES = ("cosine", "constant")  # schedules of the learning rate


@dataclass(frozen=True)
class StageConfig:
    """How one stage of the motion model is trained."""

    steps: int
    batch_size: int  # photos
    frequencies: int  # slices of each photo; 0 takes all
    learning_rate: float
    ema_decay: float = 0.998


@dataclass(frozen=True)
class TrainingConfig:
    """How a motion model is trained."""

    autoencoder: StageConfig
    slice: StageConfig
    frequency_attention: StageConfig
    decoder: StageConfig
    condition_dropout: float = 0.1  # share of photos dropped, for classifier-free guidance
    schedule: str = "cosine"  # one of SCHEDULES
    warmup: int = 100  # steps over which the learning rate rises
    gradient_clip: float = 1.0
    weight_decay: float = 0.01
    sampling_steps: int | None = None  # of the samples that validation and calibration look at

    def __post_init__(self) -> None:
        if not 0 <= self.condition_dropout <= 1:
            raise ValueError(f"--condition-dropout {self.condition_dropout}: a share between 0 and 1 is needed")

    def stage(self, name: str) -> StageConfig:
        """The configuration of one of `models.motion.stages.STAGES`."""
        return getattr(self, name)

    def with_stages(self, *, steps: Mapping[str, int | None], **changes: float | None) -> TrainingConfig:
        """The same training with other stages; None keeps what there is.

        Args:
            steps: for each stage.
            changes: other fields of :class:`StageConfig`, for all stages.
        """
        stages = {}
        for name in STAGES:
            values = {"steps": steps.get(name), **changes}
            given = {field: value for field, value in values.items() if value is not None}
            stages[name] = replace(self.stage(name), **given)  # type: ignore[arg-type]
        return replace(self, **stages)  # type: ignore[arg-type]


_SLICES = StageConfig(steps=2500, batch_size=8, frequencies=4, learning_rate=2e-3)
_DEFAULT = TrainingConfig(
    autoencoder=_SLICES,
    slice=replace(_SLICES, steps=6000, batch_size=16, learning_rate=5e-4),
    frequency_attention=StageConfig(steps=2000, batch_size=4, frequencies=0, learning_rate=5e-4),
    decoder=replace(_SLICES, learning_rate=1e-3),
)
_SMALL_SLICES = StageConfig(steps=1200, batch_size=4, frequencies=4, learning_rate=2e-3, ema_decay=0.99)
_TINY_STAGE = StageConfig(steps=4, batch_size=2, frequencies=2, learning_rate=1e-3)
_REFERENCE_STAGE = StageConfig(steps=368_000, batch_size=1, frequencies=1, learning_rate=1e-5, ema_decay=0.9999)
_PAPER_STAGE = StageConfig(steps=200_000, batch_size=96, frequencies=1, learning_rate=5e-5, ema_decay=0.9999)
TRAINING_PRESETS = {
    "default": _DEFAULT,
    "small": replace(
        _DEFAULT,
        autoencoder=_SMALL_SLICES,
        slice=replace(_SMALL_SLICES, steps=4000, batch_size=8, learning_rate=1e-3),
        frequency_attention=replace(_SMALL_SLICES, steps=1000, frequencies=0, learning_rate=1e-3),
        decoder=_SMALL_SLICES,
        warmup=10,
    ),
    "tiny": replace(
        _DEFAULT,
        autoencoder=_TINY_STAGE,
        slice=_TINY_STAGE,
        frequency_attention=replace(_TINY_STAGE, frequencies=0),
        decoder=_TINY_STAGE,
        warmup=1,
        sampling_steps=2,
    ),
    # One random slice a step, and Adam at 1e-5, as the reference implementation trains; only its U-Net is trained.
    "reference": replace(
        _DEFAULT,
        autoencoder=_REFERENCE_STAGE,
        slice=_REFERENCE_STAGE,
        frequency_attention=_REFERENCE_STAGE,
        decoder=_REFERENCE_STAGE,
        condition_dropout=0.0,
        schedule="constant",
        weight_decay=0.0,
    ),
    # 96 slices a step and 5e-5 with Adam over 750,000 steps. How these divide into the two stages of the U-Net, and
    # how long the autoencoder trains, the paper doesn't say. It has no decoder stage.
    "paper": replace(
        _DEFAULT,
        autoencoder=_PAPER_STAGE,
        slice=replace(_PAPER_STAGE, steps=500_000),
        frequency_attention=replace(_PAPER_STAGE, steps=250_000, batch_size=6, frequencies=0),
        decoder=_PAPER_STAGE,
        schedule="constant",
        weight_decay=0.0,
    ),
}


@dataclass(frozen=True)
class RendererConfig:
    """How a renderer is trained; the defaults are those of ``train_frame_synthesis.py``."""

    steps: int = 14_000
    batch_size: int = 4  # frame pairs
    learning_rate: float = 5e-4  # at its highest
    warmup: int = 100  # steps over which the learning rate rises
    crop: tuple[int, int] = (192, 128)  # (W, H) of the training crops
    perceptual_weight: float = 0.05
    perceptual_share: float = 1.0  # of a batch that the perceptual loss looks at, which is most of a step's work
    sharpness_weight: float = 0.0  # weight of the loss of fine detail
    temporal: float = 0.0  # weight of temporal consistency; above 0 a batch holds pairs of neighbouring frames
    color_jitter: float = 1.0  # strength of colour changes
    flow_noise: float = 0.0  # pixels, standard deviation of smooth errors added to the flow
    identity: float | None = None  # share of pairs in which nothing moves; None: what the kind of model needs
    ema_decay: float = 0.999
    gradient_clip: float = 1.0
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)  # AdamW's

    def __post_init__(self) -> None:
        if not 0 < self.perceptual_share <= 1:
            raise ValueError(f"perceptual_share {self.perceptual_share}: a share above 0 and up to 1 is needed")
        if self.temporal and self.batch_size % 2:
            raise ValueError(f"--batch-size {self.batch_size}: must be even with --temporal")


# preset of the renderer -> how it is trained; `tiny` is a try of seconds on frames of any size
RENDERER_TRAINING_PRESETS = {
    "default": RendererConfig(),
    "half": RendererConfig(),
    "tiny": RendererConfig(steps=8, batch_size=2, warmup=1, crop=(32, 32)),
    "reference": RendererConfig(),
}
