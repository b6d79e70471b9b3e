"""From linear light to the picture of a camera: exposure, white balance, tone, vignetting, noise, compression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sensor:
    """A camera's look, the same for all frames of a sequence."""

    gain: float  # of linear light
    balance: tuple[float, float, float]  # further factors of red, green and blue
    contrast: float  # exponent about middle gray; 1 leaves it
    saturation: float
    lift: float  # light in the shadows, haze and flare, as a share of white
    vignette: float  # darkening of the corners
    noise: float  # standard deviation in 8-bit levels at middle gray
    quality: int | None  # of JPEG compression

    def develop(self, light: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """uint8 [H, W, 3] of linear light [H, W, 3]."""
        height, width = light.shape[:2]
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        shade = 1 - self.vignette * (x**2 + y**2)[..., None] / 2
        values = np.maximum(light, 0) * self.gain * np.asarray(self.balance) * shade
        gray = values @ np.array([0.2126, 0.7152, 0.0722])
        values = np.maximum(gray[..., None] + self.saturation * (values - gray[..., None]), 0)
        values = 0.18 * (values / 0.18) ** self.contrast
        values = self.lift + (1 - self.lift) * film_curve(values)
        levels = 255 * values
        levels = levels + self.noise * np.sqrt(0.3 + levels / 180) * _grain(random, levels.shape)
        picture = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        return picture if self.quality is None else _compressed(picture, self.quality)


def film_curve(light: np.ndarray) -> np.ndarray:
    """Linear light to display values 0 to 1: dark tones as sRGB has them, highlights that roll off.

    ``(x (a x + b)) / (x (c x + d) + e)`` of Narkowicz's fit to the ACES curve, which includes the display's exponent
    once the square root is taken; 0.18 becomes about 0.46.
    """
    x = 0.9 * light
    return np.clip(((x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14)), 0, 1) ** (1 / 2.2)


def draw_sensor(light: np.ndarray, brightness: float, random: np.random.Generator) -> Sensor:
    """A random camera, exposed so that the mean of the picture is about ``brightness``, 0 to 1."""
    wanted = float(np.clip(brightness * np.exp(random.normal(0, 0.1)), 0.12, 0.7))
    warmth, tint = random.normal(0, 0.05), random.normal(0, 0.02)
    return Sensor(
        gain=_exposure(light, wanted),
        balance=(float(np.exp(warmth)), float(np.exp(tint)), float(np.exp(-warmth))),
        contrast=float(random.uniform(0.85, 1.1)),
        saturation=float(random.uniform(0.78, 1.12)),
        lift=float(random.uniform(0.0, 0.035)),
        vignette=float(random.uniform(0.0, 0.3)),
        noise=float(np.exp(random.uniform(np.log(0.4), np.log(3.0)))),
        quality=int(random.integers(72, 97)) if random.uniform() < 0.5 else None,
    )


def _exposure(light: np.ndarray, wanted: float) -> float:
    low, high = -12.0, 12.0  # stops
    for _ in range(24):
        stops = (low + high) / 2
        brighter = film_curve(np.maximum(light, 0) * 2**stops).mean() < wanted
        low, high = (stops, high) if brighter else (low, stops)
    return float(2 ** ((low + high) / 2))


def _grain(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Noise that is partly the same in the three colours, as a raw converter leaves it."""
    return 0.75 * random.standard_normal((*shape[:2], 1)) + 0.5 * random.standard_normal(shape)


def _compressed(picture: np.ndarray, quality: int) -> np.ndarray:
    import cv2

    coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1])
