"""The command line of the baseline; what it does is imported when it is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from baselines.cinn.config import LAYOUTS, METRICS, ROLLOUTS, STAGES, Preset
from baselines.cinn.presets import PRESETS
from baselines.reconstruct_command import add_reconstruct_options, report_reconstruction
from common.command_line import OneLineParser, add_common_options, run_script, select_device, write_report
from common.option_types import count, few, frame_rate, frame_size, number, numbers, process_count, whole
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
    from baselines.cinn.train import CinnRun

EXAMPLES = """examples:
  python -m baselines.cinn train --data dataset --preset small --output runs/cinn
  python -m baselines.cinn train --data bair --layout bair --preset bair --stage vae --keep-best fvd --output runs/bair
  python -m baselines.cinn sample photo.jpg --checkpoint runs/cinn --num-samples 4 --num-frames 48 --output out.mp4
  python -m baselines.cinn transfer photo.jpg clip.mp4 --checkpoint runs/cinn --output out.gif
  python -m baselines.cinn reconstruct dataset --checkpoint runs/cinn --sheet sheet.png
  python -m baselines.cinn endpoint photo.png 0.5,0.1,0.2 --checkpoint runs/bair --output out.gif
  python evaluate.py motion --data dataset --methods cinn,repeat --method-checkpoint cinn=runs/cinn
