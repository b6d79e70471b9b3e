"""Train the motion model: autoencoder of slices, U-Net on single slices, frequency attention across slices, decoder.

The same command resumes a run that was stopped, inside the stage it was in. `accelerate launch train_unet.py ...`
trains on several GPUs and machines.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from common.command_line import OneLineParser, add_common_options, run_script
from common.option_types import count, few, number, positive, process_count, share, whole_number
from models.choices import NORMALIZATIONS
from models.motion.stages import STAGES, stage_name
from training.batches.options import (
    DataOptions,
    add_data_options,
    add_precision_option,
    add_run_options,
    input_paths,
)
from training.command import train_and_report
from training.presets import SCHEDULES, TRAINING_PRESETS, TrainingConfig

if TYPE_CHECKING:
    from training.motion.run import MotionRun

PRESETS = tuple(TRAINING_PRESETS)
STAGE_OPTIONS = tuple(stage.replace("_", "-") for stage in STAGES)
GOALS = ("localisation", "coherence", "relative_error")  # what --keep-best can choose by; the last of autoencoders
DEFAULT_WEIGHTS = Path(__file__).parent / "models" / "pretrained" / "motion"
EXAMPLES = """examples:
  python train_unet.py --data dataset --output runs/motion
  python train_unet.py --data dataset --output runs/try --preset tiny --max-steps 20
  python train_unet.py --data film layered --shares 0.5,0.5 --validation film --output runs/motion
  python train_unet.py --data dataset --output runs/motion --stage frequency-attention --max-steps 3000
  python train_unet.py --data film layered --output runs/wind --init runs/motion --stage slice --wind --independent
  python train_unet.py --data dataset --output runs/sixteen --stage slice --distill runs/motion --student-steps 16
  python train_unet.py --data dataset --output runs/eight --num-frequencies 8 --normalization size
  python train_unet.py --data dataset --output runs/reference --preset reference --cache-latents 20 --log tensorboard
  accelerate launch --multi_gpu --num_processes 8 train_unet.py --data dataset --output runs/paper --preset paper
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = OneLineParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_data_options(parser)
    add(
        "--all-splits",
        action="store_true",
        help="train on validation and test sequences too, for weights to be published",
    )
    add("--output", type=Path, required=True, help="run folder: checkpoint, training state, logs and pictures")
    add("--preset", choices=PRESETS, default="default", help="network and training (default: default)")
    add(
        "--stage",
        type=parse_stage,
        default="all",
        metavar=f"{{{','.join((*STAGE_OPTIONS, 'all'))}}}",
        help="train one stage, or all in order (default)",
    )
    add("--init", type=Path, metavar="CHECKPOINT", help="start from the weights of a motion checkpoint")
    _add_training_options(parser)
    _add_model_options(parser)
    _add_scale_options(parser)
    add_run_options(parser, goals=GOALS)
    add_common_options(parser)
    return parser


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--max-steps", type=count, help="steps of each stage that is trained, in place of the preset's")
    for option in STAGE_OPTIONS:
        add(f"--{option}-steps", type=count, metavar="N", help=f"steps of the {option} stage alone")
    add("--coordinate-steps", type=count, dest="frequency_attention_steps", help=argparse.SUPPRESS)  # the former name
    add("--batch-size", type=few, help="photos per step, over all processes")
    add("--learning-rate", type=positive, help="learning rate of each stage, in place of the preset's")
    add("--schedule", choices=SCHEDULES, help="learning rate over the steps (default: the preset's)")
    add("--condition-dropout", type=share, metavar="P", help="share of photos dropped (default: the preset's)")


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--num-frequencies",
        type=few,
        metavar="K",
        help="number of the lowest frequencies that the model knows (default: the preset's)",
    )
    add(
        "--normalization",
        choices=NORMALIZATIONS,
        help="adaptive: the paper's Eq. 4; std: by 2.82 standard deviations; size: by the training frames' width and "
        "height (default: the preset's)",
    )
    add(
        "--independent",
        action="store_true",
        help="sample frequencies independently: there is no frequency-attention stage",
    )
    add(
        "--joint",
        action="store_true",
        help="denoise all frequencies as one tensor: there is no frequency-attention stage either; with --init of "
        "another kind of model, its autoencoder is taken over and the U-Net starts anew",
    )
    add(
        "--distill",
        type=Path,
        metavar="CHECKPOINT",
        help="with --stage slice: learn to sample in few steps and without guidance what this motion model samples in "
        "--teacher-steps times as many with its own; it starts as that model, or as the student that --init names; a "
        "student can be the next teacher",
    )
    add(
        "--student-steps",
        type=whole_number(1, 500),
        default=4,
        metavar="N",
        help="steps that the student of --distill samples in (default: 4)",
    )
    add(
        "--teacher-steps",
        type=whole_number(2, 100),
        default=2,
        metavar="N",
        help="steps of the teacher that each of the student's learns to take at once (default: 2)",
    )
    add(
        "--wind",
        action="store_true",
        help="divide the motion's strength out of what is learned and tell it to the network: at sampling it is an "
        "input; with --init of a model without wind, its networks are taken over",
    )
    add(
        "--still-below",
        type=number(0.01, 1),
        metavar="SHARE",
        help="at sampling, take a motion that is weaker than this share of the wind's strength for none, and give any "
        "other that strength (default: what the model was trained with, at first none of it)",
    )
    add(
        "--even-out",
        type=number(0.1, 1),
        metavar="POWER",
        help="at sampling, take amplitudes to this power above a tenth of a sample's strength, and let them fade "
        "below: things move more evenly (default: what the model was trained with, at first as sampled)",
    )
    add(
        "--image-encoder",
        type=Path,
        metavar="FILE",
        default=DEFAULT_WEIGHTS,
        help="weights of EfficientNet-Lite0: a motion checkpoint folder, or the published .pth file (default: "
        "models/pretrained/motion)",
    )
    add(
        "--vqvae",
        metavar="FOLDER",
        help="autoencoder of the preset reference: a diffusers VQModel as a folder or hub id (default: "
        "CompVis/ldm-celebahq-256)",
    )


