"""What the estimators cost and how they differ, on your own clips: ``python -m data.flow compare CLIP...``.

From each clip the first frame and later ones spread over the length of a sequence, which is what `data.prepare`
estimates. None of the columns is an error against the truth, which `data.flow.middlebury` measures: a flow can warp one
frame onto another well and be wrong where the picture has no texture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from common.command_line import OneLineParser, run_script, write_report
from common.option_types import count, frame_size
from common.output_paths import check_writable
from data.flow.consistency import consistent_share
from data.flow.estimators import DEFAULT_ESTIMATOR, ESTIMATORS, estimate_flow, estimate_flow_pairs, estimator_parameters
from data.flow.interface import Flow, Images

NO_FLOW = "(no flow)"  # a row of the table: what standing still would give
SEQUENCE_FRAMES = 150  # later frames of a clip are not looked at
ROUNDING_ERROR = 1 / 12  # mean squared error of rounding to whole gray levels: no PSNR is above 58.9 dB
# key of a result -> heading, decimals, factor
COLUMNS = {
    "cpu_seconds_per_pair": ("CPU ms/pair", 1, 1000.0),
    "wall_seconds_per_pair": ("ms/pair", 1, 1000.0),
    "warp_psnr": ("warp PSNR dB", 2, 1.0),
    "difference_to_default": ("px to default", 3, 1.0),
    "consistency": ("consistent %", 1, 100.0),
}
COLUMN_NOTES = f"""columns:
  CPU ms/pair    processor time a pair on one thread, one source for all pairs of a clip; not that of a GPU
  ms/pair        the same by the clock
  warp PSNR dB   the later frame sampled where the flow points, against the first frame
  px to default  mean endpoint difference to the flow of {DEFAULT_ESTIMATOR}
  consistent %   pixels to which the flow there and back returns (Sundaram et al. 2010)

