"""Mean endpoint error of flow estimators over the Middlebury flow data (Baker et al. 2011).

The data is vision.middlebury.edu/flow/data: ``other-color-twoframes.zip`` and ``other-gt-flow.zip``, unpacked in one
folder: ``other-data/SCENE/frame10.png, frame11.png`` and ``other-gt-flow/SCENE/flow10.flo``.
Called as ``python -m data.flow middlebury FOLDER``.
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.command_line import OneLineParser, run_script, write_report
from common.option_types import parse_size
from data.flow.estimators import ESTIMATORS, estimate_flow
from data.media.images import read_image

UNKNOWN = 1e9  # a flow above it, in pixels, says that it was not measured there
MAGIC = b"PIEH"  # the bytes of the float 202021.25
KNOWN_SHARE = 0.5  # of a small pixel's area, for its flow to count


@dataclass(frozen=True)
class SceneError:
    """Mean endpoint errors of an estimator on a scene, in pixels of the size the flow was estimated at."""

    estimator: str
    scene: str
    native: float
    resized: float


def find_scenes(folder: Path) -> list[str]:
    """Names of the scenes with two frames and a true flow.

    Raises:
        ValueError: there is none.
    """
    truths = sorted((folder / "other-gt-flow").glob("*/flow10.flo"))
    names = [path.parent.name for path in truths]
    scenes = [name for name in names if all(frame.is_file() for frame in _frames(folder, name))]
    if not scenes:
        raise ValueError(
            f"{folder}: has no other-data/SCENE/frame10.png with frame11.png and other-gt-flow/SCENE/flow10.flo; "
            "unpack other-color-twoframes.zip and other-gt-flow.zip from vision.middlebury.edu/flow/data there"
        )
    return scenes


def _frames(folder: Path, scene: str) -> list[Path]:
    return [folder / "other-data" / scene / name for name in ("frame10.png", "frame11.png")]


def read_flow_file(path: Path) -> NDArray[np.float32]:
    """``[H, W, 2]`` float32 in pixels of a ``.flo`` file; what was not measured is NaN.

    Raises:
        ValueError: not such a file, or one cut short.
    """
    content = path.read_bytes()
    if len(content) < 12 or content[:4] != MAGIC:
        raise ValueError(f"{path}: is no .flo file (it has to begin with {MAGIC.decode()}); fetch it again")
    width, height = struct.unpack("<ii", content[4:12])
    if width < 1 or height < 1 or len(content) != 12 + 8 * width * height:
        raise ValueError(f"{path}: {len(content)} bytes do not hold a flow of {width}x{height}; fetch it again")
    flow = np.frombuffer(content, "<f4", offset=12).reshape(height, width, 2).astype(np.float32)
    flow[~(np.abs(flow) < UNKNOWN).all(axis=2)] = np.nan
    return flow


def resize_flow(flow: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Flow at ``(width, height)``, in pixels of that size: means of what is known, NaN where that is less than half."""
    import cv2

    known = np.asarray(np.isfinite(flow).all(axis=2))
    filled: NDArray[np.float32] = np.where(known[..., None], flow, np.float32(0))
    share = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)[..., None]
    total = cv2.resize(filled, size, interpolation=cv2.INTER_AREA)
    scale = np.array([size[0] / flow.shape[1], size[1] / flow.shape[0]], np.float32)
    return np.where(share >= KNOWN_SHARE, scale * total / np.maximum(share, KNOWN_SHARE), np.float32("nan"))


def endpoint_error(flow: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Mean distance in pixels over the places where the truth is known; NaN if it is known nowhere."""
    distance = np.hypot(*np.moveaxis(flow.astype(np.float64) - truth, 2, 0))
    known = ~np.isnan(distance)
    return float(distance[known].mean()) if known.any() else float("nan")


def scene_error(folder: Path, scene: str, estimator: str, size: tuple[int, int]) -> SceneError:
    """An estimator's errors on a scene at its own size, and with frames and truth resized to ``size``.

    Raises:
        ValueError: files of different sizes or unreadable ones, no true flow anywhere, or an unusable estimator.
    """
    import cv2

    first, second = (read_image(path) for path in _frames(folder, scene))
    truth_file = folder / "other-gt-flow" / scene / "flow10.flo"
    truth = read_flow_file(truth_file)
    if not first.shape[:2] == second.shape[:2] == truth.shape[:2]:
        sizes = ", ".join(f"{array.shape[1]}x{array.shape[0]}" for array in (first, second, truth))
        raise ValueError(f"{truth_file}: frames and flow must have one size, got {sizes}; fetch them again")
    if np.isnan(truth).any(axis=2).all():
        raise ValueError(f"{truth_file}: the flow is unknown at every pixel; fetch it again")
    small = [np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8) for frame in (first, second)]
    return SceneError(
        estimator,
        scene,
        endpoint_error(estimate_flow(first, second[None], estimator=estimator)[0], truth),
        endpoint_error(estimate_flow(small[0], small[1][None], estimator=estimator)[0], resize_flow(truth, size)),
    )


def table(errors: Sequence[SceneError], size: tuple[int, int]) -> str:
    """A Markdown table: a row for each estimator and scene, and one for the mean over an estimator's scenes."""
    lines = [f"| estimator | scene | native | {size[0]}x{size[1]} |", "|---|---|---|---|"]
    for estimator in dict.fromkeys(error.estimator for error in errors):
        own = [error for error in errors if error.estimator == estimator]
        lines += [f"| {estimator} | {error.scene} | {error.native:.3f} | {error.resized:.3f} |" for error in own]
        means = [np.mean([error.native for error in own]), np.mean([error.resized for error in own])]
        lines.append(f"| {estimator} | mean of {len(own)} | {means[0]:.3f} | {means[1]:.3f} |")
    return "\n".join(lines)


def measure(arguments: argparse.Namespace) -> None:
    """Print the table of the estimators asked for and write the report."""
    scenes = find_scenes(arguments.folder)
    errors = [
        scene_error(arguments.folder, scene, estimator, arguments.size)
        for estimator in arguments.estimators
        for scene in scenes
    ]
    print("Mean endpoint error in pixels, at the frames' own size and resized:\n")
    print(table(errors, arguments.size))
    results = {"errors": [asdict(error) for error in errors]}
    write_report(arguments.report, "data.flow.estimators middlebury", arguments, results)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = OneLineParser(prog="python -m data.flow middlebury", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder with other-data and other-gt-flow in it")
    names = tuple(ESTIMATORS)
    parser.add_argument(
        "--estimators", nargs="+", choices=names, default=["coarse2fine"], help="after the folder; default: coarse2fine"
    )
    parser.add_argument(
        "--size",
        type=parse_size,
        default=(256, 160),
        metavar="WxH",
        help="size to resize frames and flow to (default: 256x160)",
    )
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the errors and versions")
    return run_script(measure, parser.parse_args(argv))
