"""How fast frames are rendered, and what makes it so.

Frames as generate.py renders them, several batches side by side; the same without that; the network at full size
whatever the size of the frames; and the same network that encodes the photo for every frame, in float32 and the usual
memory order.

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

MARGIN = 32  # pixels around a tile, where frames are so large that they are rendered in tiles
SIDE_BY_SIDE, IN_TURN = "as delivered", "the same, one batch after another"
ONCE, EVERY_FRAME = "the network at full size", "the same, encoding every frame"


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
    """Seconds of each way in each round, for frames of (width, height) under smooth random motion."""
    import torch

    from models.checkpoints import PRETRAINED
    from models.choices import NETWORK
    from models.rendering.dispatch import frame_renderer
    from models.rendering.large import DEFAULT_SIZES
    from models.rendering.model import FrameSynthesisModel
    from models.rendering.workers import in_order

    ours, plain = (FrameSynthesisModel.from_pretrained(PRETRAINED / "frame_synthesis") for _ in range(2))
    plain.to(memory_format=torch.contiguous_format).precision = "float32"  # type: ignore[call-overload]
    width, height = size
    random = torch.Generator().manual_seed(seed)
    photo = torch.rand(1, 3, height, width, generator=random) * 2 - 1
    importance = torch.ones(1, 1, height, width)
    coarse = 2 * torch.randn(num_frames, 2, max(1, height // 16), max(1, width // 16), generator=random)
    flows = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")

    cpu = torch.device("cpu")
    batch = DEFAULT_SIZES.frames_a_batch(height, width, cpu)
    workers = DEFAULT_SIZES.workers(height, width, cpu)
    render = frame_renderer(NETWORK, photo, importance, model=ours, margin=MARGIN)

    def side_by_side() -> None:
        for _ in in_order(render, flows.split(batch), workers=workers):
            pass

    def in_turn() -> None:
        for flow in flows.split(batch):
            render(flow)

    def encode_once() -> None:
        pyramid = ours.encode(photo)
        for flow in flows.split(batch):
            ours.render(pyramid, flow, importance)

    def encode_every_frame() -> None:
        for flow in flows.split(1):
            plain(photo, flow, importance)

    ways = {SIDE_BY_SIDE: side_by_side, IN_TURN: in_turn, ONCE: encode_once, EVERY_FRAME: encode_every_frame}
    with torch.no_grad():
        return time_in_turn(ways, rounds=rounds)


def describe(seconds: dict[str, list[float]]) -> str:
    """The table that is printed."""
    slowest = min(seconds[EVERY_FRAME])
    lines = [f"{'':<34}{'seconds':>9}{'times as fast':>16}"]
    lines += [f"{name:<34}{min(times):>9.2f}{slowest / min(times):>16.1f}" for name, times in seconds.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
