"""python -m docs.draw.gallery: loops, credits and failures on one page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.browser import OpenPage
from helpers.parsed_page import Page
from PIL import Image

from docs.draw import gallery
from docs.draw.gallery_page import Credit, Exhibit, gallery_page

CREDITS = {
    "oak & elm.png": ("Ada <script>", "CC BY 4.0", "https://example.org/oak?a=1&b=2 ; a list", ""),
    "house.png": ("Bob", "CC0 1.0", "a box of slides", "the house sways"),
    "broken.jpg": ("Cleo", "CC0 1.0", "a box of slides", ""),
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos and a damaged one, with their credits beside the folder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    y, x = np.mgrid[:48, :64] / 12
    pixels = (127 + 120 * np.stack([np.sin(x), np.cos(y), np.sin(x + y)], axis=-1)).astype(np.uint8)
    for name in list(CREDITS)[:2]:
        Image.fromarray(pixels).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 damaged")
    write_credits(tmp_path / "credits.csv", CREDITS)
    return folder


def write_credits(path: Path, credits: dict) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["file", "author", "licence", "source", "failure"]])
        csv.writer(file).writerows([name, *credit] for name, credit in credits.items())


def make(photos: Path, checkpoint: Path, *more: str) -> int:
    command = [str(photos.parent / "out"), str(photos), "--credits", str(photos.parent / "credits.csv"), "--fps", "1"]
    return gallery.main([*command, "--checkpoint", str(checkpoint), "--device", "cpu", "--magnify", "40", *more])


@pytest.mark.slow
def test_loops_play_beside_their_credits_and_failures_are_told(photos: Path, checkpoint: Path, browser) -> None:
    assert make(photos, checkpoint) == 1
    out = photos.parent / "out"
    assert {path.name for path in out.iterdir()} == {"gallery.json", "house.mp4", "index.html", "oak & elm.mp4"}
    page = Page(out / "index.html")
    assert [video["src"] for video in page.all("video")] == ["./oak%20%26%20elm.mp4", "./house.mp4"]
    assert [link["href"] for link in page.all("a")] == ["https://example.org/oak?a=1&b=2"]
    good, bad = page.text.split("Failures (2)")
    assert "oak & elm. Photo: Ada <script>, CC BY 4.0, source" in good
    assert "Failure: the house sways" in bad
    assert "house. Photo: Bob, CC0 1.0, a box of slides" in bad
    assert "Failure: no loop could be made: " in bad
    opened = OpenPage(browser, out / "index.html", ready="document.readyState === 'complete'")
    opened.wait("[...document.querySelectorAll('video')].every((video) => video.videoWidth === 64 && !video.paused)")
    assert opened.complaints == []
    assert not opened.network_requests
    opened.close()


def test_the_page_is_written_again_without_making_loops(photos: Path, checkpoint: Path) -> None:
    assert make(photos, checkpoint) == 1
    loop = photos.parent / "out" / "oak & elm.mp4"
    before = loop.stat().st_mtime_ns
    write_credits(photos.parent / "credits.csv", {name: (*credit[:3], "torn") for name, credit in CREDITS.items()})
    assert make(photos, checkpoint, "--skip-existing") == 1
    assert loop.stat().st_mtime_ns == before
    assert Page(photos.parent / "out" / "index.html").text.count("Failure: torn") == 3


def test_loops_that_hardly_move_are_failures() -> None:
    credits = {"a.jpg": Credit("Ada", "CC0 1.0", "a box")}
    page = gallery_page("Two", [Exhibit("a.jpg", "a.mp4", (64, 48), "hardly anything moves")], credits=credits)
    assert "Failures (1)" in page
    assert "Loops (" not in page


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,author\nhouse.png,Bob\n", "a CSV with the columns file, author, licence, source is needed"),
        ("file,author,licence,source\nhouse.png,Bob,,\n", "no author, licence and source of broken.jpg and 2 more"),
        ("", "a CSV with the columns"),
        ("\xff\xfe", "no CSV in UTF-8"),
    ],
)
def test_photos_without_credits_are_refused_before_any_work(
    photos: Path, tmp_path: Path, capsys, text, message
) -> None:
    (tmp_path / "credits.csv").write_bytes(text.encode("latin-1"))
    assert make(photos, tmp_path / "no checkpoint") == 2
    told = capsys.readouterr().err
    assert "credits.csv: " + message in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_photos_of_one_name_do_not_share_their_credits(photos: Path, tmp_path: Path, capsys) -> None:
    (photos / "more").mkdir()
    (photos / "house.png").rename(photos / "more" / "oak & elm.png")
    assert make(photos, tmp_path / "no checkpoint") == 2
    assert "two photos are called oak & elm.png" in capsys.readouterr().err


def test_a_record_that_is_not_ours_is_told(photos: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "gallery.json").write_text(json.dumps({"house.png": {"photo": 3}}))
    assert make(photos, tmp_path / "no checkpoint", "--skip-existing") == 2
    assert "gallery.json: house.png" in capsys.readouterr().err
