"""Drawings in the documents show the code as it is."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from helpers.places import ROOT

from docs.draw import networks, rooms

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
