"""Which photos of a dataset sway, which are still, which are left out, and what the manifest says about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.flower_meadow import meadow

from data.dataset.manifest import load_manifest
from data.dataset.reading import read_sequence
from data.media.images import read_image, write_image
from data.synthetic.command import main

OPTIONS = ["--size", "64x48", "--num-frames", "20", "--num-frequencies", "6", "--stored-frames", "3"]
OPTIONS += ["--split", "1,0,0"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A meadow, a facade that a list calls still, and a gray gradient of which nothing is known."""
    folder = tmp_path_factory.mktemp("photos")
    write_image(folder / "meadow.png", meadow(0))
    random = np.random.default_rng(0)
    facade = np.kron(random.integers(40, 220, (16, 24, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    write_image(folder / "facade.png", facade)
    write_image(
        folder / "mist.png", np.repeat(np.linspace(90, 130, 240, dtype=np.uint8)[None, :, None], 3, 2).repeat(160, 0)
    )
    (folder / "list.csv").write_text("file,category\nmeadow.png,flower\nfacade.png,building\nother.png,tree\n")
    return folder


@pytest.fixture(scope="module")
def dataset(photos: Path) -> Path:
    output = photos.parent / f"{photos.name}_dataset"
    command = [str(photos), "--output", str(output), "--sequences", "10", "--still-share", "0.3", *OPTIONS]
    sheet = str(photos.parent / "sheet.png")
    assert main([*command, "--categories", str(photos / "list.csv"), "--sheet", sheet, "--sheet-sequences", "3"]) == 0
    return output


def test_the_manifest_says_what_each_photo_shows(dataset: Path) -> None:
    rows = load_manifest(dataset)
    by_photo = {
        name: [row for row in rows if row["source"] == name] for name in ("meadow.png", "facade.png", "mist.png")
    }
    assert [len(found) for found in by_photo.values()] == [7, 3, 1]
    assert by_photo["meadow.png"][0]["notes"].startswith("moves: ")
    assert "flower" in by_photo["meadow.png"][0]["notes"]
    assert by_photo["facade.png"][0]["notes"] == "still: category building"
    assert by_photo["mist.png"][0]["status"] == "dropped"
    assert by_photo["mist.png"][0]["reason"] == "excluded as doubtful: nothing that sways was recognised"
    readings = json.loads((dataset / "readings.json").read_text())["photos"]
    assert {seen["verdict"] for seen in readings.values()} == {"moves", "still", "doubtful"}


def test_a_photo_is_read_once_as_long_as_the_same_is_known_of_it(photos: Path, tmp_path: Path) -> None:
    """A sentence put into the file of readings tells whether the photo was read again."""

    def notes(category: str) -> set[str]:
        (tmp_path / "list.csv").write_text(f"file,category\nfacade.png,{category}\n")
        options = ["--output", str(tmp_path / "d"), "--categories", str(tmp_path / "list.csv"), "--sequences", "1"]
        assert main([str(photos / "facade.png"), *options, *OPTIONS]) == 0
        return {row["notes"] for row in load_manifest(tmp_path / "d")}

    assert notes("building") == {"still: category building"}
    readings = tmp_path / "d" / "readings.json"
    readings.write_text(readings.read_text().replace("category building", "told before"))
    assert notes("building") == {"still: told before"}
    assert notes("flower") == {"moves: 24 flower, 17 stems seen"}
    (row,) = load_manifest(tmp_path / "d")
    assert row["p95_magnitude"] > 0  # what was made of a still photo is made again


def test_still_photos_have_no_motion_but_the_variation_of_cameras(dataset: Path) -> None:
    rows = [row for row in load_manifest(dataset) if row["source"] == "facade.png"]
    noisy = 0
    for row in rows:
        tensors = read_sequence(dataset / "sequences" / f"{row['id']}.safetensors")
        assert not tensors["spectral_volume"].any()
        assert not tensors["flows"].any()
        noisy += int(not torch.equal(tensors["frames"][0], tensors["first_frame"]))
        assert row["mean_magnitude"] == 0
    assert noisy > 0
    moving = [row for row in load_manifest(dataset) if row["source"] == "meadow.png"]
    assert max(row["p95_magnitude"] for row in moving) > 0.1


def test_the_sheet_shows_some_sequences(dataset: Path, photos: Path) -> None:
    sheet = read_image(photos.parent / "sheet.png")
    assert sheet.shape[1] > 1900
    assert sheet.std() > 20


@pytest.mark.parametrize(("doubtful", "status"), [("still", "still: doubtful, "), ("keep", "doubtful: ")])
def test_doubtful_photos_can_be_used(photos: Path, tmp_path: Path, doubtful: str, status: str) -> None:
    command = [str(photos / "mist.png"), "--output", str(tmp_path / "dataset"), "--sequences", "1", *OPTIONS]
    assert main([*command, "--doubtful", doubtful]) == 0
    (row,) = load_manifest(tmp_path / "dataset")
    assert (row["status"], row["notes"].startswith(status)) == ("kept", True)


def test_missing_maps_are_one_line(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [str(photos / "meadow.png"), "--output", str(tmp_path / "dataset"), "--sequences", "1", *OPTIONS]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert captured.err.count("python -m data.synthetic.maps adds classes and mattes") == 1
    assert "1 photos sway, 0 are still, 0 are doubtful (skip)" in captured.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mist.png"], "no sequence is usable"),
        (["meadow.png", "--categories", "names.csv"], "names.csv: no column 'category'"),
        (["meadow.png", "--categories", "missing.csv"], "missing.csv"),
        (["meadow.png", "--still-share", "2"], "'2' is not a number from 0 to 1"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    message: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(photos)
    Path("names.csv").write_text("file,kind\nmeadow.png,flower\n")
    try:
        status = main([*arguments, "--output", str(tmp_path / "dataset"), *OPTIONS])
    except SystemExit as stopped:
        status = int(str(stopped.code))
    assert status == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
