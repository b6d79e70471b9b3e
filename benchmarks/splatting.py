"""How fast softmax splatting is, against one `scatter_add_` for each corner of a target pixel.

Examples:
  python -m benchmarks.splatting
  python -m benchmarks.splatting --sizes 256x160 --channels 32 --report splatting.json
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.timing import benchmark_parser, require_cpu, time_in_turn
from common.command_line import run_script, write_report
from common.option_types import count, frame_size

OURS, SCATTERED = "softsplat", "scatter_add_"
FORWARD, BOTH = "forward", "forward and backward"


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table for each size, and return the exit status."""
    parser = benchmark_parser("splatting", __doc__, threads=2)
    sizes = [(256, 160), (512, 288)]
    text = "sizes of what is splatted (default: 256x160 512x288)"
    parser.add_argument("--sizes", type=frame_size, nargs="+", default=sizes, metavar="WxH", help=text)
    parser.add_argument("--channels", type=count, default=64, help="channels that are splatted (default: 64)")
    parser.add_argument("--rounds", type=count, default=20, help="rounds, of which the fastest counts (default: 20)")
    return run_script(_run, parser.parse_args(argv))


def _run(arguments: argparse.Namespace) -> None:
    import torch

    require_cpu(arguments.device)
    torch.set_num_threads(arguments.threads)
    results = {}
    print(f"{'':<12}{'':<22}{SCATTERED:>14}{OURS:>12}{'times as fast':>15}")
    for size in arguments.sizes:
        name = f"{size[0]}x{size[1]}"
        results[name] = measure(size, channels=arguments.channels, rounds=arguments.rounds, seed=arguments.seed)
        print(describe(name, results[name]), flush=True)
    write_report(arguments.report, "benchmarks.splatting", arguments, {"results": results})


def measure(size: tuple[int, int], *, channels: int, rounds: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """Seconds of the fastest call of both ways, forward alone and with the gradients, for (width, height)."""
    import torch

    from models.splatting import softsplat
    from models.splatting.reference import softsplat_reference

    width, height = size
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(1, channels, height, width, generator=random)
    coarse = 6 * torch.randn(1, 2, max(1, height // 16), max(1, width // 16), generator=random)
    flow = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    inputs = [tensor.requires_grad_() for tensor in (values, flow, flow.norm(dim=1, keepdim=True))]

    def forward(splat) -> None:
        with torch.no_grad():
            splat(*inputs)

    def both(splat) -> None:
        torch.autograd.grad(splat(*inputs).sum(), inputs)

    ways = ((SCATTERED, softsplat_reference), (OURS, softsplat))
    calls = {}
    for way, splat in ways:
        calls[f"{FORWARD}/{way}"] = lambda splat=splat: forward(splat)
        calls[f"{BOTH}/{way}"] = lambda splat=splat: both(splat)
    seconds = time_in_turn(calls, rounds=rounds)
    return {what: {way: min(seconds[f"{what}/{way}"]) for way, _ in ways} for what in (FORWARD, BOTH)}


def describe(size: str, result: dict[str, dict[str, float]]) -> str:
    """The lines of one size."""
    lines = []
    for what, seconds in result.items():
        there, ours = f"{1e3 * seconds[SCATTERED]:.1f} ms", f"{1e3 * seconds[OURS]:.1f} ms"
        lines.append(f"{size:<12}{what:<22}{there:>14}{ours:>12}{seconds[SCATTERED] / seconds[OURS]:>15.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
