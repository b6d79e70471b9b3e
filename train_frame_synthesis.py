"""Train the renderer: photograph, motion and importance to a frame (paper section 5).

The same command resumes a run that was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from data.command_line import add_common_options, parse_size, run_script, select_device, write_report

if TYPE_CHECKING:
    import torch

    from data.frame_pair_batches import FramePairBatch
    from models.frame_synthesis import FrameSynthesisModel

PRESETS = ("tiny", "default", "reference")
LOG_COLUMNS = ("loss", "l1", "perceptual", "learning_rate", "gradient_norm", "seconds")
VALIDATION_PAIRS = 24
PICTURED_PAIRS = 3
EXAMPLES = """examples:
  python train_frame_synthesis.py --data dataset --output runs/renderer --vgg-weights vgg16.safetensors
  python train_frame_synthesis.py --data dataset --output runs/try --preset tiny --max-steps 20 --crop 64x48
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="dataset folder written by data.prepare")
    add("--output", type=Path, required=True, help="run folder: checkpoint, training state, log and pictures")
    add("--preset", choices=PRESETS, help="shape of the model (default: default)")
    add("--init", type=Path, metavar="CHECKPOINT", help="start from the weights of a frame_synthesis checkpoint")
    add("--max-steps", type=int, default=14000, help="steps in all (default: 14000)")
    add("--batch-size", type=int, default=4, help="frame pairs a step (default: 4)")
    add("--learning-rate", type=float, default=5e-4, help="at its highest; a cosine takes it to 0 (default: 5e-4)")
    add("--warmup", type=int, default=100, metavar="N", help="steps of linear warm-up (default: 100)")
    add("--crop", type=parse_size, default=(192, 128), metavar="WxH", help="training crops (default: 192x128)")
    add("--vgg-weights", type=Path, metavar="FILE", help="VGG16 for the perceptual loss: safetensors with "
        "torchvision's tensor names (default: torchvision's cache; without either, gradients and SSIM)")  # fmt: skip
    add("--perceptual-weight", type=float, default=0.05, help="of the perceptual loss beside L1 (default: 0.05)")
    add("--save-every", type=float, default=3.0, metavar="MINUTES", help="how often the state is saved (default: 3)")
    add("--evaluate-every", type=int, default=500, metavar="N", help="steps between validations (default: 500)")
    add_common_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run_script(train, build_parser().parse_args(argv))


def train(arguments: argparse.Namespace) -> None:
    """Set up, train to the last step, report."""
    import torch

    from data.datasets import FramePairDataset
    from models.perceptual_loss import StructureLoss, load_perceptual_loss

    started = time.monotonic()
    check(arguments)
    device = select_device(arguments.device)
    dataset = FramePairDataset(arguments.data, "train", cache=True)
    pairs = validation_pairs(arguments.data, device)
    model = build_model(arguments).to(device)
    distance = load_perceptual_loss(arguments.vgg_weights)
    loss_name = "L1 + VGG16"
    if distance is None:
        loss_name = "L1 + gradients + SSIM, for want of VGG16 weights"
        print(f"warning: training with {loss_name}; frames are sharper with --vgg-weights FILE", file=sys.stderr)
        distance = StructureLoss()
    distance.to(device)
    torch.manual_seed(arguments.seed)
    table = run(arguments, model, dataset, pairs, distance)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    results = {"loss": loss_name, "parameters": parameters, "train_pairs": len(dataset), "validation": table}
    results |= {"validation_pairs": len(pairs), "seconds": round(time.monotonic() - started, 1)}
    write_report(arguments.report, "train_frame_synthesis.py", arguments, results)
    print(f"renderer in {arguments.output}")


def check(arguments: argparse.Namespace) -> None:
    """Refuse numbers that make no sense before anything is read."""
    for name in ("max_steps", "batch_size", "learning_rate", "evaluate_every"):
        value = getattr(arguments, name)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"--{name.replace('_', '-')} {value}: must be positive")
    if arguments.warmup < 0 or not arguments.perceptual_weight >= 0:
        raise ValueError("--warmup and --perceptual-weight must not be negative")


def build_model(arguments: argparse.Namespace) -> FrameSynthesisModel:
    """The model of the run that is resumed, of ``--init``, or a fresh one."""
    import torch

    from models import frame_synthesis
    from models.training import STATE_FILE

    preset = frame_synthesis.PRESETS[arguments.preset] if arguments.preset else None
    if (arguments.output / "config.json").is_file():
        origin = arguments.output
        if not (arguments.output / STATE_FILE).is_file():
            raise ValueError(f"{origin}: a checkpoint without training state; use --init with it and another --output")
    else:
        origin = arguments.init
    if origin is None:
        torch.manual_seed(arguments.seed)
        return frame_synthesis.FrameSynthesisModel(preset or frame_synthesis.PRESETS["default"])
    model = frame_synthesis.FrameSynthesisModel.from_pretrained(origin)
    if preset is not None and preset != model.config:
        raise ValueError(f"{origin}: its model is not of the preset {arguments.preset!r}; leave --preset out")
    return model


