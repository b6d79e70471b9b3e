"""A page of two bells for the tests of the viewer in a browser, its motion, and what is read from it."""

from pathlib import Path

import numpy as np
import torch

from app.viewer.page import decode_modes, encode_modes, viewer_page
from data.media.write_video import write_video
from helpers.browser import OpenPage
from helpers.modal_scenes import swaying_volume
from models.dynamics.basis import ModalBasis
from models.dynamics.motion_file import MotionFile

WIDTH, HEIGHT = 512, 288  # of photo and canvas
COLUMNS, ROWS = 64, 36  # of the modes
PERIOD = 2.0  # seconds
DOT = (20, 18)  # cell in the middle of the left bell, where the photo has a red dot
STAGE = "#stage { width: 512px !important; } main { display: block !important; }"


def motion() -> MotionFile:
    volume = swaying_volume(5, (COLUMNS, ROWS))[0] * (COLUMNS / 32)
    return MotionFile(volume, 60, 60 / PERIOD, (WIDTH, HEIGHT), "0" * 64)


def photo() -> torch.Tensor:
    """Smooth gray-blue waves with a red dot at :data:`DOT`."""
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    ground = torch.stack([0 * x, 0.3 * torch.sin(x / 14) + 0.2, 0.3 * torch.cos(y / 11) + 0.2])
    centre = [(at + 0.5) * side / count for at, side, count in zip(DOT, (WIDTH, HEIGHT), (COLUMNS, ROWS), strict=True)]
    dot = torch.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 60)
    return (ground * (1 - dot) + dot * torch.tensor([1.0, -1, -1])[:, None, None])[None]


def decoded() -> torch.Tensor:
    """The modes as the page has them, after quantisation."""
    packed, scales = encode_modes(motion().spectral_volume[1:])
    return decode_modes(packed, scales, ROWS, COLUMNS)


def basis() -> ModalBasis:
    modes = decoded()
    return ModalBasis(torch.cat([torch.zeros_like(modes[:1]), modes])[None], PERIOD)


def place(page: OpenPage, cell: tuple[float, float]) -> tuple[float, float]:
    """Pixels of the window where a cell is."""
    box = page.page.locator("#canvas").bounding_box()
    x, y = cell
    return box["x"] + (x + 0.5) / COLUMNS * box["width"], box["y"] + (y + 0.5) / ROWS * box["height"]


def red_dot(picture: np.ndarray) -> np.ndarray:
    """Centre (x, y) in pixels of what is red."""
    weight = np.clip(picture[:, :, 0] - picture[:, :, 1:].max(axis=2) - 60, 0, None)
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def complexes(values: dict) -> np.ndarray:
    """A complex vector of the page; its arrays come as dictionaries of numbers."""
    re, im = (np.array([values[part][key] for key in sorted(values[part], key=int)]) for part in ("re", "im"))
    return re + 1j * im


PLAIN = "(q) => ({re: {...q.re}, im: {...q.im}})"


def page_with_loop(folder: Path, suffix: str) -> Path:
    frames = np.stack([np.full((HEIGHT, WIDTH, 3), value, np.uint8) for value in (40, 200)] * 4)
    write_video(folder / f"loop.{suffix}", frames, 8)
    path = folder / f"{suffix}.html"
    path.write_text(viewer_page(photo(), motion(), loop=folder / f"loop.{suffix}", title="loop"), encoding="utf-8")
    return path
