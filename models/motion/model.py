"""The motion model: latent diffusion over spectral volumes, conditioned on one photo (paper section 4.2).

Training loss (Eq. 3), sampling of all frequencies of a photo at once with classifier-free guidance and loop
guidance (Eq. 5), and the checkpoint that joins autoencoder, U-Net and normalisation statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from common.checkpoint import build_fitting, load_checkpoint, load_weights, save_checkpoint
from common.plain import from_plain, plain_value
from models.motion.config import PREDICTIONS, PRESETS, MotionConfig
from models.motion.denoiser import Denoiser
from models.motion.diffusion import (
    alphas_cumprod,
    draw_noise,
    loop_loss,
    make_scheduler,
    noise_levels,
    sample_latents,
    steer_output,
)
from models.motion.image_encoder import convert_published_weights
from models.motion.reference_unet import ReferenceUNetConfig
from models.motion.slice_autoencoder import SliceAutoencoder
from models.motion.stages import FORMER_NAMES, STAGES
from models.motion.vq_autoencoder import HUB_ID, VQAutoencoderConfig
from models.spectral_volume import SpectralNormalizer, even_out, keep_strength, rms_amplitude

__all__ = ["PREDICTIONS", "PRESETS", "MotionConfig", "MotionModel", "alphas_cumprod", "diffusion_loss"]

KIND = "motion"
# What the reference implementation divides its first 16 frequencies by (times 2.82): their root mean square over plants
# at 256x160 and T = 149, of `rfft` coefficients that are not divided by T.
REFERENCE_STD = (34.4, 13.7, 8.80, 7.26, 5.94, 5.33, 5.20, 4.94, 4.59, 4.52, 3.87, 3.49, 3.28, 2.89, 2.45, 2.32)
STD_FACTOR = 2.82


class MotionModel(nn.Module):
    """Photo -> random spectral volume of plausible motion."""

    def __init__(self, config: MotionConfig, normalizer: SpectralNormalizer) -> None:
        super().__init__()
        self.config = config
        self.normalizer = normalizer
        self.autoencoder: SliceAutoencoder = config.autoencoder.build(config.num_frequencies)
        self.unet: Denoiser = config.unet.build(
            num_frequencies=config.num_frequencies,
            latent_channels=config.autoencoder.latent_channels,
            joint=config.joint,
            image_downsampling=self.autoencoder.downsampling,
        )
        # Sampled amplitudes come out too small or too large by a factor that training measures (calibrate_amplitude).
        self.register_buffer("amplitude_gain", torch.ones(config.num_frequencies))
        self.amplitude_gain: Tensor
        # Guidance can drive a sample far beyond anything seen; the largest amplitude of the training set bounds it.
        self.register_buffer("amplitude_limit", torch.tensor(float("inf")))
        self.amplitude_limit: Tensor
        # How far things move where the wind is not given: the median over the training set, in pixels.
        if config.wind:
            self.register_buffer("usual_strength", torch.ones(()))
        self.usual_strength: Tensor
        self.frequency_attention = self.has_frequency_attention  # whether it takes part in sampling

    @property
    def size_multiple(self) -> int:
        """Both sides of a photo given to :meth:`sample` must be multiples of this."""
        return self.autoencoder.downsampling * self.unet.downsampling

    @property
    def has_frequency_attention(self) -> bool:
        """Whether the U-Net has layers of frequency attention: neither a joint nor the reference U-Net has."""
        return bool(self.unet.frequency_parameters())

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages of training that this kind of model has, in order."""
        own = {*self.autoencoder.stages, "slice"} | ({"frequency_attention"} if self.has_frequency_attention else set())
        return tuple(stage for stage in STAGES if stage in own)

    @property
    def image_encoder(self) -> nn.Module | None:
        """The pretrained, frozen image encoder inside the U-Net's condition, where it has one."""
        return self.unet.image_encoder

    @classmethod
    def from_pretrained(cls, folder: str | Path, config: dict | None = None) -> MotionModel:
        """Load a checkpoint folder of kind ``motion``, strictly, without pickle; ``config`` if it is read already."""
        config, tensors = load_checkpoint(folder, KIND, config)
        values, where = dict(config["model"]), str(Path(folder) / "config.json")
        normalizer = from_plain(SpectralNormalizer, values.pop("normalizer", None), where, key="model.normalizer")
        configured = MotionConfig.from_dict(values, where)
        if len(normalizer.scales) != configured.num_frequencies:
            count = len(normalizer.scales)
            raise ValueError(f"{where}: model.normalizer.scales: {count} for {configured.num_frequencies} frequencies")
        model = build_fitting(lambda: cls(configured, normalizer), tensors, folder)
        model.frequency_attention = _uses_frequency_attention(config["training"], model.has_frequency_attention, where)
        return model.eval()

    @classmethod
    def from_reference(
        cls,
        unet: str | Path | Mapping[str, Tensor],  # UNet2DModel folder, its .safetensors file, or its state dict
        vqvae: str | Path = HUB_ID,  # hub id or folder
        *,
        std: Sequence[float] = REFERENCE_STD,  # root mean square of each frequency, of `rfft` not divided by num_frames
        num_frames: int = 149,
        fps: float = 30.0,
        size: tuple[int, int] = (256, 160),  # (W, H) that it was trained at
        unet_config: ReferenceUNetConfig | None = None,  # for networks that do not have the default shape
    ) -> MotionModel:
        """A motion model from a U-Net trained elsewhere with the reference implementation's architecture.

        Loading is strict. The U-Net's input channels must be the slice's twelve latent channels in the order Re x, Re
        y, Im x, Im y, then the photo's three. :meth:`save_pretrained` makes a checkpoint folder of the result,
        which holds all weights and works offline.
        """
        config = MotionConfig.from_dict(
            PRESETS["reference"].to_dict()
            | {"num_frequencies": len(std), "num_frames": num_frames, "fps": fps, "size": size}
            | {"autoencoder": VQAutoencoderConfig.from_source(vqvae).to_dict() | {"kind": "vq"}}
            | {"unet": (unet_config or ReferenceUNetConfig()).to_dict() | {"kind": "reference"}}
        )
        normalizer = SpectralNormalizer("std", tuple(STD_FACTOR * value / num_frames for value in std))
        model = cls(config, normalizer)
        model.autoencoder.load_frozen_weights()
        model.unet.load_reference(unet)
        return model.eval()

    def load_image_encoder(self, path: str | Path) -> None:
        """Give the image encoder, where there is one, its pretrained weights.

        Args:
            path: a motion checkpoint whose model has the same encoder, or the published ``.pth`` file.
        """
        if self.image_encoder is None:
            return
        path = Path(path)
        if path.is_dir():
            encoder = MotionModel.from_pretrained(path).image_encoder
            if encoder is None:
                raise ValueError(f"{path}: its model has no image encoder; give --image-encoder another checkpoint")
            weights: Mapping[str, Tensor] = encoder.state_dict()
        elif path.is_file():
            weights = convert_published_weights(path)
        else:
            raise ValueError(
                f"{path}: no image encoder weights there; give --image-encoder a motion checkpoint or the .pth file"
            )
        load_weights(self.image_encoder, weights, path)

    def save_pretrained(
        self,
        folder: str | Path,
        training: dict | None = None,
        dtype: torch.dtype | None = None,
        *,
        base: str | Path | None = None,
    ) -> None:
        """Write a checkpoint folder; ``training`` says how the weights came about, ``dtype`` how they are stored.

        Weights that are those of ``base``, a checkpoint folder beside this one, are left out: a student of distillation
        shares its autoencoder and image encoder with its teacher.

        The flag ``frequency_attention`` is the model's own, whatever ``training`` holds under that name.
        """
        values = self.config.to_dict() | {"normalizer": self.normalizer.to_dict()}
        training = (training or {}) | {"frequency_attention": self.frequency_attention}
        save_checkpoint(
            Path(folder),
            KIND,
            model_config=values,
            tensors=self.state_dict(),
            training=training,
            dtype=dtype,
            base=base,
        )

    @torch.no_grad()
    def encode_volume(self, volume: Tensor, frequency_index: Tensor | None = None) -> Tensor:
        """Spectral volume ``[B, K, 4, H, W]`` in pixels -> whitened latents ``[B, K, C, h, w]``.

        A model that is told the wind takes volumes divided by their strength.

        Args:
            frequency_index: [B, k] for volumes that hold only these frequencies; by default all of them.
        """
        return self.autoencoder.encode(self.normalizer.normalize(volume, frequency_index), frequency_index)

    def encode_condition(self, image: Tensor) -> Tensor:
        """What the U-Net sees of photos ``[B, 3, H, W]``: a map ``[B, c, h, w]``; zeros mean no photo."""
        return self.unet.encode_condition(image, encode_image=self.autoencoder.encode_image)

    def decode_latents(self, latents: Tensor, image: Tensor) -> Tensor:
        """Whitened latents of all frequencies and photos -> spectral volume ``[B, K, 4, H, W]`` in pixels.

        Of a model that is told the wind it is in units of the motion's strength.
        """
        return self._in_pixels(self.autoencoder.decode(latents, image))

    def reconstruct(self, volume: Tensor, image: Tensor) -> Tensor:
        """A volume ``[B, K, 4, H, W]`` in pixels through encoder and decoder: what the latents keep of it."""
        return self.normalizer.denormalize(self.autoencoder.decode(self.encode_volume(volume), image))

    @torch.no_grad()
    def sample(
        self,
        image: Tensor,  # [B, 3, H, W] in [-1, 1], sides multiples of size_multiple
        seeds: Sequence[int],  # one a photo; a sample depends on its own seed alone
        *,
        steps: int | None = None,  # this and the next two: the configuration's by default
        sampler: str | None = None,  # one of models.choices.SAMPLERS
        guidance: float | None = None,  # w of (1 + w) eps(c) - w eps(no c)
        loop_guidance: float = 0.0,  # u of Eq. 5
        recurrence: int = 0,  # times that each step is noised again and repeated; the paper's loops: 2
        wind: float | Sequence[float] | None = None,  # strength in pixels, of each photo; by default the usual one
        progress: Callable[[int, int], None] | None = None,  # called with (steps done, steps)
    ) -> Tensor:
        """Sample one spectral volume a photo: ``[B, K, 4, H, W]`` in pixels of the photo given."""
        self._check_photo(image, seeds)
        steps = self.config.steps if steps is None else steps
        if steps < 1 or recurrence < 0:
            raise ValueError(f"{steps} steps with {recurrence} repetitions: at least one step and none are needed")
        weight = self.config.guidance if guidance is None else guidance
        strength = self._strength(wind, image)
        scheduler = make_scheduler(self.config, sampler or self.config.sampler)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        condition = self.encode_condition(image)
        index = torch.arange(self.config.num_frequencies, device=image.device).expand(len(image), -1)

        def denoise(noisy: Tensor, timestep: Tensor) -> Tensor:
            times = timestep.to(noisy.device).expand(len(noisy))
            output = self.guided(noisy, times, index, condition, guidance=weight, strength=strength)
            if not loop_guidance:
                return output
            alpha, sigma = noise_levels(scheduler, timestep)
            gradient = lambda clean: self.loop_gradient(clean, image, strength)  # noqa: E731
            return steer_output(
                self.config.prediction,
                output,
                noisy=noisy,
                alpha=alpha,
                sigma=sigma,
                strength=loop_guidance,
                gradient=gradient,
            )

        noise = draw_noise(self._latent_shape(image), generators, image)
        latents = sample_latents(
            denoise,
            noise,
            scheduler=scheduler,
            steps=steps,
            generators=generators,
            recurrence=recurrence,
            progress=progress,
        )
        return self.volume_of_latents(latents, image, strength=strength)

    def volume_of_latents(self, latents: Tensor, image: Tensor, *, strength: Tensor | None) -> Tensor:
        """Sampled latents -> volume ``[B, K, 4, H, W]`` in pixels, its amplitude bounded: the last step of a sample.

        Args:
            strength: ``[B]`` in pixels of a model that is told the wind, or None.
        """
        volume = self._limit_amplitude(self.decode_latents(latents, image))
        if self.config.even_out is not None:
            volume = even_out(volume, exponent=self.config.even_out)
        if self.config.still_below is not None:
            volume = keep_strength(volume, still_below=self.config.still_below)
        return _times(volume, strength)

    @torch.no_grad()
    def loop_gradient(self, latents: Tensor, image: Tensor, strength: Tensor | None = None) -> Tensor:
        """Gradient of h w `models.motion.diffusion.loop_loss` by latents ``[B, K, C, h, w]``, each photo's own.

        The loss is a mean over the picture. Its sum over the h w positions of the latents does not get weaker at each
        of them when the picture grows, so a strength means the same at every size.

        It passes the decoder, in memory that does not grow with frequencies and photos but for the volume itself
        (see :meth:`SliceAutoencoder.decode_for_gradient`).
        """
        with torch.enable_grad():
            leaf = latents.detach().requires_grad_()
            volume = _times(self._in_pixels(self.autoencoder.decode_for_gradient(leaf, image)), strength)
            loss = latents.shape[-2] * latents.shape[-1] * loop_loss(volume, self.config.num_frames)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return gradient

    def _strength(self, wind: float | Sequence[float] | None, image: Tensor) -> Tensor | None:
        """Strength of each photo's motion, ``[B]`` in pixels; None for a model that is not told it."""
        if not self.config.wind:
            if wind is not None:
                raise ValueError("this motion model was trained without wind; magnify its motion instead")
            return None
        values = torch.as_tensor(self.usual_strength if wind is None else wind, dtype=torch.float32)
        if not (values.isfinite().all() and (values > 0).all()):
            raise ValueError(f"wind {wind}: how far things move is a number of pixels above 0")
        return values.to(image.device).expand(len(image))

    def _in_pixels(self, normalized: Tensor) -> Tensor:
        """Undo the normalisation and apply the gain."""
        return self.normalizer.denormalize(normalized) * self.amplitude_gain[:, None, None, None]

    def _limit_amplitude(self, volume: Tensor) -> Tensor:
        """Scale down each volume of ``[B, K, 4, H, W]`` whose amplitude exceeds ``amplitude_limit``."""
        amplitude = rms_amplitude(volume).clamp_min(1e-6)
        return volume * (self.amplitude_limit / amplitude).clamp_max(1)[:, None, None, None, None]

    def _check_photo(self, image: Tensor, seeds: Sequence[int]) -> None:
        multiple = self.size_multiple
        height, width = image.shape[-2:]
        if image.ndim != 4 or image.shape[1] != 3 or height % multiple or width % multiple:
            raise ValueError(f"expected [B, 3, H, W] with sides multiples of {multiple}, got {tuple(image.shape)}")
        if len(seeds) != image.shape[0]:
            raise ValueError(f"{image.shape[0]} photos need as many seeds, got {len(seeds)}")

    def _latent_shape(self, image: Tensor) -> tuple[int, int, int, int]:
        """(K, C, h, w) of one photo's latents."""
        factor = self.autoencoder.downsampling
        height, width = image.shape[-2] // factor, image.shape[-1] // factor
        return self.config.num_frequencies, self.autoencoder.latent_channels, height, width

    def denoise(
        self,
        latents: Tensor,  # [B, k, C, h, w] noisy
        timestep: Tensor,  # [B]
        frequency_index: Tensor,  # [B, k] which frequencies they are
        condition: Tensor,  # of encode_condition, or zeros for no photo
        *,
        strength: Tensor | None = None,  # [B] in pixels, which only a model with wind is told
    ) -> Tensor:
        """What the network predicts of noisy latents, ``[B, k, C, h, w]``."""
        told = {"strength": strength} if self.config.wind else {}
        return self.unet(latents, timestep, frequency_index, condition, self.frequency_attention, **told)

    def guided(
        self,
        latents: Tensor,
        timestep: Tensor,
        frequency_index: Tensor,
        condition: Tensor,
        *,
        guidance: float,
        strength: Tensor | None = None,
    ) -> Tensor:
        """:meth:`denoise` under classifier-free guidance, ``(1 + w) e(c) - w e(0)``."""
        output = self.denoise(latents, timestep, frequency_index, condition, strength=strength)
        if guidance == 0:
            return output
        # One after the other rather than as one batch of twice the size: no slower on a CPU, half the memory.
        nothing = torch.zeros_like(condition)
        unconditional = self.denoise(latents, timestep, frequency_index, nothing, strength=strength)
        return (1 + guidance) * output - guidance * unconditional


