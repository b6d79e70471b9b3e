"""The studio's page with the local Python as its engine, in a real browser."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from helpers.local_server import Client, start_server, until
from helpers.studio_window import StudioWindow, photo_pixels, png
from PIL import Image

from data.media.read_video import read_video
from models.dynamics.motion_file import MotionFile
from models.pipeline import ImageDynamicsPipeline

RENDERED = "document.querySelector('video')?.hidden === false"
Opening = Callable[..., AbstractContextManager[StudioWindow]]


@pytest.fixture
def client(pipeline, tmp_path) -> Iterator[Client]:
    with start_server(pipeline, tmp_path, 1) as client:
        yield client


@pytest.fixture
def opened(browser, client) -> Opening:
    """Opens windows on the page."""

    @contextmanager
    def opening(**context: Any) -> Iterator[StudioWindow]:
        window = StudioWindow(browser, f"http://127.0.0.1:{client.server.port}/", sends=True, **context)
        yield window
        window.close()

    return opening


def loop_of(page: str) -> str:
    return page.split("data:video/mp4;base64,")[1].split('"')[0]


def tiff(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF")
    return file.getvalue()


@pytest.mark.slow
def test_a_photo_moves_is_rendered_and_saved(opened, client, tmp_path):
    pixels = photo_pixels(64, 48)
    with opened() as window:
        window.choose(png(pixels), "rose <b>.png")
        assert window.trouble == ""
        window.until(RENDERED)
        window.until("document.querySelector('video').videoWidth === 64")
        saved = MotionFile.read(window.save("motion", tmp_path))
        expected = ImageDynamicsPipeline.predict_motion(client.pipeline, pixels, steps=2)[0]
        assert torch.allclose(saved.spectral_volume, expected, atol=2e-3)
        assert saved.photo_size == (64, 48)
        frames, _ = read_video(window.save("video", tmp_path))
        assert frames.shape == (6, 48, 64, 3)
        page = window.save("page", tmp_path).read_text()
        assert "data:video/mp4;base64," in page  # the rendered loop is in it
        window.page.select_option("#format", "webp")
        assert window.save("video", tmp_path).read_bytes()[:4] == b"RIFF"
        again = window.save("page", tmp_path).read_text()
        assert loop_of(again) == loop_of(page)  # not the WebP that was saved meanwhile
        window.run("setSlider('amplitude', 0.1)")
        assert not window.run(RENDERED)  # it shows what is not true any more
        window.page.click("#render")
        window.until(RENDERED)
        x, y = window.middle()
        window.page.mouse.move(x, y)
        window.page.mouse.down()
        assert not window.run(RENDERED)  # what is pulled is drawn by the page
        window.page.mouse.up()
        assert window.complaints == []
    assert client.stored() == []


@pytest.mark.slow
def test_a_photo_that_only_python_knows(opened, tmp_path):
    with opened(reduced_motion="reduce", viewport={"width": 340, "height": 640}) as window:
        window.choose(tiff(photo_pixels(64, 48)), "scan.tif")
        window.until(RENDERED)
        assert window.run("document.querySelector('video').paused")
        assert window.run("document.documentElement.scrollWidth <= innerWidth")
        assert MotionFile.read(window.save("motion", tmp_path)).photo_size == (64, 48)
        assert window.complaints == []


@pytest.mark.slow
def test_where_hardly_anything_sways_the_page_says_so(opened, pipeline):
    gain = pipeline.motion_model.amplitude_gain
    before = gain.clone()
    gain.mul_(1e-3)
    try:
        with opened() as window:
            window.choose(png(photo_pixels(64, 48)), "house.png")
            window.until("document.getElementById('status').textContent.includes('hardly anything here that sways')")
            window.until(RENDERED)  # and the loop is made all the same
    finally:
        gain.copy_(before)


@pytest.mark.slow
def test_what_goes_wrong_is_said_and_whoever_leaves_has_cancelled(opened, client):
    photo = png(photo_pixels(64, 48))
    with opened() as window, opened() as second, opened() as third:
        window.choose(b"no picture", "notes<b>.png")
        assert window.trouble.startswith("notes<b>.png: not an image that can be read")
        client.pipeline.gate.clear()
        doing = "document.getElementById('doing').textContent"
        window.give(photo)
        window.until(f"{doing}.includes('step 0 of 2')")
        second.give(photo)
        second.until(f"{doing} === 'Waiting for 1 before it'")
        third.choose(photo, "third.png")
        assert third.trouble.startswith("third.png: busy: 1 photos are waiting")
        window.page.click("#cancel")
        second.until(f"{doing}.includes('step 0 of 2')")
        assert window.wait("ready", "shown") == "ready"
    until(lambda: client.stored() == [])


def test_a_server_that_has_stopped_is_named(browser, pipeline, tmp_path):
    with start_server(pipeline, tmp_path) as client:
        window = StudioWindow(browser, f"http://127.0.0.1:{client.server.port}/", sends=True)
    window.choose(png(photo_pixels(64, 48)), "late.png")
    assert window.trouble.startswith("late.png: The server does not answer")
    window.close()
