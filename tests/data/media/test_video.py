"""Reading and writing pictures and video: every colour mode, every format, every way a file can be wrong."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from common.images import image_to_tensor, tensor_to_image
from data.media.images import read_image, resize_and_crop, write_image
from data.media.read_video import FrameReader, VideoInfo, read_frames, read_video, scan_video
from data.media.write_video import OUTPUT_SUFFIXES, write_video


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Smooth 48x64 picture, different in each channel and without symmetry."""
    coarse = np.random.default_rng(0).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def clip(picture: np.ndarray) -> np.ndarray:
    """40 frames; the picture moves 1 pixel a frame, so that each frame can be told from the next."""
    return np.stack([np.roll(picture, shift, axis=1) for shift in range(40)])


def nearest(frames: np.ndarray, clip: np.ndarray) -> list[int]:
    """For each frame, which frame of the clip it looks like."""
    differences = np.abs(frames[:, None].astype(int) - clip[None]).mean(axis=(2, 3, 4))
    return differences.argmin(axis=1).tolist()


# Images ---------------------------------------------------------------------------------------------------------------


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
    "problem", ["text", "empty", "truncated.jpg", "truncated.png", "small", "missing", "folder", "bomb"]
)
def test_bad_images_are_named_in_one_line(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    path = tmp_path / "photo.jpg"
    expected = {
        "text": "not an image",
        "empty": "empty",
        "small": "16 pixels",
        "missing": "no such",
        "folder": "folder",
    }
    if problem == "text":
        path.write_text("this is not a photo\n" * 50)
    elif problem == "empty":
        path.touch()
    elif problem == "small":
        Image.new("RGB", (1, 1)).save(path)
    elif problem == "folder":
        path.mkdir()
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


def test_tensor_round_trip(picture: np.ndarray) -> None:
    tensor = image_to_tensor(picture)
    assert tensor.shape == (1, 3, 48, 64)
    assert tensor.min() >= -1
    assert tensor.max() <= 1
    assert (tensor_to_image(tensor) == picture).all()
    assert (tensor_to_image(tensor[0]) == picture).all()
    assert tensor_to_image(torch.full((3, 16, 16), 1.7)).min() == 255  # clamped, not wrapped around
    with pytest.raises(ValueError, match="one image"):
        tensor_to_image(torch.zeros(2, 3, 16, 16))


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


# Video ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_video_round_trip(tmp_path: Path, clip: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_video(path, iter(clip), 25)
    frames, fps = read_video(path)
    assert frames.shape == clip.shape
    assert fps == pytest.approx(25)
    assert nearest(frames, clip) == list(range(40))
    assert np.abs(frames.astype(int) - clip).mean() < (12 if suffix == ".gif" else 8)  # a GIF has 256 colours
    # A colour cast (a wrong matrix) would shift the mean of a channel.
    assert frames.mean(axis=(0, 1, 2)) == pytest.approx(clip.mean(axis=(0, 1, 2)), abs=2)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".apng"])
@pytest.mark.parametrize("fps", [30, 25, 60])
def test_animations_repeat_forever_and_last_as_long_as_they_should(
    tmp_path: Path, clip: np.ndarray, suffix: str, fps: float
) -> None:
    path = tmp_path / f"a{suffix}"
    write_video(path, clip, fps)
    shown, durations = [], []
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        for index in range(image.n_frames):
            image.seek(index)
            shown.append(np.array(image.convert("RGB")))
            durations.append(image.info["duration"])
    assert sum(durations) == pytest.approx(40 / fps * 1000, abs=10)
    if suffix == ".gif":
        assert min(durations) >= 20  # browsers take less for 100
    if suffix != ".gif" or fps <= 50:
        assert nearest(np.stack(shown), clip) == list(range(40))
    if suffix in (".png", ".apng"):
        assert (np.stack(shown) == clip).all()


def test_odd_sizes(tmp_path: Path, clip: np.ndarray) -> None:
    odd = clip[:, :47, :63]
    for suffix in OUTPUT_SUFFIXES:
        write_video(tmp_path / f"a{suffix}", odd, 30)
    frames, _ = read_video(tmp_path / "a.mp4")
    assert frames.shape == (40, 48, 64, 3)
    assert np.abs(frames[:, :47, :63].astype(int) - odd).mean() < 8
    assert np.abs(frames[:, 47].astype(int) - frames[:, 46]).mean() < 8  # repeated, not black


def test_one_frame(tmp_path: Path, clip: np.ndarray) -> None:
    for suffix in OUTPUT_SUFFIXES:
        write_video(tmp_path / f"a{suffix}", clip[:1], 30)
        assert (tmp_path / f"a{suffix}").stat().st_size > 0
    assert len(read_video(tmp_path / "a.mp4")[0]) == 1


def test_mp4_frames_are_written_as_they_come(tmp_path: Path, clip: np.ndarray) -> None:
    produced = []

    def produce():
        for index in range(40):
            produced.append(index)
            yield clip[index]
            # The file is growing beside its final name while frames are still to come.
            assert not (tmp_path / "a.mp4").exists()

    write_video(tmp_path / "a.mp4", produce(), 30)
    assert len(produced) == 40


def test_failing_frames_leave_nothing_behind(tmp_path: Path, clip: np.ndarray) -> None:
    def produce():
        yield clip[0]
        raise RuntimeError("no more")

    for suffix in OUTPUT_SUFFIXES:
        with pytest.raises(RuntimeError, match="no more"):
            write_video(tmp_path / f"a{suffix}", produce(), 30)
    assert not list(tmp_path.iterdir())


