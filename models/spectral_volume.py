"""Motion textures and spectral volumes: the representation of paper section 4.1.

Axis order everywhere: a motion texture is ``[B, T, 2, H, W]`` (x right, y down, pixels of its own resolution, from
frame 0 to frame t), a spectral volume is ``[B, K, 4, H, W]`` with channels Re x, Re y, Im x, Im y. A coefficient is the
`rfft` over t divided by T, so it is in pixels and does not grow with the number of frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from common.plain import Range
from models.choices import NORMALIZATIONS
from models.precision import widened

REFERENCE_WIDTH = 256  # pixels, of the picture in whose pixels amplitudes of any size are told
LEAST_STRENGTH = 0.1  # pixels; what moves less is called still, and measured flow is never exactly 0

Scale = Annotated[float, Range(1e-9, 1e9)]


def motion_to_spectral_volume(motion: Tensor, num_frequencies: int) -> Tensor:
    """Spectral volume of a motion texture (paper Eq. 2), truncated to the lowest frequencies.

    Args:
        motion: ``[B, T, 2, H, W]`` in pixels.
        num_frequencies: K, at most ``T // 2 + 1``; frequency 0 is the mean displacement.

    Returns:
        ``[B, K, 4, H, W]`` real tensor in pixels.
    """
    _expect_axes(motion, 5, 2, "motion texture [B, T, 2, H, W]")
    num_frames = motion.shape[1]
    if not 1 <= num_frequencies <= num_frames // 2 + 1:
        raise ValueError(
            f"{num_frames} frames have {num_frames // 2 + 1} frequencies, {num_frequencies} were asked for"
        )
    coefficients = torch.fft.rfft(motion.contiguous(), dim=1, norm="forward")[:, :num_frequencies]
    return torch.cat([coefficients.real, coefficients.imag], dim=2).contiguous()  # the FFT permutes strides


def spectral_volume_to_motion(volume: Tensor, num_frames: int) -> Tensor:
    """Motion texture of a spectral volume: `irfft` over ``num_frames``, odd or even; missing frequencies are zero.

    Args:
        volume: ``[B, K, 4, H, W]`` in pixels.
        num_frames: T, with ``T // 2 + 1 >= K``.

    Returns:
        ``[B, T, 2, H, W]`` in pixels.
    """
    return motion_at_times(volume, torch.arange(num_frames), num_frames)


def motion_at_times(volume: Tensor, times: Tensor | Sequence[float], period: float) -> Tensor:
    """Displacements at any times, whole or fractional, of the periodic motion that a volume describes.

    ``F_t = Re S_0 + sum_k w_k (Re S_k cos(2 pi k t / T) - Im S_k sin(2 pi k t / T))`` with ``w_k = 2``, or 1 at the
    Nyquist frequency of an even T. A few frames can be had without the rest, which is what keeps rendering at
    large sizes within memory, and fractional times are what slow motion needs.

    Args:
        volume: ``[B, K, 4, H, W]`` in pixels.
        times: N times in frames.
        period: T, the number of frames after which the motion repeats.

    Returns:
        ``[B, N, 2, H, W]`` in pixels.
    """
    _expect_axes(volume, 5, 4, "spectral volume [B, K, 4, H, W]")
    num_frequencies = volume.shape[1]
    if 2 * (num_frequencies - 1) > period:
        raise ValueError(
            f"{num_frequencies} frequencies need at least {2 * (num_frequencies - 1)} frames, got {period}"
        )
    # The angles in float64: with hundreds of frames times 16 frequencies float32 angles would drift.
    frequencies = torch.arange(num_frequencies, dtype=torch.float64)
    angles = 2 * math.pi / period * torch.as_tensor(times, dtype=torch.float64)[:, None] * frequencies
    weights = torch.full_like(frequencies, 2.0)
    weights[frequencies * 2 == period] = 1.0
    weights[0] = 1.0
    return superpose(volume, torch.complex(weights * angles.cos(), weights * angles.sin()))


def superpose(volume: Tensor, coordinates: Tensor) -> Tensor:
    """``F_n = sum_k Re[S_k q_nk]``, the displacements that N sets of complex coordinates give a volume (paper Eq. 6).

    Args:
        volume: ``[B, K, 4, H, W]`` in pixels.
        coordinates: complex ``[N, K]``.

    Returns:
        ``[B, N, 2, H, W]`` in pixels.
    """
    batch, num_frequencies, _, height, width = volume.shape
    basis = torch.stack([coordinates.real, -coordinates.imag], dim=-1).to(volume)  # [N, K, 2]
    parts = volume.reshape(batch, num_frequencies, 2, 2 * height * width)  # real and imaginary part, then (x, y, H, W)
    motion = torch.einsum("nkp,bkpi->bni", basis, parts)
    return motion.reshape(batch, len(coordinates), 2, height, width)


def shift_in_time(volume: Tensor, frames: float, num_frames: int) -> Tensor:
    """The same periodic motion, begun so many frames later: ``F'_t = F_{t + frames}``, ``[B, K, 4, H, W]``."""
    angle = 2 * math.pi * torch.arange(volume.shape[1], dtype=torch.float64) * frames / num_frames
    cosine, sine = (part.to(volume)[:, None, None, None] for part in (angle.cos(), angle.sin()))
    real, imaginary = volume[:, :, :2], volume[:, :, 2:]
    return torch.cat([cosine * real - sine * imaginary, sine * real + cosine * imaginary], dim=2)


