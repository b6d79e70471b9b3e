"""Baselines that train on several dataset folders, each with its share of the batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.cinn.data.clips import Clips
from baselines.cinn.presets import PRESETS as CINN_PRESETS
from baselines.cinn.train import CinnRun, training_videos, validation_videos
from baselines.lfdm.config import PRESETS as LFDM_PRESETS
from baselines.lfdm.data.batches import ClipBatches, PairBatches
from baselines.lfdm.data.clips import PictureClip
from baselines.lfdm.train import LFDMRun, clip_weights, training_clips, validation_clips
from data.dataset.manifest import load_manifest, write_manifest
from training.batches.options import DataOptions
from training.task import RunOptions

DRAWN = 400


@pytest.fixture
def other(small_dataset: Path, tmp_path: Path) -> Path:
    """The same sequences under other names, none of them held out."""
    folder = tmp_path / "other"
    folder.mkdir()
    for path in small_dataset.iterdir():
        if path.name != "manifest.csv":
            (folder / path.name).symlink_to(path)
    rows = [row for row in load_manifest(small_dataset) if row["split"] != "validation"]
    write_manifest(folder / "manifest.csv", rows)
    return folder


def generators():
    return [torch.Generator().manual_seed(seed) for seed in range(DRAWN)]


def lfdm_run(*folders: Path, shares: tuple[float, ...] | None = None) -> LFDMRun:
    data = DataOptions(folders=folders, shares=shares)
    return LFDMRun(data=data, preset=LFDM_PRESETS["tiny"], run=RunOptions(output=Path("run")))


class Stills:
    """What :class:`ClipFrames` gives of clips that are a number each."""

    def __init__(self, count: int) -> None:
        self.clips = [PictureClip(Path(str(number)), (Path("0.png"),) * 4) for number in range(count)]

    def read(self, number: int, indices: Sequence[int]) -> torch.Tensor:
        return torch.zeros(len(indices), 3, 2, 2)


def test_lfdm_draws_folders_by_their_shares(small_dataset: Path, other: Path) -> None:
    run = lfdm_run(small_dataset, other, shares=(3, 1))
    groups = training_clips(run)
    frames: Any = Stills(sum(map(len, groups)))
    weights = clip_weights(run, groups)
    for batches in (PairBatches(frames, weights=weights), ClipBatches(frames, 4, sampling="uniform", weights=weights)):
        drawn = [int(name) < len(groups[0]) for name in batches.draw(generators()).ids]
        assert sum(drawn) / DRAWN == pytest.approx(0.75, abs=0.07)


def test_lfdm_draws_one_folder_as_ever_and_validates_where_something_is_held_out(
    small_dataset: Path, other: Path
) -> None:
    one, two = lfdm_run(small_dataset), lfdm_run(small_dataset, other)
    assert clip_weights(one, training_clips(one)) is None
    assert [clip.name for clip in validation_clips(two)] == [clip.name for clip in validation_clips(one)]


def test_cinn_draws_folders_by_their_shares_and_validates_where_something_is_held_out(
    small_dataset: Path, other: Path
) -> None:
    def cinn_run(*folders: Path, **options) -> CinnRun:
        data = DataOptions(folders=folders, **options)
        return CinnRun(data=data, layout="dataset", preset=CINN_PRESETS["tiny"], run=RunOptions(output=Path("run")))

    run = cinn_run(small_dataset, other, shares=(1, 4))
    videos = training_videos(run)
    clips = Clips(videos, (48, 32), length=2)
    chosen = [int(torch.multinomial(clips._weights, 1, generator=generator)) for generator in generators()]
    first = len(training_videos(cinn_run(small_dataset)))
    assert sum(number < first for number in chosen) / DRAWN == pytest.approx(0.2, abs=0.07)
    assert validation_videos(run)
    with pytest.raises(ValueError, match="no sequences in the split 'validation'"):
        validation_videos(cinn_run(small_dataset, validation=(other,)))
