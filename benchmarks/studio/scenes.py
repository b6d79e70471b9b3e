"""Whether the page's networks put motion where PyTorch's do: both beside the measured motion of a dataset's scenes.

python -m app.studio build outputs/studio
python -m benchmarks.studio.scenes outputs/studio --data dataset --split validation
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from app.studio.networks import sample_with
from common.command_line import OneLineParser
from common.option_types import whole_number
from evaluation.metrics.motion import amplitude_ratio, localisation
from evaluation.sequences import EvaluationSequence, load_sequences
from models.checkpoints import PRETRAINED
from models.motion.model import MotionModel
from models.pipeline import ImageDynamicsPipeline

PARTS = ("condition", "denoise", "decode")
SEED = 0


def main(argv: list[str] | None = None) -> None:
    """Print a line for each scene and one for all."""
    options = build_parser().parse_args(argv)
    files = {part: (options.studio / "models" / f"{part}.onnx").read_bytes() for part in PARTS}
    model = ImageDynamicsPipeline.from_pretrained(options.checkpoint or PRETRAINED, parts=("motion",)).motion_model
    assert model is not None  # it was asked for
    found = []
    print("scene: localisation by PyTorch, by the page's networks; their amplitudes' ratio")
    for sequence in load_sequences(options.data, options.split, per_source=1)[: options.scenes]:
        found.append(compare(files, model, sequence))
        print("{}: {:.3f} {:.3f}; {:.3f}".format(sequence.source, *found[-1]), flush=True)
    pytorch, page, ratio = torch.tensor(found).T
    print(
        f"{len(found)} scenes: {pytorch.mean():.3f} {page.mean():.3f}; {ratio.mean():.3f}; a scene's localisations "
        f"differ by {(page - pytorch).abs().max():.4f} at most, by {(page - pytorch).mean():+.4f} on average"
    )


def build_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = OneLineParser(
        "python -m benchmarks.studio.scenes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("studio", type=Path, help="folder that python -m app.studio build has written")
    add("--data", type=Path, required=True, help="dataset folder of data.prepare")
    add("--split", default="validation", help="of the dataset (default: %(default)s)")
    add("--scenes", type=whole_number(1, 10_000), default=24, metavar="N", help="at most (default: %(default)s)")
    add("--checkpoint", metavar="DIR", help="what the page was built of, where that is not the repository's")
    return parser


def compare(files: Mapping[str, bytes], model: MotionModel, sequence: EvaluationSequence) -> tuple[float, float, float]:
    """Localisation of a sample by PyTorch and by exported networks, and the ratio of the second's amplitude."""
    image, true = sequence.first_frame(), sequence.volume(model.config.num_frequencies)
    expected, sampled = model.sample(image, [SEED]), sample_with(files, model, image, seed=SEED)
    return localisation(expected, true), localisation(sampled, true), amplitude_ratio(sampled, expected)


if __name__ == "__main__":
    main()
