"""Videos from photos: reading photos and clips, sampling, and one video that shows all results side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from baselines.cinn.config import ModelConfig
from baselines.cinn.data.clips import resized
from baselines.cinn.model import Rollout, StochasticImageToVideo
from baselines.clips import picture_video
from common.images import from_8_bits, image_to_tensor, to_uint8

DEFAULT_FPS = 10.0
GAP = 2  # pixels of white between videos


def read_photos(paths: Sequence[Path], size: tuple[int, int], *, device: torch.device) -> Tensor:
    """Photos at (width, height), ``[N, 3, H, W]`` in [-1, 1]; their shape is not kept, as published."""
    from data.media.images import read_image

    return torch.cat([resized(image_to_tensor(read_image(path)), size) for path in paths]).to(device)


def read_clip(path: Path, config: ModelConfig, *, start: int, device: torch.device) -> Tensor:
    """The frames of one clip from a video or a folder of pictures, ``[1, T + 1, 3, H, W]`` in [-1, 1].

    A video is resampled to the frame rate of the model's training data where that is known.

    Raises:
        ValueError: no such file, or too few frames.
    """
    length = config.video.frames + 1
    if path.is_dir():
        from baselines.cinn.data.layouts import sorted_pictures

        files = sorted_pictures(path)[start : start + length]
        frames = picture_video(path.name, files).read(0, length) if files else torch.empty(0, 3, 1, 1)
    else:
        from data.media.read_video import read_video

        found, _ = read_video(path, fps=config.fps or None, max_frames=start + length)
        frames = torch.from_numpy(found[start:]).permute(0, 3, 1, 2)
    if len(frames) < length:
        raise ValueError(f"{path}: {len(frames)} frames from frame {start} on, a clip has {length}")
    return resized(from_8_bits(frames), config.video.size)[None].to(device)


def sampled(
    model: StochasticImageToVideo,
    photos: Tensor,
    *,
    samples: int,
    num_frames: int,
    seed: int,
    rollout: Rollout = "same_code",
    position: Sequence[float] | None = None,
) -> Tensor:
    """Random videos of each photo, the photo itself first: ``[N, samples, num_frames + 1, 3, H, W]``.

    Sample n of a photo depends on seed and n alone, however many are made.

    Args:
        position: where the last frame of a controlled model shall be.
    """
    control = None if position is None else torch.tensor([position], device=photos.device)
    rows = []
    for photo in photos:
        made = []
        for number in range(samples):
            generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
            frames = model.sample(photo[None], num_frames, generator=generator, rollout=rollout, control=control)
            made.append(torch.cat([photo[None], frames[0]]))
        rows.append(torch.stack(made))
    return torch.stack(rows)


def transferred(model: StochasticImageToVideo, clip: Tensor, photos: Tensor, *, num_frames: int) -> Tensor:
    """The clip, then each photo with its motion: ``[N + 1, 1, num_frames + 1, 3, H, W]``.

    The clip's row stands still at its end where more frames are asked for than it has.
    """
    frames = torch.cat([photos[:, None], model.transfer(clip, photos, num_frames=num_frames)], dim=1)
    places = torch.arange(num_frames + 1).clamp_max(clip.shape[1] - 1).to(clip.device)
    return torch.cat([clip[:, places], frames])[:, None]


def write_grid(path: Path, videos: Tensor, *, fps: float) -> None:
    """One video of ``[rows, columns, T, 3, H, W]`` in [-1, 1], in the format of the suffix."""
    from data.media.write_video import write_video

    rows, columns, frames, _, height, width = videos.shape
    grid = torch.ones(
        frames, 3, rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, device=videos.device, dtype=videos.dtype
    )
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + GAP), column * (width + GAP)
            grid[..., top : top + height, left : left + width] = videos[row, column]
    write_video(path, list(to_uint8(grid)), fps)
