"""The page's text and format, without a browser; the tests beside it open it in one."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.modal_scenes import swaying_motion, swaying_volume
from PIL import Image
from torch import Tensor

import app.viewer.page as viewer_module
from app.viewer.page import LEVELS, PAGE_LIMIT, decode_modes, encode_modes, encode_within, viewer_page
from common.images import image_to_tensor
from data.media.images import read_image
from models.dynamics.basis import LARGEST_DISPLACEMENT, SOFTNESS
from models.dynamics.motion_file import MotionFile
from models.spectral_volume import resize_motion

HOSTILE = "</script><script>alert('\"1\"')</script><img src=x onerror=alert(2)>$style${photo}"


class Page(HTMLParser):
    """A page's elements with their attributes, and the text of each."""

    VOID = ("meta", "img", "input", "circle", "line")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data

    def text(self, tag: str, **attributes: str) -> str:
        return next(
            text.strip()
            for (name, have), text in zip(self.tags, self.texts, strict=True)
            if name == tag and attributes.items() <= have.items()
        )

    def header(self) -> dict:
        return json.loads(self.text("script", id="header"))


def photo(width: int = 64, height: int = 48) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


# Modes ----------------------------------------------------------------------------------------------------------------


def test_modes_come_back_within_the_stated_error():
    modes = swaying_volume(6, (40, 30))[0, 1:]
    packed, scales = encode_modes(modes)
    back = decode_modes(packed, scales, 30, 40).double()
    assert scales == pytest.approx(modes.abs().amax((1, 2, 3)).double().numpy())
    steps = torch.as_tensor(scales)[:, None, None, None] / LEVELS**2
    levels = (modes.double().abs() / steps).sqrt().round()  # |n|: S = n^2 s / 127^2
    error = (back - modes.double()).abs()
    assert (error <= (levels + 0.25) * steps * (1 + 1e-6)).all()
    assert error.square().mean().sqrt() < 0.01 * modes.double().square().mean().sqrt()
    assert back.abs().amax((1, 2, 3)).numpy() == pytest.approx(scales)


def test_noise_and_modes_that_stand_still_come_back_too():
    modes = torch.randn(3, 4, 7, 9, generator=torch.Generator().manual_seed(1))  # differences wrap around
    modes[1] = 0
    packed, scales = encode_modes(modes)
    back = decode_modes(packed, scales, 7, 9)
    assert (back[1] == 0).all()
    assert torch.allclose(back, modes, atol=float(scales.max()) / LEVELS)
    again, _ = encode_modes(back)
    assert again == packed


def test_modes_shrink_until_they_fit():
    modes = torch.randn(4, 4, 40, 60, generator=torch.Generator().manual_seed(2))
    packed, scales, (height, width) = encode_within(modes, 10_000)
    assert len(packed) <= 10_000
    assert width / height == pytest.approx(1.5, rel=0.1)
    expected = resize_motion(modes, (height, width), "area")
    assert torch.allclose(decode_modes(packed, scales, height, width), expected, atol=float(scales.max()) / LEVELS)
    assert encode_within(modes, 10**6)[2] == (40, 60)


# Page -----------------------------------------------------------------------------------------------------------------


def test_header_says_what_the_page_holds():
    motion = swaying_motion()
    page = Page(viewer_page(photo(), motion, title="Two bells"))
    header = page.header()
    assert (header["format"], header["version"], header["title"]) == ("modal-motion", 1, "Two bells")
    assert header["photo"] == {"width": 64, "height": 48}
    modes = header["modes"]
    assert (modes["width"], modes["height"], modes["period"], len(modes["scales"])) == (32, 24, 2.0, 4)
    assert header["damping"] == {"alpha": 0.4, "beta": 0.08}
    assert (header["softness"], header["largest_displacement"]) == (SOFTNESS, LARGEST_DISPLACEMENT)
    assert page.text("title") == "Two bells"
    packed = base64.b64decode(page.text("script", id="modes"))
    back = decode_modes(packed, np.array(modes["scales"]), modes["height"], modes["width"])
    assert torch.allclose(back, motion.spectral_volume[1:], atol=max(modes["scales"]) / LEVELS)


