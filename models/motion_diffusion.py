"""The motion model: latent diffusion over spectral volumes, conditioned on one photograph (paper section 4.2).

Training loss (Eq. 3, here with the velocity as target), sampling with DPM-Solver++, DDIM or DDPM, classifier-free
guidance and loop guidance (Eq. 5), and the checkpoint that joins autoencoder, U-Net and normalisation statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.autoencoder import AutoencoderConfig, SpectralAutoencoder
from models.spectral_volume import SpectralNormalizer, motion_at_times, rms_amplitude
from models.training import load_checkpoint, load_weights, save_checkpoint
from models.unet import SpectralUNet, UNetConfig

KIND = "motion"
# name -> (scheduler class of diffusers, its own arguments)
SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "final_sigmas_type": "zero"}),
    "ddim": ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": True}),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),
}
PREDICTIONS = ("v_prediction", "epsilon")
DEFAULT_STEPS = 20
DEFAULT_GUIDANCE = 1.0  # better localisation on validation scenes than 0, and no worse than 2 or 3


@dataclass(frozen=True)
class MotionConfig:
    """Everything that fixes a motion model's shape and schedule, but not its statistics."""

    num_frequencies: int = 16  # K
    num_frames: int = 150  # T of the training sequences: the loop's length
    fps: float = 30.0
    size: tuple[int, int] = (256, 160)  # training size (W, H)
    normalization: str = "adaptive"  # see SpectralNormalizer
    train_steps: int = 1000  # length of the noise schedule
    beta_schedule: str = "squaredcos_cap_v2"  # diffusers' names
    prediction: str = "v_prediction"  # one of PREDICTIONS
    joint: bool = False  # denoise the latents of all frequencies as one tensor of K C channels
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"unknown prediction {self.prediction!r}, expected one of {', '.join(PREDICTIONS)}")

    def to_dict(self) -> dict:
        """Primitives for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> MotionConfig:
        """Inverse of :meth:`to_dict`; lists become tuples again and an unknown key is an error."""
        values = dict(values)
        try:
            autoencoder = AutoencoderConfig(**values.pop("autoencoder"))
            unet = UNetConfig(**_with_tuples(values.pop("unet")))
            values["size"] = tuple(values["size"])
            return cls(**values, autoencoder=autoencoder, unet=unet)
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a motion model's configuration: {error}") from None


def _with_tuples(values: dict) -> dict[str, Any]:
    """JSON turns tuples into lists; frozen configurations want them back."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


PRESETS = {
    "default": MotionConfig(),
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
}