def anchor_to_first_frame(volume: Tensor, num_frames: int) -> Tensor:
    """The same motion shifted so that frame 0 does not move: the photograph is the first frame of its loop.

    Only the real mean coefficients change. A motion texture measures displacement from frame 0, so this holds for every
    measured volume up to truncation; a sampled one fulfils it only about.
    """
    anchored = volume.clone()
    anchored[:, 0, :2] -= motion_at_times(volume, [0.0], num_frames)[:, 0]
    anchored[:, 0, 2:] = 0
    return anchored


# Moments over which the mean of |F_t| is taken: of a smooth motion as good as over all frames. The renderer's
# importance has to be the same in training and in use.
IMPORTANCE_SAMPLES = 16
FAINT = 0.1  # of a volume's strength; about where motion is no longer told from none


def motion_amplitude(volume: Tensor) -> Tensor:
    """Root mean square displacement about the mean position, ``sqrt(2 sum_{k>=1} |S_k|^2)``.

    ``[B, K, 4, H, W] -> [B, 1, H, W]``, in pixels.

    The mean frequency is left out: it only says at which phase of the motion the photograph was taken.
    """
    _expect_axes(volume, 5, 4, "spectral volume [B, K, 4, H, W]")
    return (2 * volume[:, 1:].square().sum(dim=(1, 2))).sqrt()[:, None]


def rms_amplitude(volume: Tensor) -> Tensor:
    """Root mean square of :func:`motion_amplitude` over the picture: ``[B, K, 4, H, W] -> [B]``, in pixels."""
    return motion_amplitude(volume).square().mean(dim=(1, 2, 3)).sqrt()


def motion_strength(volume: Tensor) -> Tensor:
    """How far the things that move move: ``[B, K, 4, H, W] -> [B]``, in pixels.

    The mean of a pixel's squared amplitude, weighted by itself, as a length: ``sqrt(sum a^4 / sum a^2)``. A flame of 2
    pixels in a dark room has the strength of a meadow that sways by 2 pixels everywhere; their root mean squares over
    the picture differ tenfold. 0 where nothing moves.
    """
    return _strength(motion_amplitude(volume))


def _strength(amplitude: Tensor) -> Tensor:
    """The same of amplitudes ``[B, 1, H, W]``."""
    squared = widened(amplitude).square().flatten(1)
    return (squared.square().sum(1) / squared.sum(1).clamp_min(1e-12)).sqrt().to(amplitude.dtype)


def keep_strength(volume: Tensor, *, still_below: float) -> Tensor:
    """Scale volumes ``[B, K, 4, H, W]``, in units of the strength that was asked for, to that strength or to none.

    A sample of a photo in which something sways has about the strength that was asked for, one of a photo of still
    things a small share of it. A strength s becomes ``s^4 / (s^4 + b^4)``, b being ``still_below``: nearly 1 above b
    and nearly 0 below it.
    """
    strength = motion_strength(volume)
    factor = strength**3 / (strength**4 + still_below**4)
    return volume * factor[:, None, None, None, None]


def even_out(volume: Tensor, *, exponent: float) -> Tensor:
    """Make what moves move more evenly, and what hardly moves stand still: ``[B, K, 4, H, W] -> `` the same.

    With a the amplitude of a pixel over the volume's strength, and c :data:`FAINT`, the pixel's motion is multiplied by
    ``a^2 / (a^2 + c^2) (a^2 + c^2)^((exponent - 1) / 2)`` and the whole by what leaves its strength as it was. From c
    on that is nearly the power ``exponent`` of a; below, motion fades. The order of amplitudes stays as it was.
    """
    amplitude = motion_amplitude(volume)
    strength = _strength(amplitude)
    square = (amplitude / strength.clamp_min(1e-6)[:, None, None, None]).square()
    factor = square * (square + FAINT**2) ** ((exponent - 3) / 2)
    kept = strength / _strength(amplitude * factor).clamp_min(1e-6)
    return volume * (factor * kept[:, None, None, None])[:, None]


