"""Layered photos under known oscillation: motion, occlusions and frames fit together exactly."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.flower_meadow import flowers_of, meadow

from data.dataset.manifest import load_manifest, load_statistics
from data.dataset.reading import FramePairDataset, SpectralVolumeDataset, read_sequence
from data.media.images import write_image
from data.synthetic.command import main
from data.synthetic.layers import fill_hidden, inverse_positions, peel
from data.synthetic.motion import Hinge, bending, draw_wind
from data.synthetic.scene import SceneParameters, cut_layers
from data.synthetic.segments import merge_regions, superpixels
from data.synthetic.sequence import SyntheticSequence, draw_canvas, synthetic_sequence
from data.synthetic.sway import Motion
from data.synthetic.things.reading import read_photo
from models.spectral_volume import motion_to_spectral_volume, spectral_volume_to_motion

SIZE = (96, 64)
EXACT = SceneParameters(num_frames=24, num_frequencies=8, amplitude=5.0, photometric=0.0)


@pytest.fixture(scope="module")
def sequence() -> SyntheticSequence:
    return synthetic_sequence(meadow(), 1, things=flowers_of(meadow()), parameters=EXACT, size=SIZE)


def moving_square(distance: float) -> SyntheticSequence:
    """A red square before a blue ground with stripes that moves to the right by so many pixels from frame 0 to 1."""
    canvas = np.zeros((64, 96, 3), np.uint8)
    canvas[..., 2] = 120 + 60 * (np.arange(96) % 16 < 8)
    canvas[20:44, 20:44] = (230, 20, 20)
    labels = np.zeros((64, 96), np.int32)
    labels[20:44, 20:44] = 1
    shapes = np.zeros((1, 64, 96, 2), np.float32)
    shapes[..., 0] = 2 * distance
    behind, layers = cut_layers(canvas, labels, [Motion(0, 0, shapes, np.array([[0.0, 1.0]]))])
    ids = labels[::2, ::2].copy()
    nothing = np.zeros((0, 32, 48, 3), np.uint8)
    share = np.ones(ids.shape, np.float32)
    return SyntheticSequence(canvas[::2, ::2], nothing, np.zeros(0, np.int32), ids, share, behind, layers, 2)


# Frames and motion ----------------------------------------------------------------------------------------------------


def test_without_amplitude_every_frame_is_the_photo() -> None:
    still = SceneParameters(num_frames=6, num_frequencies=3, amplitude=0.0, photometric=0.0)
    things = flowers_of(meadow())
    sequence = synthetic_sequence(meadow(), 3, things=things, parameters=still, size=SIZE)
    assert (sequence.frames == sequence.first_frame).all()
    assert not sequence.motion().any()
    canvas, margin, _ = draw_canvas(meadow(), SIZE, things, np.random.default_rng(3))
    inner = canvas[margin:-margin, margin:-margin].astype(float)
    averaged = inner.reshape(SIZE[1], 2, SIZE[0], 2, 3).mean(axis=(1, 3))
    assert np.abs(sequence.first_frame - averaged).max() <= 1


def test_things_move_and_the_first_frame_does_not(sequence: SyntheticSequence) -> None:
    motion = sequence.motion()
    assert motion.shape == (24, 64, 96, 2)
    assert motion.dtype == np.float32
    assert not motion[0].any()
    assert len(sequence.layers) >= 2
    assert 1 < np.abs(motion).max() < 15
    assert np.abs(motion).mean(axis=(0, 3)).min() < 0.2, "something stays nearly still"
    np.testing.assert_allclose(sequence.motion([5, 9]), motion[[5, 9]], atol=1e-5)


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_frames_show_each_pixel_where_the_motion_puts_it(seed: int) -> None:
    import cv2

    times = np.arange(4, 24, 4)
    photo = meadow(seed)
    things = flowers_of(photo)
    sequence = synthetic_sequence(photo, seed, things=things, parameters=EXACT, size=SIZE, frame_indices=times)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)
    whole = (sequence.layer_shares > 0.999).astype(np.uint8)
    for label in range(len(sequence.layers) + 1):  # also the neighbours that cubic interpolation looks at
        whole &= 1 - cv2.dilate((sequence.layer_ids == label).astype(np.uint8), np.ones((5, 5))) | (
            sequence.layer_ids == label
        ).astype(np.uint8)
    errors, still = [], []
    for frame, t in zip(sequence.frames, times, strict=True):
        motion = sequence.motion([t])[0]
        there_x, there_y = x + motion[..., 0], y + motion[..., 1]
        inside = (there_x > 2) & (there_x < SIZE[0] - 3) & (there_y > 2) & (there_y < SIZE[1] - 3)
        uncovered = cv2.dilate(sequence.covered(int(t)), np.ones((5, 5))) < 0.01
        chosen = inside & uncovered & (whole > 0)
        assert chosen.mean() > 0.2
        sampled = cv2.remap(frame.astype(np.float32), there_x, there_y, cv2.INTER_CUBIC)
        errors.append(np.square(sampled - sequence.first_frame)[chosen].mean())
        still.append(np.square(frame.astype(float) - sequence.first_frame)[chosen].mean())
    assert 10 * np.log10(255**2 / np.mean(errors)) > 38
    assert np.mean(still) > 10 * np.mean(errors), "the motion explains what changes"


def test_covered_pixels_are_behind_what_moved_over_them() -> None:
    square = moving_square(15)
    covered = square.covered(1)
    assert covered[12:20, 27:35].min() > 0.95  # the square has come here
    assert covered[:, :9].max() == 0
    assert covered[11:21, 11:21].max() < 0.05  # nothing is in front of the square itself
    np.testing.assert_array_equal(square.motion()[1, 10:22, 10:22], np.broadcast_to(np.float32([15, 0]), (12, 12, 2)))


def test_what_a_thing_leaves_looks_like_its_surroundings() -> None:
    from data.synthetic.layers import compose

    square = moving_square(15)
    moved = compose(square.behind, square.layers, 1)
    np.testing.assert_allclose(moved[22:42, 52:72], np.broadcast_to([230.0, 20, 20], (20, 20, 3)), atol=6)
    left_behind = moved[22:42, 22:42]
    assert left_behind[..., 0].max() < 25
    assert 110 < left_behind[..., 2].min() <= left_behind[..., 2].max() < 190


def test_the_seed_decides_everything() -> None:
    noisy = SceneParameters(num_frames=12, num_frequencies=4, photometric=1.0)
    things = flowers_of(meadow())
    first, again, other = (
        synthetic_sequence(meadow(), seed, things=things, parameters=noisy, size=SIZE, frame_indices=[3, 7])
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.motion(), again.motion())
    assert (first.first_frame != other.first_frame).any()
    clean = replace(noisy, photometric=0.0)
    exact = synthetic_sequence(meadow(), 5, things=things, parameters=clean, size=SIZE, frame_indices=[3])
    np.testing.assert_array_equal(exact.motion(), first.motion())  # variation changes colours alone
    assert 0 < np.abs(exact.first_frame.astype(float) - first.first_frame).mean() < 20


def test_pictures_without_things_stand_still() -> None:
    gray = np.full((80, 120, 3), 99, np.uint8)
    assert read_photo(gray).things == []
    flat = synthetic_sequence(gray, 0, things=[], parameters=EXACT, size=SIZE, frame_indices=[5])
    assert (flat.frames == 99).all()


def test_photos_smaller_than_the_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="60x200 is too small"):
        synthetic_sequence(np.zeros((200, 60, 3), np.uint8), 0, things=[], parameters=EXACT, size=SIZE)


# Spectra --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("periodic", [0.0, 1.0])
def test_the_volume_is_the_transform_of_the_motion(periodic: float) -> None:
    parameters = SceneParameters(num_frames=25, num_frequencies=8, periodic=periodic)
    sequence = synthetic_sequence(
        meadow(), 2, things=flowers_of(meadow()), parameters=parameters, size=SIZE, frame_indices=[1]
    )
    motion = torch.from_numpy(sequence.motion()).permute(0, 3, 1, 2)[None]
    volume = torch.from_numpy(sequence.spectral_volume(8))
    torch.testing.assert_close(volume, motion_to_spectral_volume(motion, 8)[0], atol=1e-4, rtol=1e-4)
    error = (spectral_volume_to_motion(volume[None], 25) - motion).abs().max()
    assert (error < 1e-3) == bool(periodic), "periodic motion is all in the volume"


def test_power_falls_with_frequency() -> None:
    random = np.random.default_rng(0)
    power = np.zeros(15)
    for _ in range(40):
        wind = draw_wind(random, 150, 30.0, 16, periodic=True, width=600)
        motion = wind.series(random.uniform(0.3, 1.0), 0.2, 100.0).real
        power += np.abs(np.fft.rfft(motion)[1:16]) ** 2
    assert power[:3].mean() > 5 * power[5:8].mean() > 25 * power[12:15].mean()


def test_series_are_about_one_at_most_and_damped_ones_come_to_rest() -> None:
    decays = 0
    for seed in range(12):
        wind = draw_wind(np.random.default_rng(seed), 90, 30.0, 16, periodic=False, width=600)
        motion = wind.series(1.0, 0.3, 300.0).real
        assert np.abs(motion).max() == pytest.approx(1)
        if wind.decay:
            decays += 1
            assert np.abs(motion[-15:]).max() < 0.5
    assert 0 < decays < 12


def test_bending_grows_from_the_hinge() -> None:
    y, x = np.mgrid[0:100, 0:60].astype(np.float32)
    shape = bending(Hinge(30, 90, (0.0, -1.0), 80, 2.0), x, y)
    assert not shape[90:].any()
    assert (np.diff(np.abs(shape[:90, 30, 0])) < 0).all()
    assert np.abs(shape[10, 30]) == pytest.approx([1, 0], abs=1e-3)
    assert shape[10, 20, 1] * shape[10, 40, 1] < 0, "the tip turns as it bends"


# Layers and regions ---------------------------------------------------------------------------------------------------


def test_peeled_layers_compose_to_the_photo() -> None:
    photo = meadow().astype(np.float32)
    labels = np.zeros(photo.shape[:2], np.int32)
    labels[40:90, 60:140] = 1
    rgba, behind, below = peel(photo, labels, 1)
    np.testing.assert_allclose(rgba[..., :3] + (1 - rgba[..., 3:]) * behind, photo, atol=1e-3)
    assert not below.any()
    assert rgba[55:75, 80:120, 3].min() == 1
    assert rgba[:20, :, 3].max() == 0


def test_hidden_places_take_the_texture_around_them() -> None:
    stripes = np.broadcast_to(100 + 50 * (np.arange(80) % 8 < 4)[:, None, None], (80, 80, 3)).astype(np.float32)
    hidden = np.zeros((80, 80), bool)
    hidden[:, 36:44] = True
    spoilt = np.where(hidden[..., None], 0, stripes).astype(np.float32)
    filled = fill_hidden(spoilt, hidden)
    np.testing.assert_array_equal(filled[~hidden], stripes[~hidden])
    assert np.abs(filled - stripes)[8:-8].mean(axis=2)[hidden[8:-8]].mean() < 16


def test_inverse_positions_undo_the_displacement() -> None:
    y, x = np.mgrid[0:60, 0:80].astype(np.float32)
    displacement = np.stack([6 * np.sin(y / 14), 5 * np.cos(x / 17)], axis=-1)
    before_x, before_y = inverse_positions(displacement, x, y)
    inner = np.s_[15:-15, 15:-15]
    again_x = before_x + 6 * np.sin(before_y / 14)
    again_y = before_y + 5 * np.cos(before_x / 17)
    assert max(np.abs(again_x - x)[inner].max(), np.abs(again_y - y)[inner].max()) < 0.05


def test_partitions_are_nested_and_follow_edges() -> None:
    photo = np.full((90, 120, 3), 40, np.uint8)
    photo[20:60, 30:80] = (220, 180, 30)
    photo = (photo + np.random.default_rng(0).integers(0, 6, photo.shape)).astype(np.uint8)
    labels = superpixels(photo)
    assert labels.min() == 0
    assert len(np.unique(labels)) == labels.max() + 1 > 30
    fine, coarse = merge_regions(photo, labels, [12, 2])
    assert (len(np.unique(fine)), len(np.unique(coarse))) == (12, 2)
    assert all(len(np.unique(coarse[fine == label])) == 1 for label in range(12))
    inside, outside = coarse[24:56, 34:76], np.concatenate([coarse[:16].ravel(), coarse[64:].ravel()])
    assert len(np.unique(inside)) == len(np.unique(outside)) == 1
    assert inside[0, 0] != outside[0]


# The command line -----------------------------------------------------------------------------------------------------

OPTIONS = ["--size", "64x48", "--num-frames", "20", "--num-frequencies", "6", "--stored-frames", "3"]
OPTIONS += ["--split", "1,0,0", "--validation", "last*"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, seed in (("first", 0), ("last", 1)):
        write_image(folder / f"{name}.png", meadow(seed))
    return folder


@pytest.fixture(scope="module")
def dataset(photos: Path) -> Path:
    output = photos / "dataset"
    assert main([str(photos), "--output", str(output), "--sequences", "4", "--held-out", "1", *OPTIONS]) == 0
    return output


def test_the_dataset_folder_reads_like_any_other(dataset: Path) -> None:
    rows = load_manifest(dataset)
    assert [(row["split"], row["status"], row["stored_frames"]) for row in rows] == [
        *[("train", "kept", 3)] * 2,
        ("validation", "kept", 3),
    ]
    assert {row["estimator"] for row in rows} == {"exact"}
    statistics = load_statistics(dataset)
    assert (statistics["num_frequencies"], statistics["num_sequences"]) == (6, 2)
    motion = SpectralVolumeDataset(dataset, num_frequencies=4)
    assert motion[0]["spectral_volume"].shape == (4, 4, 48, 64)
    assert motion[0]["spectral_volume"].abs().max() > 0.01
    pairs = FramePairDataset(dataset)
    assert len(pairs) == 6
    item = pairs[1]
    assert item["target"].shape == (3, 48, 64)
    assert item["flow"].shape == (2, 48, 64)
    assert not torch.equal(item["source"], item["target"])


def test_the_same_command_finds_everything_done(
    photos: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(photos), "--output", str(dataset), "--sequences", "4", "--held-out", "1", *OPTIONS]
    lost = dataset / "sequences" / f"{load_manifest(dataset)[0]['id']}.safetensors"
    content = read_sequence(lost)
    assert main(command) == 0
    assert "0 computed now" in capsys.readouterr().out
    lost.unlink()
    assert main(command) == 0
    assert "1 computed now" in capsys.readouterr().out
    again = read_sequence(lost)
    assert all(torch.equal(again[name], tensor) for name, tensor in content.items())


def test_flow_can_be_estimated_in_the_frames(photos: Path, dataset: Path, tmp_path: Path) -> None:
    command = [str(photos), "--output", str(tmp_path / "dis"), "--sequences", "4", "--held-out", "1", *OPTIONS]
    assert main([*command, "--flow", "dis"]) == 0
    row = load_manifest(dataset, "train")[0]
    exact, estimated = (
        read_sequence(f / "sequences" / f"{row['id']}.safetensors") for f in (dataset, tmp_path / "dis")
    )
    assert torch.equal(exact["frames"], estimated["frames"])
    assert torch.equal(exact["spectral_volume"], estimated["spectral_volume"])
    assert exact["flows"].shape == estimated["flows"].shape
    assert not torch.equal(exact["flows"], estimated["flows"])


@pytest.mark.slow
def test_the_renderer_trains_on_it(dataset: Path, tmp_path: Path) -> None:
    from train_frame_synthesis import main as train

    run = ["--data", str(dataset), "--output", str(tmp_path / "run"), "--preset", "tiny", "--max-steps", "2"]
    assert train([*run, "--crop", "32x32", "--batch-size", "2", "--device", "cpu"]) == 0
    assert (tmp_path / "run" / "config.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg"], "nowhere.jpg: no such photo or folder"),
        (["empty"], "no photos in this folder"),
        (["small.png"], "small.png: 30x20 is too small for sequences of 64x48"),
        (["text.png"], "text.png: not an image that can be read"),
        (["small.png", "text.png"], "1 more photos that can't be used"),
        (["small.png", "--full", "none", "test"], "--full none can't be combined"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    write_image("small.png", np.zeros((20, 30, 3), np.uint8))
    Path("text.png").write_text("no picture")
    assert main([*arguments, "--output", "dataset", *OPTIONS]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("dataset").exists()


def test_a_missing_estimator_is_told_before_anything_is_made(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyflow", None)  # importing it fails
    assert main([str(photos), "--output", str(tmp_path / "dataset"), *OPTIONS, "--flow", "pyflow"]) == 2
    assert "pyflow is not installed" in capsys.readouterr().err
    assert not (tmp_path / "dataset").exists()