def _add_scale_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_precision_option(parser)
    add("--workers", type=process_count, default=1, metavar="N", help="threads that draw samples ahead (default: 1)")
    add(
        "--cache-latents",
        type=few,
        metavar="V",
        help="encode V augmented samples of each sequence once, and train the U-Net's stages on these latents alone",
    )
    add("--latents", type=Path, metavar="DIR", help="folder of the cached latents (default: OUTPUT/latents)")


def parse_stage(text: str) -> str:
    """``frequency-attention`` (formerly ``coordinate``) -> frequency_attention."""
    name = stage_name(text)
    if name not in (*STAGES, "all"):
        expected = ", ".join((*STAGE_OPTIONS, "all"))
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {expected})")
    return name


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run_script(train, build_parser().parse_args(argv))


def train(arguments: argparse.Namespace) -> None:
    """Run the stages that are left, report."""
    train_and_report(
        arguments,
        read_options,
        script="train_unet.py",
        inputs=input_paths(arguments),
        folders=[arguments.latents],
        train="training.motion.run:train_motion",
        result=f"motion model in {arguments.output}: use it with generate.py PHOTO --checkpoint {arguments.output}",
    )


def read_options(arguments: argparse.Namespace) -> MotionRun:
    """The run that the command line asks for; numbers that make no sense are refused before anything is read."""
    from models.motion.config import PRESETS as MODEL_PRESETS
    from training.motion.model import ModelOptions
    from training.motion.run import MotionRun
    from training.task import RunOptions

    return MotionRun(
        data=DataOptions.of(arguments),
        model=ModelOptions(
            preset=MODEL_PRESETS[arguments.preset],
            image_encoder=arguments.image_encoder,
            init=arguments.init,
            num_frequencies=arguments.num_frequencies,
            normalization=arguments.normalization,
            vqvae=arguments.vqvae,
            independent=arguments.independent,
            joint=arguments.joint,
            wind=arguments.wind,
            still_below=arguments.still_below,
            even_out=arguments.even_out,
            distill=arguments.distill,
            student_steps=arguments.student_steps,
            teacher_steps=arguments.teacher_steps,
        ),
        training=training_config(arguments),
        run=RunOptions.of(arguments, keep_best=arguments.keep_best),
        stage=arguments.stage,
        cache_latents=arguments.cache_latents,
        latents=arguments.latents,
    )


def training_config(arguments: argparse.Namespace) -> TrainingConfig:
    """The preset with what the command line overrides."""
    config = TRAINING_PRESETS[arguments.preset].with_stages(
        steps={stage: getattr(arguments, f"{stage}_steps") or arguments.max_steps for stage in STAGES},
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
    )
    given = {"schedule": arguments.schedule, "condition_dropout": arguments.condition_dropout}
    return replace(config, **{name: value for name, value in given.items() if value is not None})


if __name__ == "__main__":
    sys.exit(main())
