"""How things sway in footage, by kind of thing: ``python -m data.synthetic.measure DATASET... --kinds CSV``.

The datasets are folders of `data.prepare`. The CSV has the columns ``source`` (the file's name) and ``kind``; sources
that it doesn't name are left out. For each sequence the pixels that move most (amplitude above a third of its 95th
percentile) are measured: how far, how fast, in which direction, and how a gust travels. The table gives medians over
sequences, with the 10th and 90th percentiles where they are asked for below. `data.synthetic.measured` was drawn from
it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from common.command_line import OneLineParser, run_script, write_report
from data.csv_files import read_lines

BANDS = ((0.0, 0.45), (0.45, 0.85), (0.85, 1.7), (1.7, 3.4), (3.4, 7.0), (7.0, 10.0))  # Hz
LAG_FREQUENCIES = (0.3, 2.5)  # Hz, in which phases are compared


EXAMPLES = """example:
  python -m data.synthetic.measure windows --kinds kinds.csv --report numbers.json
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data.synthetic.measure``."""
    parser = OneLineParser(
        prog="python -m data.synthetic.measure",
        description="How far, how fast and how much together things sway in footage, by kind of thing.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET")
    parser.add_argument("--kinds", type=Path, required=True, metavar="CSV", help="columns source and kind")
    parser.add_argument("--report", type=Path, metavar="FILE", help="JSON file with every sequence's numbers")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_script(measure, build_parser().parse_args(argv))


def measure(arguments: argparse.Namespace) -> None:
    """Print the table."""
    from data.dataset.manifest import iterate_manifest
    from data.dataset.reading import read_sequence
    from data.dataset.sequence_file import sequence_path

    kinds = read_kinds(arguments.kinds)
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    still: list[str] = []
    rows = [(folder, row) for folder in arguments.datasets for row in iterate_manifest(folder)]
    for folder, row in rows:
        name = Path(row["source"]).name
        if name in kinds and row["status"] == "kept":
            volume = read_sequence(sequence_path(folder, row["id"]), ["spectral_volume"])["spectral_volume"]
            period = row["num_frames"] / row["fps"]
            if numbers := sequence_numbers(volume.float().numpy(), period):
                found[kinds[name]].append(numbers)
            else:
                still.append(row["id"])
    print(table(found))
    if still:
        print(f"left out, because nothing moves: {', '.join(still)}")
    write_report(arguments.report, "data.synthetic.measure", arguments, {"results": found})


def read_kinds(path: Path) -> dict[str, str]:
    """Kind of thing by source.

    Raises:
        ValueError: the file lacks one of its columns.
    """
    return {line["source"]: line["kind"] for line in read_lines(path, ("source", "kind"), option="--kinds")}


def sequence_numbers(volume: np.ndarray, period: float) -> dict[str, float]:
    """What one spectral volume, float32 [K, 4, H, W] over a period in seconds, says about its motion.

    ``reach`` and ``reach_median`` are the 95th percentile and the median over moving pixels of half the way between
    the extremes of the displacement, along x or y, in pixels at 256 px width. Where nothing moves there are no numbers.
    """
    from models.spectral_volume import REFERENCE_WIDTH

    scale = REFERENCE_WIDTH / volume.shape[-1]
    coefficients = (volume[1:, :2] + 1j * volume[1:, 2:]) * scale
    hertz = np.arange(1, len(volume)) / period
    power = np.square(np.abs(coefficients))
    amplitude = np.sqrt(2 * power.sum(axis=(0, 1)))
    high = float(np.percentile(amplitude, 95))
    if high == 0:
        return {}
    moving = amplitude > high / 3
    chosen = np.flatnonzero(moving.ravel())
    step = max(1, len(chosen) // 4000)
    spectra = coefficients.reshape(len(hertz), 2, -1)[:, :, chosen[::step]]
    spectrum = np.square(np.abs(spectra)).sum(axis=1).mean(axis=1)
    share_y = float(np.square(np.abs(spectra[:, 1])).sum() / np.square(np.abs(spectra)).sum())
    times = np.exp(2j * np.pi * np.arange(120)[:, None] * np.arange(1, len(volume)) / 120)
    motion = 2 * np.einsum("tk,kcn->tcn", times, spectra).real
    reach = np.ptp(motion, axis=0).max(axis=0) / 2
    numbers = {"reach": float(np.percentile(reach, 95)), "reach_median": float(np.median(reach)), "share_y": share_y}
    numbers["moving"] = float(moving.mean())
    numbers["centroid"] = float((spectrum * hertz).sum() / spectrum.sum())
    numbers["peak"] = float(hertz[int(spectrum.argmax())])
    for low, top in BANDS:
        numbers[f"{low}-{top}"] = float(spectrum[(hertz > low) & (hertz <= top)].sum() / spectrum.sum())
    numbers |= _lags(coefficients[:, 0], hertz, moving)
    return {name: value for name, value in numbers.items() if math.isfinite(value)}  # without motion in a band


def _lags(coefficients: np.ndarray, hertz: np.ndarray, moving: np.ndarray) -> dict[str, float]:
    """How alike neighbours move, and how late a gust reaches them: coherence at 1/16 and 1/4 of the width, seconds.

    The delay is the weighted mean slope of the cross spectrum's phase, its absolute value, between moving pixels that
    far apart along x.
    """
    numbers = {}
    inside = (hertz >= LAG_FREQUENCIES[0]) & (hertz <= LAG_FREQUENCIES[1])
    values, hertz = coefficients[inside], hertz[inside]
    for name, share in (("near", 16), ("far", 4)):
        distance = values.shape[-1] // share
        both = moving[:, distance:] & moving[:, :-distance]
        if both.sum() < 50:
            continue
        first, second = values[:, :, :-distance][:, both], values[:, :, distance:][:, both]
        cross = first * second.conj()
        level = np.abs(first) ** 2 + np.abs(second) ** 2
        if not level.any():  # nothing moves at these frequencies
            continue
        numbers[f"coherence_{name}"] = float(np.abs(cross.sum(axis=0)).sum() * 2 / level.sum())
        # Random phases would give a coherence of about the root of one over the number of frequencies.
        numbers[f"in_phase_{name}"] = float(cross.real.sum() * 2 / level.sum())
        smooth = cross.sum(axis=1)
        weights = np.abs(smooth)
        numbers[f"delay_{name}"] = float(abs((np.angle(smooth) / (2 * np.pi * hertz) * weights).sum() / weights.sum()))
    return numbers


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """Medians, and 10th and 90th percentiles of reach and centroid, for each kind."""
    lines = []
    for kind, sequences in sorted(found.items()):
        names = list(dict.fromkeys(key for numbers in sequences for key in numbers))
        cells = []
        for name in names:
            values = [numbers[name] for numbers in sequences if name in numbers]
            cells.append(f"{name} {np.median(values):.2f}")
            if name in ("reach", "centroid", "share_y"):
                low, high = np.percentile(values, [10, 90])
                cells[-1] += f" ({low:.2f}..{high:.2f})"
        lines.append(f"{kind} [{len(sequences)}]: " + ", ".join(cells))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
