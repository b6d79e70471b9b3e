"""Measure a checkpoint on a dataset folder: does the right part of the picture move, and how good are the frames.

`motion` samples every scene of a split and compares with its measured motion, beside what needs no network.
`rendering` renders stored frames from the first frame and the estimated flow, beside the baselines.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from data.command_line import add_common_options, run_script, select_device, write_report

PRETRAINED = Path(__file__).parent / "models" / "pretrained"
BLURS = (0.0, 8.0, 16.0)  # pixels at the dataset's size, of the image gradient that a model has to beat
EXAMPLES = """examples:
  python evaluate.py motion --data dataset --split validation
  python evaluate.py motion --data dataset --checkpoint runs/motion --samples 8 --report motion.json
  python evaluate.py rendering --data dataset --split test
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("table", choices=("motion", "rendering"), help="what to measure")
    add("--data", type=Path, required=True, help="dataset folder written by data.prepare")
    add("--split", default="validation", choices=("train", "validation", "test"), help="default: validation")
    add("--checkpoint", default=PRETRAINED, metavar="DIR", help="default: the weights that come with the repository")
    add("--samples", type=int, default=4, help="motion: samples a scene (default: 4)")
    add("--steps", type=int, default=20, help="motion: sampling steps (default: 20)")
    add("--guidance", type=float, default=1.0, metavar="W", help="motion: classifier-free guidance (default: 1)")
    add_common_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    return run_script({"motion": evaluate_motion, "rendering": evaluate_rendering}[arguments.table], arguments)


def evaluate_motion(arguments: argparse.Namespace) -> None:
    """Localisation, amplitude ratio and coherence of samples, by scene and in the mean."""
    import torch

    from data.datasets import MotionDataset
    from data.motion_batches import first_of_each_source
    from models.metrics import gradient_magnitude, localisation
    from models.motion_training import judge_samples, mean_over_scenes
    from models.pipeline import ImageDynamicsPipeline

    if arguments.samples < 1 or arguments.steps < 1:
        raise ValueError("--samples and --steps must be at least 1")
    started = time.monotonic()
    device = select_device(arguments.device)
    model = ImageDynamicsPipeline.from_pretrained(arguments.checkpoint, parts=("motion",)).to(device).motion_model
    assert model is not None
    dataset = MotionDataset(arguments.data, arguments.split, model.config.num_frequencies)
    scenes = first_of_each_source(dataset, device)

    def sample(model, image: torch.Tensor, seed: int) -> torch.Tensor:
        return model.sample(image, [arguments.seed + seed], arguments.steps, guidance=arguments.guidance)

    table = judge_samples(model, scenes, arguments.samples, sample)
    for scene, row in table.items():
        image, true = scenes[scene][0]
        for blur in BLURS:
            row[f"gradient_blur_{blur:g}"] = localisation(gradient_magnitude(image, blur), true)
    means = mean_over_scenes(table)
    ceiling = other_starts(dataset, scenes, device)
    columns: dict[str, dict] = {scene: row | {"other_start": ceiling.get(scene)} for scene, row in table.items()}
    columns["mean"] = means | {"other_start": sum(ceiling.values()) / len(ceiling) if ceiling else None}
    print_table(columns)
    mean = columns.pop("mean")
    results = {"sequences": len(scenes), "table": columns, "mean": mean, "seconds": time.monotonic() - started}
    write_report(arguments.report, "evaluate.py motion", arguments, results)


def evaluate_rendering(arguments: argparse.Namespace) -> None:
    """PSNR and SSIM of the stored frames, each sequence's mean and then the mean over sequences."""
    from collections import defaultdict

    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim
    from tqdm import tqdm

    from data.datasets import FramePairDataset
    from models.frame_synthesis import BASELINES
    from models.pipeline import ImageDynamicsPipeline
    from models.renderer_comparison import psnr

    device = select_device(arguments.device)
    pipeline = ImageDynamicsPipeline.from_pretrained(arguments.checkpoint, parts=("frame_synthesis",)).to(device)
    model = pipeline.frame_synthesis
    assert model is not None
    renderers: dict[str, Callable] = {"model": model, **BASELINES, "repeat": lambda source, flow, importance: source}
    scores: dict[str, dict[str, list]] = {name: defaultdict(list) for name in renderers}
    dataset = FramePairDataset(arguments.data, arguments.split, cache=True)
    for item in tqdm(dataset, total=len(dataset), desc="rendering"):
        names = ("source", "flow", "importance_motion", "target")
        source, flow, importance, target = (item[name][None].to(device) for name in names)
        for name, render in renderers.items():
            with torch.no_grad():
                frame = render(source, flow, importance).clamp(-1, 1)
            similarity = torch.as_tensor(ssim(frame, target, data_range=2.0))
            scores[name][item["id"]].append((psnr(frame, target), float(similarity)))
    table = {}
    for name, sequences in scores.items():
        means = torch.stack([torch.tensor(rows).mean(dim=0) for rows in sequences.values()]).mean(dim=0)
        table[name] = dict(zip(("psnr", "ssim"), means.tolist(), strict=True))
    print_table(table)
    write_report(arguments.report, "evaluate.py rendering", arguments, {"sequences": len(dataset.rows), "table": table})


def other_starts(dataset, scenes: dict[str, list[tuple]], device) -> dict[str, float]:
    """The ceiling: localisation of the motion measured from a scene's last start frame against its first one's.

    Scenes of one sequence have none.
    """
    from models.metrics import localisation

    sources = [row["source"] for row in dataset.rows]
    ceiling = {}
    for scene in scenes:
        index = len(sources) - 1 - sources[::-1].index(scene)
        if index == sources.index(scene):
            continue
        volume = dataset[index]["spectral_volume"][None].to(device)
        ceiling[scene] = localisation(volume, scenes[scene][0][1])
    return ceiling


def print_table(table: dict[str, dict]) -> None:
    """Rows by name, one column a measure; a dash where there is none."""
    columns = list(next(iter(table.values())))
    width = max(map(len, table))
    print(" " * width + "".join(f"{column:>17}" for column in columns))
    for name, row in table.items():
        cells = ("-" if row[column] is None else f"{row[column]:.3f}" for column in columns)
        print(f"{name:<{width}}" + "".join(f"{cell:>17}" for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
