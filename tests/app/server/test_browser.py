"""The page of generate.py --serve in a real browser: dropping, choosing and pasting photos, and what comes back."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.browser import HAND_OVER
from helpers.local_server import Client, picture, start_server, until

from app.server.jobs import Limits

HOSTILE = "<img src=x onerror=alert(1)>\"'&.png"


class Window:
    """The page in a window of its own, and what it complained about."""

    def __init__(self, browser: Any, client: Client, **context: Any) -> None:
        self.address = f"http://127.0.0.1:{client.server.port}/"
        self.context = browser.new_context(**context)
        self.context.set_default_timeout(60_000)  # beside other programs drawing in software takes long
        self.complaints: list[str] = []
        self.page = self.watch(self.context.new_page())
        self.page.goto(self.address)
        # Chromium drops keys that are pressed before it has drawn a page for the first time.
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def watch(self, page: Any) -> Any:
        """Note errors, dialogs and requests to other places."""
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda told: self.complaints.append(told.text) if told.type == "error" else None)
        allowed = (self.address, "blob:", "data:")
        page.on("request", lambda asked: asked.url.startswith(allowed) or self.complaints.append(asked.url))
        return page

    def hand_over(self, event: str, photo: bytes, name: str) -> None:
        """Drop or paste a photo."""
        self.page.evaluate(HAND_OVER, [base64.b64encode(photo).decode(), name, event])


@pytest.fixture
def client(pipeline, tmp_path) -> Iterator[Client]:
    with start_server(pipeline, tmp_path, Limits(waiting=1)) as client:
        yield client


def test_a_chosen_photo_shows_progress_then_plays_and_can_be_poked(browser, client, tmp_path):
    window = Window(browser, client)
    page = window.page
    client.pipeline.gate.clear()
    page.on("filechooser", lambda _: None)  # from now on choosers come here; asked for later, it can be too late
    until(lambda: page.evaluate("document.hasFocus()"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "drop"  # the first thing that the keyboard reaches
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([{"name": "rose.png", "mimeType": "image/png", "buffer": picture()}])
    page.get_by_text("step 0 of 2").wait_for()
    assert page.locator("li progress").get_attribute("value")
    client.pipeline.gate.set()
    until(lambda: page.evaluate("document.querySelector('li video').currentTime") > 0.2)  # it plays by itself
    assert page.evaluate("document.querySelector('li video').videoWidth") == 64
    assert not page.locator("progress").is_visible()
    for name, label in (("rose.mp4", "Save the loop"), ("rose.html", "Save the page to poke it")):
        with page.expect_download() as download:
            page.get_by_text(label, exact=True).click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    with window.context.expect_page() as opened:
        page.get_by_text("Poke it", exact=True).click()
    viewer = window.watch(opened.value)
    viewer.wait_for_load_state()
    assert until(lambda: viewer.evaluate("document.documentElement.dataset.state")) in ("ready", "fallback")
    assert viewer.evaluate("origin") == "null"  # a sandbox: it can't read this server's token
    assert viewer.evaluate("fetch('/').then(() => true, () => false)") is False
    window.complaints = [told for told in window.complaints if "Content Security Policy" not in told]  # that fetch
    page.bring_to_front()
    page.get_by_role("button", name="Another motion").click()
    page.get_by_text("motion number 1").wait_for()
    page.get_by_role("button", name="Remove").first.click()
    page.get_by_role("button", name="Remove").click()
    until(lambda: page.locator("li").count() == 0)
    page.wait_for_timeout(200)
    assert client.jobs() == {}
    assert window.complaints == []
    window.context.close()


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_dropped_and_pasted_photos_and_their_names(browser, client, event):
    window = Window(browser, client)
    window.hand_over(event, picture(), HOSTILE)
    window.page.wait_for_selector("li video:not([hidden])")
    assert window.page.locator("li h2").text_content() == HOSTILE
    other = Window(browser, client)  # a second window, or this one loaded again, shows what there is
    other.page.wait_for_selector("li video:not([hidden])")
    assert other.page.locator("li h2").text_content() == HOSTILE
    assert window.complaints + other.complaints == []
    other.context.close()
    window.context.close()


def test_what_goes_wrong_is_said_on_the_page(browser, client, tmp_path):
    window = Window(browser, client)
    page, trouble = window.page, window.page.locator("#trouble")
    window.hand_over("drop", b"no picture", "notes<b>.png")
    trouble.get_by_text("notes<b>.png: not an image that can be read").wait_for()
    window.hand_over("drop", picture(400, 300)[:-3000], "cut.png")
    page.locator("li .error").get_by_text("damaged image").wait_for()
    page.get_by_role("button", name="Remove").click()
    client.pipeline.gate.clear()
    window.hand_over("drop", picture(), "first.png")
    page.get_by_text("step 0 of 2").wait_for()
    window.hand_over("drop", picture(), "second.png")
    page.get_by_text("Waiting for 1 before it").wait_for()
    window.hand_over("drop", picture(), "third.png")
    trouble.get_by_text("third.png: busy").wait_for()
    for _ in range(2):
        page.get_by_role("button", name="Cancel").first.click()
    until(lambda: page.locator("li").count() == 0)
    page.locator("#seed").fill("")
    window.hand_over("drop", picture(), "fourth.png")
    page.wait_for_timeout(300)
    assert client.jobs() == {}  # the number is asked for first
    assert {told for told in window.complaints if "status of" not in told} == set()
    window.context.close()


def test_a_server_that_has_stopped_is_named(browser, pipeline, tmp_path):
    with start_server(pipeline, tmp_path) as client:
        window = Window(browser, client)
        window.page.wait_for_load_state("networkidle")
    window.hand_over("drop", picture(), "late.png")
    window.page.locator("#trouble").get_by_text("late.png: The server does not answer").wait_for()
    window.context.close()


def test_without_motion_where_that_is_asked_for(browser, client):
    window = Window(
        browser, client, reduced_motion="reduce", color_scheme="dark", viewport={"width": 340, "height": 600}
    )
    window.hand_over("drop", picture(), "calm.png")
    window.page.wait_for_selector("li video:not([hidden])")
    window.page.wait_for_timeout(300)
    assert window.page.evaluate("document.querySelector('video').paused")
    assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    background = window.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(","))) < 150
    window.context.close()
