"""Seconds from a photo to its first movement in the studio, in headless Chromium, beside the same motion in Python.

python -m app.studio build outputs/studio
python -m benchmarks.studio outputs/studio data/samples/blossom.jpg
"""

from __future__ import annotations

import argparse
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from app.studio.serve import studio_server
from common.command_line import OneLineParser
from models.pipeline import ImageDynamicsPipeline

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
SOFTWARE = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu", "--no-sandbox")
STAGES = {"Fetching": "fetch", "Starting": "start", "Looking": "look", "Finding": "sample", "Making": "finish"}
PATIENCE = 600.0  # seconds


def main(argv: list[str] | None = None) -> None:
    """Print a line for each visit and one for Python."""
    options = build_parser().parse_args(argv)
    with studio_server(options.studio, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/?wasm"
        for visit, stages in zip(("first visit", "again"), visits(address, options.photo), strict=True):
            told = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in stages.items())
            print(f"{visit}: {sum(stages.values()):.1f} s from the photo to its movement ({told})")
        server.shutdown()
    pipeline = ImageDynamicsPipeline.from_pretrained(parts=("motion",))
    start = time.perf_counter()
    pipeline.predict_motion(options.photo)
    print(f"Python: {time.perf_counter() - start:.1f} s for the motion alone, everything loaded")


def build_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = OneLineParser(
        "python -m benchmarks.studio", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studio", type=Path, help="folder that python -m app.studio build has written")
    parser.add_argument("photo", type=Path, help="the photo")
    return parser


def visits(address: str, photo: Path) -> list[dict[str, float]]:
    """Seconds of each stage, of a first visit and of the same photo chosen again after it."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=path, args=list(SOFTWARE))
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto(address)
        page.locator("html[data-state=ready]").wait_for(timeout=1000 * PATIENCE)
        found = []
        for _ in range(2):
            page.set_input_files("#file", photo)
            found.append(seconds_of_stages(page))
            page.click("#other")
        browser.close()
    return found


def seconds_of_stages(page: Any) -> dict[str, float]:
    """Watch the page until the photo moves."""
    stages: dict[str, float] = {}
    stage, last = "read", time.perf_counter()
    end = last + PATIENCE
    while page.evaluate("document.documentElement.dataset.state") != "shown":
        word = page.evaluate("document.getElementById('doing').textContent.split(' ')[0]")
        now = time.perf_counter()
        if now > end:
            raise TimeoutError(page.evaluate("document.getElementById('trouble').textContent"))
        stages[stage] = stages.get(stage, 0.0) + now - last
        stage, last = STAGES.get(word, stage), now
        time.sleep(0.05)
    stages[stage] = stages.get(stage, 0.0) + time.perf_counter() - last
    return stages


if __name__ == "__main__":
    main()
