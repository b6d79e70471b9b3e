"""What data can teach about where things move: a cheap test before hours of training.

A ridge regression reads each pixel's amplitude, ranked within its picture, from frozen EfficientNet-Lite0 features on a
grid of 64 columns. Rows add data to the base; each is judged by the mean Spearman correlation with measured amplitude,
on scenes that the regression has not seen: each base scene is left out in turn, other test data are never trained on.
The differences to the base are paired by scene.

Examples:
  python -m benchmarks.readout --base loops --test film
  python -m benchmarks.readout --base loops --test film --add layered=layered:0.3 --add simulated=simulated:0.3:100
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.timing import benchmark_parser
from common.command_line import run_script, write_report
from common.option_types import count, positive
from evaluation.metrics.distances import values_by_source

if TYPE_CHECKING:
    from torch import Tensor

    from evaluation.sequences import EvaluationSequence
    from models.motion.image_encoder import EfficientNetLite0

GRID_WIDTH = 64
BASE = "base"
BLUR = 16.0  # pixels at the sequence's size, of the gradient that stands for nothing learned


@dataclass(frozen=True)
class Added:
    """Data that a row adds to the base."""

    name: str
    folder: Path
    weight: float = 0.3  # of all of it together, in units of the base's
    scenes: int | None = None  # its first ones alone


@dataclass(frozen=True)
class Scene:
    """A sequence as the regression sees it."""

    source: str
    features: np.ndarray  # float64 [P, C + 1], the last one constant
    ranks: np.ndarray  # float64 [P], in [-0.5, 0.5]; equal amplitudes share their mean rank
    gradient: np.ndarray  # float64 [P]

    @property
    def moves(self) -> bool:
        return bool(np.ptp(self.ranks) > 0)


@dataclass
class Normal:
    """Normal equations of a weighted least-squares fit; they add up."""

    products: np.ndarray  # X' W X
    targets: np.ndarray  # X' W y

    def __add__(self, other: Normal) -> Normal:
        return Normal(self.products + other.products, self.targets + other.targets)

    def __sub__(self, other: Normal) -> Normal:
        return Normal(self.products - other.products, self.targets - other.targets)

    def solve(self, ridge: float) -> np.ndarray:
        """Coefficients; the ridge is in units of the features' mean square, and the constant has none."""
        size = len(self.targets)
        penalty = np.eye(size) * ridge * np.trace(self.products) / size
        penalty[-1, -1] = 0
        return np.linalg.solve(self.products + penalty, self.targets)


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, and return the exit status."""
    parser = benchmark_parser("readout", __doc__, threads=2)
    add = parser.add_argument
    add("--base", type=Path, required=True, metavar="DIR", help="dataset folder of the clips that all rows learn from")
    add("--test", type=Path, nargs="*", default=[], metavar="DIR", help="dataset folders that are only tested on")
    add(
        "--add",
        type=added,
        action="append",
        default=[],
        metavar="NAME=DIR[:WEIGHT[:SCENES]]",
        help="a row of the base and this dataset, which weighs so much in all (default 0.3, the base is 1), or its "
        "first SCENES alone; may be given several times. NAME+NAME=, with nothing behind it, joins rows named before",
    )
    add("--max-sequences", type=count, default=3, metavar="N", help="at most N sequences of each video (default: 3)")
    add("--ridge", type=positive, default=10.0, help="strength of the regularisation (default: 10)")
    return run_script(_run, parser.parse_args(argv))


def added(text: str) -> Added:
    """``NAME=DIR[:WEIGHT[:SCENES]]``; of a joined row the folder is the empty path."""
    name, separator, rest = text.partition("=")
    folder, *numbers = rest.split(":")
    try:
        weight = float(numbers[0]) if numbers else Added.weight
        scenes = int(numbers[1]) if len(numbers) > 1 else None
    except ValueError:
        weight, scenes = math.nan, None
    joined = "+" in name and not rest
    sound = name and separator and (folder or joined) and len(numbers) <= 2 and weight > 0
    if not sound or (scenes is not None and scenes < 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR[:WEIGHT[:SCENES]] or NAME+NAME=")
    return Added(name, Path(folder), weight, scenes)


def _run(arguments: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(arguments.threads)
    results = measure(
        arguments.base,
        tests=arguments.test,
        additions=arguments.add,
        per_source=arguments.max_sequences,
        ridge=arguments.ridge,
    )
    print(describe(results))
    write_report(arguments.report, "benchmarks.readout", arguments, {"results": results})


def measure(
    base: Path, *, tests: Sequence[Path], additions: Sequence[Added], per_source: int = 3, ridge: float = 10.0
) -> dict:
    """``{test: {row: {"mean", "error", "gain", "gain_error", "scenes"}}}``; errors are standard errors over videos.

    Raises:
        ValueError: a folder that is no dataset, a joined row whose parts were not named before.
    """
    encoder = load_encoder()
    read = functools.cache(functools.partial(read_scenes, encoder=encoder, per_source=per_source))
    known = read(base)
    film = {folder.name: read(folder) for folder in tests}
    rows = {BASE: normal_equations(known)}
    extra: dict[str, Normal] = {}
    for addition in additions:
        parts = addition.name.split("+")
        if "+" in addition.name:
            missing = [part for part in parts if part not in extra]
            if missing:
                raise ValueError(f"--add {addition.name}=: there is no row {missing[0]!r} before it")
        else:
            scenes = read(addition.folder, most_sources=addition.scenes)
            share = addition.weight * len(known) / len(scenes)
            extra[addition.name] = scaled(normal_equations(scenes), share)
        rows[addition.name] = sum((extra[part] for part in parts), start=rows[BASE])
    scores = {base.name: left_out(known, rows, ridge)}
    fits = {row: normal.solve(ridge) for row, normal in rows.items()}
    for name, scenes in film.items():
        scores[name] = {row: [(scene, scene.features @ fit) for scene in scenes] for row, fit in fits.items()}
    return {name: summary(of) for name, of in scores.items()}


def left_out(scenes: Sequence[Scene], rows: Mapping[str, Normal], ridge: float) -> dict[str, list]:
    """Predictions for the base's own scenes, by fits without the scene's video."""
    found: dict[str, list] = {row: [] for row in rows}
    for source in dict.fromkeys(scene.source for scene in scenes):
        own = [scene for scene in scenes if scene.source == source]
        without = normal_equations(own)
        for row, normal in rows.items():
            fit = (normal - without).solve(ridge)
            found[row] += [(scene, scene.features @ fit) for scene in own]
    return found


def summary(predictions: Mapping[str, Sequence[tuple[Scene, np.ndarray]]]) -> dict:
    """Mean correlation of each row, and its gain over the base, with standard errors over videos."""
    tested = [scene for scene, _ in predictions[BASE]]
    sources = [scene.source for scene in tested]
    values = {"gradient": [correlation(scene.gradient, scene.ranks) for scene in tested]}
    for row, of in predictions.items():
        values[row] = [correlation(predicted, scene.ranks) for scene, predicted in of]
    result = {}
    for row, figures in values.items():
        gains = [mine - other for mine, other in zip(figures, values[BASE], strict=True)]
        result[row] = {
            "mean": float(np.mean(figures)),
            "error": standard_error(figures, sources),
            "gain": float(np.mean(gains)),
            "gain_error": standard_error(gains, sources),
            "scenes": len(set(sources)),
        }
    return result


def standard_error(values: Sequence[float], sources: Sequence[str]) -> float:
    """Of the mean over sequences, where the videos are what is independent."""
    of_videos = values_by_source(values, sources)
    return float(np.std(of_videos, ddof=1) / math.sqrt(len(of_videos))) if len(of_videos) > 1 else math.nan


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman rank correlation of two maps."""
    import torch

    from evaluation.metrics.motion import spearman

    return spearman(torch.from_numpy(first), torch.from_numpy(second))


