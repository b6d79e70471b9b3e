"""The studio in a real browser: photos, the motion beside Python's, what is saved, what is refused."""

from __future__ import annotations

import base64
import struct
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.browser import HAND_OVER, OpenPage
from helpers.h264_chunks import h264_chunks
from helpers.studio_window import PATIENCE, StudioWindow, photo_pixels, png
from PIL import Image

from data.media.read_video import scan_video
from models.dynamics.motion_file import MotionFile
from models.dynamics.seam import SeamMeter
from models.motion.model import MotionModel
from models.pipeline import ImageDynamicsPipeline

pytestmark = pytest.mark.slow  # the networks are exported first
TOLERANCE = 2e-3  # pixels, of a motion of about a pixel; half precision has steps of 1e-3


def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition that can't be asked for while the page loads itself again."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(Exception):
            if condition():
                return
        time.sleep(0.1)
    raise TimeoutError


def expected_motion(model: MotionModel, pixels: np.ndarray, seed: int) -> torch.Tensor:
    return ImageDynamicsPipeline(model, None).predict_motion(pixels, seed=seed)[0]


def test_a_photo_moves_as_python_samples_it_and_nothing_leaves_the_page(window, studio_model, tmp_path) -> None:
    pixels = photo_pixels()
    window.choose(png(pixels), "rose <b>.png")
    assert window.trouble == ""
    expected = expected_motion(studio_model, pixels, 0)
    saved = MotionFile.read(window.save("motion", tmp_path))
    assert expected.abs().max() > 0.2
    assert (saved.spectral_volume - expected).abs().max() < TOLERANCE
    assert (saved.num_frames, saved.fps, saved.photo_size) == (150, 30.0, (160, 96))
    (tmp_path / "rose.png").write_bytes(png(pixels))
    from common.hashing import file_sha256

    assert saved.photo_sha256 == file_sha256(tmp_path / "rose.png")
    before = len(window.requests)
    window.page.click("#more")
    window.wait("shown")
    assert window.run("document.querySelectorAll('#strip button').length") == 4
    window.run("document.querySelectorAll('#strip button')[2].click()")
    other = MotionFile.read(window.save("motion", tmp_path))
    assert (other.spectral_volume - expected_motion(studio_model, pixels, 2)).abs().max() < TOLERANCE
    assert [request.url for request in window.requests[before:] if request.url.startswith("http")] == []


def test_a_poke_pulls_the_photo_out_of_its_loop(window) -> None:
    window.choose(png(photo_pixels()))
    assert window.run("studio.stage.viewer.loopTime !== null")
    x, y = window.middle()
    window.page.mouse.move(x, y)
    window.page.mouse.down()
    window.page.mouse.move(x + 40, y, steps=4)
    assert window.run("studio.stage.viewer.pointers.pulls.size") == 1
    window.page.mouse.up()
    assert window.run("studio.stage.viewer.pointers.pulls.size") == 0
    assert window.run("document.getElementById('loop').getAttribute('aria-pressed')") == "false"
    window.page.click("#loop")
    assert window.run("studio.stage.viewer.loopTime !== null")