def _times(volume: Tensor, strength: Tensor | None) -> Tensor:
    """A volume ``[B, K, 4, H, W]`` in units of each photo's strength in pixels; as it is where None is given."""
    return volume if strength is None else volume * strength[:, None, None, None, None]


def _uses_frequency_attention(training: Mapping[str, object], default: bool, where: str) -> bool:
    """The flag in a checkpoint's ``training``.

    Checkpoints from before the stage's present name call it ``coordinate``. Those of a finished run hold the stage's
    figures in its place, and these may be empty: that the stage was trained is what they say.
    """
    former = next(name for name, present in FORMER_NAMES.items() if present == "frequency_attention")
    key = "frequency_attention" if "frequency_attention" in training else former
    value = training.get(key, default)
    return True if isinstance(value, Mapping) else plain_value(bool, value, where, key=f"training.{key}")


def diffusion_loss(
    model: MotionModel,
    latents: Tensor,  # [B, k, C, h, w] clean and whitened
    *,
    frequency_index: Tensor,  # [B, k] which frequencies they are
    image: Tensor,  # [B, 3, H, W]
    keep_condition: Tensor,  # [B] bool; False drops the photo (classifier-free guidance)
    timestep: Tensor,  # [B]
    noise: Tensor,  # like latents
    schedule: Tensor,  # alphas_cumprod
    strength: Tensor | None = None,  # [B] in pixels, for a model that is told the wind
) -> Tensor:
    """Squared error of the prediction (Eq. 3) for each slice: ``[B, k]``.

    With frequency attention k must be all frequencies in order.
    """
    alpha = schedule[timestep].sqrt()[:, None, None, None, None].to(latents)
    sigma = (1 - schedule[timestep]).sqrt()[:, None, None, None, None].to(latents)
    noisy = alpha * latents + sigma * noise
    target = noise if model.config.prediction == "epsilon" else alpha * noise - sigma * latents
    condition = model.encode_condition(image) * keep_condition[:, None, None, None].to(image)
    prediction = model.denoise(noisy, timestep, frequency_index, condition, strength=strength)
    return (prediction - target).square().mean(dim=(2, 3, 4))
