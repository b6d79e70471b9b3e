"""How well the first stage draws videos again from their photo and their code."""

from __future__ import annotations

from itertools import groupby
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

    ``other`` is what is drawn under the code of a video from another file: a decoder that does not listen draws the
    same. Where all videos are from one file there is none.

    Raises:
        ValueError: no videos in the split, or no checkpoint.
    """
    model = StochasticImageToVideo.with_stage(checkpoint, "vae").to(device)
    video = model.config.video
    videos = load_videos(data, split, layout=layout)
    sources = {one.id: one.source or one.id for one in videos}
    clips = Clips(videos, video.size, length=video.frames + 1).fixed(per_video)
    groups = [[clip.to(device) for clip in group] for _, group in groupby(clips, key=_video_of)]
    errors, found = Errors(weights, device), {}
    rows: list[np.ndarray] = []
    with torch.no_grad():
        codes = [[model.encoder(batch.clip, batch.photo)[0] for batch in group] for group in groups]
        strangers = _strangers([sources[_video_of(group[0])] for group in groups])
        for number, (group, own) in enumerate(zip(groups, codes, strict=True)):
            several = []
            for place, (batch, code) in enumerate(zip(group, own, strict=True)):
                drawn = model.decoder(batch.photo, code)[0]
                made = {"": drawn, "_repeat": batch.photo.expand_as(drawn)}
                if strangers is not None:
                    others = codes[strangers[number]]
                    made["_other"] = model.decoder(batch.photo, others[place % len(others)])[0]
                shown = {name: (frames + 1) / 2 for name, frames in made.items()}
                several.append(errors((batch.clip[0] + 1) / 2, shown))
                if batch is group[0] and len(rows) < SHEET_VIDEOS:
                    rows.append(sheet(torch.stack([batch.clip[0], drawn])))
            found[_video_of(group[0])] = _means(several)
    if sheet_path is not None:
        write_image(sheet_path, np.concatenate(rows))
    return errors.summary(found, sources) | {"frames": video.frames}


def _strangers(sources: list[str]) -> list[int] | None:
    """For each video the place of the next one from another file; None where all are from one."""
    if len(set(sources)) < 2:
        return None
    count = len(sources)
    later = [[(first + more) % count for more in range(1, count)] for first in range(count)]
    return [next(place for place in places if sources[place] != sources[first]) for first, places in enumerate(later)]


def _video_of(clip: ClipBatch) -> str:
    return clip.ids[0].rpartition(":")[0]


def _means(several: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([errors[name] for errors in several])) for name in several[0]}
