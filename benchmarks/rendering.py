"""How much it saves to encode the photo once, in place of once for every frame.

The renderer with all its means against the same network that encodes the photo for every frame, in float32 and the
usual memory order.

Examples:
  python -m benchmarks.rendering
  python -m benchmarks.rendering --size 512x288 --frames 30 --report rendering.json
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.timing import benchmark_parser, require_cpu, time_in_turn
from common.command_line import run_script, write_report
from common.option_types import count, frame_size

FRAMES_AT_ONCE = 3  # more frames of 256x160 no longer fit the caches
ONCE, EVERY_FRAME = "encoding once", "encoding for every frame"


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, and return the exit status."""
    parser = benchmark_parser("rendering", __doc__, threads=2)
    parser.add_argument("--size", type=frame_size, default=(256, 160), metavar="WxH", help="frames (default: 256x160)")
    parser.add_argument("--frames", type=count, default=150, metavar="N", help="frames to render (default: 150)")
    parser.add_argument("--rounds", type=count, default=3, help="rounds, of which the fastest counts (default: 3)")
    return run_script(_run, parser.parse_args(argv))


def _run(arguments: argparse.Namespace) -> None:
    import torch

    require_cpu(arguments.device)
    torch.set_num_threads(arguments.threads)
    seconds = measure(arguments.size, num_frames=arguments.frames, rounds=arguments.rounds, seed=arguments.seed)
    print(describe(seconds))
    write_report(arguments.report, "benchmarks.rendering", arguments, {"results": {"seconds": seconds}})


def measure(size: tuple[int, int], *, num_frames: int, rounds: int, seed: int = 0) -> dict[str, list[float]]:
    """Seconds of both ways in each round, for frames of (width, height) under smooth random motion."""
    import torch

    from models.checkpoints import PRETRAINED
    from models.rendering.model import FrameSynthesisModel

    ours, plain = (FrameSynthesisModel.from_pretrained(PRETRAINED / "frame_synthesis") for _ in range(2))
    plain.to(memory_format=torch.contiguous_format).precision = "float32"  # type: ignore[call-overload]
    width, height = size
    random = torch.Generator().manual_seed(seed)
    photo = torch.rand(1, 3, height, width, generator=random) * 2 - 1
    importance = torch.ones(1, 1, height, width)
    coarse = 2 * torch.randn(num_frames, 2, max(1, height // 16), max(1, width // 16), generator=random)
    flows = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")

    def encode_once() -> None:
        pyramid = ours.encode(photo)
        for flow in flows.split(FRAMES_AT_ONCE):
            ours.render(pyramid, flow, importance)

    def encode_every_frame() -> None:
        for flow in flows.split(1):
            plain(photo, flow, importance)

    with torch.no_grad():
        return time_in_turn({ONCE: encode_once, EVERY_FRAME: encode_every_frame}, rounds=rounds)


def describe(seconds: dict[str, list[float]]) -> str:
    """The table that is printed."""
    lines = [f"{'':<28}{'seconds':>9}", *(f"{name:<28}{min(times):>9.2f}" for name, times in seconds.items())]
    ratio = min(seconds[EVERY_FRAME]) / min(seconds[ONCE])
    return "\n".join([*lines, f"{ONCE} is {ratio:.1f} times as fast"])


if __name__ == "__main__":
    sys.exit(main())
