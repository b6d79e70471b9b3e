"""The shapes and trainings of the baseline as frozen dataclasses. Needs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import Annotated, Any, Literal

from common.plain import Depth, Range, Side, Width

Code = Annotated[int, Range(1, 65536)]
Stride = Annotated[int, Range(1, 16)]

STAGES = ("vae", "condition", "flow")  # in the order in which they are trained
LAYOUTS = ("dataset", "bair", "landscape", "iper", "fire", "clouds", "waterfall", "vegetation")
ROLLOUTS = ("same_code", "new_code")
METRICS = ("psnr", "fvd", "dtfvd")  # what the best video autoencoder can be chosen by


@dataclass(frozen=True)
class VideoConfig:
    """Video encoder and decoder. Strides are products of 2 that lead from the picture to its base map and back."""

    size: tuple[Side, Side] = (64, 64)  # width and height of photos and frames
    frames: Width = 16  # that follow the photo
    code: Code = 64  # numbers that a video is described by
    encoder_channels: tuple[Width, Width, Width, Width, Width] = (
        64,
        128,
        256,
        512,
        512,
    )  # of the stem and the four stages
    encoder_space: tuple[Stride, ...] = (1, 2, 2, 2)  # strides of the stages; the stem's is 2
    encoder_time: tuple[Stride, ...] = (1, 2, 2, 2)  # as above
    width: Width = 64  # channels of the decoder's last block; its first has 16 times as many
    decoder_space: tuple[Stride, ...] = (2, 2, 2, 2, 1)  # enlargement before each of the five blocks
    decoder_time: tuple[Stride, ...] = (2, 2, 2, 2, 1)
    # What an untrained decoder draws: noise, as published, or the photo, which it then displaces and corrects.
    start: Literal["noise", "photo"] = "noise"
    # What the encoder sees of a clip: its frames, as published, or how the photo's content has moved in each of them.
    encoder_sees: Literal["frames", "flow"] = "frames"

    def __post_init__(self) -> None:
        for name, length in (("encoder_space", 4), ("encoder_time", 4), ("decoder_space", 5), ("decoder_time", 5)):
            if len(getattr(self, name)) != length:
                raise ValueError(f"{name} needs {length} numbers, got {getattr(self, name)}")
        space, time = 2 * prod(self.encoder_space), 2 * prod(self.encoder_time)
        if space != prod(self.decoder_space):
            raise ValueError(
                f"the encoder shrinks pictures by {space}, the decoder enlarges {prod(self.decoder_space)}"
            )
        if not self.frames == time == prod(self.decoder_time):
            raise ValueError(
                f"{self.frames} frames, but the encoder's strides lead from {time} to one moment "
                f"and the decoder's from one to {prod(self.decoder_time)}"
            )
        if any(side % space for side in self.size):
            raise ValueError(f"size {self.size[0]}x{self.size[1]}: both sides have to be multiples of {space}")
        if self.start not in ("noise", "photo"):
            raise ValueError(f"start {self.start!r}: expected noise or photo")
        if self.encoder_sees not in ("frames", "flow"):
            raise ValueError(f"encoder_sees {self.encoder_sees!r}: expected frames or flow")
        if self.code % 2:
            raise ValueError(f"code {self.code}: an even number is needed, whose halves change each other")

    @property
    def base(self) -> tuple[int, int]:
        """Height and width of the smallest map, 4x4 in the published configurations."""
        shrinking = prod(self.decoder_space)
        return self.size[1] // shrinking, self.size[0] // shrinking


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Both discriminators."""

    temporal_channels: tuple[int, ...] = (64, 64, 128, 256, 512)
    temporal_space: tuple[int, ...] = (1, 1, 2, 2)  # strides of the stages after 4 of stem and pooling
    temporal_time: tuple[int, ...] = (2, 2, 2, 2)
    temporal_frames: int = 12  # consecutive ones of a clip that it judges
    spectral: Literal["all", "first_blocks"] = "all"  # convolutions of it that are normalised; published: the latter
    spatial_width: int = 64
    spatial_frames: int = 20  # of a batch, chosen at random, that the spatial one judges


