"""The studio of a tiny model, built once, and a window on it; for the tests of this folder."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.motion_models import tiny_model
from helpers.studio_window import StudioWindow

from app.studio.folder import build_folder
from app.studio.networks import export_networks
from app.studio.runtime import runtime_files
from app.studio.serve import studio_server
from models.motion.model import MotionModel
from training.motion.model import with_wind

STEPS = 3


@pytest.fixture(scope="session")
def studio_model() -> MotionModel:
    """Random weights, few steps, with guidance; told a wind of some pixels, which its samples keep."""
    model = with_wind(tiny_model()).eval()
    model.config = replace(model.config, steps=STEPS, still_below=0.05, even_out=0.5)
    with torch.no_grad():
        model.usual_strength.fill_(3.0)
    return model


@pytest.fixture(scope="session")
def networks(studio_model: MotionModel) -> dict[str, bytes]:
    """The exported networks of the tiny model, with exact weights."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="needs the packages of requirements-studio.txt")
    logging.disable(logging.INFO)  # pytest would keep every line of what the exporter traces, for minutes
    try:
        return export_networks(studio_model, "float32")
    finally:
        logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def built(studio_model: MotionModel, networks: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the page."""
    try:
        runtimes = runtime_files()
    except ValueError as error:
        pytest.skip(f"needs onnxruntime-web: {error}")
    folder = tmp_path_factory.mktemp("studio") / "page"
    build_folder(folder, studio_model, networks=networks, runtimes=runtimes)
    return folder


@pytest.fixture(scope="session")
def address(built: Path) -> Iterator[str]:
    """Where the page is served."""
    with studio_server(built, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def window(browser: Any, address: str) -> Iterator[StudioWindow]:
    """The page in a window of its own, ready for a photo; it must have nothing to complain of at the end."""
    opened = StudioWindow(browser, address)
    yield opened
    opened.close()
    assert opened.complaints == []
