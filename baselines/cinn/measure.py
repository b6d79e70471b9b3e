"""How well the first stage draws videos again from their photo and their code."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from baselines.cinn.data.clips import Clips
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
    batches = [clip.to(device) for clip in clips]
    with torch.no_grad():
        codes = [model.encoder(batch.clip, batch.photo)[0] for batch in batches]
        drawn = [model.decoder(batch.photo, code)[0] for batch, code in zip(batches, codes, strict=True)]
        codes = codes[per_video:] + codes[:per_video]
        others = [model.decoder(batch.photo, code)[0] for batch, code in zip(batches, codes, strict=True)]
    errors = Errors(weights, device)
    each: dict[str, list[dict[str, float]]] = defaultdict(list)
    for batch, made, other in zip(batches, drawn, others, strict=True):
        versions = {"": made, "_other": other, "_repeat": batch.photo.expand_as(made)}
        shown = {name: (frames + 1) / 2 for name, frames in versions.items()}
        each[batch.ids[0].rpartition(":")[0]].append(errors((batch.clip[0] + 1) / 2, shown))
    if sheet_path is not None:
        pairs = [torch.stack([batch.clip[0], made]) for batch, made in zip(batches, drawn, strict=True)]
        write_image(sheet_path, np.concatenate([sheet(pair) for pair in pairs[::per_video][:SHEET_VIDEOS]]))
    summary = errors.summary({name: _means(several) for name, several in each.items()})
    return summary | {"frames": video.frames}


def _means(several: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([errors[name] for errors in several])) for name in several[0]}
