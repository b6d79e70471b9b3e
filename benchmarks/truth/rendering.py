"""True error of the renderers: photos moved by exact flow, beside what the camera would have seen.

The first frame of each scene is rendered with the exact flow to a later frame, which was rendered from the scene
itself. So the flow is no part of the error. Places of the later frame are told apart: what was to be seen in the first
frame already, what moved, and what was revealed.

Examples:
  python -m data.simulated --output simulated --scenes 50
  python -m benchmarks.truth.rendering simulated
  python -m benchmarks.truth.rendering simulated --checkpoint runs/frame_synthesis --report truth.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.timing import benchmark_parser, require_cpu
from benchmarks.truth.scenes import MOVING, ExactScene, Figures, exact_scenes, format_table, mean_over_scenes
from common.command_line import run_script, write_report
from common.output_paths import check_paths
from models.checkpoints import PRETRAINED
from models.choices import NETWORK, RENDERERS, UNMOVED

if TYPE_CHECKING:
    from torch import Tensor

    from models.rendering.model import FrameSynthesisModel

REVEALED = 1.0  # pixels that the flow there and back differs by, from which on a place is new in the later frame
COLUMNS = {
    "all": ("PSNR", ".2f"),
    "seen": ("seen before", ".2f"),
    "moving": ("moving", ".2f"),
    "still": ("still", ".2f"),
    "revealed": ("revealed", ".2f"),
    "sharpness": ("sharpness", ".3f"),
}


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table, and return the exit status."""
    parser = benchmark_parser("truth.rendering", __doc__, threads=1)
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="dataset folder with exact flow")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=PRETRAINED / "frame_synthesis",
        metavar="DIR",
        help="the network (default: the one that comes with the repository)",
    )
    parser.add_argument("--renderers", nargs="+", choices=RENDERERS, default=list(RENDERERS), metavar="NAME")
    return run_script(measure, parser.parse_args(argv))


def measure(arguments: argparse.Namespace) -> None:
    """Print the table of the renderers and write the report."""
    import torch
    from tqdm import tqdm

    from models.rendering.model import FrameSynthesisModel

    require_cpu(arguments.device)
    check_paths(inputs=[arguments.dataset, arguments.checkpoint], files=[arguments.report])
    torch.set_num_threads(arguments.threads)
    model = None
    if NETWORK in arguments.renderers:
        model = FrameSynthesisModel.from_pretrained(arguments.checkpoint).eval()
    names = [*UNMOVED, *arguments.renderers]
    figures: dict[str, list[Figures]] = {name: [] for name in names}
    ids = []
    for scene in tqdm(exact_scenes(arguments.dataset), unit=" scenes", dynamic_ncols=True):
        ids.append(scene.id)
        for name, found in scene_figures(scene, names, model=model).items():
            figures[name].append(found)
    table = {name: mean_over_scenes(rows, names=list(COLUMNS), first="all") for name, rows in figures.items()}
    print(f"PSNR in dB with exact flow, {len(ids)} scenes of {arguments.dataset}; sharpness over the real frame's:\n")
    print(format_table(table, row_head="renderer", columns=COLUMNS))
    results: dict[str, Any] = {"table": table, "scenes": {"ids": ids, "figures": figures}}
    write_report(arguments.report, "benchmarks.truth.rendering", arguments, {"results": results})


def scene_figures(
    scene: ExactScene, renderers: Sequence[str], *, model: FrameSynthesisModel | None
) -> dict[str, Figures]:
    """PSNR in dB at each kind of place of the later frames, and `sharpness` over the real frames', of each renderer."""
    from common.images import from_8_bits, sharpness, to_8_bits
    from models.dynamics.loop import LoopMotion
    from models.rendering.dispatch import photo_renderer

    photo, real = from_8_bits(scene.first[None]), from_8_bits(scene.frames)
    importance = LoopMotion.of_period(scene.volume[None]).importance()
    sharp = sharpness(scene.frames).clamp_min(1e-3)
    revealed = find_revealed(scene)
    moves = scene.backward_flow.norm(dim=1) > MOVING
    places = {"seen": ~revealed, "moving": moves & ~revealed, "still": ~moves & ~revealed, "revealed": revealed}
    figures: dict[str, Figures] = {}
    for renderer in renderers:
        rendered = photo_renderer(renderer, photo, importance, model=model)(scene.flow).clamp(-1, 1)
        error = (rendered - real).mul(255 / 2).square().mean(dim=1)
        found: Figures = {name: _decibels(error[mask]) for name, mask in places.items()}
        ratio = sharpness(to_8_bits(rendered)) / sharp
        figures[renderer] = {"all": _decibels(error), **found, "sharpness": float(ratio.mean())}
    return figures


def find_revealed(scene: ExactScene) -> Tensor:
    """What of the later frames was not to be seen in the first one, bool ``[M, H, W]``.

    From such a place the flow back leads to what hid it, whose flow leads elsewhere.
    """
    from models.rendering.warping import look_up

    there = look_up(scene.flow, -scene.backward_flow)
    return (there + scene.backward_flow).norm(dim=1) > REVEALED


def _decibels(error: Tensor) -> float | None:
    """PSNR of squared errors of 8-bit values, or None of none."""
    if not error.numel():
        return None
    return float(-10 * (error.mean().clamp_min(1e-3) / 255**2).log10())


if __name__ == "__main__":
    sys.exit(main())
