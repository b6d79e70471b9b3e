"""``generate.py --poke``: what it accepts, what it refuses, and whether the right pixels move the right way."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.modal_scenes import swaying_motion
from PIL import Image

import generate
from common.hashing import file_sha256
from data.media.read_video import read_video
from models.dynamics.basis import ModalBasis
from models.dynamics.motion_file import MotionFile
from models.dynamics.pokes import SETTLED, Poke, nearest, poked_motion, settling_frames

PHOTO_SIZE = (64, 48)


@pytest.fixture(scope="module")
def basis() -> ModalBasis:
    return ModalBasis.of_motion(swaying_motion())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a photo of a bright disc where the left bell of the motion is, and that motion."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:48, :64]
    disc = ((x - 21) ** 2 + (y - 24) ** 2 < 10)[..., None]
    Image.fromarray(np.where(disc, 230, 20).astype(np.uint8).repeat(3, axis=2)).save("photo.png")
    motion = swaying_motion(PHOTO_SIZE)
    MotionFile(motion.spectral_volume, 60, 30.0, PHOTO_SIZE, file_sha256("photo.png")).write("sway.safetensors")
    return tmp_path


def run(*arguments: str) -> int:
    common = ["--motion", "sway.safetensors", "--renderer", "softmax", "--size", "native", "--device", "cpu"]
    return generate.main(["photo.png", "-o", "poked.mp4", *common, *arguments])


def centroid(frame: np.ndarray) -> np.ndarray:
    """(x, y) of what is brighter than the ground."""
    weights = (frame.mean(axis=2) - 60).clip(0)  # the ground is 20, less what compression makes of it
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


@pytest.mark.parametrize(
    ("text", "point", "pull", "time"),
    [
        ("3,4,5,-6", (3, 4), (5, -6), 0),
        ("3.5,.5,-5e1,0@1.25", (3.5, 0.5), (-50, 0), 1.25),
        (" 3, 4, +5, 6 @ 2", (3, 4), (5, 6), 2),
    ],
)
def test_pokes_are_read(text, point, pull, time):
    poke = Poke.parse(text)
    assert (poke.point, poke.pull, poke.time) == (point, pull, time)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,2,3,4", "1,2,nan,4", "1,2,3,4@", "1;2;3;4", "1,2,inf,4"])
def test_malformed_pokes_are_an_error(text):
    with pytest.raises(ValueError, match=r"expected X,Y,DX,DY or X,Y,DX,DY@SECONDS"):
        Poke.parse(text)


def test_points_are_converted_to_pixels_of_the_motion(basis):
    drag = Poke.parse("20.5,24.5,4,-2@0.5").to_drag(basis, PHOTO_SIZE)  # the motion is half as large
    assert drag.point == (10.0, 12.0)
    assert drag.start == 0.5
    assert drag.path[-1][1:] == (2.0, -1.0)
    photo = 3 * PHOTO_SIZE[0], 3 * PHOTO_SIZE[1]
    same = Poke.parse("62.5,74.5,12,-6@0.5").to_drag(basis, photo)
    assert same.point == pytest.approx(drag.point)
    assert np.allclose(same.path, drag.path)


def test_a_point_that_stands_still_is_refused_and_one_near_by_is_named(basis):
    with pytest.raises(ValueError, match=r"--poke 2,24,4,0: .* hardly moves") as error:
        Poke.parse("2,24,4,0").to_drag(basis, PHOTO_SIZE)
    message = str(error.value)
    x, y = message.rpartition(" ")[2].split(",")
    Poke.parse(f"{x},{y},4,0").to_drag(basis, PHOTO_SIZE)  # the advice works
    assert 2 < int(x) < 21
    assert "\n" not in message


def test_what_cannot_follow_in_any_place_is_said():
    volume = torch.zeros(1, 3, 4, 8, 8)
    volume[:, 1:, 0] = 1.0  # sideways alone
    basis = ModalBasis(volume, 1.0)
    with pytest.raises(ValueError, match="pull in another direction"):
        Poke.parse("3,3,0,4").to_drag(basis, (8, 8))
    Poke.parse("3,3,4,0").to_drag(basis, (8, 8))


def test_nearest_pixel():
    mask = torch.zeros(5, 6, dtype=torch.bool)
    assert nearest(mask, (0.0, 0.0)) is None
    mask[4, 5] = mask[1, 2] = True
    assert nearest(mask, (3.0, 1.0)) == (2.0, 1.0)
    assert nearest(mask, (4.0, 4.0)) == (5.0, 4.0)


def test_a_video_lasts_until_the_photo_has_come_to_rest(basis):
    pokes = [Poke.parse("20,24,3,0"), Poke.parse("44,24,0,3@1")]
    drags = [poke.to_drag(basis, PHOTO_SIZE) for poke in pokes]
    count = settling_frames(basis, drags, 20.0)
    motion, warnings = poked_motion(basis, pokes, PHOTO_SIZE, fps=20.0)
    assert not warnings
    assert len(motion.times) == count
    size = motion.at(motion.times).square().mean(dim=(0, 2, 3, 4)).sqrt()
    assert size[-1] < 2 * SETTLED * size.max()
    assert count > 20 * drags[1].end
    assert settling_frames(basis, drags[:1], 20.0) < count


def test_a_pull_that_would_tear_the_photo_is_shortened_with_a_warning(basis):
    motion, warnings = poked_motion(basis, [Poke.parse("20,24,60,0")], PHOTO_SIZE, fps=20.0, num_frames=14)
    assert len(warnings) == 1
    assert warnings[0].startswith("--poke 20,24,60,0: pulled only ")
    assert motion.largest_displacement() <= basis.limit * 1.001


def test_the_poked_disc_moves_the_way_it_was_pulled_and_comes_back(folder):
    assert run("--poke", "21,24,3,-2@0.1", "--fps", "20", "--report", "report.json") == 0
    frames = read_video("poked.mp4")[0]
    report = json.loads(Path("report.json").read_text())
    result = report["results"][0]
    start, held, end = centroid(frames[0]), centroid(frames[12]), centroid(frames[-1])
    np.testing.assert_allclose(start, [21, 24], atol=0.1)
    np.testing.assert_allclose(held - start, [3, -2], atol=0.5)  # the disc's rim moves less than its middle
    np.testing.assert_allclose(end, start, atol=0.15)
    np.testing.assert_allclose(centroid(frames[2]), start, atol=0.05)  # not before its time
    assert len(frames) == result["num_frames"] > 60
    assert 3 < result["largest_motion_pixels"] < 4.5
    assert result["speed"] == 1
    assert report["options"]["poke"] == ["21,24,3,-2@0.1"]


def test_length_and_slow_motion_can_be_chosen(folder):
    assert run("--poke", "21,24,3,0", "--fps", "10", "--num-frames", "6") == 0
    fast = read_video("poked.mp4")[0]
    assert run("--poke", "21,24,3,0", "--fps", "10", "--num-frames", "6", "--slow", "2", "--xt-slice", "24") == 0
    slow = read_video("poked.mp4")[0]
    assert (len(fast), len(slow)) == (6, 12)
    for frame, same in zip(fast, slow[::2], strict=True):
        np.testing.assert_allclose(centroid(same), centroid(frame), atol=0.1)
    assert centroid(fast[5])[0] > centroid(fast[0])[0] + 1
    assert Path("poked_xt.png").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--poke", "64,10,3,0"], "the point is outside the photo, where X goes from 0 to 63 and Y from 0 to 47"),
        (["--poke", "10,10,3"], "expected X,Y,DX,DY"),
        (["--poke", "20,24,0,0"], "moves nothing"),
        (["--poke", "20,24,3,0@601"], "a time of 0 to 600 seconds"),
        (["--poke", "20,24,3,0@2", "--num-frames", "30"], "the video ends at 1 s"),
        (["--poke", "1,1,3,0"], "hardly moves"),
    ],
)
def test_pokes_that_cannot_work_are_one_line_and_leave_nothing(folder, capsys, arguments, complaint):
    before = sorted(folder.iterdir())
    assert run(*arguments) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert complaint in message
    assert "\n" not in message
    assert sorted(folder.iterdir()) == before


def test_a_motion_that_stands_still_is_refused(folder, capsys):
    volume = torch.zeros(3, 4, 24, 32)
    MotionFile(volume, 60, 30.0, PHOTO_SIZE, file_sha256("photo.png")).write("sway.safetensors")
    assert run("--poke", "20,24,3,0") == 2
    assert "stands still" in capsys.readouterr().err


def test_a_poke_belongs_to_one_photo(folder, capsys):
    Image.new("RGB", PHOTO_SIZE, "green").save("other.png")
    assert generate.main(["photo.png", "other.png", "--poke", "20,24,3,0"]) == 2
    assert "belong to one photo; give one at a time" in capsys.readouterr().err