def test_page_loads_nothing_and_says_so_to_the_browser():
    text = viewer_page(photo(), swaying_motion())
    assert not re.search(r"https?://|//cdn|@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|import\(", text)
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert attributes.get("src", "data:").startswith("data:")
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "href")]
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy.replace("sha256", "")


def test_title_can_not_become_markup():
    plain, hostile = (Page(viewer_page(photo(), swaying_motion(), title=title)) for title in ("plain", HOSTILE))
    assert hostile.header()["title"] == HOSTILE
    assert hostile.text("h1") == HOSTILE == hostile.text("title")
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]


def test_what_a_photo_file_says_beside_its_pixels_is_left_out(tmp_path: Path):
    picture = Image.fromarray(np.full((48, 64, 3), 128, np.uint8))
    exif = picture.getexif()
    exif[0x010E] = "secret place <script>"
    picture.save(tmp_path / "p.jpg", exif=exif, comment=b"secret place")
    assert b"secret place" in (tmp_path / "p.jpg").read_bytes()
    text = viewer_page(image_to_tensor(read_image(tmp_path / "p.jpg")), swaying_motion())
    jpeg = base64.b64decode(re.search(r'id="photo"[^>]*base64,([^"]+)"', text).group(1))
    assert jpeg[:2] == b"\xff\xd8"
    assert b"secret" not in jpeg
    assert "secret" not in text


def test_page_stays_within_its_size():
    noisy = torch.randn(16, 4, 320, 512, generator=torch.Generator().manual_seed(3))
    text = viewer_page(photo(2000, 1250), MotionFile(noisy, 150, 30.0, (2000, 1250), "0" * 64))
    assert len(text.encode()) < PAGE_LIMIT
    header = Page(text).header()
    assert max(header["photo"].values()) == 1024
    assert header["modes"]["width"] < 512


def test_loop_goes_into_the_page_where_it_fits(tmp_path: Path):
    loop = tmp_path / "loop.mp4"
    loop.write_bytes(bytes(range(256)) * 10)
    page = Page(viewer_page(photo(), swaying_motion(), loop=loop))
    assert page.header()["loop"]["included"] is True
    (video,) = (attributes for tag, attributes in page.tags if tag == "video")
    assert base64.b64decode(video["src"].removeprefix("data:video/mp4;base64,")) == loop.read_bytes()
    gif = loop.rename(tmp_path / "loop.GIF")
    page = Page(viewer_page(photo(), swaying_motion(), loop=gif))
    assert next(a["src"] for _, a in page.tags if a.get("id") == "loop").startswith("data:image/gif;base64,")
    limit = len(viewer_page(photo(), swaying_motion())) + 3000
    told: list[str] = []
    text = viewer_page(photo(), swaying_motion(), loop=gif, limit=limit, warn=told.append)
    assert told == [Page(text).header()["loop"]["note"]]
    assert not [a for _, a in Page(text).tags if a.get("id") == "loop"]
    assert "no room" in Page(text).header()["loop"]["note"]
    assert len(text) < limit


def test_what_can_not_be_shown_is_said_in_one_line(tmp_path: Path):
    with pytest.raises(ValueError, match="aspect ratio"):
        viewer_page(photo(64, 64), swaying_motion())
    still = MotionFile(torch.zeros(4, 4, 24, 32), 60, 30.0, (64, 48), "0" * 64)
    with pytest.raises(ValueError, match="stands still"):
        viewer_page(photo(), still)
    (tmp_path / "loop.avi").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"loop\.avi: a page can't show this"):
        viewer_page(photo(), swaying_motion(), loop=tmp_path / "loop.avi")


def test_sources_of_the_page_are_all_used():
    here = {path.name for path in viewer_module.FOLDER.iterdir() if path.suffix not in (".py", "")}
    assert here == {*viewer_module.SCRIPTS, "page.html", "page.css"}
    for name in viewer_module.SCRIPTS:
        text = (viewer_module.FOLDER / name).read_text()
        assert "</script" not in text
        assert "innerHTML" not in text
        assert max(map(len, text.splitlines())) <= 140, name