def test_writing_errors(tmp_path: Path, clip: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\.mp4 \.gif \.webp"):
        write_video(tmp_path / "a.xyz", clip, 30)
    with pytest.raises(ValueError, match="no frames"):
        write_video(tmp_path / "a.mp4", [], 30)
    with pytest.raises(ValueError, match="one size"):
        write_video(tmp_path / "a.mp4", [clip[0], clip[0, :30]], 30)
    with pytest.raises(ValueError, match="uint8"):
        write_video(tmp_path / "a.gif", [clip[0] / 255], 30)
    with pytest.raises(ValueError, match="does not exist"):
        write_video(tmp_path / "nowhere" / "a.mp4", clip, 30)
    with pytest.raises(ValueError, match="frame rate"):
        write_video(tmp_path / "a.mp4", clip, 0)
    with pytest.raises(ValueError, match="unknown suffix"):
        write_image(tmp_path / "a.mp4", clip[0])
    assert not list(tmp_path.iterdir())


def test_unwritable_folder(tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(target))

    # A rename that fails stands for all failures of the disk; root may write to any folder, so modes cannot.
    monkeypatch.setattr("data.media.images.os.replace", refuse)
    for suffix in OUTPUT_SUFFIXES:
        with pytest.raises(PermissionError):
            write_video(tmp_path / f"a{suffix}", clip[:2], 30)
    assert not list(tmp_path.iterdir())


def test_frames_in_any_order_and_size(tmp_path: Path, clip: np.ndarray) -> None:
    write_video(tmp_path / "a.mp4", clip, 30)
    frames = read_frames(tmp_path / "a.mp4", [39, 0, 5, 5])
    assert nearest(frames, clip) == [39, 0, 5, 5]
    assert read_frames(tmp_path / "a.mp4", [3], size=(32, 16)).shape == (1, 16, 32, 3)
    with pytest.raises(ValueError, match="has 40 frames"):
        read_frames(tmp_path / "a.mp4", [40])
    assert len(read_video(tmp_path / "a.mp4", max_frames=7)[0]) == 7


def test_a_reader_decodes_overlapping_stretches_once(
    tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "a.mp4", clip, 30)
    stretches = ([0, 2, 9], [9, 4], [30])
    expected = {tuple(wanted): read_frames(tmp_path / "a.mp4", wanted, (32, 16)) for wanted in stretches}
    decoded, advance = [], FrameReader._advance

    def counted(self: FrameReader, wanted: set[int]) -> None:
        decoded.append(self._next)
        advance(self, wanted)

    monkeypatch.setattr(FrameReader, "_advance", counted)
    reader = FrameReader(tmp_path / "a.mp4", (32, 16))
    for wanted in ([0, 2, 9], [2, 9], [9, 12, 9], [30], [9, 4]):  # the last goes back
        found = reader.read(wanted)
        if tuple(wanted) in expected:
            np.testing.assert_array_equal(found, expected[tuple(wanted)])
    assert decoded == [*range(31), *range(10)]
    with pytest.raises(ValueError, match="has 40 frames, frame 40"):
        reader.read([40])
    np.testing.assert_array_equal(reader.read([30]), expected[(30,)])  # an error leaves nothing behind
    reader.close()


def test_resampling_takes_the_nearest_frame(tmp_path: Path, clip: np.ndarray) -> None:
    write_video(tmp_path / "a.mp4", clip, 20)
    frames, fps = read_video(tmp_path / "a.mp4", fps=30)
    assert fps == 30
    assert len(frames) == 60
    shown = np.array(nearest(frames, clip))
    assert np.abs(shown / 20 - np.arange(60) / 30)[:-1].max() <= 0.5 / 20 + 1e-9
    halved, _ = read_video(tmp_path / "a.mp4", fps=10)
    assert nearest(halved, clip) == list(range(0, 40, 2))


def test_a_rate_within_ten_percent_is_kept(tmp_path: Path, clip: np.ndarray) -> None:
    write_video(tmp_path / "a.mp4", clip, 29)
    frames, fps = read_video(tmp_path / "a.mp4", fps=30)
    assert fps == pytest.approx(29)
    assert len(frames) == 40


def test_varying_frame_rate_is_made_constant() -> None:
    info = VideoInfo(num_frames=4, fps=10, width=64, height=48, times=(0.0, 0.1, 0.5, 0.6))
    indices, fps = info.resample(10)
    assert fps == 10
    assert indices.tolist() == [0, 1, 1, 2, 2, 2, 3] or indices.tolist() == [0, 1, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("problem", ["empty", "text", "missing", "folder", "truncated"])
def test_bad_videos_are_named_in_one_line(
    tmp_path: Path, clip: np.ndarray, problem: str, capfd: pytest.CaptureFixture
) -> None:
    path = tmp_path / "clip.mp4"
    if problem == "empty":
        path.touch()
    elif problem == "text":
        path.write_text("not a video\n" * 100)
    elif problem == "folder":
        path.mkdir()
    elif problem == "truncated":
        write_video(path, clip, 30)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"empty|not a video|no such|folder|damaged") as error:
        scan_video(path)
    assert "clip.mp4" in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""  # the decoder's own complaints stay out of the way
