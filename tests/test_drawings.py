"""Drawings in the documents show the code as it is."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from helpers.places import ROOT
from PIL import Image

from data.media.write_video import write_video
from docs.draw import loops, networks, rooms

MEDIA = ROOT / "docs" / "media"


def test_the_drawn_rooms_are_those_of_the_code() -> None:
    assert (MEDIA / "rooms.svg").read_text() == rooms.draw(), "draw them again: python -m docs.draw.rooms"


@pytest.mark.parametrize("name", networks.FIGURES)
def test_the_drawn_networks_are_those_of_the_code(name: str) -> None:
    assert (MEDIA / name).read_text() == networks.FIGURES[name](), "draw them again: python -m docs.draw.networks"


@pytest.mark.parametrize("name", ["rooms.svg", *networks.FIGURES])
def test_drawings_are_svg_that_loads_nothing(name: str) -> None:
    tree = ElementTree.parse(MEDIA / name)
    assert tree.getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert not [e for e in tree.iter() if any(key.endswith("href") for key in e.attrib)]


def test_every_room_and_folder_is_drawn() -> None:
    text = (MEDIA / "rooms.svg").read_text()
    for row in rooms.ROWS:
        for room in row:
            assert f">{room}" in text
    assert "splatting/" in text


def test_loops_side_by_side_keep_their_pace_and_length(tmp_path: Path) -> None:
    for name, level in (("dark", 40), ("light", 200)):
        frames = [np.full((60, 80, 3), level + index, np.uint8) for index in range(30)]
        write_video(tmp_path / f"{name}.mp4", frames, 30)
    loops.main([str(tmp_path / "strip.png"), str(tmp_path / "dark.mp4"), str(tmp_path / "light.mp4")])
    with Image.open(tmp_path / "strip.png") as strip:
        width, height = loops.PANEL
        assert (strip.n_frames, strip.size) == (10, (2 * width + loops.GAP, height))
        assert strip.info["duration"] == 100
        pixels = np.asarray(strip.convert("RGB")).astype(int)
    assert abs(pixels[:, :width] - 40).max() < 6
    assert abs(pixels[:, -width:] - 200).max() < 6


def test_loops_of_different_length_are_refused(tmp_path: Path) -> None:
    for name, count in (("short", 6), ("long", 9)):
        write_video(tmp_path / f"{name}.mp4", [np.zeros((60, 80, 3), np.uint8)] * count, 30)
    with pytest.raises(SystemExit, match="differ in length"):
        loops.main([str(tmp_path / "strip.png"), str(tmp_path / "short.mp4"), str(tmp_path / "long.mp4")])
