"""Rendering a loop end to end: from a motion at 256 pixels width to frames in the processor's memory."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.gpu.part import CPU, run_part, smooth_noise, splatting, synchronize
from benchmarks.gpu.results import Results
from models.dynamics.motion_file import MotionFile
from models.pipeline import PRETRAINED, ImageDynamicsPipeline

PART = "rendering rates"
PHOTO = Path(__file__).parents[2] / "data" / "samples" / "dandelion.jpg"
SIZES, FRAMES, CPU_FRAMES, ROUNDS = ((256, 160), (512, 288), (768, 432)), 150, 12, 3
REHEARSED_SIZES, REHEARSED_FRAMES = ((64, 40), (320, 288)), 2  # the second is one above the network's own size
MOTION_SIZE = (160, 256)  # (H, W) of the motion that is enlarged
NUM_FRAMES, FPS = 150, 30.0  # of the motion's period


def main(argv: list[str] | None = None) -> int:
    """Measure and return the exit status."""
    return run_part("rendering_rates", __doc__ or "", body=measure, argv=argv)


def measure(options: argparse.Namespace, device: torch.device, *, results: Results) -> None:
    """Frames a second at each size, on the device and then on the processor."""
    from common.images import image_to_tensor
    from data.media.images import read_image

    photo = image_to_tensor(read_image(PHOTO))
    motion = swaying_motion(options.seed, (photo.shape[3], photo.shape[2]))
    sizes = REHEARSED_SIZES if options.rehearse else SIZES
    count, rounds = (REHEARSED_FRAMES, 1) if options.rehearse else (FRAMES, ROUNDS)
    pipeline = ImageDynamicsPipeline.from_pretrained(PRETRAINED, ["frame_synthesis"]).to(device)
    with splatting(options.rehearse):
        rates = {size: rate(pipeline, photo, motion=motion, size=size, count=count, rounds=rounds) for size in sizes}
    for size, found in rates.items():  # known before the processor, which takes longest, is asked
        results.add(PART, case(size), value=found, unit="frames/s", note="without encoding a video")
    if device.type == "cpu" and not options.rehearse:
        return
    pipeline.to(CPU)
    beside = min(count, CPU_FRAMES)
    for size, found in rates.items():
        cpu = rate(pipeline, photo, motion=motion, size=size, count=beside, rounds=1)
        note = f"beside {beside} frames by {torch.get_num_threads()} threads"
        results.add(PART, case(size), value=found, unit="frames/s", cpu=cpu, note=note)


def case(size: tuple[int, int]) -> str:
    """What a row is called."""
    return f"rendering {size[0]}x{size[1]}, end to end"


def swaying_motion(seed: int, photo_size: tuple[int, int]) -> MotionFile:
    """A smooth random motion of a photo (W, H) in 16 frequencies, of which the higher ones are weaker."""
    volume = smooth_noise((1, 16, 4), MOTION_SIZE, scale=1.5, seed=seed) / torch.arange(1, 17).view(1, 16, 1, 1, 1)
    return MotionFile(volume[0], num_frames=NUM_FRAMES, fps=FPS, photo_size=photo_size, photo_sha256="")


def rate(
    pipeline: ImageDynamicsPipeline,
    photo: Tensor,
    *,
    motion: MotionFile,
    size: tuple[int, int],
    count: int,
    rounds: int,
) -> float:
    """Frames a second of the fastest round, after one that warms up."""
    seconds = []
    for _ in range(rounds + 1):
        synchronize(pipeline.device)
        begin = time.perf_counter()
        frames = pipeline.animate(photo, motion=motion, num_frames=count, size=size).frames
        rendered = sum(1 for _ in frames)
        seconds.append((time.perf_counter() - begin) / rendered)
    return 1 / min(seconds[1:])


if __name__ == "__main__":
    sys.exit(main())
