"""The one door for pictures: formats by name, colours in sRGB, what else a file may be, and damage that is told."""

from __future__ import annotations

import io
import re
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.clips.hostile_images import eps_file, jpeg_with_more_rows, png_of, png_with_text, wide_gamut_profile
from PIL import Image, ImageCms

from common.image_files import FORMATS, check_image, read_image


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    y, x = np.mgrid[:48, :64]
    return np.stack([4 * x, 5 * y, 255 - 2 * (x + y)], axis=-1).astype(np.uint8)


def written(path: Path, picture: np.ndarray, name: str, **options) -> Path:
    if name == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    Image.fromarray(picture).save(path, format=name, **options)
    return path


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_known_format_is_read_by_its_content(tmp_path: Path, picture: np.ndarray, form) -> None:
    options = {"quality": 95} if form.name in ("JPEG", "WEBP", "HEIF", "AVIF") else {}
    path = written(tmp_path / "photo.dat", picture, form.name, **options)
    check_image(path)
    found = read_image(path)
    expected = picture if form.name not in ("ICO",) else found  # ICO shrinks to its own sizes
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 9


# Colours --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_colours_of_a_wide_gamut_come_in_srgb(tmp_path: Path, name: str) -> None:
    profile = wide_gamut_profile()
    color = (200, 80, 60)
    options = {"lossless": True} if name == "WEBP" else {"quality": 98} if name not in ("PNG", "TIFF") else {}
    path = written(tmp_path / "p3", np.full((32, 32, 3), color, np.uint8), name, icc_profile=profile, **options)
    expected = in_srgb(color)
    assert np.abs(expected - color).max() > 15  # ignoring the profile would show
    assert np.abs(read_image(path).astype(float) - expected).max() <= (1.5 if name in ("PNG", "TIFF") else 4)


def in_srgb(color: tuple[int, int, int]) -> np.ndarray:
    """A colour of :func:`wide_gamut_profile` in sRGB, from the primaries: through linear light and XYZ."""
    wide = rgb_to_xyz(((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)))
    narrow = rgb_to_xyz(((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)))
    linear = np.linalg.solve(narrow, wide @ (np.array(color) / 255) ** 2.2).clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def rgb_to_xyz(primaries) -> np.ndarray:
    x, y = np.array(primaries).T
    columns = np.stack([x / y, np.ones(3), (1 - x - y) / y])
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * np.linalg.solve(columns, white)


def test_srgb_and_foreign_or_damaged_profiles_change_nothing(tmp_path: Path, picture: np.ndarray) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile", wide_gamut_profile()[:200]):
        path = written(tmp_path / "a.png", picture, "PNG", icc_profile=profile)
        assert (read_image(path) == picture).all()
    Image.fromarray(picture).convert("L").save(tmp_path / "gray.png", icc_profile=wide_gamut_profile())
    assert (read_image(tmp_path / "gray.png")[..., 0] == np.array(Image.fromarray(picture).convert("L"))).all()


