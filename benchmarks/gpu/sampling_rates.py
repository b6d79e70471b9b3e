"""Sampling the motion of a photo: seconds for each preset. Speed does not depend on weights, so all but the
default's, which come with the repository, are random.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.gpu.part import CPU, fastest, run_part
from benchmarks.gpu.results import Results
from models.choices import DEFAULT_STEPS
from models.motion.model import PRESETS, MotionModel
from models.motion.vq_autoencoder import VQAutoencoder
from models.pipeline import PRETRAINED
from models.spectral_volume import SpectralNormalizer

PART = "sampling rates"
NAMES, REHEARSED_NAMES = ("default", "paper", "reference"), ("tiny",)
CPU_NAMES = ("default", "tiny")  # one step of the larger networks takes the processor minutes


def main(argv: list[str] | None = None) -> int:
    """Measure and return the exit status."""
    return run_part("sampling_rates", __doc__ or "", body=measure, argv=argv)


def measure(options: argparse.Namespace, device: torch.device, *, results: Results) -> None:
    """Each preset in float32 as the pipeline samples, and with the network in bfloat16."""
    names = REHEARSED_NAMES if options.rehearse else NAMES
    steps = 2 if options.rehearse else DEFAULT_STEPS
    models: dict[str, MotionModel] = {}
    found: dict[tuple[str, str], float] = {}
    for name in names:
        try:
            models[name] = build(name)
        except ImportError as error:
            note = f"the preset's networks are diffusers' ({error}); put its wheel into wheels/"
            results.add(PART, case(name, "float32", steps=steps), value=None, unit="s a photo", note=note)
            continue
        model = models[name].to(device)
        for kind in ("float32", "bfloat16"):
            seconds = fastest(sampler(model, device, kind=kind, steps=steps, seed=options.seed), device, repeats=2)
            found[name, kind] = seconds
            results.add(
                PART, case(name, kind, steps=steps), value=seconds, unit="s a photo", parameters=parameters(model)
            )
        models[name] = model.to(CPU)
    if device.type == "cpu" and not options.rehearse:
        return
    for name in CPU_NAMES:
        if name in models:
            cpu = fastest(sampler(models[name], CPU, kind="float32", steps=steps, seed=options.seed), CPU, repeats=1)
            note = f"beside {torch.get_num_threads()} threads"
            results.add(
                PART,
                case(name, "float32", steps=steps),
                value=found[name, "float32"],
                unit="s a photo",
                cpu=cpu,
                note=note,
            )


def case(name: str, kind: str, *, steps: int) -> str:
    """What a row is called."""
    return f"sampling, preset {name}, {kind}, {steps} steps, its guidance"


def build(name: str) -> MotionModel:
    """The model of a preset, ready to sample.

    Raises:
        ImportError: the preset is made of diffusers' networks, and that is not installed.
    """
    if name == "default":
        return MotionModel.from_pretrained(PRETRAINED / "motion_teacher")  # its student has steps of its own
    config = PRESETS[name]
    torch.manual_seed(0)
    model = MotionModel(config, SpectralNormalizer(config.normalization, (1.0,) * config.num_frequencies))
    if isinstance(model.autoencoder, VQAutoencoder):
        model.autoencoder.weights_loaded.fill_(True)  # random ones, which take as long as the pretrained
    return model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def sampler(model: MotionModel, device: torch.device, *, kind: str, steps: int, seed: int) -> Callable[[], Tensor]:
    """What is timed: one photo of the model's own size."""
    width, height = model.config.size
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)).to(device) * 2 - 1

    def sample() -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=kind == "bfloat16"):
            return model.sample(image, [seed], steps=steps)

    return sample


def parameters(model: MotionModel) -> int:
    """Of the U-Net and the autoencoder together."""
    return sum(parameter.numel() for parameter in model.parameters())


if __name__ == "__main__":
    sys.exit(main())
