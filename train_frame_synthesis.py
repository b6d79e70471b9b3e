"""Train the renderer: photograph, motion and importance to a frame (paper section 5).

The same command resumes a run that was stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from common.command_line import add_common_options, parse_size, run_script, select_device, write_report
from common.output_paths import check_paths
from training.batches.options import (
    CACHE_LIMIT,
    add_data_options,
    add_saving_options,
    check_numbers,
    check_shares,
    input_paths,
    validation_folders,
)

if TYPE_CHECKING:
    import torch

    from models.rendering.model import FrameSynthesisModel
    from training.batches.pairs import FramePairBatch, FramePairBatches
    from training.renderer_validation import RendererValidation

PRESETS = ("tiny", "default", "reference")
LOG_COLUMNS = ("loss", "l1", "perceptual", "learning_rate", "gradient_norm", "seconds")
BETTER = {"lpips": -1, "psnr": 1}  # sign of what is better, for --keep-best
EXAMPLES = """examples:
  python train_frame_synthesis.py --data dataset --output runs/renderer --vgg-weights vgg16.safetensors
  python train_frame_synthesis.py --data film layered --shares 0.5,0.5 --keep-best lpips --output runs/renderer
  python train_frame_synthesis.py --data dataset --output runs/try --preset tiny --max-steps 20 --crop 64x48
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add_data_options(parser)
    add("--output", type=Path, required=True, help="run folder: checkpoint, training state, log, pictures and videos")
    add("--preset", choices=PRESETS, help="shape of the model (default: default)")
    add("--init", type=Path, metavar="CHECKPOINT", help="start from the weights of a frame_synthesis checkpoint")
    add("--max-steps", type=int, default=14000, help="steps in all (default: 14000)")
    add("--batch-size", type=int, default=4, help="frame pairs a step (default: 4)")
    add("--learning-rate", type=float, default=5e-4, help="at its highest; a cosine takes it to 0 (default: 5e-4)")
    add("--warmup", type=int, default=100, metavar="N", help="steps of linear warm-up (default: 100)")
    add("--crop", type=parse_size, default=(192, 128), metavar="WxH", help="training crops (default: 192x128)")
    add("--vgg-weights", type=Path, metavar="FILE", help="VGG16 for the perceptual loss: safetensors with "
        "torchvision's tensor names (default: lpips_vgg16 of the metrics' weights, then torchvision's cache; "
        "without any, gradients and SSIM)")  # fmt: skip
    add("--weights", type=Path, metavar="DIR", help="folder with the metrics' weights, searched before the cache")
    add("--perceptual-weight", type=float, default=0.05, help="of the perceptual loss beside L1 (default: 0.05)")
    add("--temporal", type=float, default=0.0, metavar="W", help="weight of temporal consistency: batches hold two "
        "neighbouring frames of a sequence, and errors that differ between them cost (default: 0, none)")  # fmt: skip
    add("--color-jitter", type=float, default=1.0, metavar="S", help="strength of colour changes (default: 1)")
    add("--flow-noise", type=float, default=0.0, metavar="PIXELS",
        help="standard deviation of smooth errors added to the flow (default: 0)")  # fmt: skip
    add("--identity", type=float, metavar="SHARE", help="share of pairs in which nothing moves (default: 0.05 for "
        "models that paint frames from features alone; the others return still regions by construction)")  # fmt: skip
    add_saving_options(parser)
    add("--keep-best", choices=tuple(BETTER), help="keep the checkpoint that validates best in OUTPUT/best as well")
    add_common_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run_script(train, build_parser().parse_args(argv))


def train(arguments: argparse.Namespace) -> None:
    """Set up, train to the last step, report."""
    import torch

    started = time.monotonic()
    check_paths(inputs=input_paths(arguments), files=[arguments.report], folders=[arguments.output])
    check(arguments)
    device = select_device(arguments.device)
    model = build_model(arguments).to(device)
    batches = training_batches(arguments, model.config.output)
    validation = build_validation(arguments, device)
    distance, loss_name = build_distance(arguments, device)
    torch.manual_seed(arguments.seed)
    table, best = Trainer(arguments, model, batches, validation, distance).run()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    results = {"loss": loss_name, "parameters": parameters, "train_pairs": batches.sizes}
    results |= {"validation": table, "validation_frames": validation.frames if validation else 0, "best": best}
    results |= {"seconds": round(time.monotonic() - started, 1)}
    write_report(arguments.report, "train_frame_synthesis.py", arguments, results)
    print(f"renderer in {arguments.output}")