def validation_pairs(folder: Path, device: torch.device) -> list[FramePairBatch]:
    """Evenly spread whole frame pairs of the validation split; none where the dataset has no such split."""
    from data.datasets import FramePairDataset, load_manifest
    from data.frame_pair_batches import whole_frame_pair

    splits = {row["split"] for row in load_manifest(folder) if row["status"] == "kept"}
    if "validation" not in splits:
        print("warning: the dataset has no validation split, so nothing is validated", file=sys.stderr)
        return []
    dataset = FramePairDataset(folder, "validation")
    count = min(VALIDATION_PAIRS, len(dataset))
    # The middle of each of `count` equal stretches: the first stored frame of a sequence hardly moves.
    indices = [(2 * i + 1) * len(dataset) // (2 * count) for i in range(count)]
    return [whole_frame_pair(dataset[index]).to(device) for index in indices]


def run(arguments: argparse.Namespace, model: FrameSynthesisModel, dataset, pairs: list, distance) -> dict:
    """The training loop; returns the last validation table."""
    import torch
    from tqdm import tqdm

    from data.frame_pair_batches import draw_frame_pairs
    from models import training
    from models.frame_synthesis import BASELINES
    from models.renderer_comparison import compare_renderers

    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.learning_rate, weight_decay=1e-4, betas=(0.9, 0.99))
    ema = training.ExponentialMovingAverage(model)
    first = 0
    if training.read_training_state(arguments.output) is not None:
        first = training.load_training_state(arguments.output, model, optimizer, ema)
        print(f"resuming at step {first} of {arguments.max_steps}")
    names = ("model", *BASELINES) if pairs else ()
    columns = (*LOG_COLUMNS, *(f"{kind}_{name}" for kind in ("psnr", "perceptual") for name in names))
    log = training.CsvLog(arguments.output / "log.csv", columns, first)
    baselines = compare_renderers(BASELINES, model, pairs, distance) if pairs else {}
    table: dict = {}
    step, saved = first, time.monotonic()
    steps = tqdm(range(first, arguments.max_steps), initial=first, total=arguments.max_steps, mininterval=1)
    with stop_between_steps() as stop:
        for step in steps:
            began = time.monotonic()
            generator = training.step_generator(arguments.seed, step)
            batch = draw_frame_pairs(dataset, arguments.batch_size, arguments.crop, generator)
            rate = training.learning_rate_at(
                step, arguments.learning_rate, arguments.max_steps, warmup=arguments.warmup
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            values = train_step(model, optimizer, batch, distance, arguments.perceptual_weight, device)
            ema.update(model)

            done = step + 1
            values |= {"learning_rate": rate, "seconds": time.monotonic() - began}
            last = done == arguments.max_steps
            if pairs and (done % arguments.evaluate_every == 0 or last):
                with ema.applied_to(model):
                    table = validate(arguments.output, model, pairs, distance, baselines, done, steps.write)
                values |= {f"{kind}_{name}": row[kind] for name, row in table.items() for kind in row}
            log.append(done, values)
            steps.set_postfix(loss=f"{values['loss']:.4f}")
            if last or stop.is_set() or time.monotonic() - saved > 60 * arguments.save_every:
                save(arguments, done, model, optimizer, ema)
                training.plot_log(log.path, arguments.output / "loss.png", ("loss", "l1", "perceptual"))
                saved = time.monotonic()
            if stop.is_set():
                raise KeyboardInterrupt
    return table


def train_step(
    model: FrameSynthesisModel,
    optimizer: torch.optim.Optimizer,
    batch: FramePairBatch,
    distance: torch.nn.Module,
    perceptual_weight: float,
    device: torch.device,
) -> dict[str, float]:
    """One update of the weights; returns the losses."""
    import torch

    from models.frame_synthesis import has_fast_bfloat16

    batch = batch.to(device)
    model.train()
    frame = model(batch.source, batch.flow, batch.importance)
    # Near a cut the prediction stands in for the target: no loss, whatever receptive field the loss has.
    target = torch.where(batch.known > 0, batch.target, frame.detach())
    l1 = (frame - target).abs().mean()
    with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device)):
        perceptual = distance(frame, target)
    loss = l1 + perceptual_weight * perceptual
    if not torch.isfinite(loss):
        raise FloatingPointError(f"the loss is {loss.item()} on {', '.join(batch.ids)}")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not torch.isfinite(norm):
        raise FloatingPointError(f"a gradient is not finite on {', '.join(batch.ids)}")
    optimizer.step()
    losses = {"loss": loss, "l1": l1, "perceptual": perceptual, "gradient_norm": norm}
    return {name: float(value.detach()) for name, value in losses.items()}


def validate(output: Path, model: FrameSynthesisModel, pairs: list, distance, baselines: dict, step: int, say) -> dict:
    """Print the table of model and baselines on the validation pairs and write the picture of some."""
    from data.video import write_image
    from models.renderer_comparison import compare_renderers, comparison_picture, format_table

    model.eval()
    table = compare_renderers(["model"], model, pairs, distance) | baselines
    say(f"step {step}, {len(pairs)} validation pairs\n{format_table(table)}")
    (output / "samples").mkdir(parents=True, exist_ok=True)
    shown = [pairs[(2 * i + 1) * len(pairs) // (2 * PICTURED_PAIRS)] for i in range(PICTURED_PAIRS)]
    write_image(output / "samples" / f"step_{step:06d}.png", comparison_picture(model, shown))
    return table


def save(arguments: argparse.Namespace, step: int, model: FrameSynthesisModel, optimizer, ema) -> None:
    """Write the state that resuming needs, and a checkpoint of the averaged weights that can be used at once."""
    from models import training

    training.save_training_state(arguments.output, step, model, optimizer, ema, {})
    with ema.applied_to(model):
        model.save_pretrained(arguments.output, {"step": step, "data": arguments.data.name, "seed": arguments.seed})


@contextlib.contextmanager
def stop_between_steps() -> Iterator:
    """Turn the first Ctrl-C (or SIGTERM) into an event that the loop looks at; a second Ctrl-C stops at once."""
    import threading

    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread alone
        return

    def request(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
