"""Train LFDM (latent flow diffusion, Ni et al. 2023), animate photos with it, and measure its reconstruction.

`train` resumes a run that was stopped when the same command is given again; `accelerate launch -m baselines.lfdm train
...` trains on several GPUs and machines.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from baselines.lfdm.config import (
    CONDITIONS,
    FLOW_TARGETS,
    FRAME_SAMPLINGS,
    MOTIONS,
    PRESETS,
    STAGES,
    Preset,
    fit_blocks,
)
from baselines.reconstruct_command import add_reconstruct_options, report_reconstruction
from common.command_line import OneLineParser, add_common_options, run_script, select_device, write_report
from common.option_types import count, few, frame_count, frame_rate, frame_size, not_negative, positive, process_count
from common.output_paths import check_paths
from training.batches.options import (
    DataOptions,
    add_data_options,
    add_precision_option,
    add_run_options,
    input_paths,
)
from training.command import train_and_report

if TYPE_CHECKING:
    from baselines.lfdm.train import LFDMRun

LAYOUTS = ("dataset", "mug", "mhad", "natops")
EXAMPLES = """examples:
  python -m baselines.lfdm train --data dataset --output runs/lfdm --preset small
  python -m baselines.lfdm train --data MUG --layout mug --output runs/mug --preset published-mug --condition label
  python -m baselines.lfdm sample face.png --checkpoint runs/mug --output clips
  python -m baselines.lfdm transfer face.png smile.mp4 --checkpoint runs/mug --output moved.mp4
  python -m baselines.lfdm reconstruct dataset --checkpoint runs/lfdm --split test --report reconstruction.json
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = OneLineParser(
        prog="python -m baselines.lfdm",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands.add_parser("train", help="train the flow autoencoder, the diffusion of its flow, or both"))
    _add_sample(commands.add_parser("sample", help="clips of photos, one for each condition"))
    _add_transfer(commands.add_parser("transfer", help="let a photo move as a clip does"))
    _add_reconstruct(commands.add_parser("reconstruct", help="measure how well clips are drawn from their first frame"))
    _add_convert(commands.add_parser("convert", help="read checkpoints that the authors have published"))
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_data_options(parser, data="dataset folders, or data sets of another --layout")
    add("--layout", choices=LAYOUTS, default="dataset", help="how the folder is laid out (default: dataset)")
    add("--output", type=Path, required=True, help="run folder; each stage has a folder in it")
    add("--stage", choices=(*STAGES, "all"), default="all", help="which stage to train (default: all)")
    add("--preset", choices=tuple(PRESETS), default="small", help="networks and training (default: small)")
    add("--size", type=frame_size, metavar="WxH", help="size of the frames (default: the preset's)")
    add(
        "--motion",
        choices=MOTIONS,
        help="regions: as published; dense: corrected optical flow (default: the preset's)",
    )
    add("--frames", type=frame_count, metavar="T", help="frames of a clip, the photo included (default: the preset's)")
    add("--condition", choices=CONDITIONS, help="what clips are sampled by (default: the preset's)")
    add("--text-encoder", metavar="ID_OR_DIR", help="encoder of --condition text (default: bert-base-cased)")
    add("--flow-target", choices=FLOW_TARGETS, help="what is denoised: the flow, or its difference to standing still")
    add("--upsampling", choices=("deconv", "nearest"), help="how the U-Net enlarges (default: the preset's)")
    add("--learn-null", action="store_true", help="learn the null condition; zeros otherwise")
    add("--frame-sampling", choices=FRAME_SAMPLINGS, help="which frames a clip gives (default: the preset's)")
    add("--max-steps", type=count, metavar="N", help="steps of each stage (default: the preset's)")
    add("--batch-size", type=few, metavar="N", help="pairs or clips a step (default: the preset's)")
    add("--learning-rate", type=positive, help="of each stage (default: 2e-4)")
    add("--color-jitter", type=not_negative, metavar="S", help="strength of random colour changes (default: 1)")
    add("--trainable", choices=("all", "decoder"), default="all", help="decoder: adapt --init to other pictures")
    add("--init", type=Path, metavar="RUN", help="run folder with the autoencoder to start from")
    add("--vgg-weights", type=Path, metavar="FILE", help="safetensors of torchvision's VGG19 or VGG16, for the loss")
    add("--weights", type=Path, metavar="DIR", help="folder with the metrics' weights, searched before the cache")
    add("--workers", type=process_count, default=1, help="threads that draw samples (default: 1)")
    add_run_options(parser, goals=("l1", "localisation"))
    add_precision_option(parser)
    add_common_options(parser)


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="RUN", help="run folder of `train`")
    parser.add_argument("--fps", type=frame_rate, default=30.0, help="frame rate of the clips (default: 30)")


