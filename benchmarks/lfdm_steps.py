"""Time and memory of one step of LFDM (baselines.lfdm) on noise: training of either stage, or sampling.

One stage a call, since memory is the process's peak.

Examples:
  python -m benchmarks.lfdm_steps autoencoder --batch-size 2
  python -m benchmarks.lfdm_steps diffusion --preset small
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from baselines.lfdm.config import PRESETS, Preset
from baselines.lfdm.data.batches import VideoBatch
from baselines.lfdm.diffusion import LatentFlowDiffusion
from baselines.lfdm.networks.autoencoder import FlowAutoencoder
from baselines.lfdm.perceptual import PyramidLoss, load_features
from baselines.lfdm.pipeline import latent_channels
from baselines.lfdm.tasks import AutoencoderLoss, DiffusionLoss
from benchmarks.timing import benchmark_parser, require_cpu
from common.command_line import run_script, write_report
from common.option_types import count
from training.state import StepSamples

SAMPLING_STEPS = 2  # of DDIM; the time of one is reported


def main(argv: list[str] | None = None) -> int:
    """Measure, print a line, and return the exit status."""
    parser = benchmark_parser("lfdm_steps", __doc__, threads=1)
    parser.add_argument("what", choices=("autoencoder", "diffusion", "sampling"), help="whose step")
    parser.add_argument("--preset", choices=tuple(PRESETS), default="published-mug", help="default: published-mug")
    parser.add_argument("--batch-size", type=count, default=1, help="pairs or clips of the step (default: 1)")
    return run_script(_run, parser.parse_args(argv))


def _run(arguments: argparse.Namespace) -> None:
    require_cpu(arguments.device)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    preset, batch = PRESETS[arguments.preset], arguments.batch_size
    steps = {"autoencoder": autoencoder_step, "diffusion": diffusion_step, "sampling": sampling_step}
    step, per_call = steps[arguments.what](preset, batch), SAMPLING_STEPS if arguments.what == "sampling" else 1
    wall, processor = time.perf_counter(), time.process_time()
    step()
    results = {
        "seconds": (time.perf_counter() - wall) / per_call,
        "processor_seconds": (time.process_time() - processor) / per_call,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(
        f"{arguments.what}, {arguments.preset}, batch {batch}: {results['seconds']:.2f} s a step, "
        f"{results['processor_seconds']:.2f} s of processors, {results['peak_bytes'] / 1e9:.1f} GB at the peak"
    )
    write_report(arguments.report, "benchmarks.lfdm_steps", arguments, {"results": results})


def autoencoder_step(preset: Preset, batch: int) -> Callable[[], None]:
    """A training step of the first stage, with the features of VGG that are at hand."""
    model = FlowAutoencoder(preset.autoencoder)
    distance = PyramidLoss(load_features(), preset.autoencoder_training.perceptual_scales)
    return _training_step(AutoencoderLoss(model, distance, preset.autoencoder_training), _noise(preset, batch, 2))


def diffusion_step(preset: Preset, batch: int) -> Callable[[], None]:
    """A training step of the second stage, the flow of all frames included."""
    autoencoder, model = _both(preset)
    return _training_step(DiffusionLoss(model, autoencoder), _noise(preset, batch, preset.diffusion.frames))


def sampling_step(preset: Preset, batch: int) -> Callable[[], None]:
    """:data:`SAMPLING_STEPS` steps for all frames of a clip."""
    autoencoder, model = _both(preset)
    photos = _noise(preset, batch, 1).frames[:, 0]
    with torch.no_grad():
        latent = autoencoder.eval().encode(photos).latent
    generators = [torch.Generator().manual_seed(number) for number in range(batch)]

    def step() -> None:
        model.sample(latent, generators=generators, count=SAMPLING_STEPS, sampler="ddim")

    return step


def _both(preset: Preset) -> tuple[FlowAutoencoder, LatentFlowDiffusion]:
    """Both stages. Conditions are learned labels, whose vectors have the size of the texts'."""
    config = preset.diffusion
    if config.condition == "text":
        config = replace(config, condition="label", labels=("label",))
    return FlowAutoencoder(preset.autoencoder), LatentFlowDiffusion(config, latent_channels(preset.autoencoder))


def _noise(preset: Preset, batch: int, frames: int) -> VideoBatch:
    width, height = preset.autoencoder.size
    return VideoBatch(torch.rand(batch, frames, 3, height, width), [None] * batch, ["noise"] * batch)


def _training_step(loss: torch.nn.Module, batch: VideoBatch) -> Callable[[], None]:
    count = len(batch.frames)
    parameters = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters)

    def step() -> None:
        samples = StepSamples.of(0, 0, stream=0, first=0, count=count, total=count)
        loss(batch, samples)[0].backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    sys.exit(main())
