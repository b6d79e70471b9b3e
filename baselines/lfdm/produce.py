"""What the commands make of a trained LFDM: clips of photos, motion transfer, and measures of reconstruction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.lfdm.data.clips import ClipFrames, fit_frames, frame_indices
from baselines.lfdm.data.datasets import find_clips
from baselines.lfdm.networks.autoencoder import FlowAutoencoder
from baselines.lfdm.pictures import eight_bits, sheet
from baselines.lfdm.pipeline import LFDM, Sampling
from baselines.lfdm.validation import panels, versions
from baselines.reconstruction import Errors
from common.images import image_to_tensor
from data.media.images import read_image, write_image
from data.media.read_video import read_video
from data.media.write_video import check_output_suffix, write_video

SHEET_COLUMNS = 8
SHEET_CLIPS = 12


@dataclass(frozen=True)
class SampleJob:
    """Clips to make of photos."""

    photos: tuple[Path, ...]
    output: Path  # a folder
    conditions: tuple[str, ...] | None  # None: all labels of the model
    frames: int | None  # None: those of training
    suffix: str
    fps: float
    seed: int
    sampling: Sampling


def sample_photos(job: SampleJob, checkpoint: Path, device: torch.device) -> list[Path]:
    """Write a clip for each photo and condition, and a sheet a photo with a row for each condition.

    Every clip starts from the same noise, so that conditions can be compared.
    """
    lfdm = LFDM.from_pretrained(checkpoint, device)
    assert lfdm.diffusion is not None
    config = lfdm.diffusion.config
    conditions: tuple[str | None, ...] = job.conditions or config.labels or (None,)
    lfdm.diffusion.embed(conditions)  # wrong ones are refused before anything is sampled
    twice = {photo.stem for photo in job.photos if [p.stem for p in job.photos].count(photo.stem) > 1}
    if twice:
        raise ValueError(f"several photos are called {min(twice)}; their clips would overwrite each other")
    photos = [read_photo(path, lfdm.autoencoder).to(device) for path in job.photos]
    job.output.mkdir(parents=True, exist_ok=True)
    files = []
    for path, photo in zip(job.photos, photos, strict=True):
        rows: list[list[Tensor]] = []
        for condition in conditions:
            generator = torch.Generator().manual_seed(job.seed)
            clip = lfdm.animate(
                photo, job.frames or config.frames, generator=generator, condition=condition, sampling=job.sampling
            )
            name = path.stem if condition is None else f"{path.stem}_{file_name(condition)}"
            files.append(job.output / f"{name}{job.suffix}")
            write_video(files[-1], eight_bits(clip.frames), job.fps)
            shown = np.unique(np.linspace(0, len(clip.frames) - 1, SHEET_COLUMNS).astype(int))
            rows.append([clip.frames[index] for index in shown])
        files.append(job.output / f"{path.stem}_sheet.png")
        write_image(files[-1], sheet(rows))
    return files


def transfer_clip(
    photo: Path,
    clip: Path,
    *,
    output: Path,
    checkpoint: Path,
    relative: bool,
    fps: float,
    device: torch.device,
) -> None:
    """Write a photo that moves as a clip does; see :meth:`LFDM.transfer`."""
    check_output_suffix(output)
    lfdm = LFDM.from_pretrained(checkpoint, device, sampling=False)
    image = read_photo(photo, lfdm.autoencoder).to(device)
    frames, _ = read_video(clip, fps=fps)
    fitted = fit_frames(frames, lfdm.size, how=lfdm.autoencoder.config.fit)
    driving = torch.from_numpy(fitted).permute(0, 3, 1, 2).float().to(device) / 255
    result = lfdm.transfer(image, driving, relative=relative)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_video(output, eight_bits(result.frames), fps)


def reconstruct_clips(
    data: Path,
    checkpoint: Path,
    *,
    layout: str,
    split: str,
    frames: int,
    most: int,
    sheet_path: Path | None,
    weights: Path | None,
    device: torch.device,
) -> dict[str, Any]:
    """How well clips are drawn from their first frame and the flow, of all frames but the first.

    Of what is drawn, of the merely warped first frame, and of the first frame itself: :class:`Errors`, a summary.
    """
    lfdm = LFDM.from_pretrained(checkpoint, device, sampling=False)
    config = lfdm.autoencoder.config
    clips = ClipFrames(find_clips(data, split, layout=layout, whole=True)[:most], config.size, fit=config.fit)
    if not clips.clips:
        raise ValueError(f"{data}: no {split} clips of the layout {layout}")
    errors, found = Errors(weights, device), {}
    rows: list[list[Tensor]] = []
    generator = torch.Generator().manual_seed(0)
    for number, clip in enumerate(clips.clips):
        indices = frame_indices(len(clip), frames, sampling="uniform", generator=generator)
        video = clips.read(number, indices).to(device)
        result = lfdm.reconstruct(video)
        found[clip.name] = errors(video[1:], versions(result, video))
        if len(rows) < SHEET_CLIPS:
            furthest = int((video - video[:1]).abs().flatten(1).mean(dim=1).argmax())
            rows.append([video[0], video[furthest], *panels(result, furthest)])
    if sheet_path is not None:
        write_image(sheet_path, sheet(rows))
    sources = {clip.name: clip.subject for clip in clips.clips}
    return errors.summary(found, sources) | {"frames": frames}


def read_photo(path: Path, model: FlowAutoencoder) -> Tensor:
    """A photo at the model's size, ``[1, 3, H, W]`` in [0, 1]."""
    fitted = fit_frames(read_image(path)[None], model.config.size, how=model.config.fit)[0]
    return (image_to_tensor(fitted) + 1) / 2


def file_name(text: str) -> str:
    """A text as a part of a file's name."""
    return re.sub(r"[^\w-]+", "-", text).strip("-")[:60] or "condition"