# Features -------------------------------------------------------------------------------------------------------------


def load_encoder() -> EfficientNetLite0:
    """The frozen image encoder of the weights that come with the repository."""
    from models.checkpoints import PRETRAINED
    from models.motion.image_encoder import EfficientNetLite0
    from models.motion.model import MotionModel

    encoder = MotionModel.from_pretrained(PRETRAINED / "motion").image_encoder
    assert isinstance(encoder, EfficientNetLite0)
    return encoder.eval()


def read_scenes(
    folder: Path, *, encoder: EfficientNetLite0, per_source: int, most_sources: int | None = None
) -> list[Scene]:
    """Sequences of all splits in which something moves, at most so many of each video, of so many videos."""
    from tqdm import tqdm

    from data.dataset.manifest import load_manifest
    from evaluation.sequences import EvaluationSequence

    taken: dict[str, int] = {}
    chosen = []
    for row in load_manifest(folder):
        source = row["source"]
        if row["status"] != "kept" or taken.get(source, 0) >= per_source:
            continue
        if source not in taken and most_sources is not None and len(taken) >= most_sources:
            continue
        taken[source] = taken.get(source, 0) + 1
        chosen.append(EvaluationSequence(folder, row))
    if not chosen:
        raise ValueError(f"{folder / 'manifest.csv'}: no sequences")
    scenes = [read_scene(sequence, encoder) for sequence in tqdm(chosen, desc=folder.name, dynamic_ncols=True)]
    return [scene for scene in scenes if scene.moves]