def test_what_is_painted_stays_or_alone_moves(window, tmp_path) -> None:
    window.choose(png(photo_pixels()))
    # Unmoved, so that what is painted lies where the mouse is.
    window.run("(setPaused(studio.stage.viewer, true), studio.stage.playLoop())")

    def painted(tool: str) -> tuple[torch.Tensor, torch.Tensor]:
        """How far the middle and a corner move after a dab with a brush in the middle."""
        window.page.click("input[value=pull] + span")
        window.page.click(f"input[value={tool}] + span")
        window.page.click("#all-moves")
        window.page.mouse.click(*window.middle())
        volume = MotionFile.read(window.save("motion", tmp_path)).spectral_volume.abs()
        height, width = volume.shape[-2:]
        return volume[:, :, height // 2, width // 2].max(), volume[:, :, 0, 0].max()

    inside, outside = painted("stays")
    assert inside == 0
    assert outside > 0
    inside, outside = painted("moves")
    assert inside > 0
    assert outside == 0


def test_leaving_the_loop_does_not_jump(window) -> None:
    window.choose(png(photo_pixels()))
    before, after = window.run("""() => {
        const { stage } = studio, { viewer } = stage;
        setPaused(viewer, true);
        viewer.loopTime = 1.23;
        const shown = () => Array.from(viewer.displace()[0]);
        const before = shown();
        stage.leaveLoop();
        return [before, shown()];
    }""")
    assert max(map(abs, before)) > 0.1
    assert np.allclose(before, after, atol=1e-5)


def seen(path: Path) -> tuple[list[tuple[int, ...]], SeamMeter]:
    """Shapes of a loop's frames, and a meter that has seen them."""
    meter, shapes = SeamMeter(), []

    def look(frame: np.ndarray, _: Any) -> None:
        meter.add(torch.from_numpy(frame.copy()).float())
        shapes.append(frame.shape)

    scan_video(path, look=look)
    return shapes, meter


def expect_loop(shapes: list[tuple[int, ...]], meter: SeamMeter) -> None:
    assert shapes == [(96, 160, 3)] * 50  # 150 frames, three times as fast
    assert meter.usual_step > 0
    assert meter.ratio() < 3


def test_saved_loops_decode_and_are_seamless(window, tmp_path) -> None:
    window.choose(png(photo_pixels()))
    window.run("(speed) => setSlider('speed', speed)", 3)
    formats = window.run("studio.formats")
    assert {"webm", "webp"} <= set(formats)
    for form in formats:
        window.page.select_option("#format", form)
        path = window.save("video", tmp_path)
        assert path.suffix == f".{form}"
        if form != "webp":
            expect_loop(*seen(path))
    with Image.open(tmp_path / "photo.webp") as image:
        meter, shapes, times = SeamMeter(), [], []
        assert image.info["loop"] == 0  # for ever
        for index in range(image.n_frames):
            image.seek(index)
            frame = np.array(image.convert("RGB"))
            meter.add(torch.from_numpy(frame).float())
            shapes.append(frame.shape)
            times.append(image.info["duration"])
    expect_loop(shapes, meter)
    assert sum(times) == 1667  # milliseconds of fifty frames at thirty a second


MP4_OF_CHUNKS = """async ({ chunks, description, width, height, fps }) => {
    const { mp4 } = await import(new URL("save/mp4.js", location.href));
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const decoder = { description: bytes(description).buffer };
    const facts = { codec: "avc1", decoder, width, height, fps, count: chunks.length };
    const parts = mp4(chunks.map((chunk) => ({ ...chunk, data: bytes(chunk.data) })), facts);
    const blob = new Blob(parts, { type: "video/mp4" });
    const video = Object.assign(document.createElement("video"), { muted: true, src: URL.createObjectURL(blob) });
    await new Promise((resolve, reject) => Object.assign(video, { onloadeddata: resolve, onerror: reject }));
    const told = [video.videoWidth, video.videoHeight, video.duration];
    return [told, Array.from(new Uint8Array(await blob.arrayBuffer()))];
}"""


def test_an_mp4_of_h264_decodes_plays_and_is_seamless(window, tmp_path) -> None:
    """Chromium without a licensed encoder makes none: here ffmpeg has encoded, and the page makes the file."""
    y, x = np.mgrid[:96, :160]
    times = 2 * np.pi * np.arange(50) / 50
    frames = np.stack([np.stack([127 + 100 * np.sin(x / 9 + np.sin(t) + y / 7)] * 3, axis=-1) for t in times])
    given = h264_chunks(frames.astype(np.uint8), 30)
    told, content = window.run(MP4_OF_CHUNKS, given | {"width": 160, "height": 96, "fps": 30})
    assert told == [160, 96, pytest.approx(50 / 30, abs=1e-3)]
    (tmp_path / "loop.mp4").write_bytes(bytes(content))
    expect_loop(*seen(tmp_path / "loop.mp4"))


def test_the_saved_page_can_be_poked(window, browser, tmp_path) -> None:
    window.choose(png(photo_pixels()), "it's <i>.png")
    motion = MotionFile.read(window.save("motion", tmp_path))
    page = OpenPage(browser, window.save("page", tmp_path), offline=True)
    assert page.state == "ready"
    assert page.complaints == []
    assert page.network_requests == []
    assert page.run("document.title") == "it's <i>"
    values = np.array(page.run("Array.from(viewer.basis.values)")).reshape(motion.spectral_volume[1:].shape)
    modes = motion.spectral_volume[1:].numpy()
    scales = np.abs(modes).max(axis=(1, 2, 3), keepdims=True)
    assert np.abs(values - modes).max() <= (scales * (127 + 0.25) / 127**2).max()
    page.close()
    window.run("setSlider('amplitude', 2)")
    page = OpenPage(browser, window.save("page", tmp_path), offline=True)
    twice = np.array(page.run("Array.from(viewer.basis.values)")).reshape(values.shape)
    assert np.allclose(twice, 2 * values, rtol=1e-6, atol=1e-7)
    page.close()


def huge_png(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


HOSTILE = {
    "no picture": (b"<script>alert(1)</script>", "not a photo that a browser knows"),
    "a drawing": (b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>', "not a photo"),
    "cut": (png(photo_pixels())[:60], "can't decode it"),
    "cut header": (b"\xff\xd8\xff\xe0\x00", "damaged image"),
    "endless JPEG": (b"\xff\xd8" + b"\xff\xe0\x00\x00" * 9, "damaged image"),
    "a bomb": (huge_png(60_000, 60_000), "at most 64 megapixels"),
    "tiny": (png(photo_pixels()[:8, :8]), "16 a side are needed"),
    "empty": (b"", "damaged image"),
}


def test_hostile_files_are_refused_in_words(window) -> None:
    name = "<img src=x onerror=alert(1)>.png"
    for what, (content, words) in HOSTILE.items():
        window.run("document.getElementById('trouble').hidden = true")
        window.choose(content, name)
        assert window.trouble.startswith(f"{name}: "), what
        assert words in window.trouble, what
        assert window.run("document.getElementById('result').hidden")
    window.choose(png(photo_pixels()))
    assert window.trouble == ""
    assert window.wait("shown")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_photos_can_be_dropped_and_pasted(window, event: str) -> None:
    window.run(HAND_OVER, [base64.b64encode(png(photo_pixels())).decode(), "photo.png", event])
    window.wait("shown")


def test_a_cancelled_run_stops(window) -> None:
    window.choose(png(photo_pixels()))
    window.run("studio.manifest.model.steps.push(...Array(3000).fill(studio.manifest.model.steps[0]))")
    # The engine has its own copy: a fresh one is told of the long schedule.
    window.run("Object.assign(studio.engine, {loaded: null, ready: false})")
    window.give(png(photo_pixels(seed=1)))
    window.until("document.getElementById('doing').textContent.includes('of 3003')")
    window.page.click("#cancel")
    assert window.wait("ready", "shown") == "ready"
    window.until("studio.engine.waiting.size === 0")  # it has stopped, and not only been forgotten
    assert window.trouble == ""


def test_memory_stays_bounded_over_ten_photos(window) -> None:
    session = window.context.new_cdp_session(window.page)
    used = []
    for number in range(10):
        window.choose(png(photo_pixels(320, 192, seed=number)))
        window.page.click("#other")
        session.send("HeapProfiler.collectGarbage")
        used.append(window.run("performance.memory.usedJSHeapSize"))
        assert window.run("document.querySelectorAll('canvas:not(#preview)').length") == 0
    assert used[-1] < used[2] + 5_000_000


def test_offline_after_the_first_visit(window) -> None:
    window.choose(png(photo_pixels()))
    window.until("navigator.serviceWorker.controller !== null")
    window.page.reload()  # once more with the service worker, which keeps what is fetched
    window.wait("ready")
    window.choose(png(photo_pixels()))
    window.context.set_offline(True)
    window.page.reload()
    window.wait("ready")
    window.choose(png(photo_pixels()))
    assert window.trouble == ""
    window.wait("shown")


def test_threads_on_a_host_that_sends_no_headers(browser, built: Path) -> None:
    class Plain(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Plain, directory=str(built))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        until(lambda: page.evaluate("crossOriginIsolated && document.documentElement.dataset.state === 'ready'"))
        context.close()
        server.shutdown()


def test_less_motion_where_that_is_asked_for_and_small_screens(browser, address) -> None:
    window = StudioWindow(
        browser, address, reduced_motion="reduce", color_scheme="dark", viewport={"width": 340, "height": 640}
    )
    window.choose(png(photo_pixels()))
    assert window.run("studio.stage.viewer.paused && studio.strip.still")
    assert window.run("document.documentElement.scrollWidth <= innerWidth")
    background = window.run("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(","))) < 150
    window.close()
    assert window.complaints == []


def test_without_webgl2_it_says_so(browser, address) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(address)
    page.locator("#trouble").get_by_text("no WebGL2").wait_for()
    assert not page.locator("#drop").is_visible()
    context.close()


def test_a_damaged_model_is_not_used(browser, address, built: Path) -> None:
    path = built / "models" / "condition.onnx"
    content = path.read_bytes()
    try:
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        window = StudioWindow(browser, address)
        window.choose(png(photo_pixels()))
        assert "did not arrive as it was built" in window.trouble
        window.close()
    finally:
        path.write_bytes(content)
