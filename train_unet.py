"""Train the motion model: autoencoder of slices, U-Net on single slices, frequency attention across slices, decoder.

The same command resumes a run that was stopped, inside the stage it was in. `accelerate launch train_unet.py ...`
trains on several GPUs and machines.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from common.command_line import add_common_options, run_script, select_device, write_report
from common.output_paths import check_paths
from training.batches.options import (
    add_data_options,
    add_saving_options,
    check_numbers,
    check_shares,
    input_paths,
    validation_folders,
)

if TYPE_CHECKING:
    from models.motion.model import MotionModel
    from training.batches.latents import LatentBatches
    from training.batches.motion import MotionBatches
    from training.loop import RunOptions
    from training.motion_validation import MotionValidation
    from training.processes import Processes

STAGES = ("autoencoder", "slice", "coordinate", "decoder")
PRESETS = ("tiny", "default", "reference", "paper")
NORMALIZATIONS = ("adaptive", "std", "size")
DEFAULT_WEIGHTS = Path(__file__).parent / "models" / "pretrained" / "motion"
EXAMPLES = """examples:
  python train_unet.py --data dataset --output runs/motion
  python train_unet.py --data dataset --output runs/try --preset tiny --max-steps 20
  python train_unet.py --data film layered --shares 0.5,0.5 --validation film --output runs/motion
  python train_unet.py --data dataset --output runs/motion --stage coordinate --coordinate-steps 3000
  python train_unet.py --data dataset --output runs/eight --num-frequencies 8 --normalization size
  python train_unet.py --data dataset --output runs/reference --preset reference --cache-latents 20 --log tensorboard
  accelerate launch --multi_gpu --num_processes 8 train_unet.py --data dataset --output runs/paper --preset paper
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add_data_options(parser)
    add("--all-splits", action="store_true", help="train on validation and test sequences too, for weights that ship")
    add("--output", type=Path, required=True, help="run folder: checkpoint, training state, logs and pictures")
    add("--preset", choices=PRESETS, default="default", help="network and training (default: default)")
    add("--stage", choices=(*STAGES, "all"), default="all", help="train one stage, or all in order (default)")
    add("--init", type=Path, metavar="CHECKPOINT", help="start from the weights of a motion checkpoint")
    add("--max-steps", type=int, help="steps of each stage that is trained, in place of the preset's")
    for stage in STAGES:
        add(f"--{stage}-steps", type=int, metavar="N", help=f"steps of the {stage} stage alone")
    add("--batch-size", type=int, help="photographs a step, over all processes")
    add("--learning-rate", type=float, help="of each stage, in place of the preset's")
    add("--schedule", choices=("cosine", "constant"), help="learning rate over the steps (default: the preset's)")
    add("--condition-dropout", type=float, metavar="P", help="share of photographs dropped (default: 0.1)")
    _add_model_options(parser)
    _add_scale_options(parser)
    add_saving_options(parser)
    add("--log", choices=("csv", "tensorboard"), default="csv",
        help="csv: tables alone (default); tensorboard: also scalars and pictures in OUTPUT/tensorboard")  # fmt: skip
    add_common_options(parser)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--num-frequencies", type=int, metavar="K", help="lowest frequencies that the model knows, in place of the "
        "preset's")  # fmt: skip
    add("--normalization", choices=NORMALIZATIONS, help="adaptive: the paper's Eq. 4; std: by 2.82 standard "
        "deviations; size: by the training pictures' width and height (default: the preset's)")  # fmt: skip
    add("--independent", action="store_true", help="sample frequencies independently: no coordinate stage")
    add("--joint", action="store_true", help="denoise all frequencies as one tensor: no coordinate stage either; with "
        "--init of another kind of model its autoencoder is taken over and the U-Net starts anew")  # fmt: skip
    add("--image-encoder", type=Path, metavar="FILE", default=DEFAULT_WEIGHTS, help="weights of EfficientNet-Lite0: a "
        "motion checkpoint folder, or the published .pth (default: models/pretrained/motion)")  # fmt: skip
    add("--vqvae", metavar="FOLDER", help="autoencoder of the preset reference: a diffusers VQModel as a folder or hub "
        "id (default: CompVis/ldm-celebahq-256)")  # fmt: skip


def _add_scale_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--precision", choices=("bfloat16", "float32"), default="bfloat16", help="of the forward pass")
    add("--gradient-accumulation", type=int, default=1, metavar="N", help="divide each process's share of a batch "
        "into N parts, whose gradients are added up (default: 1)")  # fmt: skip
    add("--workers", type=int, default=1, metavar="N", help="threads that draw samples ahead (default: 1)")
    add("--cache-latents", type=int, metavar="V", help="encode V augmented pictures for each sequence once, and train "
        "the U-Net's stages on these latents alone")  # fmt: skip
    add("--latents", type=Path, metavar="DIR", help="where cached latents are kept (default: OUTPUT/latents)")


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run_script(train, build_parser().parse_args(argv))