def check(arguments: argparse.Namespace) -> None:
    """Refuse numbers that make no sense before anything is read."""
    positive = ("max_steps", "batch_size", "learning_rate", "evaluate_every")
    check_numbers(
        arguments, positive, ("warmup", "perceptual_weight", "temporal", "color_jitter", "flow_noise", "identity")
    )
    if arguments.temporal and arguments.batch_size % 2:
        raise ValueError(f"--batch-size {arguments.batch_size}: must be even with --temporal")
    check_shares(arguments)


def training_batches(arguments: argparse.Namespace, output: str) -> FramePairBatches:
    """What batches are drawn from."""
    from data.dataset.manifest import load_manifest
    from data.dataset.reading import FramePairDataset
    from training.batches.pairs import FramePairBatches, PairAugmentation

    identity = arguments.identity
    if identity is None:
        identity = 0.05 if output == "direct" else 0.0
    rows = [row for folder in arguments.data for row in load_manifest(folder, "train")]
    # A stored frame and its flow in float16: 3 + 4 bytes a pixel.
    needed = sum(7 * row["stored_frames"] * row["width"] * row["height"] for row in rows)
    datasets = [FramePairDataset(folder, "train", cache=needed <= CACHE_LIMIT) for folder in arguments.data]
    augmentation = PairAugmentation(arguments.color_jitter, arguments.flow_noise, identity)
    return FramePairBatches(datasets, arguments.crop, arguments.shares, augmentation, arguments.temporal > 0)


def build_validation(arguments: argparse.Namespace, device: torch.device) -> RendererValidation | None:
    """The frames to evaluate on, or None where no folder has any."""
    from evaluation.networks.feature_networks import load_lpips
    from evaluation.networks.weights import MissingWeightsError
    from training.renderer_validation import RendererValidation

    folders = validation_folders(arguments)
    try:
        distance = load_lpips("alex", arguments.weights, device)
    except MissingWeightsError as error:
        if arguments.keep_best == "lpips":
            raise ValueError(f"--keep-best lpips: {error}") from None
        distance = None
    if folders:
        return RendererValidation(folders, distance, device)
    if arguments.keep_best:
        raise ValueError("--keep-best: no folder of --data has a validation split; name one with --validation")
    print("warning: no dataset has a validation split, so nothing is validated", file=sys.stderr)
    return None


def build_distance(arguments: argparse.Namespace, device: torch.device) -> tuple[torch.nn.Module, str]:
    """The perceptual distance of the loss, and what the loss is called."""
    from models.rendering.model import has_fast_bfloat16
    from training.perceptual_loss import StructureLoss, load_perceptual_loss

    distance = load_perceptual_loss(arguments.vgg_weights, arguments.weights)
    if distance is None:
        name = "L1 + gradients + SSIM, for want of VGG16 weights"
        print(f"WARNING: training with {name}; frames are sharper with --vgg-weights FILE", file=sys.stderr)
        return StructureLoss(), name
    if has_fast_bfloat16(device):
        distance.reduce_precision()
    return distance.to(device), "L1 + VGG16"


def build_model(arguments: argparse.Namespace) -> FrameSynthesisModel:
    """The model of the run that is resumed, of ``--init``, or a fresh one."""
    import torch

    from models.rendering import model as frame_synthesis
    from training.state import STATE_FILE

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


