"""Motion files: round trip, metadata, and everything that can be wrong with one."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from common.hashing import file_sha256
from common.tensor_files import read_tensors, save_tensors
from models.dynamics.motion_file import MotionFile, as_stored


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"the photo's bytes")
    return path


@pytest.fixture
def motion_file(photo: Path) -> MotionFile:
    volume = torch.randn(3, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    return MotionFile(volume, 150, 29.97, (640, 480), file_sha256(photo))


def test_round_trip_gives_what_as_stored_promises(motion_file, tmp_path):
    motion_file.write(tmp_path / "m.safetensors")
    read = MotionFile.read(tmp_path / "m.safetensors")
    assert torch.equal(read.spectral_volume, as_stored(motion_file.spectral_volume))
    assert replace(read, spectral_volume=None) == replace(motion_file, spectral_volume=None)


def test_the_file_is_what_the_format_says(motion_file, tmp_path):
    motion_file.write(tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        assert list(file.keys()) == ["spectral_volume"]
        assert file.get_tensor("spectral_volume").dtype == torch.float16
        metadata = file.metadata()
    digest = hashlib.sha256(b"the photo's bytes").hexdigest()
    assert metadata == {
        "format_version": "1",
        "num_frames": "150",
        "fps": "29.97",
        "photo_size": "640x480",
        "photo_sha256": digest,
    }


def test_as_stored_keeps_out_of_range_values_finite():
    assert as_stored(torch.tensor([1e6, -1e6])).tolist() == [65504.0, -65504.0]


def test_photo_is_recognised_by_its_bytes_and_its_shape(motion_file, photo):
    assert motion_file.check_photo(photo, size=(640, 480), sha256=file_sha256(photo)) is None
    shrunk = motion_file.check_photo(photo, size=(320, 240), sha256=hashlib.sha256(b"another").hexdigest())
    assert "not the file" in shrunk  # a warning
    with pytest.raises(ValueError, match="aspect ratio"):
        motion_file.check_photo(photo, size=(480, 640), sha256="")


def test_what_is_no_motion_file_is_named(tmp_path, motion_file):
    path = tmp_path / "m.safetensors"
    with pytest.raises(ValueError, match="no such motion file"):
        MotionFile.read(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="not a motion file"):
        MotionFile.read(path)
    save_file({"weights": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="not a motion file"):
        MotionFile.read(path)
    motion_file.write(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="damaged"):
        MotionFile.read(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format_version": "2"}, "format version 2"),
        ({"photo_size": "640"}, "photo_size is a list of 1, expected a list of 2"),
        ({"photo_size": "640x-2"}, r"photo_size\[1\] is -2"),
        ({"num_frames": "many"}, "num_frames is 'many', expected a whole number"),
        ({"num_frames": "0"}, "num_frames is 0"),
        ({"num_frames": "1"}, "2 frequencies need more"),
        ({"num_frames": "9" * 5000}, "num_frames is inf"),
        ({"fps": "nan"}, "fps is nan"),
        ({"fps": "1e-320"}, "fps is"),
        ({"photo_sha256": None}, "photo_sha256 is None"),
    ],
)
def test_wrong_metadata_are_an_error(tmp_path, change, complaint):
    metadata = {"format_version": "1", "num_frames": "150", "fps": "30", "photo_size": "4x4", "photo_sha256": "0"}
    metadata = {key: value for key, value in (metadata | change).items() if value is not None}
    save_file({"spectral_volume": torch.zeros(2, 4, 2, 2)}, tmp_path / "m.safetensors", metadata)
    with pytest.raises(ValueError, match=complaint):
        MotionFile.read(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "volume",
    [
        torch.zeros(2, 3, 2, 2),
        torch.zeros(4, 2, 2),
        torch.zeros(1, 4, 0, 2),
        torch.full((1, 4, 2, 2), torch.nan),
        torch.full((1, 4, 2, 2), 1e38),
        torch.zeros(1, 4, 2, 2, dtype=torch.int64),
    ],
)
def test_a_wrong_volume_is_an_error(tmp_path, motion_file, volume):
    motion_file.write(tmp_path / "m.safetensors")
    _, metadata = read_tensors(tmp_path / "m.safetensors")
    save_tensors(tmp_path / "m.safetensors", {"spectral_volume": volume}, metadata)
    with pytest.raises(ValueError, match="expected finite"):
        MotionFile.read(tmp_path / "m.safetensors")
