"""The cINN baseline: time and memory of a training step, and whether it learns what can be learned of moving squares.

Examples:
  python -m benchmarks.cinn --preset bair --stage vae --batch-size 1
  python -m benchmarks.cinn --squares runs/squares --steps 300
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.cinn.config import STAGES, Preset
from baselines.cinn.presets import PRESETS
from benchmarks.timing import benchmark_parser, require_cpu
from common.command_line import run_script, write_report
from common.option_types import count

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.cinn.stage import StageTask
    from baselines.clips import Video

FRAMES, SIZE = 24, (48, 32)  # of a video of squares
VIDEOS = {"train": 60, "validation": 12}
STEPS = {"condition": 60, "flow": 150}  # beside those of the video autoencoder


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = benchmark_parser("cinn", __doc__, threads=1)
    add = parser.add_argument
    add("--preset", choices=tuple(PRESETS), default="bair", help="whose step is measured (default: bair)")
    add("--stage", choices=STAGES, default="vae", help="whose step is measured (default: vae)")
    add("--batch-size", type=count, default=2, metavar="N", help="clips of the step (default: 2)")
    add("--squares", type=Path, metavar="DIR", help="train a small model on moving squares there instead")
    add("--steps", type=count, default=300, metavar="N", help="of the video autoencoder on squares (default: 300)")
    return run_script(_run, parser.parse_args(argv))


def _run(arguments: argparse.Namespace) -> None:
    import torch

    require_cpu(arguments.device)
    torch.set_num_threads(arguments.threads)
    if arguments.squares:
        results = learn_squares(arguments.squares, steps=arguments.steps)
    else:
        results = measure_step(arguments.preset, arguments.stage, batch_size=arguments.batch_size)
    for name, value in results.items():
        print(f"{name:<24}{value:>12.4g}")
    write_report(arguments.report, "benchmarks.cinn", arguments, {"results": results})


def measure_step(preset_name: str, stage: str, *, batch_size: int) -> dict[str, float]:
    """CPU seconds of one step of untrained networks, the process's peak memory in GB, and the losses.

    The flow's stage is measured as it is without kept codes.
    """
    import resource

    from baselines.cinn.command import changed
    from baselines.cinn.data.clips import ClipBatch
    from training.state import StepSamples

    preset = changed(PRESETS[preset_name], size=None, batch_size=batch_size)
    task = _stage(replace(preset, training=replace(preset.training, kept_codes=0)), stage)
    task.model.train()
    samples = StepSamples.of(0, 0, stream=0, first=0, count=batch_size, total=batch_size)
    (batch,) = task.draw(0, [samples], map)
    assert isinstance(batch, ClipBatch)
    batch = batch._replace(adversarial=True)
    losses: dict[str, float] = {}
    begin = time.process_time()
    for update in task.updates:
        task.model.requires_grad_(False)
        for parameter in update.parameters:
            parameter.requires_grad_(True)
        loss, portions = update.loss(batch, samples)
        loss.backward()
        update.optimizer.step()
        losses |= dict(zip(update.parts, (portions[:, 0] / portions[:, 1]).tolist(), strict=True))
    seconds = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"cpu_seconds": seconds, "peak_gb": peak, **losses}


def _stage(preset: Preset, stage: str) -> StageTask:
    import torch

    from baselines.cinn.data.clips import Clips
    from baselines.cinn.model import StochasticImageToVideo
    from baselines.cinn.stages import ConditionStage, FlowStage, VideoStage
    from baselines.cinn.train import load_perceptual

    torch.manual_seed(0)
    clips = Clips([square_video(0, preset.model.video.size)], preset.model.video.size, length=17)
    named: dict[str, Any] = {"clips": clips, "steps": 1, "epoch": 1, "seed": 0, "validation": None, "provenance": {}}
    shared = StochasticImageToVideo(preset.model), preset
    if stage == "flow":
        return FlowStage(*shared, first_codes=4, **named)
    kind = VideoStage if stage == "vae" else ConditionStage
    return kind(*shared, perceptual=load_perceptual(None), **named)


def square_video(number: int, size: tuple[int, int] = SIZE) -> Video:
    """A bright square at a random place that moves left or right by half a pixel a frame: the photo does not say."""
    import torch

    from baselines.clips import Video

    random = torch.Generator().manual_seed(number)
    direction = 1 if torch.rand((), generator=random) < 0.5 else -1
    top, left = (int(torch.randint(*span, (), generator=random)) for span in ((2, 14), (18, 22)))
    frames = torch.full((FRAMES, 3, size[1], size[0]), 40, dtype=torch.uint8)
    for t in range(FRAMES):
        moved = left + direction * t // 2
        frames[t, :, top : top + 12, moved : moved + 10] = 220
    return Video(id=f"square{number}", num_frames=FRAMES, read=lambda first, n: frames[first : first + n], fps=10.0)


def learn_squares(folder: Path, *, steps: int) -> dict[str, float]:
    """Train all stages on frames written to a folder, and return the figures of their last validations."""
    import torch

    from baselines.cinn.train import CinnRun, train_stages
    from training.batches.options import DataOptions
    from training.task import RunOptions

    data = folder / "data"
    write_squares(data)
    results: dict[str, float] = {}
    for stage in STAGES:
        run = CinnRun(
            data=DataOptions(folders=(data,)),
            layout="fire",
            preset=squares_preset(),
            stages=[stage],
            steps=STEPS.get(stage, steps),
            metric="psnr",
            run=RunOptions(output=folder / "run", evaluate_every=25),
        )
        found = train_stages(run, torch.device("cpu"))
        assert found is not None  # this is the main process
        results |= {f"{stage} {name}": value for name, value in found["stages"][stage]["figures"].items()}
    return results | directions(folder)


def directions(folder: Path) -> dict[str, float]:
    """Where 40 samples of one photo move, and whether transfer keeps each clip's direction; draws a contact sheet.

    The sheet's rows: a clip, its reconstruction, four samples of its photo, another clip, its motion transferred.
    """
    import torch

    from baselines.cinn.data.clips import Clips
    from baselines.cinn.make import sampled
    from baselines.cinn.model import StochasticImageToVideo
    from baselines.cinn.validation import sheet
    from data.media.images import write_image

    model = StochasticImageToVideo.from_pretrained(folder / "run")
    videos = [square_video(number) for number in range(1000, 1000 + VIDEOS["validation"])]
    clips = [clip.frames for clip in Clips(videos, SIZE, length=17).fixed(1)]
    photo = clips[0][:, 0]
    samples = sampled(model, photo, samples=40, num_frames=16, seed=1)[0]
    moved = [model.transfer(clip, photo)[0] for clip in clips]
    rows = [clips[0][0, 1:], model.reconstruct(clips[0])[0], *samples[:4, 1:], clips[-1][0, 1:], moved[-1]]
    write_image(folder / "sheet.png", sheet(torch.stack(rows), columns=8))
    drifts = [drift(sample) for sample in samples]
    return {
        "samples to the right": sum(value > 0 for value in drifts),
        "samples to the left": sum(value < 0 for value in drifts),
        "mean drift of samples": sum(map(abs, drifts)) / len(drifts),
        "transferred directions": sum(
            drift(clip[0]) * drift(made) > 0 for clip, made in zip(clips, moved, strict=True)
        ),
    }


def drift(video: Tensor) -> float:
    """By how many pixels the centre of brightness moves to the right, ``[T, 3, H, W]`` in [-1, 1]."""
    weight = video.mean((1, 2)) + 1
    centre = (weight * weight.new_tensor(range(weight.shape[1]))).sum(1) / weight.sum(1)
    return float(centre[-1] - centre[0])


def write_squares(folder: Path) -> None:
    """Frames of training and validation videos in the layout of DTDB."""
    from data.media.images import write_image

    for split, place, first in (("train", "train", 0), ("validation", "eval", 1000)):
        for number in range(first, first + VIDEOS[split]):
            target = folder / place / f"square{number}"
            target.mkdir(parents=True, exist_ok=True)
            frames = square_video(number).read(0, FRAMES).permute(0, 2, 3, 1).numpy()
            for t, frame in enumerate(frames):
                write_image(target / f"frame{t}.png", frame)


def squares_preset() -> Preset:
    """The tiny preset, wider, without discriminators."""
    tiny = PRESETS["tiny"]
    video = replace(tiny.model.video, width=4, encoder_channels=(8, 8, 16, 16, 32))
    stage = replace(tiny.training.vae, batch_size=4, learning_rate=3e-3, epochs=40, steps_per_epoch=10)
    training = replace(
        tiny.training,
        vae=replace(stage, ema_decay=0.98, gradient_clip=10.0),
        condition=stage,
        flow=replace(stage, batch_size=16, learning_rate=2e-3),
        losses=replace(tiny.training.losses, perceptual=0.0, divergence=1e-4),
        adversarial_from=99,
    )
    return replace(tiny, model=replace(tiny.model, video=video), training=training)


if __name__ == "__main__":
    sys.exit(main())
