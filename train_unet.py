"""Train the motion model: slice autoencoder, U-Net on single slices, frequency attention across slices, decoder.

The same command resumes a run that was stopped, inside the stage it was in.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from data.command_line import add_common_options, run_script, select_device, write_report

if TYPE_CHECKING:
    from models.motion_diffusion import MotionConfig, MotionModel
    from models.motion_training import StageConfig, TrainingConfig

STAGES = ("autoencoder", "slice", "coordinate", "decoder")
PRESETS = ("tiny", "default")
NORMALIZATIONS = ("adaptive", "std", "size")
DEFAULT_WEIGHTS = Path(__file__).parent / "models" / "pretrained" / "motion"
EXAMPLES = """examples:
  python train_unet.py --data dataset --output runs/motion
  python train_unet.py --data dataset --output runs/try --preset tiny --max-steps 20
  python train_unet.py --data dataset --output runs/motion --stage coordinate --coordinate-steps 3000
  python train_unet.py --data dataset --output runs/eight --num-frequencies 8 --normalization size
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="dataset folder written by data.prepare")
    add("--output", type=Path, required=True, help="run folder: checkpoint, training state, logs and pictures")
    add("--preset", choices=PRESETS, default="default", help="network and training (default: default)")
    add("--stage", choices=(*STAGES, "all"), default="all", help="train one stage, or all in order (default)")
    add("--init", type=Path, metavar="CHECKPOINT", help="start from the weights of a motion checkpoint")
    add("--max-steps", type=int, help="steps of each stage that is trained, in place of the preset's")
    for stage in STAGES:
        add(f"--{stage}-steps", type=int, metavar="N", help=f"steps of the {stage} stage alone")
    add("--batch-size", type=int, help="photographs a step")
    add("--learning-rate", type=float, help="of each stage, in place of the preset's")
    add("--schedule", choices=("cosine", "constant"), help="learning rate over the steps (default: cosine)")
    add("--condition-dropout", type=float, metavar="P", help="share of photographs dropped (default: 0.1)")
    add("--num-frequencies", type=int, metavar="K", help="lowest frequencies that the model knows, in place of the "
        "preset's")  # fmt: skip
    add("--normalization", choices=NORMALIZATIONS, help="default: adaptive, the paper's Eq. 4; std: by 2.82 standard "
        "deviations; size: by the training pictures' width and height")  # fmt: skip
    add("--independent", action="store_true", help="sample frequencies independently: no coordinate stage")
    add("--joint", action="store_true", help="denoise all frequencies as one tensor: no coordinate stage either; with "
        "--init of another kind of model its autoencoder is taken over and the U-Net starts anew")  # fmt: skip
    add("--image-encoder", type=Path, metavar="FILE", default=DEFAULT_WEIGHTS, help="weights of EfficientNet-Lite0: a "
        "motion checkpoint folder, or the published .pth (default: models/pretrained/motion)")  # fmt: skip
    add("--all-splits", action="store_true", help="train on validation and test sequences too, for weights that ship")
    add("--precision", choices=("bfloat16", "float32"), default="bfloat16", help="of the forward pass")
    add("--save-every", type=float, default=3.0, metavar="MINUTES", help="how often the state is saved (default: 3)")
    add("--evaluate-every", type=int, default=500, metavar="N", help="steps between validation samples (default: 500)")
    add_common_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run_script(train, build_parser().parse_args(argv))