@dataclass(frozen=True)
class ConditionConfig:
    """Embedding of the photo."""

    size: Width = 128
    norm: Literal["instance", "batch"] = "instance"
    layers: tuple[Depth, Depth, Depth, Depth] = (3, 4, 6, 3)  # of a ResNet of bottlenecks; these make ResNet-50
    width: Width = 64  # channels of its stem
    decoder_width: Width = 32


@dataclass(frozen=True)
class FlowConfig:
    """The conditional invertible network."""

    code: Code = 64
    condition: Width = 128
    blocks: Depth = 20
    hidden: Width = 512
    depth: Depth = 2  # layers from the hidden width to itself
    slope: Annotated[float, Range(0.01, 1)] = 0.9  # of the invertible rectifier where it is negative
    control: Depth = 0  # numbers that control the end of a video, 3 for a position
    control_bins: Depth = 10  # of each, one of which is 1 in the condition
    control_minimum: tuple[float, ...] = ()  # of the training data, for each number
    control_maximum: tuple[float, ...] = ()

    @property
    def control_size(self) -> int:
        """Numbers by which the control lengthens the condition."""
        return self.control * self.control_bins


@dataclass(frozen=True)
class ModelConfig:
    """All networks that inference needs, and what the training data was like."""

    video: VideoConfig = VideoConfig()
    condition: ConditionConfig = ConditionConfig()
    flow: FlowConfig = FlowConfig()
    fps: Annotated[float, Range(0, 1000)] = 0.0  # of the frames trained on; 0 where the data doesn't say

    def __post_init__(self) -> None:
        if self.flow.code != self.video.code or self.flow.condition != self.condition.size:
            raise ValueError(
                f"the flow is for codes of {self.flow.code} and embeddings of {self.flow.condition}, the other "
                f"networks make {self.video.code} and {self.condition.size}"
            )

    def to_plain(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's ``config.json``."""
        return asdict(self)


@dataclass(frozen=True)
class LossConfig:
    """Weights of the video autoencoder's losses."""

    perceptual: float = 30.0
    perceptual_frames: int = 0  # of each clip that it is taken of, chosen at random; 0: all
    reconstruction: float = 10.0
    # What the reconstruction's mean is taken of. The absolute error, as published, has its least where most pixels are
    # still, in standing still; from there it does not lead on.
    error: Literal["absolute", "squared"] = "absolute"
    divergence: float = 1e-5
    adversarial: float = 1.0  # of each discriminator
    features: float = 10.0  # feature matching by the temporal discriminator
    penalty: float = 10.0  # on the gradient of the temporal discriminator at real clips
    # The published code takes the gradient of the batch's mean, which makes the penalty B^2 times weaker.
    penalty_of: Literal["samples", "batch_mean"] = "samples"


@dataclass(frozen=True)
class Augmentation:
    """Random changes, the same for all frames of a clip."""

    flip: bool = True
    margin: int = 0  # pixels by which clips are resized larger than needed, then cropped at random
    color: float = 0.1  # brightness, contrast and saturation
    hue: float = 0.0


@dataclass(frozen=True)
class StageConfig:
    """How one stage is trained. The learning rate is multiplied by ``decay`` every ``decay_epochs`` epochs."""

    epochs: int
    batch_size: int
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.9)
    weight_decay: float = 0.0
    amsgrad: bool = False
    decay: float = 1.0
    decay_epochs: int = 1
    steps_per_epoch: int = 0  # 0 follows from the number of clips
    augmentation: Augmentation = Augmentation()
    ema_decay: float = 0.0  # of averaged weights; published without
    gradient_clip: float = float("inf")


@dataclass(frozen=True)
class TrainingConfig:
    """How all stages are trained."""

    vae: StageConfig
    condition: StageConfig
    flow: StageConfig
    losses: LossConfig = LossConfig()
    condition_divergence: float = 1e-5
    adversarial_from: int = 1  # epoch; a number of epochs or more trains without discriminators
    # Clips that the flow's stage encodes once and then draws codes of; 0: clips are drawn and encoded at each step, as
    # published. Of a small network encoding takes most of a step.
    kept_codes: int = 0

    def stage(self, name: str) -> StageConfig:
        """The configuration of one of :data:`STAGES`."""
        return getattr(self, name)


@dataclass(frozen=True)
class Preset:
    """One configuration of everything."""

    model: ModelConfig
    discriminators: DiscriminatorConfig
    training: TrainingConfig
