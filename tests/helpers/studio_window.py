"""The studio in a browser: photos handed to it, what it shows, what it saves, and what it asked the network for."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PATIENCE = 90.0  # seconds; beside other programs, drawing in software takes long


def photo_pixels(width: int = 160, height: int = 96, seed: int = 0) -> np.ndarray:
    """A photo of blurred noise, uint8 ``[height, width, 3]``."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def png(pixels: np.ndarray) -> bytes:
    """Pixels as a PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class StudioWindow:
    """One window; everything it asks for beyond its own address is a complaint."""

    def __init__(
        self, browser: Any, address: str, query: str = "?wasm", *, sends: bool = False, **context: Any
    ) -> None:
        """``sends``: photos may be sent to the page's own address."""
        self.address, self.methods = address, ("GET", "POST") if sends else ("GET",)
        self.context = browser.new_context(**{"viewport": {"width": 900, "height": 700}, **context})
        self.context.set_default_timeout(1000 * PATIENCE)
        self.complaints: list[str] = []
        self.requests: list[Any] = []
        self.context.on("request", self._asked)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("console", self._told)
        self.page.goto(address + query)
        self.wait("ready", "fallback", "failed")

    def _asked(self, request: Any) -> None:
        self.requests.append(request)
        if not request.url.startswith((self.address, "blob:", "data:")):
            self.complaints.append(f"asked for {request.url}")
        if request.method not in self.methods:
            self.complaints.append(f"sent something: {request.method} {request.url}")

    def _told(self, message: Any) -> None:
        if message.type in ("error", "warning") and "GPU stall" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    def run(self, script: str, argument: Any = None) -> Any:
        """Value of an expression, or of a function of one argument, in the page."""
        return self.page.evaluate(script, argument)

    def until(self, condition: str) -> Any:
        """Wait until an expression is true; its value."""
        end = time.monotonic() + PATIENCE
        while not (value := self.run(condition)):
            assert time.monotonic() < end, f"still not true: {condition}; {self.trouble}"
            time.sleep(0.03)
        return value

    def wait(self, *states: str) -> str:
        """Wait until the page is in one of some states, and say which."""
        listed = ", ".join(f"'{state}'" for state in states)
        return self.until(f"[{listed}].find((state) => state === document.documentElement.dataset.state)")

    @property
    def trouble(self) -> str:
        """What the page says went wrong."""
        return self.run("document.getElementById('trouble').textContent")

    def choose(self, content: bytes, name: str = "photo.png") -> None:
        """Choose a photo and wait until it is shown, or refused."""
        self.give(content, name)
        self.wait("shown", "ready")

    def give(self, content: bytes, name: str = "photo.png") -> None:
        """Choose a photo."""
        self.page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})
        self.until("document.documentElement.dataset.state !== 'ready' || !document.getElementById('trouble').hidden")

    def save(self, what: str, folder: Path) -> Path:
        """Press one of the buttons that save (video, page or motion); the file."""
        with self.page.expect_download() as download:
            self.page.click(f"#save-{what}")
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        self.wait("shown")
        return path

    def middle(self) -> tuple[float, float]:
        """Where the middle of the photo is on the screen, to which the page is scrolled."""
        canvas = self.page.locator("#canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def close(self) -> None:
        """Close it."""
        self.context.close()