def train(arguments: argparse.Namespace) -> None:
    """Set up, run the stages that are left, calibrate, report."""
    from data.augmentation import AugmentationConfig
    from data.datasets import MotionDataset
    from data.motion_batches import MotionBatches, first_of_each_source
    from models.training import read_training_state

    started = time.monotonic()
    device = select_device(arguments.device)
    config = training_config(arguments)
    model = build_model(arguments)
    splits = available_splits(arguments.data)
    train_splits = splits if arguments.all_splits else ["train"]
    count = model.config.num_frequencies
    datasets = [MotionDataset(arguments.data, split, count, cache=True) for split in train_splits]
    validation = "validation" if "validation" in splits else "train"
    scenes = first_of_each_source(MotionDataset(arguments.data, validation, count), device)
    model.to(device)
    batches = MotionBatches(concatenate(datasets), model.config.size, model.size_multiple, AugmentationConfig())
    state = read_training_state(arguments.output)
    results: dict = {"splits": train_splits, "training": asdict(config)}
    stages = wanted_stages(arguments, model)
    if state is not None and state["stage"] in stages:
        stages = stages[stages.index(state["stage"]) :]
    for stage in stages:
        results[stage] = run_stage(arguments, stage, config, model, batches, scenes)
    results |= finish(arguments, model, batches.dataset, scenes, validation, stages[-1], results)
    write_report(arguments.report, "train_unet.py", arguments, results | {"seconds": round(time.monotonic() - started)})
    print(f"motion model in {arguments.output}: use it with generate.py PHOTO --checkpoint {arguments.output}")


def training_config(arguments: argparse.Namespace) -> TrainingConfig:
    """The preset with what the command line overrides."""
    from models.motion_training import TRAINING_PRESETS

    config = TRAINING_PRESETS[arguments.preset]
    for stage in STAGES:
        values = {
            "steps": getattr(arguments, f"{stage}_steps") or arguments.max_steps,
            "batch_size": arguments.batch_size,
            "learning_rate": arguments.learning_rate,
        }
        changes = {name: value for name, value in values.items() if value is not None}
        if any(value <= 0 or not math.isfinite(value) for value in changes.values()):
            raise ValueError(f"steps, batch size and learning rate must be positive, got {changes}")
        config = replace(config, **{stage: replace(getattr(config, stage), **changes)})
    if arguments.schedule:
        config = replace(config, schedule=arguments.schedule)
    if arguments.condition_dropout is not None:
        if not 0 <= arguments.condition_dropout <= 1:
            raise ValueError(f"--condition-dropout {arguments.condition_dropout}: a share between 0 and 1 is needed")
        config = replace(config, condition_dropout=arguments.condition_dropout)
    return config


def wanted_stages(arguments: argparse.Namespace, model: MotionModel) -> list[str]:
    """The stages that the command line asks for, of those that this kind of model has."""
    kind = "--independent" if arguments.independent else "a joint model" if model.config.joint else None
    if arguments.stage != "all":
        if kind and arguments.stage == "coordinate":
            raise ValueError(f"--stage coordinate trains frequency attention, which {kind} leaves out")
        return [arguments.stage]
    return [stage for stage in STAGES if not (kind and stage == "coordinate")]


def build_model(arguments: argparse.Namespace) -> MotionModel:
    """A fresh model with the dataset's statistics, or the one of the output folder or of ``--init``."""
    from models.motion_diffusion import MotionModel
    from models.motion_training import untrained_model, with_joint_unet

    there = arguments.output if (arguments.output / "config.json").is_file() else None
    source = there or arguments.init
    if source is None:
        return untrained_model(*run_configuration(arguments), arguments.seed, arguments.image_encoder)
    model = MotionModel.from_pretrained(source)  # a later stage goes on from the checkpoint of an earlier one
    for option in ("num_frequencies", "normalization"):
        asked, found = getattr(arguments, option), getattr(model.config, option)
        if asked not in (None, found):
            name = f"--{option.replace('_', '-')}"
            raise ValueError(f"{source}: trained with {name} {found}, not {asked}; give a model trained so, or none")
    if arguments.joint and not model.config.joint:
        if there:
            raise ValueError(f"{there}: holds a model that is not joint; name another folder as --output")
        return with_joint_unet(model, arguments.seed, arguments.image_encoder)
    if arguments.independent:
        model.coordinate = False
    return model


