"""Configuration of a motion model and its presets: which autoencoder, which U-Net, which noise schedule."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from common.plain import FrameRate, Frames, Frequencies, Range, from_plain, plain_value
from models.choices import DEFAULT_SAMPLER, DEFAULT_STEPS, SAMPLERS
from models.motion.autoencoder import AutoencoderConfig
from models.motion.denoiser import AutoencoderConfiguration, DenoiserConfiguration
from models.motion.kl_autoencoder import KLAutoencoderConfig
from models.motion.reference_unet import ReferenceUNetConfig
from models.motion.unet import UNetConfig
from models.motion.vq_autoencoder import VQAutoencoderConfig

TrainingSide = Annotated[int, Range(8, 4096)]  # pixels
ScheduleSteps = Annotated[int, Range(1, 100_000)]
SamplingSteps = Annotated[int, Range(1, 1000)]
Guidance = Annotated[float, Range(-1, 100)]
StillBelow = Annotated[float, Range(0.01, 1)]
EvenOut = Annotated[float, Range(0.1, 1)]
BETA_SCHEDULES = ("squaredcos_cap_v2", "scaled_linear", "linear")  # diffusers' names
PREDICTIONS = ("v_prediction", "epsilon")
# What a checkpoint calls each kind of network; one that names none is of the first kind.
AUTOENCODERS: dict[str, type] = {"spectral": AutoencoderConfig, "kl": KLAutoencoderConfig, "vq": VQAutoencoderConfig}
UNETS: dict[str, type] = {"spectral": UNetConfig, "reference": ReferenceUNetConfig}


@dataclass(frozen=True)
class MotionConfig:
    """Everything that fixes a motion model's shape and schedule, but not its statistics."""

    num_frequencies: Frequencies = 16  # K
    num_frames: Frames = 150  # T of the training sequences: the loop's length
    fps: FrameRate = 30.0
    size: tuple[TrainingSide, TrainingSide] = (256, 160)  # training size (W, H)
    normalization: str = "adaptive"  # see SpectralNormalizer
    train_steps: ScheduleSteps = 1000  # length of the noise schedule
    beta_schedule: str = "squaredcos_cap_v2"  # diffusers' names
    beta_start: float = 0.0001  # ends of the linear and scaled_linear schedules; the cosine one has none
    beta_end: float = 0.02
    prediction: str = "v_prediction"  # one of PREDICTIONS
    guidance: Guidance = 1.0  # w that sampling uses where none is given; better than 0 on validation scenes
    steps: SamplingSteps = DEFAULT_STEPS  # of sampling, where no number is given
    sampler: str = DEFAULT_SAMPLER  # likewise; one of models.choices.SAMPLERS
    joint: bool = False  # denoise the latents of all frequencies as one tensor of K C channels
    # Share of the wind below which a sample counts as still; above it, it gets that wind. None: samples as they are.
    still_below: StillBelow | None = None
    # Power that the amplitudes of a sample are taken to, above the faintest ones. None: samples as they are.
    even_out: EvenOut | None = None
    autoencoder: AutoencoderConfiguration = field(default_factory=AutoencoderConfig)  # one of AUTOENCODERS' types
    unet: DenoiserConfiguration = field(default_factory=UNetConfig)  # one of UNETS' types

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"unknown prediction {self.prediction!r}, expected one of {', '.join(PREDICTIONS)}")
        if self.sampler not in SAMPLERS:
            raise ValueError(f"unknown sampler {self.sampler!r}, expected one of {', '.join(SAMPLERS)}")
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise ValueError(f"betas from {self.beta_start} to {self.beta_end}: expected 0 < start <= end < 1")
        if self.beta_schedule not in BETA_SCHEDULES:
            raise ValueError(
                f"unknown beta_schedule {self.beta_schedule!r}, expected one of {', '.join(BETA_SCHEDULES)}"
            )
        if 2 * (self.num_frequencies - 1) > self.num_frames:
            raise ValueError(f"num_frames {self.num_frames}: too few for num_frequencies {self.num_frequencies}")
        if self.still_below is not None and not self.wind:
            raise ValueError("still_below is a share of the wind's strength, which this model is not told")
        self.unet.check(joint=self.joint, autoencoder=self.autoencoder)

    @property
    def wind(self) -> bool:
        """Whether how far things move is an input of the model, see :attr:`models.motion.unet.UNetConfig.wind`."""
        return bool(getattr(self.unet, "wind", False))

    def to_dict(self) -> dict:
        """Primitives for a checkpoint."""
        values = asdict(self)
        values["autoencoder"] |= {"kind": _kind(AUTOENCODERS, self.autoencoder)}
        values["unet"] |= {"kind": _kind(UNETS, self.unet)}
        return values

    @classmethod
    def from_dict(cls, values: dict, where: str = "") -> MotionConfig:
        """Inverse of :meth:`to_dict`, for values from a file as well.

        Args:
            values: as :meth:`to_dict` gives them.
            where: what errors begin with, such as the file.
        """
        nested = {
            name: _from_dict(kinds, values.get(name), where, key=f"model.{name}")
            for name, kinds in (("autoencoder", AUTOENCODERS), ("unet", UNETS))
        }
        return from_plain(cls, {**values, **nested}, where, key="model")