class Trainer:
    """One training run, from its first or its last saved step to the end."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        model: FrameSynthesisModel,
        batches: FramePairBatches,
        validation: RendererValidation | None,
        distance: torch.nn.Module,
    ) -> None:
        import torch

        from training import state
        from training.log import CsvLog
        from training.renderer_losses import LossWeights
        from training.renderer_validation import ROWS

        self.arguments, self.model, self.batches, self.validation = arguments, model, batches, validation
        self.distance, self.weights = distance, LossWeights(arguments.perceptual_weight, arguments.temporal)
        self.device = next(model.parameters()).device
        self.optimizer = torch.optim.AdamW(model.parameters(), arguments.learning_rate, (0.9, 0.99), weight_decay=1e-4)
        self.ema = state.ExponentialMovingAverage(model)
        self.first = 0
        if state.read_training_state(arguments.output) is not None:
            self.first = state.load_training_state(arguments.output, model, self.optimizer, self.ema)
            print(f"resuming at step {self.first} of {arguments.max_steps}")
        metrics = [f"{metric}_{row}" for metric in ("psnr", "ssim", "lpips") for row in ROWS if validation]
        temporal = ["temporal"] if arguments.temporal else []
        self.log = CsvLog(arguments.output / "log.csv", (*LOG_COLUMNS, *temporal, *metrics), self.first)
        self.table: dict = {}
        self.best = read_best(arguments.output, arguments.keep_best, self.first)

    def run(self) -> tuple[dict, dict | None]:
        """Train; returns the last validation table and what is known of the best checkpoint."""
        from tqdm import tqdm

        from training import renderer_losses as frame_training
        from training import state

        arguments, last = self.arguments, self.arguments.max_steps
        saved = time.monotonic()
        steps = tqdm(range(self.first, last), initial=self.first, total=last, mininterval=1)
        with state.stop_between_steps() as stop, ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self.draw, self.first)
            for step in steps:
                began, done = time.monotonic(), step + 1
                batch = ahead.result().to(self.device)
                if done < last:
                    ahead = pool.submit(self.draw, done)  # while this step computes
                rate = state.learning_rate_at(step, arguments.learning_rate, last, warmup=arguments.warmup)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                values = frame_training.train_step(self.model, self.optimizer, batch, self.distance, self.weights)
                self.ema.update(self.model)
                values |= {"learning_rate": rate, "seconds": time.monotonic() - began}
                if self.validation and (done % arguments.evaluate_every == 0 or done == last):
                    values |= self.validate(done, steps.write)
                self.log.append(done, values)
                steps.set_postfix(loss=f"{values['loss']:.4f}")
                if done == last or stop.is_set() or time.monotonic() - saved > 60 * arguments.save_every:
                    self.save(done)
                    saved = time.monotonic()
                if stop.is_set():
                    raise KeyboardInterrupt
        return self.table, self.best

    def draw(self, step: int) -> FramePairBatch:
        """The batch of a step."""
        from training.state import step_generator

        return self.batches.draw(self.arguments.batch_size, step_generator(self.arguments.seed, step))

    def validate(self, step: int, say: Callable[[str], None]) -> dict[str, float]:
        """Print the rendering table, write picture and video, keep the best; returns the log's columns."""
        from training.renderer_validation import format_table

        assert self.validation is not None
        output, last = self.arguments.output, step == self.arguments.max_steps
        with self.ema.applied_to(self.model):
            self.model.eval()
            self.table = self.validation.table(self.model)
            say(f"step {step}, {self.validation.frames} validation frames\n{format_table(self.table)}")
            self.validation.write_picture(output / "samples" / f"step_{step:06d}.png", self.model)
            self.validation.write_video(output / "samples", f"step_{step:06d}", self.model, whole=last)
            metric = self.arguments.keep_best
            if metric:
                score, sign = self.table["model"][metric], BETTER[metric]
                if self.best is None or sign * score > sign * self.best["score"]:
                    self.best = {"metric": metric, "score": score, "step": step}
                    self.model.save_pretrained(output / "best", {**self.provenance(step), "best": self.best})
        return {f"{metric}_{row}": value for row, values in self.table.items() for metric, value in values.items()}

    def save(self, step: int) -> None:
        """Write the state that resuming needs, a checkpoint of the averaged weights to be used at once, the plot."""
        from training import state
        from training.log import plot_log

        output = self.arguments.output
        state.save_training_state(output, step, self.model, self.optimizer, self.ema, {})
        with self.ema.applied_to(self.model):
            self.model.save_pretrained(output, self.provenance(step))
        plot_log(self.log.path, output / "loss.png", ("loss", "l1", "perceptual", "temporal"))

    def provenance(self, step: int) -> dict:
        """How weights came about, for the checkpoint."""
        names = "batch_size crop learning_rate perceptual_weight temporal color_jitter flow_noise shares seed"
        options = {name: getattr(self.arguments, name) for name in names.split()}
        return {"step": step, "data": [folder.name for folder in self.arguments.data], **options}


def read_best(output: Path, metric: str | None, step: int) -> dict | None:
    """What a resumed run knows of its best checkpoint; None where that is of another metric or a step to come."""
    from common.checkpoint import load_config

    if metric is None or step == 0 or not (output / "best" / "config.json").is_file():
        return None
    best = load_config(output / "best", "frame_synthesis")["training"].get("best")
    return best if best and best["metric"] == metric and best["step"] <= step else None


if __name__ == "__main__":
    sys.exit(main())
