"""Softmax splatting against the bandwidth of a copy, and against what PyTorch offers for it.

Bytes are the fewest that each tensor of values must be moved: read and written once forwards; with the gradient read,
values and output read and the gradient by the values written besides, six tensors both ways.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.gpu.part import CPU, copy_bandwidth, fastest, run_part, smooth_noise, splatting
from benchmarks.gpu.results import Results
from models.splatting import plan_splat, softsplat
from models.splatting.reference import corners, prepare, softsplat_reference, weigh

PART = "splatting rates"
LAYOUTS = {"planes": torch.contiguous_format, "channels last": torch.channels_last}
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Splat = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Sizes:
    """What is splatted."""

    batch: int
    cpu_batch: int  # of the processor, which works on one frame after the other
    channels: int
    height: int
    width: int
    copied: int  # bytes of the copy that is the yardstick
    repeats: int
    compiler: str  # backend of torch.compile


FULL = Sizes(16, 2, 64, 288, 512, copied=1 << 30, repeats=5, compiler="inductor")
REHEARSED = Sizes(2, 1, 4, 12, 20, copied=1 << 16, repeats=1, compiler="eager")


def main(argv: list[str] | None = None) -> int:
    """Measure and return the exit status."""
    return run_part("splatting_rates", __doc__ or "", body=measure, argv=argv)


def measure(options: argparse.Namespace, device: torch.device, *, results: Results) -> None:
    """Each type and layout; then PyTorch's own ways, the compiled one last because compiling may fail."""
    sizes = REHEARSED if options.rehearse else FULL
    bandwidth = copy_bandwidth(device, sizes.copied)
    results.add(PART, "copying within the device, by PyTorch", value=bandwidth / 1e9, unit="GB/s")
    on_processor = processor_rates(sizes, options.seed)
    rates: dict[tuple[str, bool], float] = {}
    with splatting(options.rehearse):
        for name, dtype in TYPES.items():
            for layout, memory_format in LAYOUTS.items():
                inputs = make_inputs(
                    sizes, sizes.batch, dtype=dtype, memory_format=memory_format, device=device, seed=options.seed
                )
                for backward in (False, True):
                    cpu = on_processor[backward] if name == "float32" else None
                    rate = add_rate(
                        results,
                        sizes,
                        case_of=(name, layout),
                        inputs=inputs,
                        backward=backward,
                        bandwidth=bandwidth,
                        cpu=cpu,
                    )
                    rates[name, backward] = max(rate, rates.get((name, backward), 0.0))
        add_steps(results, sizes, device=device, seed=options.seed, bandwidth=bandwidth)
    for label, other in (
        ("index_add_", splat_by_index_add),
        ("scatter_add_", softsplat_reference),
        (f"scatter_add_ through torch.compile ({sizes.compiler})", compiled(sizes)),
    ):
        add_comparison(results, sizes, label=label, other=other, device=device, seed=options.seed, rates=rates)


def make_inputs(
    sizes: Sizes, batch: int, *, dtype: torch.dtype, memory_format: torch.memory_format, device: torch.device, seed: int
) -> list[Tensor]:
    """Values ``[B, C, H, W]``, flow ``[B, 2, H, W]`` of about six pixels and importance, its magnitude."""
    shape = (batch, sizes.channels, sizes.height, sizes.width)
    generator = torch.Generator(device).manual_seed(seed)
    values = torch.randn(shape, generator=generator, device=device).to(dtype, memory_format=memory_format)
    flow = smooth_noise((batch, 2), shape[2:], scale=6.0, seed=seed).to(device)
    return [values, flow, flow.norm(dim=1, keepdim=True)]


def work(splat: Splat, inputs: list[Tensor], *, backward: bool) -> Callable[[], object]:
    """What is timed: splatting, or splatting and the gradients by all inputs."""
    if not backward:

        def forwards() -> object:
            with torch.no_grad():
                return splat(inputs[0], inputs[1], inputs[2])

        return forwards
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    upstream = torch.ones_like(leaves[0])
    return lambda: torch.autograd.grad(splat(leaves[0], leaves[1], leaves[2]), leaves, upstream)


def moved_bytes(values: Tensor, backward: bool) -> int:
    """The fewest bytes, flow and importance included."""
    pixels = values.shape[0] * values.shape[2] * values.shape[3]
    tensors, fields = (6, 2 * 12 + 12) if backward else (2, 12)
    return tensors * values.numel() * values.element_size() + fields * pixels


def case(sizes: Sizes, kind: str, *, layout: str, backward: bool) -> str:
    """What a row is called."""
    way = "forward and backward" if backward else "forward"
    return f"{way}, {sizes.channels} channels of {sizes.width}x{sizes.height}, {kind}, {layout}"