"""


position = numbers(number(-1e6, 1e6), "0.5,0.1,0.2")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = OneLineParser(
        prog="python -m baselines.cinn",
        description="Stochastic image-to-video synthesis by conditional invertible networks (docs/cinn.md).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands.add_parser("train", help="train one stage or all; the same command resumes"))
    sample = commands.add_parser("sample", help="random videos of photos")
    _add_making(sample)
    sample.add_argument("--rollout", choices=ROLLOUTS, default="same_code", help=_ROLLOUT_HELP)
    transfer = commands.add_parser("transfer", help="give photos the motion of a clip")
    _add_making(transfer, samples=False)
    transfer.add_argument("clip", type=Path, metavar="CLIP", help="a video, or a folder with its frames")
    transfer.add_argument("--start", type=whole, default=0, metavar="N", help="first frame of the clip (default: 0)")
    endpoint = commands.add_parser("endpoint", help="random videos that end at a position, by a controlled model")
    _add_making(endpoint)
    endpoint.add_argument("position", type=position, metavar="X,Y,Z", help="where the arm is at the end")
    _add_reconstruct(commands.add_parser("reconstruct", help="how well the first stage draws clips again"))
    _add_convert(commands.add_parser("convert", help="convert a published checkpoint by a table of names"))
    return parser


_ROLLOUT_HELP = (
    "beyond the length of a clip, the last frame is the next photo: same_code keeps the code, as published (default); "
    "new_code draws one for each clip"
)


def _add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_data_options(parser, data="videos in the layout that --layout names")
    add("--layout", choices=LAYOUTS, default="dataset", help="dataset: made by data.prepare (default), or a published")
    add("--preset", choices=tuple(PRESETS), default="small", help="networks and training (default: small)")
    add("--stage", choices=(*STAGES, "all"), default="all", help="vae, condition and flow follow one another")
    add("--output", type=Path, required=True, metavar="DIR", help="run folder, with a folder for each stage")
    add("--size", type=frame_size, metavar="WxH", help="size of photos and frames, in place of the preset's")
    add("--batch-size", type=few, help="clips a step, in place of the preset's")
    add("--max-steps", type=count, metavar="N", help="steps of each stage, in place of the preset's epochs")
    add("--control", action="store_true", help="condition the flow on the position at the last frame, as of BAIR's arm")
    add("--weights", type=Path, metavar="DIR", help="folder with the metrics' weights, searched before the cache")
    add("--workers", type=process_count, default=1, metavar="N", help="threads that read clips meanwhile (default: 1)")
    add_run_options(parser, logs=("csv", "tensorboard", "wandb"), goals=METRICS)
    add_precision_option(parser)
    add_common_options(parser)


def _add_making(parser: argparse.ArgumentParser, *, samples: bool = True) -> None:
    add = parser.add_argument
    add("photos", type=Path, nargs="+", metavar="PHOTO", help="photos, each a row of the result")
    add("--checkpoint", type=Path, required=True, metavar="DIR", help="run folder of the training")
    add("--output", type=Path, required=True, metavar="FILE", help="video of all results: .mp4, .gif, .webp or .png")
    if samples:
        add("--num-samples", type=few, default=4, metavar="N", help="videos of each photo, side by side (default: 4)")
    add("--num-frames", type=few, default=16, metavar="T", help="frames that follow the photo (default: 16)")
    add("--fps", type=frame_rate, help="frame rate of the result (default: that of the training data, or 10)")
    add_common_options(parser)


def _add_reconstruct(parser: argparse.ArgumentParser) -> None:
    add_reconstruct_options(parser, layouts=LAYOUTS, sheet="true frames, and below them drawn ones")
    parser.add_argument(
        "--clips", type=count, default=2, metavar="N", help="of each video, spread over it (default: 2)"
    )


def _add_convert(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", type=Path, metavar="CHECKPOINT", help="a published file of weights; it is read without unpickling code")
    add("--part", choices=("encoder", "decoder", "condition", "flow"), required=True, help="what the file holds")
    add("--preset", choices=tuple(PRESETS), required=True, help="the configuration that it belongs to")
    add("--names", type=Path, metavar="TABLE.csv", help="ours,theirs on each line; without it a draft is written")
    add("--output", type=Path, required=True, metavar="DIR", help="run folder that the part is added to")
    add("--report", type=Path, metavar="FILE.json", help="write what was converted")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parsed = build_parser().parse_args(arguments)
    return run_script(COMMANDS[parsed.command], parsed)


def train(arguments: argparse.Namespace) -> None:
    """Train the stages asked for, report."""
    train_and_report(
        arguments,
        read_run,
        script="baselines.cinn train",
        inputs=input_paths(arguments),
        train="baselines.cinn.train:train_stages",
        result=f"{arguments.stage if arguments.stage != 'all' else ', '.join(STAGES)} in {arguments.output}",
    )


def read_run(arguments: argparse.Namespace) -> CinnRun:
    """The run that the command line asks for."""
    if arguments.log == "wandb":
        _open_wandb(arguments.output.name)
    from baselines.cinn.train import CinnRun
    from training.task import RunOptions

    return CinnRun(
        data=DataOptions.of(arguments),
        layout=arguments.layout,
        preset=changed(PRESETS[arguments.preset], size=arguments.size, batch_size=arguments.batch_size),
        stages=STAGES if arguments.stage == "all" else (arguments.stage,),
        control=arguments.control,
        steps=arguments.max_steps,
        metric=arguments.keep_best,
        weights=arguments.weights,
        run=RunOptions.of(arguments),
    )


def changed(preset: Preset, *, size: tuple[int, int] | None, batch_size: int | None) -> Preset:
    """A preset with another size of frames or another batch size for all stages.

    Raises:
        ValueError: a size that the strides do not divide.
    """
    if size is not None:
        preset = replace(preset, model=replace(preset.model, video=replace(preset.model.video, size=size)))
    if batch_size is not None:
        stages = {name: replace(preset.training.stage(name), batch_size=batch_size) for name in STAGES}
        preset = replace(preset, training=replace(preset.training, **stages))  # type: ignore[arg-type]
    return preset


def _open_wandb(name: str) -> None:
    """Let Weights & Biases follow what is logged for TensorBoard."""
    try:
        import wandb
    except ImportError:
        raise ValueError("--log wandb needs its package: pip install wandb tensorboard") from None
    wandb.init(project="cinn", name=name, sync_tensorboard=True)


def make(arguments: argparse.Namespace) -> None:
    """Carry out sample, transfer and endpoint."""
    inputs = [*arguments.photos, arguments.checkpoint, getattr(arguments, "clip", None)]
    check_paths(inputs=inputs, files=[arguments.output, arguments.report])
    from baselines.cinn import make as making
    from baselines.cinn.model import StochasticImageToVideo

    device = select_device(arguments.device)
    model = StochasticImageToVideo.from_pretrained(arguments.checkpoint).to(device)
    photos = making.read_photos(arguments.photos, model.config.video.size, device=device)
    if arguments.command == "transfer":
        clip = making.read_clip(arguments.clip, model.config, start=arguments.start, device=device)
        videos = making.transferred(model, clip, photos, num_frames=arguments.num_frames)
    else:
        videos = making.sampled(
            model,
            photos,
            samples=arguments.num_samples,
            num_frames=arguments.num_frames,
            seed=arguments.seed,
            rollout=getattr(arguments, "rollout", "same_code"),
            position=getattr(arguments, "position", None),
        )
    making.write_grid(arguments.output, videos, fps=arguments.fps or model.config.fps or making.DEFAULT_FPS)
    rows, columns, frames = videos.shape[:3]
    write_report(
        arguments.report,
        f"baselines.cinn {arguments.command}",
        arguments,
        {"videos": [rows, columns], "frames": frames, "size": list(model.config.video.size)},
    )
    print(f"{rows} x {columns} videos of {frames} frames in {arguments.output}")


def reconstruct(arguments: argparse.Namespace) -> None:
    """Measure the first stage."""
    report_reconstruction(
        arguments,
        script="baselines.cinn reconstruct",
        measure="baselines.cinn.measure:reconstruct_videos",
        per_video=arguments.clips,
    )


def convert(arguments: argparse.Namespace) -> None:
    """Convert one part of a published model, or draft the table of names."""
    check_paths(inputs=[arguments.file, arguments.names], files=[arguments.report])
    from baselines.cinn.convert import convert_part, draft_names

    preset = PRESETS[arguments.preset]
    if arguments.names is None:
        path = draft_names(arguments.file, preset, arguments.part, folder=arguments.output)
        print(f"draft of the names in {path}; check it, then pass it as --names")
        return
    done = convert_part(arguments.file, preset, arguments.part, names=arguments.names, folder=arguments.output)
    write_report(arguments.report, "baselines.cinn convert", arguments, done)
    print(f"{arguments.part} in {arguments.output}")


COMMANDS = {
    "train": train,
    "sample": make,
    "transfer": make,
    "endpoint": make,
    "reconstruct": reconstruct,
    "convert": convert,
}
