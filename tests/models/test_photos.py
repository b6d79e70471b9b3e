"""Photos of every kind: what each form gives, and what is refused; sizes that photos are seen at."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common.hashing import file_sha256
from common.images import image_to_tensor
from models.photos import Photo, as_photo, covering_size, model_size, resize_photo

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
EXPECTED = image_to_tensor(PIXELS)


def channels_first(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).permute(2, 0, 1)


@pytest.mark.parametrize(
    "given",
    [
        PIXELS,
        PIXELS.astype(np.float32) / 255,
        PIXELS.astype(np.float64) / 255,
        Image.fromarray(PIXELS),
        channels_first(PIXELS),
        channels_first(PIXELS)[None],
        EXPECTED,
        EXPECTED[0],
        EXPECTED.double(),
        Photo(EXPECTED),
    ],
    ids=["uint8", "float32", "float64", "PIL", "bytes", "bytes batch", "tensor batch", "tensor", "double", "photo"],
)
def test_every_form_is_the_same_photo(given):
    photo = as_photo(given)
    assert photo.size == (30, 20)
    assert photo.sha256 == ""
    assert photo.image.dtype == torch.float32
    assert (photo.image - EXPECTED).abs().max() < 1e-6


@pytest.mark.parametrize("kind", [Path, str])
def test_a_file_is_turned_upright_and_recognised_again(tmp_path: Path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # held upright, stored lying
    Image.fromarray(PIXELS).save(tmp_path / "p.png", exif=exif)
    photo = as_photo(kind(tmp_path / "p.png"))
    assert photo.sha256 == file_sha256(tmp_path / "p.png")
    assert torch.equal(photo.image, EXPECTED.rot90(-1, (2, 3)))
    with Image.open(tmp_path / "p.png") as opened:
        assert torch.equal(as_photo(opened).image, photo.image)


def test_a_transparent_picture_lies_on_white():
    clear = Image.fromarray(np.zeros((20, 30, 4), np.uint8))
    assert (as_photo(clear).image == 1).all()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ((EXPECTED + 1) / 2, r"in \[-1, 1\], this one looks like \[0, 1\]"),
        (channels_first(PIXELS).float(), r"in \[-1, 1\], got values from 0 to 255"),
        (EXPECTED * torch.nan, "got values from nan"),
        (channels_first(PIXELS).long(), "uint8, or floating point in .*; got torch.int64"),
        (EXPECTED.expand(2, -1, -1, -1), "give several as a list"),
        (EXPECTED.permute(0, 2, 3, 1), r"\[3, H, W\] or"),
        (PIXELS.astype(np.float32), r"in \[0, 1\], got values from 0 to 255"),
        (PIXELS / 127.5 - 1, r"in \[0, 1\], got values from -1 to 1"),
        (PIXELS.astype(np.float32) * np.nan, "got values from nan"),
        (PIXELS.astype(np.int32), "got int32"),
        (PIXELS.transpose(2, 0, 1), r"is \[H, W, 3\], got shape \(3, 20, 30\)"),
        (PIXELS[..., 0], r"is \[H, W, 3\]"),
        (PIXELS[:9], "30x9 is too small"),
        (None, "got NoneType"),
        ("missing.png", "missing.png: no such image"),
    ],
)
def test_what_would_come_out_wrong_is_refused_in_one_line(given, complaint):
    with pytest.raises(ValueError, match=complaint) as refused:
        as_photo(given)
    assert "\n" not in str(refused.value)


def test_a_photo_without_a_dark_spot_can_be_given_as_it_is():
    bright = EXPECTED.abs()
    assert torch.equal(as_photo(Photo(bright)).image, bright)


def test_model_size_is_near_in_shape_and_area():
    assert model_size((256, 160), (256, 160), 32) == (256, 160)
    assert model_size((640, 427), (256, 160), 16) == (240, 160)
    assert model_size((427, 640), (256, 160), 16) == (160, 240)
    for photo in ((500, 500), (1920, 1080), (300, 400), (2000, 700)):
        width, height = model_size(photo, (256, 160), 32)
        assert width % 32 == height % 32 == 0
        assert abs(np.log(width * height / 256 / 160)) < 0.35
        assert abs(np.log(width / height / (photo[0] / photo[1]))) < 0.2


def test_covering_size_ignores_rounding_alone():
    assert covering_size((640, 427), (512, 342)) == (512, 342)
    assert covering_size((640, 427), (256, 160)) == (256, 171)
    assert covering_size((100, 200), (100, 100)) == (100, 200)


def test_resizing_a_photo_stays_in_range():
    stripes = (torch.arange(64) // 4 % 2 * 2.0 - 1).expand(1, 3, 32, 64)
    large = resize_photo(stripes, (48, 100))
    assert large.shape == (1, 3, 48, 100)
    assert large.abs().max() <= 1