def _kind(kinds: dict[str, type], config: Any) -> str:
    return next(name for name, kind in kinds.items() if type(config) is kind)


def _from_dict(kinds: dict[str, type], values: Any, where: str, key: str) -> Any:
    """The configuration of a network of any kind."""
    given = plain_value(dict[str, Any], values, where, key=key)
    kind = plain_value(Literal[tuple(kinds)], given.pop("kind", next(iter(kinds))), where, key=f"{key}.kind")
    return from_plain(kinds[kind], given, where, key=key)


PRESETS = {
    # What comes with the repository: made for a CPU and for few scenes.
    "default": MotionConfig(),
    # For comparisons on a CPU within hours: narrower.
    "small": MotionConfig(
        autoencoder=AutoencoderConfig(channels=16, deep_channels=32, blocks=1),
        unet=UNetConfig(
            channels=32,
            multipliers=(1, 2),
            blocks=1,
            attention_levels=(1,),
            head_channels=16,
            condition_channels=48,
        ),
    ),
    # For tests and dry runs.
    "tiny": MotionConfig(
        num_frequencies=4,
        size=(64, 32),
        autoencoder=AutoencoderConfig(latent_channels=2, channels=8, deep_channels=8, blocks=1),
        unet=UNetConfig(
            channels=8,
            multipliers=(1, 2),
            blocks=1,
            attention_levels=(1,),
            head_channels=8,
            condition_channels=8,
            image_encoder="none",
            dropout=0.0,
        ),
    ),
    # The reference implementation's networks, schedule and normalisation; it drops no photos in training.
    "reference": MotionConfig(
        num_frames=149,
        normalization="std",
        beta_schedule="scaled_linear",
        beta_start=0.0015,
        beta_end=0.0195,
        prediction="epsilon",
        guidance=0.0,
        autoencoder=VQAutoencoderConfig(),
        unet=ReferenceUNetConfig(),
    ),
    # The paper's networks from our own layers. Not given by the paper and therefore latent diffusion's: the ends of the
    # schedule, blocks a level, heads of 32 channels. Three levels have the widths 64, 32 and 16 at a training size of
    # 256, so attention at 32, 16 and 8 is attention in the second and third. docs/paper_to_code.md lists what differs.
    "paper": MotionConfig(
        beta_schedule="scaled_linear",
        beta_start=0.0015,
        beta_end=0.0195,
        prediction="epsilon",
        guidance=1.75,
        autoencoder=KLAutoencoderConfig(),
        unet=UNetConfig(
            channels=128,
            multipliers=(1, 4, 8),
            attention_levels=(1, 2),
            head_channels=32,
            condition_channels=16,
            image_encoder="resnet",
            condition_entry="input",
            dropout=0.0,
        ),
    ),
}