def read_scene(sequence: EvaluationSequence, encoder: EfficientNetLite0) -> Scene:
    """One sequence's photo and measured motion on the grid."""
    from scipy.stats import rankdata

    from evaluation.metrics.motion import gradient_magnitude
    from models.spectral_volume import motion_amplitude

    photo = sequence.first_frame()
    size = max(1, round(GRID_WIDTH * photo.shape[2] / photo.shape[3])), GRID_WIDTH
    ranks = rankdata(on_grid(motion_amplitude(sequence.volume()), size)[:, 0])
    return Scene(
        sequence.source,
        grid_features(encoder(photo), size),
        (ranks - 0.5) / len(ranks) - 0.5,
        on_grid(gradient_magnitude(photo, BLUR), size)[:, 0],
    )


def grid_features(maps: Iterable[Tensor], size: tuple[int, int]) -> np.ndarray:
    """All levels of a pyramid on a grid (H, W), each divided by its usual size, and a constant: [P, C + 1]."""
    levels = [on_grid(level / level.square().mean().sqrt().clamp_min(1e-6), size) for level in maps]
    return np.concatenate([*levels, np.ones((len(levels[0]), 1))], axis=1)


def on_grid(values: Tensor, size: tuple[int, int]) -> np.ndarray:
    """``[1, C, H, W]`` averaged or interpolated to a grid: float64 [P, C]."""
    import torch.nn.functional as F

    if values.shape[-1] >= size[1]:
        values = F.interpolate(values, size, mode="area")
    else:
        values = F.interpolate(values, size, mode="bilinear", align_corners=False)
    return values[0].flatten(1).T.double().numpy()


def normal_equations(scenes: Sequence[Scene]) -> Normal:
    """Of scenes that weigh 1 each, however many pixels they have."""
    width = scenes[0].features.shape[1]
    total = Normal(np.zeros((width, width)), np.zeros(width))
    for scene in scenes:
        weight = 1 / len(scene.ranks)
        total += Normal(weight * scene.features.T @ scene.features, weight * scene.features.T @ scene.ranks)
    return total


def scaled(normal: Normal, factor: float) -> Normal:
    """Normal equations of data that weigh so much more."""
    return Normal(normal.products * factor, normal.targets * factor)


def describe(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The table as text."""
    lines = []
    for name, rows in results.items():
        scenes = rows[BASE]["scenes"]
        lines += ["", f"{name}: {scenes} videos{' ' * 14}correlation    gain over the base, in standard errors"]
        for row, of in rows.items():
            figure = f"{of['mean']:.3f} ± {of['error']:.3f}"
            gain = ""
            if row != BASE:
                errors = of["gain"] / of["gain_error"] if of["gain_error"] > 0 else 0.0
                gain = f"{of['gain']:+.3f} ± {of['gain_error']:.3f}  {errors:+.1f}"
            lines.append(f"  {row:<30}{figure:>16}    {gain}")
    return "\n".join(lines[1:])


if __name__ == "__main__":
    sys.exit(main())
