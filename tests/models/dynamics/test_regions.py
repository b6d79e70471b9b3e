"""Where a photo may move: masks and discs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.media.images import write_image
from models.dynamics.regions import Disc, Regions
from models.photos import Photo

PHOTO, MOTION = (64, 48), (32, 24)


def test_discs_stay_and_move():
    disc = Disc.parse("20, 10,8", "still")
    still, moving = (regions.weights(PHOTO, MOTION) for regions in (Regions(still=[disc]), Regions(move=[disc])))
    assert still.shape == (24, 32)
    assert torch.equal(still, 1 - moving)
    assert (moving[5, 10], moving[5, 20], moving[20, 10]) == (1, 0, 0)
    assert ((moving > 0) & (moving < 1)).any()  # a soft edge
    both = Regions(move=[disc], still=[Disc(20, 10, 4)]).weights(PHOTO, MOTION)
    assert both[5, 10] == 0
    assert both.max() > 0.9


def test_a_mask_is_white_where_things_move_and_discs_are_added(tmp_path: Path):
    mask = np.zeros((96, 128, 3), np.uint8)  # of another size, in the same shape
    mask[:, 64:] = 255
    mask[:48, 64:] = 102
    write_image(tmp_path / "mask.png", mask)
    assert Regions(str(tmp_path / "mask.png")).file == tmp_path / "mask.png"
    assert Regions(str(tmp_path / "mask.png")).weights(PHOTO, MOTION)[22, 20] == 1
    regions = Regions(tmp_path / "mask.png", move=[Disc(10, 40, 6)], still=[Disc(55, 40, 6)])
    weights = regions.weights(PHOTO, MOTION)
    assert weights[3, 3] == 0
    assert weights[3, 28] == pytest.approx(0.4)
    assert weights[22, 20] == 1
    assert (weights[20, 5], weights[20, 27]) == (1, 0)
    same = Regions(mask[..., 0] / 255, move=[Disc(10, 40, 6)], still=[Disc(55, 40, 6)]).weights(PHOTO, MOTION)
    assert torch.equal(weights, same)


def test_transparent_parts_of_a_mask_stay(tmp_path: Path):
    drawn = np.zeros((48, 64, 4), np.uint8)
    drawn[:, 32:] = 255  # white on nothing
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    weights = Regions(tmp_path / "mask.png").weights(PHOTO, MOTION)
    assert weights[:, :14].max() == 0
    assert weights[:, 18:].min() == 1


def test_what_is_still_does_not_change_in_any_frame_and_what_is_kept_is_whole(pipeline):
    photo = Photo(torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1)
    mask = np.ones((48, 64))
    mask[:, :32] = 0
    options = {"steps": 2, "num_frames": 4, "fps": 4, "magnify": 4, "renderer": "remap"}
    free, held = (pipeline(photo, regions=regions, **options) for regions in (None, Regions(mask)))
    assert torch.equal(free.motion.spectral_volume, held.motion.spectral_volume)
    first, *others = held.frames
    for frame, other in zip(others, list(free.frames)[1:], strict=True):
        assert np.array_equal(frame[:, :20], first[:, :20])
        assert not np.array_equal(frame[:, 44:], first[:, 44:])
        assert np.array_equal(frame[:, 52:], other[:, 52:])  # as without a mask


@pytest.mark.parametrize(
    ("regions", "complaint"),
    [
        (lambda: Disc.parse("1,2", "move"), "--move 1,2: expected X,Y,R"),
        (lambda: Disc.parse("1,2,0", "still"), "a radius above 0"),
        (lambda: Regions(still=[Disc(90, 10, 5)]).weights(PHOTO, MOTION), "lies outside the photo, which is 64x48"),
        (lambda: Regions(np.ones((64, 48))).weights(PHOTO, MOTION), "a mask of 48x64 for a photo of 64x48"),
        (lambda: Regions(np.full((48, 64), 255.0)).weights(PHOTO, MOTION), r"values in \[0, 1\]"),
        (lambda: Regions(Path("nowhere.png")).weights(PHOTO, MOTION), "nowhere.png: no such image"),
    ],
)
def test_what_does_not_fit_is_one_line(regions, complaint):
    with pytest.raises(ValueError, match=complaint) as raised:
        regions()
    assert "\n" not in str(raised.value)
