"""A synthetic sequence in memory: a photo, its layers, and exact motion and frames of them.

The photo is cropped with a margin, so that what moves in from beyond the frame is real, and worked on at twice the
resolution of the result. Frames are averaged down from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.synthetic.layers import Layer, compose, moved_layers, shares
from data.synthetic.scene import SceneParameters, build_layers
from data.synthetic.segments import local_contrast
from data.synthetic.things.thing import CropOfPhoto, Thing

SUPERSAMPLING = 2  # working pixels a pixel of the result
MARGIN = 0.08  # of the longer side, beyond each edge
SMALLEST_CROP = 0.4  # of the largest crop that fits the photo
CROPS = 3  # candidates
ENOUGH_MOTION = 0.4  # share of a crop that moves, above which more is not better
LARGEST_ENLARGEMENT = 1.6  # of the photo to the working resolution, above what its size makes necessary


@dataclass(frozen=True)
class SyntheticSequence:
    """T frames' motion, and as many of the frames as were asked for."""

    first_frame: np.ndarray  # uint8 [H, W, 3], frame 0
    frames: np.ndarray  # uint8 [N, H, W, 3]
    frame_indices: np.ndarray  # int32 [N], t of each
    layer_ids: np.ndarray  # int32 [H, W]: 0 what is behind, n the layer n - 1, by the larger share of a pixel
    layer_shares: np.ndarray  # float32 [H, W], that share; 1 where nothing is mixed
    behind: np.ndarray  # float32 [sH, sW, 3], what is behind all layers, at s times the resolution (``SUPERSAMPLING``)
    layers: list[Layer]  # from the back to the front, at that resolution
    num_frames: int  # T

    def motion(self, frame_indices: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Displacement of every pixel of frame 0, float32 [N, H, W, 2] in pixels (x, y); of all T frames by default.

        It is that of the layer which makes up most of the pixel, whether that is seen at time t or not.
        """
        times = np.arange(self.num_frames) if frame_indices is None else np.asarray(frame_indices)
        motion = np.zeros((len(times), *self.layer_ids.shape, 2), np.float32)
        for ys, xs, shapes, series in self._modes():
            motion[:, ys, xs] = np.tensordot(series[:, times].T, shapes, axes=1)
        return motion

    def spectral_volume(self, num_frequencies: int) -> np.ndarray:
        """Spectral volume of the motion (paper Eq. 2), float32 [K, 4, H, W], from the modes' spectra."""
        volume = np.zeros((num_frequencies, 4, *self.layer_ids.shape), np.float32)
        for ys, xs, shapes, series in self._modes():
            spectra = np.fft.rfft(series, axis=1, norm="forward")[:, :num_frequencies].T
            parts = np.concatenate([spectra.real, spectra.imag]).astype(np.float32)
            values = np.tensordot(parts, shapes, axes=1).reshape(2, num_frequencies, len(ys), 2)
            volume[:, :, ys, xs] = values.transpose(1, 0, 3, 2).reshape(num_frequencies, 4, len(ys))
        return volume

    def covered(self, t: int) -> np.ndarray:
        """How much of each pixel's content is hidden at time t by layers in front of its own: float32 [H, W], 0..1."""
        import cv2

        size = self.behind.shape[:2]
        hidden = np.zeros((len(self.layers) + 1, *size), np.float32)  # on the canvas at time t, for each layer
        for number, (rows, columns, _, alpha) in enumerate(moved_layers(self.layers, t, size), 1):
            hidden[:number, rows, columns] += (1 - hidden[:number, rows, columns]) * alpha[..., 0].clip(0, 1)
        y, x = np.mgrid[: self.layer_ids.shape[0], : self.layer_ids.shape[1]].astype(np.float32)
        motion = self.motion([t])[0]
        result = np.zeros(self.layer_ids.shape, np.float32)
        for number in np.unique(self.layer_ids):
            seen = _average_down(hidden[number])
            there = cv2.remap(seen, x + motion[..., 0], y + motion[..., 1], cv2.INTER_LINEAR)
            result = np.where(self.layer_ids == number, there, result)
        return result

    def _modes(self):
        """For each layer that is seen: rows, columns of its pixels [n], shapes [M, n, 2] in pixels, series [M, T]."""
        for number, layer in enumerate(self.layers, 1):
            ys, xs = np.nonzero(self.layer_ids == number)
            if len(ys):
                rows = ys * SUPERSAMPLING - layer.top
                columns = xs * SUPERSAMPLING - layer.left
                offsets = [(i, j) for i in range(SUPERSAMPLING) for j in range(SUPERSAMPLING)]
                shapes = sum(layer.shapes[:, rows + i, columns + j] for i, j in offsets) / len(offsets)
                yield ys, xs, shapes / SUPERSAMPLING, layer.series


def synthetic_sequence(
    photo: np.ndarray,
    seed: int | Sequence[int],
    *,
    things: list[Thing],
    parameters: SceneParameters | None = None,
    size: tuple[int, int] = (256, 160),
    frame_indices: Sequence[int] | np.ndarray | None = None,
) -> SyntheticSequence:
    """Make a photo sway: a random crop of it and the motion of the things in it are functions of the seed.

    Args:
        photo: uint8 RGB [H, W, 3], at least ``size``.
        seed: of everything random.
        things: what in the photo moves, from the back to the front (`data.synthetic.things.reading`).
        parameters: of the scene.
        size: (width, height) of the frames.
        frame_indices: frames to render, all by default. Rendering is most of the work; the motion is known for all.

    Raises:
        ValueError: the photo is smaller than the frames.
    """
    parameters = parameters or SceneParameters()
    if photo.shape[1] < size[0] or photo.shape[0] < size[1]:
        have, need = f"{photo.shape[1]}x{photo.shape[0]}", f"{size[0]}x{size[1]}"
        raise ValueError(f"{have} is too small, a photo must have at least the size of the frames, {need}")
    random = np.random.default_rng(seed)
    canvas, margin, crop = draw_canvas(photo, size, things, random)
    seen = [thing for thing in (thing.moved(crop) for thing in things) if thing is not None]
    behind, layers = build_layers(canvas, seen, parameters=parameters, scale=SUPERSAMPLING, random=random)
    behind = behind[margin:-margin, margin:-margin]
    layers = [replace(layer, top=layer.top - margin, left=layer.left - margin) for layer in layers]
    times = np.arange(parameters.num_frames) if frame_indices is None else np.asarray(frame_indices)
    frames = np.stack([_average_down(compose(behind, layers, int(t))) for t in (0, *times)])
    if random.uniform() < parameters.photometric:
        frames = photometric_variation(frames, (0, *times), parameters.num_frames, random)
    frames = np.clip(np.rint(frames), 0, 255).astype(np.uint8)
    largest, ids = np.zeros((size[1], size[0]), np.float32), np.zeros((size[1], size[0]), np.int32)
    for number, share in enumerate(shares(layers, (behind.shape[0], behind.shape[1]))):
        share = _average_down(share)
        ids[share > largest] = number
        largest = np.maximum(largest, share)
    return SyntheticSequence(
        frames[0], frames[1:], times.astype(np.int32), ids, largest, behind, layers, parameters.num_frames
    )


def draw_canvas(
    photo: np.ndarray, size: tuple[int, int], things: list[Thing], random: np.random.Generator
) -> tuple[np.ndarray, int, CropOfPhoto]:
    """A random crop, maybe mirrored, of the frame with margins at working resolution: uint8 [H', W', 3], margin.

    Of a few random crops the one that shows most of what moves is taken, or if nothing does the one with most detail.
    """
    import cv2

    margin = round(MARGIN * max(size)) * SUPERSAMPLING
    width, height = (side * SUPERSAMPLING + 2 * margin for side in size)
    largest = min(photo.shape[1] / width, photo.shape[0] / height)  # photo pixels a working pixel
    smallest = min(largest, max(SMALLEST_CROP * largest, 1 / LARGEST_ENLARGEMENT))
    moving = np.any([thing.mask for thing in things], axis=0) if things else None
    crops = []
    for _ in range(CROPS):
        step = float(np.exp(random.uniform(np.log(smallest), np.log(largest))))
        wide, high = max(1, int(width * step)), max(1, int(height * step))
        left, top = int(random.integers(photo.shape[1] - wide + 1)), int(random.integers(photo.shape[0] - high + 1))
        part = slice(top, top + high), slice(left, left + wide)
        if moving is not None:
            score = min(float(moving[part].mean()), ENOUGH_MOTION)
        else:
            small = cv2.resize(photo[part], size, interpolation=cv2.INTER_AREA if wide > size[0] else cv2.INTER_LINEAR)
            score = float(np.percentile(local_contrast(small), 70))
        crops.append((score, CropOfPhoto(left, top, wide, high, (width, height), False)))
    crop = replace(max(crops, key=lambda candidate: candidate[0])[1], mirrored=bool(random.uniform() < 0.5))
    part = slice(crop.top, crop.top + crop.height), slice(crop.left, crop.left + crop.width)
    canvas = cv2.resize(
        photo[part], (width, height), interpolation=cv2.INTER_AREA if crop.step > 1 else cv2.INTER_CUBIC
    )
    return (np.ascontiguousarray(canvas[:, ::-1]) if crop.mirrored else canvas), margin, crop


def photometric_variation(
    frames: np.ndarray, times: Sequence[int] | np.ndarray, num_frames: int, random: np.random.Generator
) -> np.ndarray:
    """What cameras add: exposure that drifts, noise that grows with brightness, and sometimes compression.

    Args:
        frames: float32 [N, H, W, 3], 0..255.
        times: t of each; at t = 0 the exposure is right.
    """
    import cv2

    phases = random.uniform(0, 2 * np.pi, 3)
    drift = np.sin(2 * np.pi * np.outer(np.arange(num_frames) / num_frames, (0.5, 1, 2)) + phases) @ (1, 0.7, 0.4)
    gain = 1 + random.uniform(0, 0.03) * (drift - drift[0])[np.asarray(times, int)]
    noise = float(np.exp(random.uniform(np.log(0.3), np.log(2.5))))
    quality = int(random.integers(70, 97)) if random.uniform() < 0.6 else None
    varied = np.empty_like(frames)
    for number, frame in enumerate(frames):
        frame = np.clip(frame * gain[number], 0, 255)
        frame = frame + noise * np.sqrt(0.3 + frame / 180) * random.standard_normal(frame.shape, np.float32)
        if quality is not None:
            eight_bits = np.clip(np.rint(frame), 0, 255).astype(np.uint8)
            coded = cv2.imencode(".jpg", eight_bits[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            frame = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1]
        varied[number] = frame
    return varied


def _average_down(picture: np.ndarray) -> np.ndarray:
    """Mean of each pixel's ``SUPERSAMPLING`` x ``SUPERSAMPLING`` working pixels: float32 [sH, sW] or [sH, sW, C]."""
    import cv2

    size = picture.shape[1] // SUPERSAMPLING, picture.shape[0] // SUPERSAMPLING
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
