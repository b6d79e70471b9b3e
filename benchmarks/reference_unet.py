"""How much faster the reference implementation's U-Net samples here than the way it was sampled there.

There: one frequency of a photo after the other in float32, for 100 steps. Here: all frequencies in one batch in
bfloat16, for 20 steps. Calls of both are timed in turn and multiplied by their number; the weights are random.

Examples:
  python -m benchmarks.reference_unet
  python -m benchmarks.reference_unet --rounds 2 --report unet.json
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.timing import benchmark_parser, require_cpu, time_in_turn
from common.command_line import run_script, write_report
from common.option_types import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.motion.reference_unet import ReferenceUNetConfig

LATENT_CHANNELS, LATENT_SIZE = 12, (40, 64)  # of a slice at 256x160, (height, width)
STEPS_THERE, STEPS_HERE = 100, 20
THERE, HERE = "one frequency at a time", "all frequencies in one batch"


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, and return the exit status."""
    parser = benchmark_parser("reference_unet", __doc__, threads=2)
    parser.add_argument("--rounds", type=count, default=5, help="rounds, of which the median counts (default: 5)")
    return run_script(_run, parser.parse_args(argv))


def _run(arguments: argparse.Namespace) -> None:
    import torch

    from models.motion.config import PRESETS
    from models.motion.reference_unet import ReferenceUNetConfig

    require_cpu(arguments.device)
    torch.set_num_threads(arguments.threads)
    config = PRESETS["reference"]
    assert isinstance(config.unet, ReferenceUNetConfig)
    seconds = measure(config.unet, num_frequencies=config.num_frequencies, rounds=arguments.rounds, seed=arguments.seed)
    print(describe(seconds))
    write_report(arguments.report, "benchmarks.reference_unet", arguments, {"results": {"seconds_a_photo": seconds}})


def measure(
    config: ReferenceUNetConfig,
    *,
    num_frequencies: int,
    rounds: int,
    latent_size: tuple[int, int] = LATENT_SIZE,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Seconds by ``clock`` that sampling a photo takes in both ways: a call's median times the number of calls."""
    import torch

    from models.motion.reference_unet import ReferenceUNet

    plain, ours = (ReferenceUNet(config, LATENT_CHANNELS).eval() for _ in range(2))
    ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    random = torch.Generator().manual_seed(seed)
    latents = torch.randn(1, num_frequencies, LATENT_CHANNELS, *latent_size, generator=random)
    condition = torch.randn(1, config.condition_channels, *latent_size, generator=random)
    step, index = torch.tensor([500]), torch.arange(num_frequencies)[None]

    def batch() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            ours(latents, step, index, condition)

    with torch.no_grad():
        calls = {THERE: lambda: plain(latents[:, :1], step, index[:, :1], condition), HERE: batch}
        timed = time_in_turn(calls, rounds=rounds, clock=clock)
    seconds = {name: statistics.median(times) for name, times in timed.items()}
    return {THERE: STEPS_THERE * num_frequencies * seconds[THERE], HERE: STEPS_HERE * seconds[HERE]}


def describe(seconds: dict[str, float]) -> str:
    """The table that is printed."""
    lines = [f"{'':<32}{'steps':>6}{'seconds a photo':>17}"]
    for name, steps in ((THERE, STEPS_THERE), (HERE, STEPS_HERE)):
        lines.append(f"{name:<32}{steps:>6}{seconds[name]:>17.0f}")
    return "\n".join([*lines, f"{seconds[THERE] / seconds[HERE]:.1f} times as fast"])


if __name__ == "__main__":
    sys.exit(main())