def add_rate(
    results: Results,
    sizes: Sizes,
    *,
    case_of: tuple[str, str],
    inputs: list[Tensor],
    backward: bool,
    bandwidth: float,
    cpu: float | None,
) -> float:
    """Measure a case, note it and return its frames a second."""
    kind, layout = case_of
    seconds = fastest(work(softsplat, inputs, backward=backward), inputs[0].device, repeats=sizes.repeats, calls=2)
    share = moved_bytes(inputs[0], backward) / seconds / bandwidth
    rate = len(inputs[0]) / seconds
    results.add(
        PART,
        case(sizes, kind, layout=layout, backward=backward),
        value=rate,
        unit="frames/s",
        cpu=cpu,
        share=share,
        seconds=seconds,
    )
    return rate


def add_steps(results: Results, sizes: Sizes, *, device: torch.device, seed: int, bandwidth: float) -> None:
    """Planning and moving apart, for where the time goes."""
    values, flow, importance = make_inputs(
        sizes, sizes.batch, dtype=torch.float32, memory_format=torch.channels_last, device=device, seed=seed
    )
    plan = plan_splat(flow, importance)
    with torch.no_grad():
        planning = fastest(lambda: plan_splat(flow, importance), device, repeats=sizes.repeats, calls=2)
        moving = fastest(lambda: plan(values), device, repeats=sizes.repeats, calls=2)
    size = f"of {sizes.width}x{sizes.height}"
    results.add(PART, f"planning alone, {size}", value=sizes.batch / planning, unit="frames/s", seconds=planning)
    share = moved_bytes(values, False) / moving / bandwidth
    what = f"moving {sizes.channels} channels alone, {size}, float32, channels last"
    results.add(PART, what, value=sizes.batch / moving, unit="frames/s", share=share, seconds=moving)


def processor_rates(sizes: Sizes, seed: int) -> dict[bool, float]:
    """Frames a second of the processor of this machine, forwards (False) and with the gradients (True)."""
    inputs = make_inputs(
        sizes, sizes.cpu_batch, dtype=torch.float32, memory_format=torch.channels_last, device=CPU, seed=seed
    )
    return {
        way: sizes.cpu_batch / fastest(work(softsplat, inputs, backward=way), CPU, repeats=2) for way in (False, True)
    }


def add_comparison(
    results: Results,
    sizes: Sizes,
    *,
    label: str,
    other: Splat,
    device: torch.device,
    seed: int,
    rates: dict[tuple[str, bool], float],
) -> None:
    """How many times as fast as another way splatting is; what another way can't do is noted, not raised."""
    for name, dtype in TYPES.items():
        inputs = make_inputs(
            sizes, sizes.batch, dtype=dtype, memory_format=torch.contiguous_format, device=device, seed=seed
        )
        for backward in (False, True):
            what = f"times as fast as {label}, {name}, {'forward and backward' if backward else 'forward'}"
            try:
                seconds = fastest(work(other, inputs, backward=backward), device, repeats=max(1, sizes.repeats - 2))
            except Exception as error:  # of a compiler that is missing, or of memory that does not suffice
                reason = (str(error).splitlines() or [""])[0] or type(error).__name__
                results.add(PART, what, value=None, unit="times", note=f"{label}: {reason[:200]}")
                continue
            note = "against the faster of both layouts"
            results.add(
                PART,
                what,
                value=rates[name, backward] * seconds / sizes.batch,
                unit="times",
                note=note,
                seconds=seconds,
            )


def compiled(sizes: Sizes) -> Splat:
    """The readable form through `torch.compile`, which makes one kernel of what it does between the sums."""
    return torch.compile(softsplat_reference, backend=sizes.compiler, dynamic=False)


def splat_by_index_add(values: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
    """Softmax splatting by `index_add_`, PyTorch's own sum of rows by where they go."""
    batch, channels, height, width = values.shape
    flow, known = prepare(flow, importance)
    targets, bilinear = corners(flow)
    weights, _, _ = weigh(bilinear, targets, importance=known, mode="softmax")
    size = targets.shape[1]
    rows = values.permute(0, 2, 3, 1).reshape(size, channels).to(flow.dtype)
    output = rows.new_zeros(size + 1, channels)
    for target, weight in zip(targets, weights, strict=True):
        output.index_add_(0, target, rows * weight[:, None])
    return output[:size].view(batch, height, width, channels).permute(0, 3, 1, 2).to(values.dtype)


if __name__ == "__main__":
    sys.exit(main())