def run_configuration(arguments: argparse.Namespace) -> tuple[MotionConfig, dict]:
    """Configuration of an untrained model and the dataset's statistics: the preset with what overrides it."""
    from data.datasets import load_statistics
    from models.motion_diffusion import PRESETS as MODEL_PRESETS

    statistics = load_statistics(arguments.data)
    preset = MODEL_PRESETS[arguments.preset]
    config = replace(
        preset,
        num_frequencies=preset.num_frequencies if arguments.num_frequencies is None else arguments.num_frequencies,
        size=tuple(statistics["size"]),
        num_frames=statistics["num_frames"],
        fps=statistics["fps"],
        normalization=arguments.normalization or preset.normalization,
        joint=arguments.joint,
    )
    stored = statistics["num_frequencies"]
    if not 2 <= config.num_frequencies <= stored:
        raise ValueError(
            f"{arguments.data}: holds {stored} frequencies, a model of {config.num_frequencies} can't be trained; "
            f"choose --num-frequencies between 2 and {stored}, or prepare the data again with more"
        )
    return config, statistics


def run_stage(arguments: argparse.Namespace, stage: str, config: TrainingConfig, model: MotionModel, batches, scenes):
    """Train one stage from its start or from its saved state; returns its last validation figures."""
    import torch
    from tqdm import tqdm

    from models import motion_training, training
    from models.motion_diffusion import alphas_cumprod

    options: StageConfig = getattr(config, stage)
    device = next(model.parameters()).device
    trained = motion_training.prepare_stage(model, stage)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = [p for p in trained.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=config.weight_decay)
    ema = training.ExponentialMovingAverage(trained, options.ema_decay)
    state = training.read_training_state(arguments.output)
    first = 0
    if state is not None and state["stage"] == stage:
        first = training.load_training_state(arguments.output, model, optimizer, ema)
        print(f"{stage}: resuming at step {first} of {options.steps}")
    log = training.CsvLog(arguments.output / f"log_{stage}.csv", LOG_COLUMNS[stage], first)
    schedule = alphas_cumprod(model.config).to(device)
    slices = motion_training.slices_a_photograph(model, stage, options)
    figures: dict = {}
    saved = time.monotonic()
    steps = tqdm(range(first, options.steps), initial=first, total=options.steps, desc=stage, mininterval=1)
    for step in steps:
        generator = training.step_generator(arguments.seed, step, STAGES.index(stage))
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))  # dropout's randomness
        batch = batches.draw(options.batch_size, slices, generator)
        image, volume, index = (t.to(device) for t in batch[:3])
        model.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.precision == "bfloat16"):
            if stage in motion_training.AUTOENCODER_STAGES:
                losses = motion_training.autoencoder_step(model, image, volume, index, generator)
            else:
                dropout = config.condition_dropout
                losses = motion_training.diffusion_step(model, image, volume, index, schedule, dropout, generator)
        if not torch.isfinite(losses["loss"]):
            raise FloatingPointError(f"the loss is {losses['loss'].item()} at step {step} on {', '.join(batch.ids)}")
        rate = training.learning_rate_at(step, options.learning_rate, options.steps, config.schedule, config.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.gradient_clip)
        optimizer.step()
        ema.update(trained)

        done = step + 1
        values = {name: float(value.detach()) for name, value in losses.items()} | {"learning_rate": rate}
        if done % arguments.evaluate_every == 0 or done == options.steps:
            with ema.applied_to(trained):
                figures = evaluate(arguments, stage, model, scenes, done)
            steps.write(f"{stage} step {done}: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()))
        steps.set_postfix(loss=f"{values['loss']:.4f}")
        log.append(done, values | (figures if done % arguments.evaluate_every == 0 else {}))
        if done == options.steps or time.monotonic() - saved > 60 * arguments.save_every:
            save(arguments, stage, done, model, trained, optimizer, ema)
            training.plot_log(log.path, arguments.output / f"loss_{stage}.png", ("loss", "gradient", "noisy", "clean"))
            saved = time.monotonic()
    adopt_average(model, trained, ema, stage, batches)
    model.save_pretrained(arguments.output, {"stage": stage, "step": options.steps, "data": arguments.data.name})
    return figures


LOG_COLUMNS = {
    **dict.fromkeys(("autoencoder", "decoder"), ("loss", "l1", "gradient", "kl", "learning_rate", "relative_error")),
    **dict.fromkeys(
        ("slice", "coordinate"),
        ("loss", "noisy", "clean", "learning_rate", "localisation", "amplitude_ratio", "coherence"),
    ),
}


def save(arguments, stage: str, step: int, model: MotionModel, trained, optimizer, ema) -> None:
    """Write the state that resuming needs, and a checkpoint with averaged weights that can be used at once."""
    from models import training

    training.save_training_state(arguments.output, step, model, optimizer, ema, {"stage": stage})
    with ema.applied_to(trained):
        model.save_pretrained(arguments.output, {"stage": stage, "step": step, "data": arguments.data.name})


def adopt_average(model: MotionModel, trained, ema, stage: str, batches) -> None:
    """End a stage: the averaged weights become the model's; after the autoencoder the latents are whitened."""
    from models.motion_training import measure_latent_statistics
    from models.training import load_weights

    load_weights(trained, dict(trained.state_dict()) | ema.shadow, "average")
    model.eval()
    if stage == "autoencoder":
        device = next(model.parameters()).device
        dataset = batches.dataset
        volumes = (dataset[i]["spectral_volume"][None].to(device) for i in range(len(dataset)))
        measure_latent_statistics(model, volumes)


def evaluate(arguments, stage: str, model: MotionModel, scenes: dict, step: int) -> dict[str, float]:
    """Validation figures of a stage and a picture of true beside sampled (or decoded) amplitude."""
    import torch

    from data.flow_color import contact_sheet, magnitude_map
    from data.video import tensor_to_image, write_image
    from models.motion_training import AUTOENCODER_STAGES, judge_samples, mean_over_scenes
    from models.spectral_volume import motion_amplitude

    model.eval()
    pictures, errors = [], []
    volumes: dict[int, torch.Tensor] = {}  # by the image's identity: what is pictured is also judged
    for photographs in scenes.values():
        image, true = photographs[0]
        if stage in AUTOENCODER_STAGES:
            with torch.no_grad():
                shown = model.reconstruct(true, image)
        else:
            with torch.autocast(image.device.type, torch.bfloat16, enabled=arguments.precision == "bfloat16"):
                shown = model.sample(image, [0]).float()
        volumes[id(image)] = shown
        limit = float(motion_amplitude(true).quantile(0.99))
        maps = [magnitude_map(motion_amplitude(volume)[0, 0].cpu().numpy(), limit) for volume in (true, shown)]
        pictures += [tensor_to_image(image), *maps]
        errors.append(float((shown - true)[:, 1:].square().mean() / true[:, 1:].square().mean()) ** 0.5)
    folder = arguments.output / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / f"{stage}_{step:06d}.png", contact_sheet(pictures, 6))
    if stage in AUTOENCODER_STAGES:
        return {"relative_error": sum(errors) / len(errors)}
    return mean_over_scenes(judge_samples(model, scenes, 1, lambda model, image, seed: volumes[id(image)]))