# What else it may be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jpg", eps_file(), "a drawing"),
        ("a.eps", eps_file(), "a drawing"),
        ("a.psd", b"8BPS\0\1" + bytes(30), "a drawing"),
        ("a.svg", b"\xef\xbb\xbf <svg xmlns='x'/>", "a drawing"),
        ("a.pdf", b"%PDF-1.7", "a PDF"),
        ("a.mov", bytes(4) + b"ftypqt  ", "a video"),
        ("a.CR2", b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "raw file"),
        ("a.nef", b"MM\0*" + bytes(40), "raw file"),
        ("a.txt", b"words", "known: .jpg"),
        ("a.jpg", b"\xff\xd8\xff\xe0 and no more", "damaged"),
        ("a.dds", b"DDS " + bytes(124), "not an image"),
        ("a.wmf", b"\xd7\xcd\xc6\x9a" + bytes(40), "a drawing"),
    ],
)
def test_what_is_no_photo_is_told_with_what_to_do(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=expected) as error:
        read_image(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(error.value)


def test_a_dng_is_not_taken_for_its_thumbnail(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "photo.tif", tiffinfo={0xC612: b"\1\4\0\0"})
    with pytest.raises(ValueError, match="raw file"):
        read_image(tmp_path / "photo.tif")


def test_no_other_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "started"
    fake = tmp_path / "gs"
    fake.write_text(f"#!/bin/sh\ntouch {marker}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.jpg").write_bytes(eps_file())
    with pytest.raises(ValueError, match="drawing"):
        read_image(tmp_path / "a.jpg")
    assert not marker.exists()


def test_without_its_package_a_heic_photo_is_answered_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from common import image_files

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(image_files, "heif_is_readable", lambda: False)
    (tmp_path / "a.heic").write_bytes(struct.pack(">I", 24) + b"ftypheic" + bytes(40))
    with pytest.raises(ValueError, match="pip install pillow-heif"):
        read_image(tmp_path / "a.heic")


# Damage ---------------------------------------------------------------------------------------------------------------


def test_a_broken_exif_block_costs_the_orientation_alone(tmp_path: Path, picture: np.ndarray) -> None:
    for name in ("WEBP", "PNG", "JPEG"):
        for exif in (b"Exif\0\0not a TIFF header", b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12"):
            path = written(tmp_path / "photo", picture, name, exif=exif)
            assert read_image(path).shape == picture.shape


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (lambda picture: jpeg_with_more_rows(picture, 200), "the lowest 1.. of 200 rows are missing"),
        (lambda picture: png_of(picture, rows=24), "50 % of its pixels are missing"),
        (lambda picture: png_of(picture, wrong=b"IDAT"), "checksum"),
    ],
    ids=["rows of a JPEG", "rows of a PNG", "checksum"],
)
def test_damage_that_still_gives_a_picture_is_told(tmp_path: Path, picture: np.ndarray, content, expected) -> None:
    (tmp_path / "photo").write_bytes(content(picture))
    told: list[str] = []
    read_image(tmp_path / "photo", name="photo", warn=told.append)
    assert len(told) == 1
    assert told[0].startswith("photo: ")
    assert re.search(expected, told[0])


@pytest.mark.parametrize("options", [{}, {"bits": 4}, {"gray": True}])
def test_whole_pictures_are_not_called_damaged(tmp_path: Path, picture: np.ndarray, options: dict) -> None:
    told: list[str] = []
    image = Image.fromarray(picture)
    image = image.quantize(16) if "bits" in options else image.convert("L") if "gray" in options else image
    image.save(tmp_path / "a.png", **({"bits": 4} if "bits" in options else {}))
    read_image(tmp_path / "a.png", warn=told.append)
    image.convert("RGB").save(tmp_path / "a.jpg")
    read_image(tmp_path / "a.jpg", warn=told.append)
    assert told == []


def test_an_interlaced_png_is_whole(tmp_path: Path, picture: np.ndarray) -> None:
    told: list[str] = []
    (tmp_path / "a.png").write_bytes(png_of(np.zeros((20, 18, 3), np.uint8), interlaced=True))
    assert read_image(tmp_path / "a.png", warn=told.append).shape == (20, 18, 3)
    assert told == []


def test_text_bombs_name_the_file(tmp_path: Path, picture: np.ndarray) -> None:
    (tmp_path / "a.png").write_bytes(png_with_text(picture, zlib.compress(bytes(80_000_000))))
    with pytest.raises(ValueError, match=r"a\.png: damaged image"):
        read_image(tmp_path / "a.png")


def test_pixels_are_counted_before_they_are_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of(np.zeros((1, 16, 3), np.uint8), size=(9000, 9000)))
    with pytest.raises(ValueError, match="9000x9000 pixels, at most 64 megapixels"):
        check_image(tmp_path / "a.png", most_pixels=64_000_000)
    (tmp_path / "b.png").write_bytes(png_of(np.zeros((1, 16, 3), np.uint8), size=(60000, 60000)))
    with pytest.raises(ValueError, match="megapixels; shrink the photo first"):
        check_image(tmp_path / "b.png")


def test_libtiff_and_pillow_write_nothing_to_the_terminal(
    tmp_path: Path, picture: np.ndarray, capfd: pytest.CaptureFixture
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="TIFF", compression="tiff_lzw")
    data = bytearray(buffer.getvalue())
    for place in range(20, 2000, 50):
        data[place] ^= 0xFF
    (tmp_path / "a.tif").write_bytes(data)
    try:
        read_image(tmp_path / "a.tif")
    except ValueError as error:
        assert "a.tif" in str(error)  # noqa: PT017 - it may be read or not
    output = capfd.readouterr()
    assert output.out + output.err == ""
