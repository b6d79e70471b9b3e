"""Clips of the published data sets, made up in their layout; frame sampling, fitting, augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.lfdm.data.batches import PAIR_JITTER, ClipBatches, PairBatches, jitter_color
from baselines.lfdm.data.clips import ClipFrames, fit_frames, frame_indices
from baselines.lfdm.data.datasets import (
    MHAD_LABELS,
    MHAD_TEST,
    MHAD_TRAIN,
    MUG_TEST,
    MUG_TRAIN,
    NATOPS_LABELS,
    NATOPS_TEST,
    NATOPS_TRAIN,
    find_clips,
    labels_of,
)
from data.media.images import write_image
from data.media.write_video import write_video


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def pictures(folder: Path, count: int = 3, size: tuple[int, int] = (32, 24), suffix: str = ".png") -> Path:
    """Frames whose gray value is ten times their number."""
    folder.mkdir(parents=True)
    for number in range(count):
        write_image(folder / f"frame_{number:03d}{suffix}", np.full((size[1], size[0], 3), 10 * number, np.uint8))
    return folder


def test_the_published_splits_share_no_subject() -> None:
    for train, test in ((MUG_TRAIN.split(), MUG_TEST.split()), (MHAD_TRAIN, MHAD_TEST), (NATOPS_TRAIN, NATOPS_TEST)):
        assert not set(train) & set(test)
    assert len(MUG_TRAIN.split()) == len(MUG_TEST.split()) == 26
    assert (len(MHAD_LABELS), len(NATOPS_LABELS)) == (27, 24)


def test_mug_with_and_without_sessions(tmp_path: Path) -> None:
    pictures(tmp_path / "008" / "anger" / "take000", suffix=".jpg")
    pictures(tmp_path / "008" / "fear" / "take001", suffix=".jpg")
    for session in ("session0", "session1"):  # the published code reads the first one twice and never the second
        pictures(tmp_path / "002" / session / "surprise" / "take000", suffix=".jpg")
    pictures(tmp_path / "008" / "mixed" / "take000")  # no expression
    train, test = (find_clips(tmp_path, split, layout="mug") for split in ("train", "test"))
    assert [(clip.subject, clip.label, len(clip)) for clip in train] == [("008", "anger", 3), ("008", "fear", 3)]
    assert [Path(clip.name).parts[-3] for clip in test] == ["session0", "session1"]
    assert find_clips(tmp_path, "validation", layout="mug") == []
    assert labels_of(train) == ("anger", "fear")


def test_mhad_as_pictures_and_as_published_videos(tmp_path: Path) -> None:
    pictures(tmp_path / "a3_s1_t2", size=(336, 480))
    frames = np.zeros((2, 480, 640, 3), np.uint8)
    frames[:, :, 160:488] = 200
    write_video(tmp_path / "a27_s8_t4_color.avi.mp4", frames, 15)  # another name: not of the data set
    write_video(tmp_path / "clip.mp4", frames, 15)
    (tmp_path / "clip.mp4").rename(tmp_path / "a27_s8_t4_color.avi")
    (train,) = find_clips(tmp_path, "train", layout="mhad")
    (test,) = find_clips(tmp_path, "test", layout="mhad")
    assert (train.label, train.subject) == ("wave", "1")
    assert (test.label, test.subject, len(test)) == ("squat", "8", 2)
    cut = test.read([1])
    assert cut.shape == (1, 480, 336, 3)
    assert cut[:, :, 12:-12].mean() > 190  # the sides are cut off


def test_natops_is_cut_to_the_person(tmp_path: Path) -> None:
    pictures(tmp_path / "g02s03p20", size=(320, 240))
    pictures(tmp_path / "g24s18p01", size=(320, 240))
    pictures(tmp_path / "g01s01p01", size=(320, 240))  # a subject that neither split has
    (train,) = find_clips(tmp_path, "train", layout="natops")
    (test,) = find_clips(tmp_path, "test", layout="natops")
    assert (train.label, test.label) == ("all clear", "cut engine")
    assert train.read([0, 2]).shape == (2, 229, 260, 3)


def test_what_is_no_data_set_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        find_clips(tmp_path / "nowhere", "train", layout="mug")
    with pytest.raises(ValueError, match=r"no train clips of the layout natops, which holds gGGsSSpPP"):
        find_clips(tmp_path, "train", layout="natops")
    pictures(tmp_path / "g02s03p20")
    (small,) = find_clips(tmp_path, "train", layout="natops")
    with pytest.raises(ValueError, match="frames of 32x24, too small"):
        small.read([0])
    pictures(tmp_path / "g02s04p01", count=1)
    with pytest.raises(ValueError, match="g02s04p01: a single frame"):
        ClipFrames(find_clips(tmp_path, "train", layout="natops"), (32, 32), fit="crop")


@pytest.mark.parametrize("sampling", ["contiguous", "uniform", "random", "very_random"])
def test_frames_come_in_order_from_the_clip(sampling: str) -> None:
    for seed in range(5):
        found = frame_indices(97, 40, sampling=sampling, generator=seeded(seed))
        assert len(found) == 40
        assert found == sorted(found)
        assert min(found) >= 0
        assert max(found) <= 96
        if sampling == "contiguous":
            assert found == list(range(found[0], found[0] + 40))
        else:
            assert found[0] == 0
        if sampling in ("uniform", "random"):
            assert found[-1] == 96
    assert frame_indices(3, 5, sampling=sampling, generator=seeded()) == [0, 1, 2, 2, 2]


def test_random_frames_differ_and_uniform_ones_do_not() -> None:
    draws = {
        name: {tuple(frame_indices(97, 9, sampling=name, generator=seeded(s))) for s in range(4)}
        for name in ("random", "uniform")
    }
    assert len(draws["random"]) == 4
    assert len(draws["uniform"]) == 1


def test_letterbox_keeps_all_and_crop_fills() -> None:
    frame = np.full((1, 480, 336, 3), 200, np.uint8)
    boxed = fit_frames(frame, (128, 128), how="letterbox")
    assert boxed.shape == (1, 128, 128, 3)
    assert (boxed[0, :, 19:109] > 190).all()  # 90 of 128 columns
    assert (boxed[0, :, :19] == 0).all()
    assert (boxed[0, :, 109:] == 0).all()
    assert (fit_frames(frame, (128, 128), how="crop") > 190).all()


def test_pairs_are_flipped_in_time_or_space_but_never_both(tmp_path: Path) -> None:
    folder = tmp_path / "008" / "anger" / "take"
    folder.mkdir(parents=True)
    for number in range(2):
        picture = np.full((32, 32, 3), 100 * number, np.uint8)
        picture[:, 16:] += 50
        write_image(folder / f"{number}.png", picture)
    frames = ClipFrames(find_clips(tmp_path, "train", layout="mug"), (32, 32), fit="crop")
    batch = PairBatches(frames, jitter=0.0).draw([seeded(number) for number in range(80)])
    assert batch.frames.shape == (80, 2, 3, 32, 32)
    moving = [pair for pair in batch.frames if pair[0].mean() != pair[1].mean()]
    in_time = [bool(pair[0].mean() > pair[1].mean()) for pair in moving]
    in_space = [bool(pair[0, 0, 0, 0] > pair[0, 0, 0, -1]) for pair in moving]
    kinds = set(zip(in_time, in_space, strict=True))
    assert kinds == {(True, False), (False, True), (False, False)}


def test_a_sample_depends_on_its_generator_alone(tmp_path: Path) -> None:
    for subject in ("008", "017"):
        pictures(tmp_path / subject / "fear" / "take", count=6)
    clips = find_clips(tmp_path, "train", layout="mug")
    kept = ClipFrames(clips, (32, 32), fit="letterbox")
    read = ClipFrames(clips, (32, 32), fit="letterbox", limit=0)
    batches = [ClipBatches(frames, 4, sampling="contiguous") for frames in (kept, read)]
    whole, other = (each.draw([seeded(1), seeded(2), seeded(3)]) for each in batches)
    assert torch.equal(whole.frames, other.frames)
    assert torch.equal(whole.frames[1:2], batches[0].draw([seeded(2)]).frames)
    assert whole.conditions == ["fear"] * 3
    assert whole.frames.shape == (3, 4, 3, 32, 32)


def test_color_changes_are_the_same_for_all_frames() -> None:
    frame = torch.rand(1, 3, 8, 8)
    changed = jitter_color(frame.expand(3, -1, -1, -1), PAIR_JITTER, scale=1.0, order=[2, 0, 3, 1], generator=seeded())
    assert torch.equal(changed[0], changed[2])
    assert (changed[0] - frame[0]).abs().max() > 1e-3
    assert torch.equal(jitter_color(frame, PAIR_JITTER, scale=0.0, order=[0], generator=seeded()), frame)


@pytest.mark.parametrize("index", range(4))
def test_each_color_change_does_what_it_says(index: int) -> None:
    frame, ranges = 0.3 + 0.3 * torch.rand(1, 3, 8, 8), [0.0] * 4
    ranges[index] = 0.2
    changed = jitter_color(frame, tuple(ranges), scale=1.0, order=[index], generator=seeded(2))
    gray, grays = (_gray_of(picture) for picture in (frame, changed))
    spread, spreads = (picture.std(dim=1).mean() for picture in (frame, changed))
    assert (changed - frame).abs().max() > 1e-3
    if index == 0:
        ratio = changed / frame
        assert ratio.std() < 1e-5
    elif index == 1:
        assert grays.mean().item() == pytest.approx(gray.mean().item(), abs=1e-4)
        assert abs(grays.std() / gray.std() - 1) > 1e-3
    elif index == 2:
        torch.testing.assert_close(grays, gray, atol=1e-5, rtol=1e-4)
        assert abs(spreads / spread - 1) > 1e-3
    else:
        torch.testing.assert_close(changed.mean(dim=1), frame.mean(dim=1), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(changed.std(dim=1), frame.std(dim=1), atol=1e-5, rtol=1e-4)


def _gray_of(frames: torch.Tensor) -> torch.Tensor:
    return (frames * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1)