def finish(arguments, model: MotionModel, dataset, scenes: dict, split: str, stage: str, results: dict) -> dict:
    """Bound the amplitude by the training set, calibrate it on validation scenes and write the final checkpoint."""
    from models.motion_training import calibrate_amplitude, limit_amplitude

    summary = {"stage": stage, "data": arguments.data.name, "seed": arguments.seed, **results}
    if stage != "autoencoder":
        volumes = (dataset[index]["spectral_volume"][None] for index in range(len(dataset)))
        summary["amplitude_limit"] = limit_amplitude(model, volumes)
        photographs = [pair for pairs in scenes.values() for pair in pairs]
        summary["amplitude_gain"] = calibrate_amplitude(model, photographs, samples=2)
        summary["amplitude_gain_from"] = split
    model.save_pretrained(arguments.output, summary)
    return summary


def available_splits(folder: Path) -> list[str]:
    """Splits of a dataset folder that hold sequences."""
    from data.datasets import load_manifest

    there = {row["split"] for row in load_manifest(folder) if row["status"] == "kept"}
    return [split for split in ("train", "validation", "test") if split in there]


def concatenate(datasets: list):
    """One dataset out of several."""
    from torch.utils.data import ConcatDataset

    return datasets[0] if len(datasets) == 1 else ConcatDataset(datasets)


if __name__ == "__main__":
    sys.exit(main())
