"""How well the first stage draws videos again from their photo and their code."""

from __future__ import annotations

from itertools import cycle, groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from baselines.cinn.data.clips import ClipBatch, Clips
from baselines.cinn.data.layouts import load_videos
from baselines.cinn.model import StochasticImageToVideo
from baselines.cinn.validation import sheet
from baselines.reconstruction import Errors
from data.media.images import write_image

SHEET_VIDEOS = 12


def reconstruct_videos(
    data: Path,
    checkpoint: Path,
    *,
    layout: str,
    split: str,
    per_video: int,
    sheet_path: Path | None,
    weights: Path | None,
    device: torch.device,
) -> dict[str, Any]:
    """Clips from the mean of their codes: :class:`baselines.reconstruction.Errors` of each video, a summary.

    ``other`` is what is drawn under the code of another video: a decoder that does not listen draws the same.

    Raises:
        ValueError: no videos in the split, or no checkpoint.
    """
    model = StochasticImageToVideo.with_stage(checkpoint, "vae").to(device)
    video = model.config.video
    clips = Clips(load_videos(data, split, layout=layout), video.size, length=video.frames + 1).fixed(per_video)
    groups = [[clip.to(device) for clip in group] for _, group in groupby(clips, key=_video_of)]
    errors, found = Errors(weights, device), {}
    rows: list[np.ndarray] = []
    with torch.no_grad():
        codes = [[model.encoder(batch.clip, batch.photo)[0] for batch in group] for group in groups]
        for group, own, others in zip(groups, codes, codes[1:] + codes[:1], strict=True):
            several = []
            for batch, code, other in zip(group, own, cycle(others), strict=False):
                drawn, under_other = (model.decoder(batch.photo, each)[0] for each in (code, other))
                made = {"": drawn, "_other": under_other, "_repeat": batch.photo.expand_as(drawn)}
                shown = {name: (frames + 1) / 2 for name, frames in made.items()}
                several.append(errors((batch.clip[0] + 1) / 2, shown))
                if batch is group[0] and len(rows) < SHEET_VIDEOS:
                    rows.append(sheet(torch.stack([batch.clip[0], drawn])))
            found[_video_of(group[0])] = _means(several)
    if sheet_path is not None:
        write_image(sheet_path, np.concatenate(rows))
    return errors.summary(found) | {"frames": video.frames}


def _video_of(clip: ClipBatch) -> str:
    return clip.ids[0].rpartition(":")[0]


def _means(several: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([errors[name] for errors in several])) for name in several[0]}
