"""Maps of photos: made by the networks there are, kept with their hashes, and read back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common.hashing import file_sha256
from data.media.images import read_image, write_image
from data.synthetic.maps.command import main
from data.synthetic.maps.files import expected_metadata, maps_path, read_maps, write_maps
from data.synthetic.maps.networks import CLASS_NAMES, Networks, letterbox, matte_of_photo

PHOTO = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)


class BrightnessNetwork:
    """A stand-in for a matte network: the mean of the colours, between 0 and 1 from dark to bright."""

    sha256 = "b" * 64

    def matte(self, picture: np.ndarray) -> np.ndarray:
        return (picture.mean(axis=2) + 0.5).clip(0, 1)


class ConstantClasses:
    """A stand-in for the class network: everything is sky."""

    sha256, scale, zero_point = "c" * 64, 0.25, 10

    def logits(self, photo: object) -> np.ndarray:
        scores = np.full((96, 128, len(CLASS_NAMES)), -20, np.int8)
        scores[..., CLASS_NAMES.index("sky")] = 60
        return scores


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "garden.png"
    write_image(path, PHOTO)
    return path


def save(photo: Path, folder: Path, networks: Networks) -> str:
    from PIL import Image

    digest = file_sha256(photo)
    metadata = expected_metadata(photo, digest, networks.description())
    folder.mkdir(exist_ok=True)
    write_maps(maps_path(folder, photo), networks.maps_of(Image.fromarray(read_image(photo))), metadata)
    return digest


def test_maps_come_back_with_the_hashes_of_their_networks(photo: Path, tmp_path: Path) -> None:
    networks = Networks(classes=ConstantClasses(), subject=BrightnessNetwork())  # type: ignore[arg-type]
    digest = save(photo, tmp_path / "maps", networks)
    maps, hashes = read_maps(tmp_path / "maps", photo, digest)
    assert hashes == {"class_network_sha256": "c" * 64, "subject_network_sha256": "b" * 64}
    assert set(maps) == {"class_probabilities", "subject_matte"}
    np.testing.assert_allclose(maps["class_probabilities"].sum(axis=2), 1, atol=1e-5)
    assert (maps["class_probabilities"].argmax(axis=2) == CLASS_NAMES.index("sky")).all()
    assert maps["subject_matte"].shape == (90, 120)
    bright = PHOTO.mean(axis=2)
    assert maps["subject_matte"][bright > 200].mean() > maps["subject_matte"][bright < 60].mean() + 50


def test_maps_of_another_photo_or_cut_off_are_refused(photo: Path, tmp_path: Path) -> None:
    networks = Networks(subject=BrightnessNetwork())  # type: ignore[arg-type]
    digest = save(photo, tmp_path / "maps", networks)
    with pytest.raises(ValueError, match=r"garden.*made of another"):
        read_maps(tmp_path / "maps", photo, "0" * 64)
    file = maps_path(tmp_path / "maps", photo)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"garden.safetensors: not a file of maps"):
        read_maps(tmp_path / "maps", photo, digest)
    file.unlink()
    assert read_maps(tmp_path / "maps", photo, digest) == ({}, {})


def test_the_class_network_sees_the_photo_unstretched() -> None:
    from PIL import Image

    canvas, (rows, columns) = letterbox(Image.new("RGB", (300, 100), (200, 10, 10)))
    assert (rows, columns) == (172, 512)
    assert (canvas[:rows, :columns] == (200, 10, 10)).all()
    assert (canvas[rows:] == 127).all()


def test_a_matte_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        matte_of_photo(np.full((8, 8), np.nan), (20, 10))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no network is named; give at least one of --class-network"),
        (["--subject-network", "nowhere.onnx"], "nowhere.onnx: no such file"),
        (["--subject-network", "text.onnx"], "text.onnx: "),
        (["--class-network", "text.onnx"], "text.onnx: "),
    ],
)
def test_bad_input_is_one_line(
    options: list[str], message: str, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photo.parent)
    Path("text.onnx").write_text("no network")
    assert main([photo.name, *options]) == 2
    error = capsys.readouterr().err.splitlines()
    assert message in error[-1]
    assert error[-1].startswith("error: ")
    assert not Path("maps").exists()


def test_the_command_makes_what_is_missing_once(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnxruntime", reason="needs onnxruntime and a network")
    assert onnx is not None
    network = Path(__file__).parents[4] / "shared" / "networks" / "u2netp.onnx"
    if not network.is_file():
        pytest.skip("needs u2netp.onnx")
    command = [str(photo), "--saliency-network", str(network)]
    assert main(command) == 0
    assert "1 made now" in capsys.readouterr().out
    assert main(command) == 0
    assert "0 made now" in capsys.readouterr().out
    maps, _ = read_maps(tmp_path / "maps", photo, file_sha256(photo))
    assert SimpleNamespace(**maps).saliency_matte.shape == (90, 120)