def train(arguments: argparse.Namespace) -> None:
    """Set up, run the stages that are left, calibrate, report."""
    from data.dataset.manifest import load_statistics
    from training.batches.augmentation import AugmentationConfig
    from training.batches.motion import load_batches
    from training.loop import StageTraining, part_size
    from training.processes import Processes
    from training.start import build_model, stages_left, training_config, wanted_stages

    started = time.monotonic()
    check_paths(inputs=input_paths(arguments), files=[arguments.report], folders=[arguments.output])
    options, config = run_options(arguments), training_config(arguments)
    processes = Processes(select_device(arguments.device))
    model = build_model(arguments, load_statistics(arguments.data[0]))
    stages = wanted_stages(arguments, model)
    for stage in stages:
        part_size(getattr(config, stage).batch_size, processes.count, arguments.gradient_accumulation)
    batches = load_batches(
        arguments.data,
        arguments.shares,
        arguments.all_splits,
        model.config.num_frequencies,
        model.config.size,
        model.size_multiple,
        AugmentationConfig(),
    )
    validation, split = build_validation(arguments, model, processes)
    processes.copy_from_main(model.to(processes.device))
    processes.wait()  # until all have read what the main process will write again
    results: dict = {"training": asdict(config), "processes": processes.count}
    for stage in stages_left(arguments.output, stages):
        source = stage_batches(arguments, model, stage, batches, processes)
        results[stage] = StageTraining(model, stage, config, options, source, processes, validation).run()
        end_stage(arguments, model, stage, getattr(config, stage).steps, batches, processes)
    if processes.is_main:
        results |= finish(arguments, model, batches, validation, split, stages[-1], results)
        results["seconds"] = round(time.monotonic() - started)
        write_report(arguments.report, "train_unet.py", arguments, results)
        print(f"motion model in {arguments.output}: use it with generate.py PHOTO --checkpoint {arguments.output}")
    processes.wait()
    processes.close()


def run_options(arguments: argparse.Namespace) -> RunOptions:
    """How the run is carried out, after a look at what the command line says of it."""
    from training.log import summary_writer
    from training.loop import RunOptions

    positive = ["max_steps", *(f"{stage}_steps" for stage in STAGES), "batch_size", "learning_rate"]
    positive += ["gradient_accumulation", "workers", "evaluate_every", "cache_latents"]
    check_numbers(arguments, positive, ["save_every"])
    check_shares(arguments)
    if arguments.log == "tensorboard":
        summary_writer()
    return RunOptions(
        output=arguments.output,
        seed=arguments.seed,
        accumulation=arguments.gradient_accumulation,
        precision=arguments.precision,
        workers=arguments.workers,
        save_every=arguments.save_every,
        evaluate_every=arguments.evaluate_every,
        tensorboard=arguments.log == "tensorboard",
        data=tuple(folder.name for folder in arguments.data),
    )


def build_validation(
    arguments: argparse.Namespace, model: MotionModel, processes: Processes
) -> tuple[MotionValidation, str]:
    """Scenes to evaluate on and the split they are of: training scenes where no folder has validation sequences."""
    from data.dataset.reading import SpectralVolumeDataset
    from training.motion_validation import MotionValidation

    folders, count = validation_folders(arguments), model.config.num_frequencies
    split = "validation" if folders else "train"
    datasets = [SpectralVolumeDataset(folder, split, num_frequencies=count) for folder in folders or arguments.data]
    return MotionValidation(datasets, arguments.output, processes.device, arguments.precision), split


def stage_batches(
    arguments: argparse.Namespace, model: MotionModel, stage: str, batches: MotionBatches, processes: Processes
) -> MotionBatches | LatentBatches:
    """What a stage's batches are drawn from: a cache of latents where one is asked for and of use."""
    from common.hashing import content_hash
    from training.batches.latents import LatentSource, open_cache, remove_others
    from training.losses import AUTOENCODER_STAGES
    from training.state import step_generator

    if arguments.cache_latents is None or stage in AUTOENCODER_STAGES:
        return batches
    weights, seed = content_hash(model.autoencoder.state_dict()), arguments.seed
    source = LatentSource(
        lambda volume: model.eval().encode_volume(volume.to(processes.device)),
        {"autoencoder": weights, "normalizer": model.normalizer.to_dict(), "seed": seed},
        lambda picture: step_generator(seed, picture, stream=2 * len(STAGES)),  # beyond the stages' own
    )
    parent = arguments.latents or arguments.output / "latents"
    cache = open_cache(parent, batches, arguments.cache_latents, source, processes.index, processes.count)
    processes.wait()
    if processes.is_main and arguments.latents is None:
        remove_others(cache.folder)
    return cache


def end_stage(
    arguments: argparse.Namespace,
    model: MotionModel,
    stage: str,
    steps: int,
    batches: MotionBatches,
    processes: Processes,
) -> None:
    """Whiten the latents after the autoencoder's stage, and write the checkpoint that the next stage starts from."""
    from training.motion import measure_latent_statistics

    if processes.is_main:
        if stage == "autoencoder":
            measure_latent_statistics(model, (v.to(processes.device) for v in batches.volumes()))
        names = [folder.name for folder in arguments.data]
        model.save_pretrained(arguments.output, {"stage": stage, "step": steps, "data": names})
    processes.copy_from_main(model)


def finish(
    arguments: argparse.Namespace,
    model: MotionModel,
    batches: MotionBatches,
    validation: MotionValidation,
    split: str,
    stage: str,
    results: dict,
) -> dict:
    """Bound the amplitude by the training set, calibrate it on validation scenes and write the final checkpoint."""
    from training.motion import calibrate_amplitude, limit_amplitude

    names = [folder.name for folder in arguments.data]
    summary = {"stage": stage, "data": names, "shares": batches.mixture.shares, "seed": arguments.seed, **results}
    summary["splits"] = "all" if arguments.all_splits else "train"
    if stage != "autoencoder":
        summary["amplitude_limit"] = limit_amplitude(model, batches.volumes())
        summary["amplitude_gain"] = calibrate_amplitude(model, validation.photographs, samples=2)
        summary["amplitude_gain_from"] = split
    model.save_pretrained(arguments.output, summary)
    return summary


if __name__ == "__main__":
    sys.exit(main())
