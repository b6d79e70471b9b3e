from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines.registry import METHODS
from baselines.videos import measure_motion, video_files, videos
from common.images import from_8_bits
from data.media.write_video import write_video
from evaluation.metrics.motion import localisation
from evaluation.metrics.motion_scores import match_frequencies, motion_scores, seam
from evaluation.prediction import Setting
from evaluation.sequences import EvaluationSequence, centre_crop, load_sequences
from models.pipeline import ImageDynamicsPipeline
from models.spectral_volume import rms_amplitude, spectral_volume_to_motion


@pytest.fixture(scope="module")
def setting(small_dataset: Path) -> Setting:
    """Both clips of the small dataset as one split, rendered without a network."""
    both = load_sequences(small_dataset, "validation") + load_sequences(small_dataset, "train")
    return Setting(both, ImageDynamicsPipeline(), num_frequencies=4, renderer="softmax")


def predict(setting: Setting, name: str, index: int = 0):
    return METHODS[name].make(setting)(index, setting.sequences[index])


def test_true_motion_renders_frames_close_to_the_real_ones(setting: Setting) -> None:
    sequence = setting.sequences[0]
    prediction = predict(setting, "true-motion")
    assert prediction.render is not None
    frames = prediction.render(0, sequence.num_frames)
    real = sequence.frames()
    assert frames.shape == real.shape
    assert frames.dtype == torch.uint8
    others = [predict(setting, name).render for name in ("repeat", "shuffled")]
    for render in others:
        assert render is not None
        wrong = render(0, sequence.num_frames)
        assert (from_8_bits(frames) - from_8_bits(real)).abs().mean() < (
            from_8_bits(wrong) - from_8_bits(real)
        ).abs().mean()
    assert motion_scores(prediction, setting.true_volume(sequence))["localisation"] == pytest.approx(1)


def test_the_repeated_photo_never_moves(setting: Setting) -> None:
    prediction = predict(setting, "repeat")
    assert prediction.render is not None
    frames = prediction.render(0, 5)
    assert frames.shape[0] == 5
    assert torch.equal(frames, frames[:1].expand_as(frames))
    assert seam(frames) == 1.0
    scores = motion_scores(prediction, setting.true_volume(setting.sequences[0]))
    assert scores["amplitude_ratio"] == 0
    assert scores["localisation"] == 0


def test_shuffled_takes_the_motion_of_another_video(setting: Setting) -> None:
    prediction = predict(setting, "shuffled")
    others = [s for s in setting.sequences if s.source != setting.sequences[0].source]
    assert any(torch.equal(prediction.motion[0], setting.true_volume(other)) for other in others)
    alone = replace(setting, sequences=setting.sequences[:1])
    assert "one video" in str(predict(alone, "shuffled").note)


def test_motion_of_videos_is_measured_where_the_datasets_own_was_made(setting: Setting) -> None:
    sequence = setting.sequences[0]
    frames = sequence.frames()[:3]
    made, measured = (
        measure_motion(frames, replace(sequence, row={**sequence.row, "estimator": name}), 2)
        for name in ("exact", "coarse2fine")
    )
    assert torch.equal(made, measured)


def test_jelly_moves_all_pixels_alike_along_one_sinusoid(setting: Setting) -> None:
    prediction = predict(setting, "jelly")
    volume = prediction.motion[0]
    assert torch.equal(volume, volume[..., :1, :1].expand_as(volume))
    assert (volume[0, :, :, 0, 0].abs().sum(dim=1) > 0).sum() == 1
    motion = spectral_volume_to_motion(volume, 32)[0, :, :, 0, 0]
    directions = motion[motion.norm(dim=1) > 1e-4]
    assert torch.linalg.matrix_rank(directions, atol=1e-4) == 1
    mean = sum(float(rms_amplitude(setting.true_volume(s))) for s in setting.sequences) / len(setting.sequences)
    assert float(rms_amplitude(volume)) == pytest.approx(mean, rel=1e-5)
    assert torch.equal(volume, predict(setting, "jelly").motion[0])
    assert not torch.equal(volume, METHODS["jelly"].make(replace(setting, seed=1))(0, setting.sequences[0]).motion[0])


