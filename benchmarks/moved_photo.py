"""How much better than a still photo a moved one is: a yardstick for whatever draws later frames by flow.

The mean absolute difference, in [0, 1], of a split's later frames from the photo and from the photo under the flow
that was measured between the two, and the gain with its 95 % interval over scenes. The flow is the dataset's own, or
that of the small baselines, Lucas and Kanade's, as LFDM has it: means of four by four pixels.

Examples:
  python -m benchmarks.moved_photo dataset --split validation
  python -m benchmarks.moved_photo dataset --flow lucas-kanade
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.timing import benchmark_parser
from common.command_line import run_script, write_report
from common.option_types import count
from evaluation.tables.command_line import SPLITS

if TYPE_CHECKING:
    from torch import Tensor

    from evaluation.sequences import EvaluationSequence


FLOWS = ("stored", "lucas-kanade")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a line for each split, and return the exit status."""
    parser = benchmark_parser("moved_photo", __doc__, threads=1)
    parser.add_argument("dataset", type=Path, metavar="FOLDER", help="made by data.prepare, best with --full")
    parser.add_argument("--split", choices=SPLITS, default="validation", help="default: validation")
    parser.add_argument("--frames", type=count, default=10, metavar="N", help="of each sequence, spread (default: 10)")
    parser.add_argument("--flow", choices=FLOWS, default="stored", help="whose (default: stored, the dataset's)")
    return run_script(_run, parser.parse_args(argv))


def _run(arguments: argparse.Namespace) -> None:
    import torch

    from evaluation.sequences import load_sequences

    torch.set_num_threads(arguments.threads)
    results = compare(load_sequences(arguments.dataset, arguments.split), frames=arguments.frames, flow=arguments.flow)
    spread = "" if results["interval"] is None else " ({:.4f} to {:.4f})".format(*results["interval"])
    print(f"photo {results['still']:.4f}, moved {results['moved']:.4f}, gain {results['gain']:.4f}{spread}")
    write_report(arguments.report, "benchmarks.moved_photo", arguments, {"results": results})


def compare(sequences: Sequence[EvaluationSequence], *, frames: int, flow: str) -> dict[str, Any]:
    """Means over sequences of the differences from the still and from the moved photo, and of the gain."""
    from evaluation.metrics.distances import bootstrap_interval

    pairs = [differences(sequence, frames=frames, flow=flow) for sequence in sequences]
    still, moved = (sum(values) / len(values) for values in zip(*pairs, strict=True))
    gains = [a - b for a, b in pairs]
    interval = bootstrap_interval(gains, sources=[sequence.source for sequence in sequences])
    each = {sequence.id: pair for sequence, pair in zip(sequences, pairs, strict=True)}
    return {"still": still, "moved": moved, "gain": still - moved, "interval": interval, "each": each}


def differences(sequence: EvaluationSequence, *, frames: int, flow: str) -> tuple[float, float]:
    """Mean absolute differences in [0, 1] of a sequence's later frames from the photo, still and moved."""
    import torch

    from common.images import from_8_bits
    from data.dataset.full import load_full_sequence
    from models.rendering.dispatch import photo_renderer

    whole, photo = load_full_sequence(sequence.folder, sequence.row), sequence.first_frame()
    assert whole.flows is not None  # they were asked for
    later = len(whole.flows)
    chosen = torch.linspace(0, later - 1, min(frames, later)).round().long()
    true = from_8_bits(whole.frames[1:][chosen])
    if flow == "stored":
        moved = photo_renderer("remap", photo, None)(whole.flows[chosen])
    else:
        moved = under_lucas_kanade(photo, true)
    still, under_flow = ((true - made).abs().mean().item() / 2 for made in (photo, moved))
    return still, under_flow


def under_lucas_kanade(photo: Tensor, frames: Tensor) -> Tensor:
    """The photo ``[1, 3, H, W]`` looked up where each frame ``[N, 3, H, W]`` comes from, all in [-1, 1]."""
    import torch.nn.functional as F

    from baselines.lfdm.config import LATENT_STRIDE
    from baselines.lucas_kanade import lucas_kanade
    from models.rendering.warping import resample

    flow = lucas_kanade((photo.expand_as(frames) + 1) / 2, (frames + 1) / 2)
    coarse = F.avg_pool2d(flow, LATENT_STRIDE)
    return resample(photo, -F.interpolate(coarse, size=frames.shape[-2:], mode="bilinear"), "bilinear")


if __name__ == "__main__":
    sys.exit(main())
