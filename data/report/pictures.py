"""Pictures of one sequence for the page of a dataset: first frame, a later frame, its flow, and a map of the motion."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data.dataset.reading import importance_motion
from data.dataset.sequence_file import read_sequence, read_slice, sequence_path
from data.media.pictures import clipped_flow_color, magnitude_map, wheel_picture

WHEEL = 0.26  # height of the colour wheel over the picture's


@dataclass(frozen=True)
class SequencePictures:
    """WebP pictures with their captions."""

    pictures: tuple[tuple[str, bytes], ...]
    largest_motion: float  # pixels: what the brightest colour of the motion map stands for
    largest_flow: float | None  # pixels: what the fullest colour of the flow stands for; None without later frames


def sequence_pictures(folder: str | Path, row: dict) -> SequencePictures:
    """The pictures of a kept sequence; its later frame is the one of those stored with most motion, if there are any.

    Raises:
        ValueError: its file is missing or damaged.
    """
    path = sequence_path(folder, row["id"])
    tensors = read_sequence(path, ["first_frame", "spectral_volume", "frame_indices"])
    motion = importance_motion(tensors["spectral_volume"][None].float(), row["num_frames"])[0, 0].numpy()
    brightest = max(float(np.percentile(motion, 99.5)), 1e-6)
    first = "first frame", webp(tensors["first_frame"].permute(1, 2, 0).numpy())
    amplitude = f"mean |F|, white from {brightest:.2g} px", webp(magnitude_map(motion, brightest))
    if not len(tensors["frame_indices"]):
        return SequencePictures((first, amplitude), brightest, None)
    position, flow = _strongest_flow(path, len(tensors["frame_indices"]))
    number = int(tensors["frame_indices"][position])
    colors, fullest = clipped_flow_color(flow.transpose(1, 2, 0))
    frame = webp(read_slice(path, "frames", position).permute(1, 2, 0).numpy())
    later = f"frame {number}, {number / row['fps']:.1f} s later", frame
    colored = f"flow to frame {number}, full colour from {fullest:.2g} px", webp(_with_wheel(colors))
    return SequencePictures((first, later, amplitude, colored), brightest, fullest)


def webp(picture: np.ndarray) -> bytes:
    """uint8 RGB [H, W, 3] as WebP."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=82, method=4)
    return buffer.getvalue()


def _strongest_flow(path: Path, count: int) -> tuple[int, np.ndarray]:
    """Position and flow, float32 [2, H, W], of the stored frame with the largest mean displacement; read one by one."""
    largest, position = -1.0, 0
    for index in range(count):
        mean = float(torch.linalg.vector_norm(read_slice(path, "flows", index).float(), dim=0).mean())
        if mean > largest:
            largest, position = mean, index
    return position, read_slice(path, "flows", position).float().numpy()


def _with_wheel(colors: np.ndarray) -> np.ndarray:
    """The colour wheel on a thin white rim in the corner where it hides least; small pictures stay as they are."""
    side = max(9, round(WHEEL * len(colors)))
    if min(colors.shape[:2]) < 2 * (side + 6):
        return colors
    wheel = wheel_picture(side)
    steps = np.linspace(-1.12, 1.12, side + 4)
    rim = np.hypot(*np.meshgrid(steps, steps)) <= 1.1
    ends = (slice(-side - 6, -2), slice(2, side + 6))
    corner = min((colors[y, x] for y in ends for x in ends), key=lambda place: int((255 - place.astype(int)).sum()))
    corner[rim] = 255
    opaque = wheel[..., 3] > 0
    corner[2:-2, 2:-2][opaque] = wheel[..., :3][opaque]
    return colors
