"""Train the renderer: photo, motion and importance to a frame (paper section 5).

The same command resumes a run that was stopped. `accelerate launch train_frame_synthesis.py ...` trains on several GPUs
and machines.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.command_line import OneLineParser, add_common_options, run_script
from common.option_types import count, few, frame_size, not_negative, number, positive, share, whole
from models.choices import RENDERER_PRESETS as PRESETS
from training.batches.options import DataOptions, add_data_options, add_run_options, input_paths
from training.command import train_and_report
from training.presets import RENDERER_TRAINING_PRESETS, RendererConfig

if TYPE_CHECKING:
    from training.renderer.run import RendererRun

GOALS = ("lpips", "psnr")  # what --keep-best can choose by
DEFAULTS = RendererConfig()
EXAMPLES = """examples:
  python train_frame_synthesis.py --data dataset --output runs/renderer --vgg-weights vgg16.safetensors
  python train_frame_synthesis.py --data film layered --shares 0.5,0.5 --keep-best lpips --output runs/renderer
  python train_frame_synthesis.py --data dataset --output runs/try --preset tiny
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = OneLineParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_data_options(parser)
    add("--output", type=Path, required=True, help="run folder: checkpoint, training state, log, pictures and videos")
    add("--preset", choices=PRESETS, help="shape of the model (default: default)")
    add("--init", type=Path, metavar="CHECKPOINT", help="start from the weights of a frame_synthesis checkpoint")
    _add_training_options(parser)
    add_run_options(parser, goals=GOALS)
    add_common_options(parser)
    return parser


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--max-steps", type=count, help="number of steps (default: 14000; of the preset tiny 8)")
    add("--batch-size", type=few, help="frame pairs per step (default: 4; tiny: 2)")
    add(
        "--learning-rate",
        type=positive,
        default=DEFAULTS.learning_rate,
        help="highest learning rate; a cosine takes it to 0 (default: 5e-4)",
    )
    add("--warmup", type=whole, metavar="N", help="steps of linear warm-up (default: 100; tiny: 1)")
    add("--crop", type=frame_size, metavar="WxH", help="training crops (default: 192x128; tiny: 32x32)")
    add(
        "--vgg-weights",
        type=Path,
        metavar="FILE",
        help="VGG16 for the perceptual loss: safetensors with torchvision's tensor names (default: lpips_vgg16 among "
        "the metrics' weights, then torchvision's cache; without any, gradients and SSIM take its place)",
    )
    add("--weights", type=Path, metavar="DIR", help="folder with the metrics' weights, searched before the cache")
    add(
        "--perceptual-weight",
        type=not_negative,
        default=DEFAULTS.perceptual_weight,
        help="weight of the perceptual loss beside L1 (default: 0.05)",
    )
    add(
        "--perceptual-share",
        type=number(0.0, 1.0, above=True),
        default=DEFAULTS.perceptual_share,
        metavar="P",
        help="share of a batch that the perceptual loss looks at, which is most of a step's work (default: 1)",
    )
    add(
        "--sharpness-weight",
        type=not_negative,
        default=DEFAULTS.sharpness_weight,
        help="weight of the loss by which frames have as much fine detail as real ones (default: 0)",
    )
    add(
        "--temporal",
        type=not_negative,
        default=DEFAULTS.temporal,
        metavar="W",
        help="weight of temporal consistency: batches hold two neighbouring frames of each sequence, and an error that "
        "differs between them costs more (default: 0)",
    )
    add(
        "--color-jitter",
        type=not_negative,
        default=DEFAULTS.color_jitter,
        metavar="S",
        help="strength of random colour changes (default: 1)",
    )
    add(
        "--flow-noise",
        type=not_negative,
        default=DEFAULTS.flow_noise,
        metavar="PIXELS",
        help="standard deviation of smooth errors added to the flow (default: 0)",
    )
    add(
        "--identity",
        type=share,
        metavar="SHARE",
        help="share of pairs in which nothing moves (default: 0.05 for models that paint frames from features alone; "
        "the others return still regions by construction)",
    )


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run_script(train, build_parser().parse_args(argv))


def train(arguments: argparse.Namespace) -> None:
    """Train to the last step, report."""
    train_and_report(
        arguments,
        read_options,
        script="train_frame_synthesis.py",
        inputs=input_paths(arguments),
        train="training.renderer.run:train_renderer",
        result=f"renderer in {arguments.output}: use it with generate.py PHOTO --checkpoint {arguments.output}",
    )


def of_preset(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the command line gives in place of the preset's."""
    given = {"steps": arguments.max_steps, "batch_size": arguments.batch_size}
    given |= {"warmup": arguments.warmup, "crop": arguments.crop}
    return {name: value for name, value in given.items() if value is not None}


def read_options(arguments: argparse.Namespace) -> RendererRun:
    """The run that the command line asks for; numbers that make no sense are refused before anything is read."""
    from training.renderer.run import RendererRun
    from training.task import RunOptions

    return RendererRun(
        data=DataOptions.of(arguments),
        training=replace(
            RENDERER_TRAINING_PRESETS[arguments.preset or "default"],
            **of_preset(arguments),
            learning_rate=arguments.learning_rate,
            perceptual_weight=arguments.perceptual_weight,
            perceptual_share=arguments.perceptual_share,
            sharpness_weight=arguments.sharpness_weight,
            temporal=arguments.temporal,
            color_jitter=arguments.color_jitter,
            flow_noise=arguments.flow_noise,
            identity=arguments.identity,
        ),
        run=RunOptions.of(arguments, keep_best=arguments.keep_best),
        preset=arguments.preset,
        init=arguments.init,
        vgg_weights=arguments.vgg_weights,
        weights=arguments.weights,
    )


if __name__ == "__main__":
    sys.exit(main())