examples:
  python -m data.flow compare clips/*.mp4
  python -m data.flow compare clip.mp4 --estimators coarse2fine raft --size 512x288 --picture flows.png
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data.flow compare``."""
    parser = OneLineParser(
        prog="python -m data.flow compare",
        description="Compare optical flow estimators on clips.",
        epilog=COLUMN_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("clips", nargs="+", type=Path, metavar="CLIP", help="videos")
    add(
        "--estimators",
        nargs="+",
        choices=tuple(ESTIMATORS),
        metavar="NAME",
        help=f"some of {', '.join(ESTIMATORS)} (default: all that are installed; raft downloads its weights only if "
        "named)",
    )
    add("--size", type=frame_size, default=(256, 160), metavar="WxH", help="size of the frames (default: 256x160)")
    add("--pairs", type=count, default=16, metavar="N", help="pairs from each clip (default: 16)")
    add("--picture", type=Path, metavar="FILE.png", help="show the flow of each clip's last pair, side by side")
    add("--report", type=Path, metavar="FILE.json", help="write what was run, versions and results")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_script(compare, build_parser().parse_args(argv))


def compare(arguments: argparse.Namespace) -> None:
    """Measure, print the table, write the report and the picture."""
    from tqdm import tqdm

    from data.media.images import write_image
    from data.media.pictures import contact_sheet

    check_writable(arguments.picture)
    if arguments.picture is not None and arguments.picture.suffix.lower() != ".png":
        raise ValueError(f"{arguments.picture}: the picture is a PNG; let its name end in .png")
    installed, missing = installed_estimators(arguments.estimators)
    clips = {str(path): read_pairs(path, arguments.size, count=arguments.pairs) for path in arguments.clips}
    results: dict[str, dict[str, dict[str, float | None]]] = {}
    pictures: list[Images] = []
    with _one_thread(), tqdm(total=len(clips) * len(installed), unit=" measurements", dynamic_ncols=True) as progress:
        for name in installed:  # loads weights and compiles kernels, which are not part of the time a pair
            first, later = next(iter(clips.values()))
            estimate_flow(first, later[:1], estimator=name)
        for path, (first, later) in clips.items():
            default = estimate_flow(first, later)
            results[path] = {NO_FLOW: score(first, later, np.zeros_like(default), default)}
            shown = {}
            for name in installed:
                results[path][name], flow = measure(name, first, later, default)
                shown[name] = flow[-1]
                progress.update()
            pictures += labelled_row(first, later[-1], shown)
    num_pairs = {path: len(later) for path, (_, later) in clips.items()}
    table = mean_over_clips(results, num_pairs)
    print(format_table(table, missing))
    if arguments.picture is not None:
        arguments.picture.parent.mkdir(parents=True, exist_ok=True)
        write_image(arguments.picture, contact_sheet(pictures, len(pictures) // len(clips)))
    found = {
        "default": DEFAULT_ESTIMATOR,
        "table": table,
        "clips": results,
        "num_pairs": num_pairs,
        "estimators": installed,
        "missing": missing,
    }
    write_report(arguments.report, "data.flow.estimators compare", arguments, {"results": found})


def installed_estimators(names: Sequence[str] | None) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Parameters of the estimators that can be used here, and for the others a line that says what is missing.

    Args:
        names: keys of `ESTIMATORS`; None stands for all, and then nothing is downloaded.
    """
    from data.flow.raft import raft_parameters

    installed, missing = {}, {}
    for name in dict.fromkeys(names or ESTIMATORS):
        try:
            stay_offline = names is None and name == "raft"
            installed[name] = raft_parameters(download=False) if stay_offline else estimator_parameters(name)
        except ValueError as error:
            missing[name] = str(error)
    return installed, missing


def read_pairs(
    path: Path, size: tuple[int, int], *, count: int, num_frames: int = SEQUENCE_FRAMES
) -> tuple[Images, Images]:
    """The first frame uint8 [H, W, 3] of a clip, and up to ``count`` later ones [N, H, W, 3], spread evenly
    over its first ``num_frames``.

    Raises:
        ValueError: not a video, or one with a single frame.
    """
    from data.media.read_video import read_video

    frames, _ = read_video(path, max_frames=num_frames, size=size)
    if len(frames) < 2:
        raise ValueError(f"{path}: has a single frame, give clips with two or more")
    later = np.unique(np.linspace(1, len(frames) - 1, count).round().astype(int))
    return frames[0], frames[later]


# Measuring ------------------------------------------------------------------------------------------------------------


def measure(name: str, first: Images, later: Images, default: Flow) -> tuple[dict[str, float | None], Flow]:
    """Time and scores of an estimator for the pairs of a clip, and its flow [N, H, W, 2]."""
    wall, cpu = time.perf_counter(), time.process_time()
    flow = estimate_flow(first, later, estimator=name)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    backward = estimate_flow_pairs(later, np.broadcast_to(first, later.shape), estimator=name)
    times = {"cpu_seconds_per_pair": cpu / len(later), "wall_seconds_per_pair": wall / len(later)}
    return {**times, **score(first, later, flow, default), "consistency": consistent_share(flow, backward)}, flow


def score(first: Images, later: Images, flow: Flow, default: Flow) -> dict[str, float | None]:
    """What can be said of a flow without a second one: PSNR of the warp in dB, and px to the default."""
    errors = [
        np.mean((warp_backward(frame, field) - first.astype(np.float32)) ** 2, dtype=np.float64)
        for frame, field in zip(later, flow, strict=True)
    ]
    psnr = np.mean([10 * np.log10(255**2 / max(error, ROUNDING_ERROR)) for error in errors])
    difference = np.hypot(*np.moveaxis(flow - default, 3, 0)).mean(dtype=np.float64)
    return {"warp_psnr": float(psnr), "difference_to_default": float(difference)}


def warp_backward(image: Images, flow: Flow) -> Flow:
    """An image [H, W, 3] sampled bilinearly at ``x + flow(x)``, float32; beyond the edges the edge goes on."""
    import cv2

    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    image, x, y = image.astype(np.float32), x + flow[..., 0], y + flow[..., 1]
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32, copy=False)


def mean_over_clips(
    results: Mapping[str, Mapping[str, Mapping[str, float | None]]], num_pairs: Mapping[str, int]
) -> dict[str, dict[str, float | None]]:
    """Means over all pairs of all clips, a row an estimator with every key of `COLUMNS`; None: not measured."""
    total = sum(num_pairs.values())
    table: dict[str, dict[str, float | None]] = {}
    for name in next(iter(results.values())):
        table[name] = {}
        for key in COLUMNS:
            values = [rows[name].get(key) for rows in results.values()]
            weighted = [v * n for v, n in zip(values, num_pairs.values(), strict=True) if v is not None]
            table[name][key] = sum(weighted) / total if weighted else None
    return table


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep OpenCV to one thread, so that times by the clock compare; the other estimators use one as they are told."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


# Output ---------------------------------------------------------------------------------------------------------------


def format_table(table: Mapping[str, Mapping[str, float | None]], missing: Mapping[str, str]) -> str:
    """The table as text, and below what is missing, whose lines name the estimator."""
    width = max(len(name) for name in table)
    lines = [" ".join(["estimator".ljust(width), *(heading.rjust(13) for heading, _, _ in COLUMNS.values())])]
    for name, row in table.items():
        cells = [_cell(row[key], decimals, factor) for key, (_, decimals, factor) in COLUMNS.items()]
        lines.append(" ".join([name.ljust(width), *cells]))
    lines += ["not available:"] if missing else []
    lines += [f"  {reason}" for reason in missing.values()]
    return "\n".join(lines)


def _cell(value: float | None, decimals: int, factor: float) -> str:
    return "-".rjust(13) if value is None else f"{value * factor:13.{decimals}f}"


def labelled_row(first: Images, last: Images, flows: Mapping[str, Flow]) -> list[Images]:
    """The two frames of a pair and its flow by each estimator in colours (`data.media.pictures`), with captions."""
    import cv2

    from data.media.pictures import flow_to_color

    magnitudes = [np.percentile(np.hypot(flow[..., 0], flow[..., 1]), 99) for flow in flows.values()]
    largest = max(float(np.median(magnitudes or [0.0])), 1e-6)  # one scale for the row, whatever one of them imagines
    row = {"first frame": first, "later frame": last}
    row |= {name: flow_to_color(flow, largest) for name, flow in flows.items()}
    pictures = []
    for caption, picture in row.items():
        picture = picture.copy()
        for color, thickness in (((255, 255, 255), 3), ((0, 0, 0), 1)):
            cv2.putText(picture, caption, (5, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, color, thickness, cv2.LINE_AA)
        pictures.append(picture)
    return pictures
