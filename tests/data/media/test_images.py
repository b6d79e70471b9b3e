"""Reading and writing pictures: every colour mode, and every way a file can be wrong."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data.media.images import read_image, resize_and_crop, write_image


def test_png_round_trip_is_exact(tmp_path: Path, picture: np.ndarray) -> None:
    write_image(tmp_path / "a.png", picture)
    assert (read_image(tmp_path / "a.png") == picture).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_exif_orientation_is_applied(tmp_path: Path, picture: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    assert (read_image(tmp_path / "a.png") == np.rot90(picture, -1)).all()


def test_16_bit_gray_is_scaled(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 32 * 32).reshape(32, 32).round()
    for name in ("a.png", "a.tif"):
        Image.fromarray(values.astype(np.uint16)).save(tmp_path / name)
        image = read_image(tmp_path / name)
        assert np.abs(image - values[:, :, None] / 257).max() <= 0.5
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "b.tif")  # Pillow's mode I
    assert np.abs(read_image(tmp_path / "b.tif") - values[:, :, None] / 257).max() <= 0.5


def test_black_16_bit_picture_stays_black(tmp_path: Path) -> None:
    Image.fromarray(np.ones((32, 32), np.uint16)).save(tmp_path / "a.png")  # 1 of 65535
    assert read_image(tmp_path / "a.png").max() == 0


def test_floating_point_tiff_is_scaled(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.abs(read_image(tmp_path / "a.tif") - values[:, :, None] * 255).max() <= 0.51


def test_16_bit_colour_png_is_scaled(tmp_path: Path, picture: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture[:, :, ::-1].astype(np.uint16) * 257)
    assert np.abs(read_image(tmp_path / "a.png").astype(int) - picture).max() <= 1


def test_gray_and_palette(tmp_path: Path, picture: np.ndarray) -> None:
    gray = Image.fromarray(picture).convert("L")
    gray.save(tmp_path / "gray.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "gray.jpg").astype(int) - np.array(gray)[:, :, None]).max() < 12
    palette = Image.fromarray(picture).quantize(32)
    palette.save(tmp_path / "palette.png")
    assert (read_image(tmp_path / "palette.png") == np.array(palette.convert("RGB"))).all()


def test_transparency_is_shown_over_white(tmp_path: Path, picture: np.ndarray) -> None:
    layered = np.dstack([picture, np.full((48, 64), 255, np.uint8)])
    layered[:10, :, 3] = 0
    layered[10:20, :, 3] = 128
    Image.fromarray(layered).save(tmp_path / "rgba.png")
    image = read_image(tmp_path / "rgba.png")
    assert (image[:10] == 255).all()
    assert np.abs(image[10:20] - (picture[10:20] * (128 / 255) + 127)).max() <= 1.5
    assert (image[20:] == picture[20:]).all()

    palette = Image.fromarray(picture).quantize(16)
    palette.save(tmp_path / "palette.png", transparency=3)
    image = read_image(tmp_path / "palette.png")
    assert (image[np.array(palette) == 3] == 255).all()
    Image.fromarray(picture).save(tmp_path / "key.png", transparency=tuple(picture[0, 0].tolist()))
    assert (read_image(tmp_path / "key.png")[0, 0] == 255).all()


def test_cmyk_jpeg(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - picture).mean() < 6


@pytest.mark.parametrize(
    "problem", ["text", "empty", "truncated.jpg", "truncated.png", "small", "missing", "folder", "bomb", "pipe"]
)
def test_bad_images_are_named_in_one_line(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    path = tmp_path / "photo.jpg"
    expected = {
        "text": "not an image",
        "empty": "empty",
        "small": "16 a side",
        "missing": "no such",
        "folder": "folder",
        "pipe": "pipe or a device",
    }
    if problem == "text":
        path.write_text("this is not a photo\n" * 50)
    elif problem == "empty":
        path.touch()
    elif problem == "small":
        Image.new("RGB", (1, 1)).save(path)
    elif problem == "folder":
        path.mkdir()
    elif problem == "pipe":
        os.mkfifo(path)
    elif problem == "bomb":
        Image.fromarray(picture).save(path)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    elif problem.startswith("truncated"):
        path = tmp_path / problem
        Image.fromarray(picture).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(ValueError, match=expected.get(problem, "pixels" if problem == "bomb" else "damaged")) as error:
        read_image(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


def test_large_photo_is_read_without_warning(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    write_image(tmp_path / "a.png", picture)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # the picture has 3072: Pillow warns, and refuses from 4000 on
    assert read_image(tmp_path / "a.png").shape == picture.shape
    assert not recwarn.list


@pytest.mark.parametrize("size", [(32, 24), (32, 32), (20, 24), (64, 16), (128, 50), (64, 48)])
def test_resize_and_crop_covers_and_centres(size: tuple[int, int]) -> None:
    y, x = np.mgrid[:48, :64]
    ramp = np.stack([4 * x, 5 * y, 0 * x], axis=-1).astype(np.uint8)
    result = resize_and_crop(np.stack([ramp, ramp]), size)
    assert result.shape == (2, size[1], size[0], 3)
    # The centre stays the centre, and both axes are scaled alike.
    centre = result[0].astype(float).mean(axis=(0, 1))
    assert centre[:2] == pytest.approx([4 * 31.5, 5 * 23.5], abs=3)
    scale = max(size[0] / 64, size[1] / 48)
    row, column = result[0][size[1] // 2, :, 0].astype(float), result[0][:, size[0] // 2, 1].astype(float)
    assert np.diff(row)[2:-2].mean() == pytest.approx(4 / scale, rel=0.1)
    assert np.diff(column)[2:-2].mean() == pytest.approx(5 / scale, rel=0.1)


def test_writing_errors(tmp_path: Path, picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match="unknown suffix"):
        write_image(tmp_path / "a.mp4", picture)
    with pytest.raises(ValueError, match="expected uint8 RGB"):
        write_image(tmp_path / "a.png", picture / 255)
    with pytest.raises(ValueError, match="does not exist"):
        write_image(tmp_path / "nowhere" / "a.png", picture)
    assert not list(tmp_path.iterdir())
