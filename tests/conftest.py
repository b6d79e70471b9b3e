"""What several test files share: a small dataset folder made by the real preparation from clips drawn here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.browser import chromium
from helpers.clips.small_clips import make_clip
from helpers.motion_models import tiny_pipeline

from data.media.write_video import write_video
from data.prepare import main as prepare
from models.pipeline import ImageDynamicsPipeline

CLIP_FRAMES = 32
os.environ.setdefault("SCAN_CACHE", "")  # tests, and the commands that they run, leave nothing in the user's cache


def pytest_configure() -> None:
    """Processes of pytest-xdist that share the cores take one thread each, and so do the commands that they run."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)


def swaying_clip(seed: int) -> list[np.ndarray]:
    """Frames uint8 [96, 160, 3] of a textured patch that swings over a still textured ground, a loop of 32 frames."""
    random = np.random.default_rng(seed)
    ground = _texture(random, 96, 160, 40.0) * 0.5
    patch = _texture(random, 96, 160, 40.0) * 0.5 + 100
    frames = []
    for t in range(CLIP_FRAMES):
        swing = 4.0 * np.sin(2 * np.pi * t / CLIP_FRAMES + seed)
        shift = round(swing)
        frame = ground.copy()
        frame[24:72, 50 + shift : 110 + shift] = patch[24:72, 50:110]
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return frames


def _texture(random: np.random.Generator, height: int, width: int, contrast: float) -> np.ndarray:
    coarse = random.normal(size=(height // 4, width // 4, 3))
    return 110 + contrast * np.kron(coarse, np.ones((4, 4, 1)))


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of two looping clips at 64x32: 4 frequencies, one clip for training, one for validation."""
    folder = tmp_path_factory.mktemp("small")
    for name, seed in (("first", 0), ("second", 1)):
        write_video(folder / f"{name}.mp4", swaying_clip(seed), 30)
    options = f"--output {folder / 'dataset'} --wrap --num-frames {CLIP_FRAMES} --stride 16 --size 64x32 --flow dis"
    pinned = ["--validation", "second*", "--split", "1,0,0", "--num-frequencies", "4", "--workers", "1", "--keep-all"]
    assert prepare([str(folder / "first.mp4"), str(folder / "second.mp4"), *options.split(), *pinned]) == 0
    return folder / "dataset"


@pytest.fixture(scope="session")
def pipeline() -> ImageDynamicsPipeline:
    """Tiny untrained models, on the CPU."""
    return tiny_pipeline()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pipeline of tiny untrained models."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A browser that all tests of pages share; each opens windows of its own."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Folder of three clips, one of them in a folder below."""
    folder = tmp_path / "videos"
    (folder / "below").mkdir(parents=True)
    make_clip(folder / "fern.mp4", seed=1)
    make_clip(folder / "rose one.mp4", seed=2)
    make_clip(folder / "below" / "fern.mp4", seed=3)
    (folder / "notes.txt").write_text("not a video")
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For comparisons to the last bit: with several threads sums come in no fixed order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


METRIC_WEIGHTS = ("lpips_alexnet", "lpips_vgg16", "i3d_kinetics400")


@pytest.fixture(scope="session")
def metric_weights() -> Path:
    """A folder with the safetensors of LPIPS and I3D; `python -m evaluation.networks fetch` makes one."""
    from evaluation.networks.weights import cache_folder

    for folder in (Path(os.environ.get("METRIC_WEIGHTS", cache_folder())),):
        if all((folder / f"{name}.safetensors").is_file() for name in METRIC_WEIGHTS):
            return folder
    pytest.skip("no metric weights here: python -m evaluation.networks fetch gets them")