class MotionModel(nn.Module):
    """Photograph -> random spectral volume of plausible motion."""

    def __init__(self, config: MotionConfig, normalizer: SpectralNormalizer) -> None:
        super().__init__()
        self.config = config
        self.normalizer = normalizer
        self.autoencoder = SpectralAutoencoder(config.autoencoder, config.num_frequencies)
        channels = config.autoencoder.latent_channels
        self.unet = SpectralUNet(config.unet, config.num_frequencies, channels, config.joint)
        # Sampled amplitudes come out too small or too large by a factor that training measures (calibrate_amplitude).
        self.register_buffer("amplitude_gain", torch.ones(config.num_frequencies))
        self.amplitude_gain: Tensor
        # Guidance can drive a sample far beyond anything seen; the largest amplitude of the training set bounds it.
        self.register_buffer("amplitude_limit", torch.tensor(float("inf")))
        self.amplitude_limit: Tensor
        self.coordinate = not config.joint  # whether frequency attention takes part in sampling

    @property
    def size_multiple(self) -> int:
        """Both sides of a photograph given to :meth:`sample` must be multiples of this."""
        return self.autoencoder.downsampling * 2 ** (len(self.config.unet.multipliers) - 1)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> MotionModel:
        """Load a checkpoint folder of kind ``motion``, strictly and without pickle."""
        config, tensors = load_checkpoint(folder, KIND)
        values = dict(config["model"])
        try:
            normalizer = SpectralNormalizer.from_dict(values.pop("normalizer"))
            model = cls(MotionConfig.from_dict(values), normalizer)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{folder}: {error}") from None
        load_weights(model, tensors, folder)
        model.coordinate = config["training"].get("coordinate", True)
        return model.eval()

    def save_pretrained(
        self, folder: str | Path, training: dict | None = None, dtype: torch.dtype | None = None
    ) -> None:
        """Write a checkpoint folder; ``training`` says how the weights came about, ``dtype`` how they are stored."""
        values = self.config.to_dict() | {"normalizer": self.normalizer.to_dict()}
        training = {"coordinate": self.coordinate} | (training or {})
        save_checkpoint(Path(folder), KIND, values, self.state_dict(), training, dtype)

    @torch.no_grad()
    def encode_volume(self, volume: Tensor, frequency_index: Tensor | None = None) -> Tensor:
        """Spectral volume ``[B, K, 4, H, W]`` in pixels -> whitened latents ``[B, K, C, H/8, W/8]``.

        Args:
            frequency_index: [B, k] for volumes that hold only these frequencies; by default all of them.
        """
        return self.autoencoder.encode(self.normalizer.normalize(volume, frequency_index), frequency_index)

    def decode_latents(self, latents: Tensor, image: Tensor) -> Tensor:
        """Whitened latents of all frequencies and photographs -> spectral volume ``[B, K, 4, H, W]`` in pixels."""
        volume = self.normalizer.denormalize(self.autoencoder.decode(latents, image))
        return volume * self.amplitude_gain[:, None, None, None]

    def reconstruct(self, volume: Tensor, image: Tensor) -> Tensor:
        """A volume ``[B, K, 4, H, W]`` in pixels through encoder and decoder: what the latents keep of it."""
        return self.normalizer.denormalize(self.autoencoder.decode(self.encode_volume(volume), image))

    @torch.no_grad()
    def sample(
        self,
        image: Tensor,  # [B, 3, H, W] in [-1, 1], sides multiples of size_multiple
        seeds: Sequence[int],  # one a photograph; a sample depends on its own seed alone
        steps: int = DEFAULT_STEPS,
        sampler: str = "dpmsolver++",  # one of SAMPLERS
        guidance: float = DEFAULT_GUIDANCE,  # w of (1 + w) eps(c) - w eps(no c)
        loop_guidance: float = 0.0,  # u of Eq. 5
        progress: Callable[[int, int], None] | None = None,  # called with (steps done, steps)
    ) -> Tensor:
        """Sample one spectral volume a photograph: ``[B, K, 4, H, W]`` in pixels of the photograph given."""
        self._check_photograph(image, seeds)
        scheduler = make_scheduler(self.config, sampler)
        scheduler.set_timesteps(steps)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        latents = self._initial_noise(image, generators)
        condition = self.unet.encode_condition(image)
        for index, timestep in enumerate(scheduler.timesteps):
            noisy = scheduler.scale_model_input(latents, timestep)
            output = self._guided_output(noisy, timestep, condition, guidance)
            if loop_guidance:
                output = self._steer_to_loop(scheduler, output, noisy, timestep, image, loop_guidance)
            extra = {"generator": generators} if sampler == "ddpm" else {}
            latents = scheduler.step(output, timestep, latents, **extra).prev_sample
            if progress is not None:
                progress(index + 1, len(scheduler.timesteps))
        return self._limit_amplitude(self.decode_latents(latents, image))

    def _limit_amplitude(self, volume: Tensor) -> Tensor:
        """Scale down each volume of ``[B, K, 4, H, W]`` whose amplitude exceeds ``amplitude_limit``."""
        amplitude = rms_amplitude(volume).clamp_min(1e-6)
        return volume * (self.amplitude_limit / amplitude).clamp_max(1)[:, None, None, None, None]

    def _check_photograph(self, image: Tensor, seeds: Sequence[int]) -> None:
        multiple = self.size_multiple
        height, width = image.shape[-2:]
        if image.ndim != 4 or image.shape[1] != 3 or height % multiple or width % multiple:
            raise ValueError(f"expected [B, 3, H, W] with sides multiples of {multiple}, got {tuple(image.shape)}")
        if len(seeds) != image.shape[0]:
            raise ValueError(f"{image.shape[0]} photographs need as many seeds, got {len(seeds)}")

    def _initial_noise(self, image: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """``[B, K, C, h, w]``, drawn on the CPU a photograph at a time, so that devices and batches agree."""
        factor = self.autoencoder.downsampling
        size = (image.shape[-2] // factor, image.shape[-1] // factor)
        shape = (self.config.num_frequencies, self.config.autoencoder.latent_channels, *size)
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(image.device)

    def _guided_output(self, latents: Tensor, timestep: Tensor, condition: Tensor, guidance: float) -> Tensor:
        """The network's output under classifier-free guidance, ``(1 + w) e(c) - w e(0)``."""
        batch, count = latents.shape[:2]
        times = timestep.to(latents.device).expand(batch)
        index = torch.arange(count, device=latents.device).expand(batch, count)
        output = self.unet(latents, times, index, condition, self.coordinate)
        if guidance == 0:
            return output
        # One after the other rather than as one batch of twice the size: no slower on a CPU, half the memory.
        unconditional = self.unet(latents, times, index, torch.zeros_like(condition), self.coordinate)
        return (1 + guidance) * output - guidance * unconditional

    def _steer_to_loop(
        self, scheduler, output: Tensor, latents: Tensor, timestep: Tensor, image: Tensor, strength: float
    ) -> Tensor:
        """Loop guidance, Eq. 5: ``eps + u sigma grad L`` with L of the clean volume predicted at this step.

        The gradient is taken through the decoder but not through the U-Net, whose Jacobian is close to a multiple
        of the identity and would cost a backward pass at every step.
        """
        alpha, sigma = noise_levels(scheduler, timestep)
        clean, noise = predicted_clean_and_noise(self.config.prediction, output, latents, alpha, sigma)
        with torch.enable_grad():
            latent = clean.detach().requires_grad_()
            loss = loop_loss(self.decode_latents(latent, image), self.config.num_frames)
            # d clean / d z is 1 / alpha at a fixed output of the network; bounded where alpha vanishes.
            (gradient,) = torch.autograd.grad(loss, latent)
        gradient = gradient / max(alpha, 0.1)
        noise = noise + strength * sigma * gradient
        return noise if self.config.prediction == "epsilon" else velocity_from_noise(noise, latents, alpha, sigma)


def make_scheduler(config: MotionConfig, sampler: str):
    """The diffusers scheduler of a sampler's name for a model's noise schedule."""
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler!r}, expected one of {', '.join(SAMPLERS)}")
    import diffusers

    name, arguments = SAMPLERS[sampler]
    return getattr(diffusers, name)(
        num_train_timesteps=config.train_steps,
        beta_schedule=config.beta_schedule,
        prediction_type=config.prediction,
        timestep_spacing="trailing",  # begins at the noisiest step, as training does
        **arguments,
    )


def alphas_cumprod(config: MotionConfig) -> Tensor:
    """Cumulative products of ``1 - beta`` of a model's schedule, ``[train_steps]``, the one the samplers use."""
    return make_scheduler(config, "ddpm").alphas_cumprod.float()


def diffusion_loss(
    model: MotionModel,
    latents: Tensor,  # [B, k, C, h, w] clean and whitened
    frequency_index: Tensor,  # [B, k] which frequencies they are
    image: Tensor,  # [B, 3, H, W]
    keep_condition: Tensor,  # [B] bool; False drops the photograph (classifier-free guidance)
    timestep: Tensor,  # [B]
    noise: Tensor,  # like latents
    schedule: Tensor,  # alphas_cumprod
    coordinate: bool,
) -> Tensor:
    """Squared error of the prediction (Eq. 3) for each slice: ``[B, k]``."""
    alpha = schedule[timestep].sqrt()[:, None, None, None, None].to(latents)
    sigma = (1 - schedule[timestep]).sqrt()[:, None, None, None, None].to(latents)
    noisy = alpha * latents + sigma * noise
    target = noise if model.config.prediction == "epsilon" else alpha * noise - sigma * latents
    condition = model.unet.encode_condition(image) * keep_condition[:, None, None, None].to(image)
    prediction = model.unet(noisy, timestep, frequency_index, condition, coordinate)
    return (prediction - target).square().mean(dim=(2, 3, 4))


def loop_loss(volume: Tensor, num_frames: int) -> Tensor:
    """Eq. 5's ``|F_T - F_1|_1 + |grad F_T - grad F_1|_1``: position and velocity at both ends, mean absolute values.

    A truncated inverse DFT repeats after T frames whatever the volume, so frame T + 1 is frame 1 at no cost; this asks
    in addition that the wrap-around be slow, which a volume measured on a clip that does not loop need not fulfil.
    """
    ends = motion_at_times(volume, [0, 1, num_frames - 2, num_frames - 1], num_frames)
    first, second, before_last, last = ends.unbind(dim=1)
    return (last - first).abs().mean() + ((last - before_last) - (second - first)).abs().mean()


def noise_levels(scheduler, timestep: Tensor) -> tuple[float, float]:
    """(alpha, sigma) of ``z = alpha x + sigma noise`` at a timestep."""
    product = float(scheduler.alphas_cumprod[int(timestep)])
    return product**0.5, (1 - product) ** 0.5


def predicted_clean_and_noise(
    prediction: str, output: Tensor, noisy: Tensor, alpha: float, sigma: float
) -> tuple[Tensor, Tensor]:
    """The clean latents and the noise that a network output stands for, with ``v = alpha noise - sigma x``."""
    if prediction == "epsilon":
        return (noisy - sigma * output) / alpha, output
    return alpha * noisy - sigma * output, sigma * noisy + alpha * output


def velocity_from_noise(noise: Tensor, noisy: Tensor, alpha: float, sigma: float) -> Tensor:
    """The velocity that stands for a noise estimate, ``(noise - sigma z) / alpha``."""
    return (noise - sigma * noisy) / max(alpha, 1e-4)
