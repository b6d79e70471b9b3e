"""The list of authors and licences of the photos that a dataset was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.synthetic.command import main as make_dataset
from data.synthetic.credits import main

HEADER = "file,author,licence,evidence\n"
LINE = 'wall.png,"A | B <b>",CC BY 4.0,https://example.org/wall_1\n'


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """One still photo."""
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wall.png")
    (tmp_path / "list.csv").write_text("file,category\nwall.png,building\n")
    arguments = ["--output", str(tmp_path / "layered"), "--sequences", "1", "--size", "64x48", "--num-frames", "6"]
    assert make_dataset([str(tmp_path / "wall.png"), *arguments, "--categories", str(tmp_path / "list.csv")]) == 0
    return tmp_path / "layered"


def credit(dataset: Path, lines: str) -> int:
    (dataset.parent / "photos.csv").write_text(HEADER + lines)
    photos, output = dataset.parent / "photos.csv", dataset.parent / "CREDITS.md"
    return main([str(dataset), "--photos", str(photos), "--output", str(output)])


def test_photos_that_were_used_are_listed_by_licence_as_plain_text(dataset: Path) -> None:
    assert credit(dataset, LINE + "unused.png,Somebody,GPL,nowhere\n") == 0
    text = (dataset.parent / "CREDITS.md").read_text()
    assert "| CC BY 4.0 | 1 |" in text
    assert "\n## CC BY 4.0\n" in text
    assert r"| wall.png | A \| B \<b\> | https://example.org/wall\_1 |" in text
    assert "GPL" not in text


def test_a_photo_without_a_line_is_refused_and_nothing_written(dataset: Path, capsys) -> None:
    assert credit(dataset, "unused.png,Somebody,GPL,nowhere\n") == 2
    assert "photos.csv: no line about wall.png (1 photos are missing)" in capsys.readouterr().err
    assert not (dataset.parent / "CREDITS.md").exists()