def test_maps_have_a_localisation_and_no_video(setting: Setting) -> None:
    true = setting.true_volume(setting.sequences[0])
    for name in ("gradient", "gradient-8", "gradient-16"):
        prediction = predict(setting, name)
        assert prediction.render is None
        assert set(motion_scores(prediction, true)) == {"localisation"}
    start = predict(setting, "other-start")
    assert localisation(start.motion[0], true) > 0.9  # the same loop moves in the same places
    assert not torch.equal(start.motion[0], true)
    alone = METHODS["other-start"].make(replace(setting, sequences=setting.sequences[:1]))(0, setting.sequences[0])
    assert len(alone.motion) == len(start.motion)  # the others need not be in the table


def test_what_relates_to_the_measured_motion_needs_some(setting: Setting) -> None:
    sequence = setting.sequences[0]
    still = torch.zeros_like(setting.true_volume(sequence))
    still[:, 0] = 0.1  # the mean position is no motion
    assert set(motion_scores(predict(setting, "jelly"), still)) == {"spectrum_distance", "coherence"}
    assert motion_scores(predict(setting, "gradient"), still) == {}


def test_missing_frequencies_do_not_move(setting: Setting) -> None:
    volume = torch.randn(1, 3, 4, 8, 8)
    assert torch.equal(match_frequencies(volume, 2), volume[:, :2])
    longer = match_frequencies(volume, 5)
    assert torch.equal(longer[:, :3], volume)
    assert not longer[:, 3:].any()


def test_the_seam_of_a_cut_loop_is_large() -> None:
    ramp = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).expand(20, 3, 4, 4)
    assert seam(ramp) == pytest.approx(19)
    there_and_back = torch.cat([ramp, ramp.flip(0)])
    assert seam(there_and_back) < 1.1


def test_crops_are_centred_and_no_larger_than_the_frames() -> None:
    frames = torch.arange(160 * 300).view(1, 1, 160, 300)
    crop = centre_crop(frames)
    assert crop.shape == (1, 1, 128, 256)
    assert crop[0, 0, 0, 0] == 16 * 300 + 22
    assert centre_crop(frames[..., :100, :]).shape == (1, 1, 100, 256)


# Videos of others -----------------------------------------------------------------------------------------------------


def write_frames(folder: Path, sequence: EvaluationSequence, frames: torch.Tensor, suffix: str = ".png") -> None:
    folder.mkdir(exist_ok=True)
    write_video(folder / f"{sequence.id}{suffix}", frames.permute(0, 2, 3, 1).contiguous().numpy(), 30)


def test_videos_of_others_are_measured_like_the_dataset(setting: Setting, tmp_path: Path) -> None:
    sequence = setting.sequences[0]
    alone = replace(setting, sequences=[sequence])
    write_frames(tmp_path / "real", sequence, sequence.frames(), ".gif")
    prediction = videos(tmp_path / "real", alone)(0, sequence)
    scores = motion_scores(prediction, setting.true_volume(sequence))
    assert scores["localisation"] > 0.8
    assert scores["amplitude_ratio"] == pytest.approx(1, abs=0.2)
    assert prediction.render is not None
    assert prediction.render(0, 7).shape == (7, 3, 32, 64)


def test_short_videos_of_others_have_no_motion_figures(setting: Setting, tmp_path: Path) -> None:
    sequence = setting.sequences[0]
    write_frames(tmp_path / "short", sequence, sequence.frames()[:20], ".gif")
    prediction = videos(tmp_path / "short", replace(setting, sequences=[sequence]))(0, sequence)
    assert not prediction.motion
    assert "size and length" in str(prediction.note)


def test_unusable_folders_of_videos_are_named(setting: Setting, tmp_path: Path) -> None:
    sequence = setting.sequences[0]
    alone = replace(setting, sequences=[sequence])
    with pytest.raises(ValueError, match="no such folder"):
        video_files(tmp_path / "nowhere", alone.sequences)
    with pytest.raises(ValueError, match=f"no video of sequence {sequence.id}"):
        video_files(tmp_path, alone.sequences)
    write_frames(tmp_path / "large", sequence, torch.zeros(20, 3, 48, 48, dtype=torch.uint8), ".gif")
    with pytest.raises(ValueError, match="48x48 pixels, the other methods' videos are 64x32"):
        videos(tmp_path / "large", alone)
    write_frames(tmp_path / "photo", sequence, sequence.frames()[:1], ".gif")
    with pytest.raises(ValueError, match="a single frame"):
        videos(tmp_path / "photo", alone)
