"""A headless Chromium for tests of pages, drawing in software; tests that need it are skipped where there is none."""

from __future__ import annotations

import base64
import io
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
SOFTWARE = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
LOCAL = ("file:", "data:", "blob:")
# Makes a file of base64 text and hands it to the page as a drop or a paste does.
HAND_OVER = """([content, name, event]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, {type: "image/png"}));
  if (event === "paste") document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
  else for (const kind of ["dragenter", "dragover", "drop"])
    document.getElementById("drop").dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true}));
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A Playwright browser with a profile of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (requirements-dev.txt)")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"needs a browser: none of {', '.join(NAMES)} is installed")
    with playwright.sync_playwright() as tool:
        # Chromium's own sandbox needs rights that root in a container doesn't have; these pages are ours.
        browser = tool.chromium.launch(executable_path=path, args=[*SOFTWARE, *QUIET, "--no-sandbox"])
        yield browser
        browser.close()


class OpenPage:
    """A page opened from a file, and what it asked for and complained about."""

    def __init__(
        self,
        browser: Any,
        path: Path,
        script: str = "",
        *,
        ready: str = "document.documentElement.dataset.state",
        **context: Any,
    ) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1100, "height": 700}, **context})
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.add_init_script(script)
        self.page.goto(path.absolute().as_uri())
        self.wait(ready)

    def _note(self, message: Any) -> None:
        # Said by the software renderer of its own reading of what is drawn, not of the page.
        if "GPU stall due to ReadPixels" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    def run(self, script: str, argument: Any = None) -> Any:
        """Value of an expression, or of a function of one argument, in the page."""
        return self.page.evaluate(script, argument)

    def wait(self, condition: str, seconds: float = 60.0) -> None:
        """Wait until an expression is true; Playwright's own waiting is refused by a policy without unsafe-eval."""
        end = time.monotonic() + seconds
        while not self.run(condition):
            if time.monotonic() > end:
                raise TimeoutError(f"still not true after {seconds:g} s: {condition}")
            time.sleep(0.02)

    @property
    def state(self) -> str:
        """``ready`` or ``fallback``."""
        return self.run("document.documentElement.dataset.state")

    @property
    def network_requests(self) -> list[str]:
        """Addresses that are not local."""
        return [url for url in self.requests if not url.startswith(LOCAL)]

    def picture(self) -> np.ndarray:
        """What the canvas shows, drawn now: float ``[H, W, 3]``, 0 to 255."""
        url = self.run("(viewer.draw(), viewer.canvas.toDataURL('image/png'))")
        content = base64.b64decode(url.partition(",")[2])
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.float64)

    def close(self) -> None:
        """Close it with its context."""
        self.context.close()