def _add_sample(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("photos", type=Path, nargs="+", metavar="PHOTO")
    add("-o", "--output", type=Path, default=Path("outputs"), help="folder of the clips (default: outputs)")
    add("--condition", nargs="+", metavar="LABEL", help="labels or texts (default: all labels of the model)")
    add("--num-frames", type=frame_count, metavar="N", help="frames of a clip (default: those of training)")
    add("--format", choices=("mp4", "gif", "webp"), default="mp4", help="of the clips (default: mp4)")
    add("--steps", type=count, help="sampling steps (default: the model's)")
    add("--sampler", choices=("ddpm", "ddim"), help="default: the model's")
    add("--eta", type=not_negative, help="new noise of DDIM: 0 none, 1 as much as DDPM (default: the model's)")
    add("--guidance", type=not_negative, help="0 leaves the condition out, 1 follows it, more exaggerates")
    _add_sampling(parser)
    add_common_options(parser)


def _add_transfer(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("photo", type=Path, metavar="PHOTO")
    add("clip", type=Path, metavar="CLIP")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="ends in .mp4, .gif or .webp")
    add("--absolute", action="store_true", help="bring things to where the clip has them; otherwise move them alike")
    _add_sampling(parser)
    add_common_options(parser)


def _add_reconstruct(parser: argparse.ArgumentParser) -> None:
    add_reconstruct_options(parser, layouts=LAYOUTS, sheet="photo, true, drawn, warped, flow, trust")
    parser.add_argument(
        "--num-frames", type=frame_count, default=40, help="evenly spaced frames of a clip (default: 40)"
    )
    parser.add_argument("--max-clips", type=count, default=1000, help="default: 1000")


def _add_convert(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--autoencoder", type=Path, required=True, metavar="FILE.pth", help="the authors' first stage")
    add("--diffusion", type=Path, metavar="FILE.pth", help="the authors' second stage")
    add("--preset", choices=tuple(PRESETS), default="published-mug", help="its networks (default: published-mug)")
    add("--names", type=Path, metavar="FILE.json", help="other names of tensors: {their prefix: ours}")
    add("--output", type=Path, required=True, help="run folder to write")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    commands = {"train": _train, "sample": _sample, "transfer": _transfer}
    return run_script((commands | {"reconstruct": _reconstruct, "convert": _convert})[arguments.command], arguments)


def _train(arguments: argparse.Namespace) -> None:
    train_and_report(
        arguments,
        read_run,
        script="baselines.lfdm train",
        inputs=input_paths(arguments),
        train="baselines.lfdm.train:train_lfdm",
        result=f"LFDM in {arguments.output}",
    )


def read_run(arguments: argparse.Namespace) -> LFDMRun:
    """The run that the command line asks for."""
    from baselines.lfdm.train import LFDMRun
    from training.task import RunOptions

    if (
        arguments.keep_best
        and arguments.stage != {"l1": "autoencoder", "localisation": "diffusion"}[arguments.keep_best]
    ):
        raise ValueError(f"--keep-best {arguments.keep_best}: belongs to another --stage than {arguments.stage}")
    return LFDMRun(
        data=DataOptions.of(arguments),
        layout=arguments.layout,
        preset=changed(PRESETS[arguments.preset], arguments),
        stages=STAGES if arguments.stage == "all" else (arguments.stage,),
        init=arguments.init,
        decoder_only=arguments.trainable == "decoder",
        vgg_weights=arguments.vgg_weights,
        weights=arguments.weights,
        run=RunOptions.of(arguments, keep_best=arguments.keep_best),
    )


def changed(preset: Preset, arguments: argparse.Namespace) -> Preset:
    """A preset with what the command line gives in place of its own; hourglasses are as deep as a size allows."""
    autoencoder = preset.autoencoder
    if arguments.size is not None:
        blocks = fit_blocks(arguments.size, autoencoder.blocks)
        autoencoder = replace(autoencoder, size=arguments.size, blocks=blocks or autoencoder.blocks)
    if arguments.motion is not None:
        autoencoder = replace(autoencoder, motion=arguments.motion)
    asked = {name: getattr(arguments, name) for name in ("frames", "condition", "text_encoder", "flow_target")}
    asked |= {"upsampling": arguments.upsampling, "learn_null": arguments.learn_null or None}
    training = {
        "steps": arguments.max_steps,
        "batch_size": arguments.batch_size,
        "learning_rate": arguments.learning_rate,
        "color_jitter": arguments.color_jitter,
        "frame_sampling": arguments.frame_sampling,
    }
    return Preset(
        autoencoder,
        replace(preset.diffusion, **_given(asked)),
        replace(preset.autoencoder_training, **_given(training)),
        replace(preset.diffusion_training, **_given(training)),
    )


def _given(values: dict) -> dict:
    return {name: value for name, value in values.items() if value is not None}


def _sample(arguments: argparse.Namespace) -> None:
    inputs = [*arguments.photos, arguments.checkpoint]
    check_paths(inputs=inputs, files=[arguments.report], folders=[arguments.output])
    from baselines.lfdm.pipeline import Sampling
    from baselines.lfdm.produce import SampleJob, sample_photos

    job = SampleJob(
        photos=tuple(arguments.photos),
        output=arguments.output,
        conditions=None if arguments.condition is None else tuple(arguments.condition),
        frames=arguments.num_frames,
        suffix=f".{arguments.format}",
        fps=arguments.fps,
        seed=arguments.seed,
        sampling=Sampling(arguments.steps, arguments.sampler, arguments.eta, arguments.guidance),
    )
    files = sample_photos(job, arguments.checkpoint, select_device(arguments.device))
    write_report(arguments.report, "baselines.lfdm sample", arguments, {"files": [str(file) for file in files]})
    for file in files:
        print(file)


def _transfer(arguments: argparse.Namespace) -> None:
    inputs = [arguments.photo, arguments.clip, arguments.checkpoint]
    check_paths(inputs=inputs, files=[arguments.output, arguments.report])
    from baselines.lfdm.produce import transfer_clip

    transfer_clip(
        arguments.photo,
        arguments.clip,
        output=arguments.output,
        checkpoint=arguments.checkpoint,
        relative=not arguments.absolute,
        fps=arguments.fps,
        device=select_device(arguments.device),
    )
    write_report(arguments.report, "baselines.lfdm transfer", arguments, {"file": str(arguments.output)})
    print(arguments.output)


def _reconstruct(arguments: argparse.Namespace) -> None:
    report_reconstruction(
        arguments,
        script="baselines.lfdm reconstruct",
        measure="baselines.lfdm.produce:reconstruct_clips",
        frames=arguments.num_frames,
        most=arguments.max_clips,
    )


def _convert(arguments: argparse.Namespace) -> None:
    from baselines.lfdm.convert import convert

    convert(
        arguments.autoencoder,
        arguments.output,
        diffusion=arguments.diffusion,
        preset=PRESETS[arguments.preset],
        names=arguments.names,
    )
    print(f"LFDM in {arguments.output}")