def resize_motion(motion: Tensor, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """Resize motion and rescale its vectors, so that they stay in pixels of the new resolution.

    Args:
        motion: ``[..., C, H, W]`` with C = 2 (x, y) or 4 (Re x, Re y, Im x, Im y).
        size: new (H, W).
        mode: ``bilinear`` or ``bicubic`` (antialiased when shrinking), or ``area``.

    Returns:
        ``[..., C, *size]``.
    """
    channels, height, width = motion.shape[-3:]
    if channels not in (2, 4):
        raise ValueError(f"motion has 2 or 4 channels, got a tensor of shape {tuple(motion.shape)}")
    if (height, width) == tuple(size):
        return motion
    flat = motion.reshape(-1, channels, height, width)
    if mode == "area":
        resized = F.interpolate(flat, size=size, mode="area")
    else:
        shrinks = size[0] < height or size[1] < width
        resized = F.interpolate(flat, size=size, mode=mode, align_corners=False, antialias=shrinks)
    # By numbers, not by a tensor of them: copying that to a GPU would make the program wait for it.
    resized[:, 0::2] *= size[1] / width
    resized[:, 1::2] *= size[0] / height
    return resized.reshape(*motion.shape[:-2], *size)


@dataclass(frozen=True)
class SpectralNormalizer:
    """Per-frequency normalisation of spectral volumes before diffusion, and its inverse.

    ``adaptive`` is the paper's Eq. 4: ``sign(S) sqrt(|S| / s_k)``, s_k the 95th percentile of |coefficient| over the
    training set. ``std`` is the reference implementation's ``S / (2.82 std_k)`` with the root mean square about zero.
    ``size`` is the paper's baseline for the ablation: x over the width and y over the height of the training pictures,
    the same for all frequencies. One further constant, common to all coefficients, brings the strongest frequency to
    about [-1, 1]: the values of 0.001 that gentle motion leaves without it drown in the autoencoder's own error.
    The scales belong to a trained model and are stored in its checkpoint.
    """

    kind: str  # one of NORMALIZATIONS
    scales: tuple[Scale, ...]  # one a frequency, in pixels
    axis_scales: tuple[Scale, Scale] = (1.0, 1.0)  # further factors on x and on y

    def __post_init__(self) -> None:
        if self.kind not in NORMALIZATIONS:
            raise ValueError(f"unknown normalisation {self.kind!r}, expected one of {', '.join(NORMALIZATIONS)}")
        scales = (*self.scales, *self.axis_scales)
        if not self.scales or len(self.axis_scales) != 2 or not all(math.isfinite(s) and s > 0 for s in scales):
            raise ValueError(f"normalisation scales must be positive and finite, got {scales}")

    @classmethod
    def from_statistics(cls, kind: str, statistics: dict, num_frequencies: int) -> SpectralNormalizer:
        """Build from a dataset's ``stats.json``.

        Read are the lists ``p95`` or ``rms`` in pixels, one value a frequency, and for ``size`` also ``size`` [W, H].
        """
        if kind not in NORMALIZATIONS:
            raise ValueError(f"unknown normalisation {kind!r}, expected one of {', '.join(NORMALIZATIONS)}")
        key, factor = NORMALIZATIONS[kind]
        values = statistics[key][:num_frequencies]
        if len(values) < num_frequencies:
            raise ValueError(f"the dataset has {len(values)} frequencies, the model needs {num_frequencies}")
        if kind == "size":
            width, height = map(float, statistics["size"])
            constant = max(*map(float, values), 1e-6) / math.sqrt(width * height)
            return cls(kind, (constant,) * num_frequencies, (width, height))
        # A frequency that never moves has no scale of its own; a tiny one keeps its normalised value at zero.
        return cls(kind, tuple(max(float(value) * factor, 1e-6) for value in values))

    def normalize(self, volume: Tensor, frequency_index: Tensor | None = None) -> Tensor:
        """``[B, K, 4, H, W]`` in pixels -> the same shape, about [-1, 1].

        Args:
            frequency_index: [B, k] for volumes ``[B, k, 4, H, W]`` that hold only these frequencies.
        """
        scaled = volume / self._scales(volume, frequency_index)
        return scaled.sign() * scaled.abs().sqrt() if self.kind == "adaptive" else scaled

    def denormalize(self, normalized: Tensor) -> Tensor:
        """Inverse of :meth:`normalize`."""
        values = normalized.sign() * normalized.square() if self.kind == "adaptive" else normalized
        return values * self._scales(normalized)

    def to_dict(self) -> dict:
        """Primitives for a checkpoint's ``config.json``."""
        return asdict(self)

    def _scales(self, volume: Tensor, frequency_index: Tensor | None = None) -> Tensor:
        """``[K, 4, 1, 1]``, or ``[B, k, 4, 1, 1]`` of chosen frequencies."""
        scales = volume.new_tensor(self.scales)
        if frequency_index is not None:
            scales = scales[frequency_index]
        elif volume.shape[1] != len(self.scales):
            raise ValueError(f"normalisation has {len(self.scales)} frequencies, the volume has {volume.shape[1]}")
        return (scales[..., None] * volume.new_tensor(self.axis_scales * 2))[..., None, None]


def _expect_axes(tensor: Tensor, ndim: int, channels: int, name: str) -> None:
    if tensor.ndim != ndim or tensor.shape[2] != channels:
        raise ValueError(f"expected a {name}, got shape {tuple(tensor.shape)}")
