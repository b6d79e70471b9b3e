"""Softmax splatting against a per-pixel loop, its exact cases, gradients and bad input, in each of its forms."""

import math
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from helpers.flow.cuda_on_host import build
from helpers.flow.softsplat_host import splatting_on_host

from models.splatting import MODES, plan_splat, softsplat, splat_with_weight
from models.splatting import sorted as softsplat_sorted
from models.splatting.cuda import SOURCE
from models.splatting.operators import splatting_by
from models.splatting.reference import softsplat_reference

pytestmark = pytest.mark.usefixtures("one_thread", "form")


@pytest.fixture(params=["compiled", "sorted", "plain", "kernels"])
def form(request, monkeypatch, tmp_path_factory):
    """The CPU's form with and without numba, that of devices without `embedding_bag`, and the CUDA kernels compiled for
    the processor."""
    if request.param == "plain":
        monkeypatch.setattr(softsplat_sorted, "EMBEDDING_BAG_DEVICES", ())
    contexts = {"compiled": nullcontext, "kernels": lambda: splatting_on_host(built(tmp_path_factory))}
    with contexts.get(request.param, lambda: splatting_by(softsplat_sorted))():
        yield request.param


def built(folders):
    """The kernels, compiled once a process."""
    return build(folders.getbasetemp(), SOURCE)


def splat_by_loop(values, flow, importance, mode):
    """The definition, one pixel and one corner at a time."""
    batch, channels, height, width = values.shape
    output = torch.zeros(batch, channels, height, width, dtype=torch.float64)
    total = torch.zeros(batch, height, width, dtype=torch.float64)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                u, v = (float(c) for c in flow[b, :, y, x])
                if not (math.isfinite(u) and math.isfinite(v)):
                    continue
                left, top = math.floor(x + u), math.floor(y + v)
                z = 0.0 if importance is None else float(importance[b, 0, y, x])
                factor = {"linear": z, "softmax": math.exp(z)}.get(mode, 1.0)
                for i, j in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
                    if 0 <= i < width and 0 <= j < height:
                        weight = (1 - abs(x + u - i)) * (1 - abs(y + v - j)) * factor
                        output[b, :, j, i] += weight * values[b, :, y, x].double()
                        total[b, j, i] += weight
    return output if mode == "summation" else output / total.clamp_min(1e-300)[:, None]


def random_case(batch=2, channels=3, height=6, width=7, dtype=torch.float32, spread=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, channels, height, width, generator=generator, dtype=dtype)
    flow = torch.randn(batch, 2, height, width, generator=generator, dtype=dtype) * spread
    importance = torch.rand(batch, 1, height, width, generator=generator, dtype=dtype) * 3 + 0.1
    return values, flow, importance


def importance_for(mode, importance):
    return importance if mode in ("linear", "softmax") else None


@pytest.mark.parametrize("mode", MODES)
def test_agrees_with_the_loop(mode):
    values, flow, importance = random_case()
    importance = importance_for(mode, importance)
    expected = splat_by_loop(values, flow, importance, mode)
    found = softsplat(values, flow, importance=importance, mode=mode)
    torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_agrees_with_the_reference_forward_and_backward(mode):
    def run(splat):
        values, flow, importance = (t.requires_grad_() for t in random_case(channels=19, dtype=torch.float64))
        output = splat(values, flow, importance_for(mode, importance), mode=mode)
        inputs = [values, flow] + ([importance] if mode in ("linear", "softmax") else [])
        return [output, *torch.autograd.grad(output.square().sum(), inputs)]

    for fast, reference in zip(run(softsplat), run(softsplat_reference), strict=True):
        torch.testing.assert_close(fast, reference)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_in_float64(mode):
    values, flow, importance = random_case(batch=1, channels=2, height=4, width=5, dtype=torch.float64, spread=1.3)
    fraction = flow - flow.floor()
    flow = flow.floor() + fraction.clamp(0.05, 0.95)  # the bilinear weights have kinks at whole pixels
    inputs = [t.requires_grad_() for t in (values, flow)]
    if mode in ("linear", "softmax"):
        inputs.append(importance.requires_grad_())
    assert torch.autograd.gradcheck(partial(softsplat, mode=mode), inputs)


def test_gradient_of_one_image_along_many_flows_is_the_sum():
    values, flow, importance = random_case(batch=3, dtype=torch.float64)
    image = values[:1].clone().requires_grad_()
    plan_splat(flow, importance)(image).square().sum().backward()
    together, image.grad = image.grad, None
    softsplat(image.expand(3, -1, -1, -1), flow, importance=importance).square().sum().backward()
    torch.testing.assert_close(together, image.grad)


@pytest.mark.parametrize("mode", MODES)
def test_whole_pixel_shift_is_exact(mode):
    values, _, importance = random_case()
    flow = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(2, 2, 6, 7)
    moved = softsplat(values, flow, importance=importance_for(mode, torch.ones_like(importance)), mode=mode)
    assert torch.equal(moved[:, :, :-1, 2:], values[:, :, 1:, :-2])
    assert not moved[:, :, -1].any()
    assert not moved[:, :, :, :2].any()


def test_constant_importance_is_the_average():
    values, flow, importance = random_case()
    average = softsplat(values, flow, importance=None, mode="average")
    for mode in ("linear", "softmax"):
        torch.testing.assert_close(
            softsplat(values, flow, importance=torch.full_like(importance, 7.5), mode=mode), average
        )


def test_summation_conserves_what_stays_inside():
    values, flow, _ = random_case(height=20, width=20, spread=0.3)
    inner = torch.zeros_like(values)
    inner[:, :, 4:-4, 4:-4] = values[:, :, 4:-4, 4:-4]
    moved = softsplat(inner, flow, importance=None, mode="summation")
    torch.testing.assert_close(moved.sum((2, 3)), inner.sum((2, 3)), atol=1e-4, rtol=1e-4)


def test_the_more_important_pixel_wins_whatever_the_magnitude():
    values = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 1, 3)
    flow = torch.zeros(1, 2, 1, 3)
    flow[0, 0, 0, 0], flow[0, 0, 0, 1] = 1.0, 0.25  # two land on pixel 1, the third stays
    for scale in (100.0, 1e4, 1e30, math.inf):
        importance = torch.tensor([1.0, 2.0, -5.0]).view(1, 1, 1, 3) * scale
        if scale == math.inf:
            importance[..., 0] = 1e4
        moved = softsplat(values, flow, importance=importance)
        assert moved.isfinite().all()
        torch.testing.assert_close(moved.flatten(), torch.tensor([0.0, 2.0, 2.0]))
    # Far less important than pixels elsewhere, yet alone at its target: it must not vanish.
    importance = torch.tensor([0.0, 0.0, -1e6]).view(1, 1, 1, 3)
    assert softsplat(values, torch.zeros(1, 2, 1, 3), importance=importance).flatten().tolist() == [1.0, 2.0, 3.0]


def test_gradients_stay_finite_with_huge_importance():
    values, flow, importance = random_case()
    importance = (importance * 1e5).requires_grad_()
    flow.requires_grad_()
    softsplat(values, flow, importance=importance).sum().backward()
    assert importance.grad.isfinite().all()
    assert flow.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_accumulates_in_float32(dtype, form):
    # 4096 ones meet in one pixel: in half precision the sum would stop at 2048 (256 in bfloat16).
    flow = -torch.stack(torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="xy"))[None]
    total = softsplat(torch.ones(1, 1, 64, 64, dtype=dtype), flow.to(dtype), importance=None, mode="summation")
    assert total.dtype == dtype
    assert total[0, 0, 0, 0] == 4096
    values, flow, importance = random_case()
    half = softsplat(values.to(dtype), flow, importance=importance)
    full = softsplat(values.to(dtype).float(), flow, importance=importance)
    torch.testing.assert_close(half.float(), full, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
def test_pixels_without_a_usable_flow_are_dropped(bad):
    values, flow, importance = random_case(spread=0.0)
    flow[0, 1, 2, 3] = bad
    flow.requires_grad_()
    moved, weight = splat_with_weight(values, flow, importance=importance)
    assert not moved[0, :, 2, 3].any()
    assert weight[0, 0, 2, 3] == 0
    kept = weight > 0
    assert kept.sum() == weight.numel() - 1
    assert torch.equal(moved.where(kept, 0), values.where(kept, 0))
    moved.sum().backward()
    assert flow.grad.isfinite().all()


def test_coverage_is_the_accumulated_bilinear_weight():
    values, flow, importance = random_case()
    _, weight = splat_with_weight(values, flow, importance=importance)
    expected = splat_by_loop(torch.ones_like(values[:, :1]), flow, None, "summation")
    torch.testing.assert_close(weight.double(), expected, atol=1e-5, rtol=1e-5)


def test_one_plan_serves_several_tensors():
    values, flow, importance = random_case()
    other = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(1))
    plan = plan_splat(flow, importance)
    both = torch.cat([plan(values), plan(other)], dim=1)
    assert torch.equal(both, softsplat(torch.cat([values, other], dim=1), flow, importance=importance))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_huge_importance_of_either_sign(mode, scale):
    values, flow, importance = random_case(dtype=torch.float64)
    importance = importance_for(mode, torch.where(importance > 1.5, scale, -scale).requires_grad_())
    inputs = [t for t in (values.requires_grad_(), flow.requires_grad_(), importance) if t is not None]
    moved = softsplat(values, flow, importance=importance, mode=mode)
    gradients = torch.autograd.grad(moved.sum(), inputs)
    assert all(tensor.isfinite().all() for tensor in (moved, *gradients))
    if mode == "softmax":  # beside the more important pixels the others do not count
        front = torch.where((importance > 0).expand_as(values), values, 0)
        hit = splat_with_weight((importance > 0).to(values.dtype), flow, importance=None, mode="summation")[0] > 0
        torch.testing.assert_close(
            moved.where(hit, 0),
            (softsplat(front, flow, importance=importance, mode=mode)).where(hit, 0),
            atol=1e-9,
            rtol=1e-9,
        )


@pytest.mark.parametrize("mode", ["linear", "softmax"])
def test_edge_cases_of_importance_have_the_references_gradient(mode):
    # Whole-pixel flow has corners of weight 0 whose importance, 1e4 above all that lands there, must not overflow;
    # linear importance of 0 is where the clamped negative begins.
    values, flow, importance = random_case(dtype=torch.float64)
    flow = flow.round()
    importance = torch.where(importance > 1.5, 1e4, 0.0)
    inputs = [tensor.requires_grad_() for tensor in (values, flow, importance)]
    found = torch.autograd.grad(softsplat(*inputs, mode=mode).square().sum(), inputs)
    expected = torch.autograd.grad(
        softsplat_reference(*inputs[:2], importance=inputs[2], mode=mode).square().sum(), inputs
    )
    torch.testing.assert_close(found, expected)
    assert all(gradient.isfinite().all() for gradient in found)


def test_no_gradient_by_flow_or_importance_where_a_single_pixel_lands():
    # Its value arrives whole, however little of it lands there: small errors must not be divided by the small weight.
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(1, 37, 1, 8, generator=generator)
    flow = torch.zeros(1, 2, 1, 8)
    flow[0, 1] = torch.logspace(-7, -1, 8) - 1  # nearly all would land on a row that is not there
    importance = torch.rand(1, 1, 1, 8, generator=generator)
    flow.requires_grad_(), importance.requires_grad_()
    moved = softsplat(values, flow, importance=importance)
    by_flow, by_importance = torch.autograd.grad(moved, [flow, importance], torch.randn(values.shape))
    assert torch.equal(moved, values)
    assert not by_flow[:, 1].any()
    assert not by_importance.any()


def test_flow_far_outside_and_not_finite_gives_nothing():
    values, flow, importance = random_case()
    flow[0] = 1e9
    flow[1] = torch.tensor([math.nan, math.inf]).view(2, 1, 1)
    values.requires_grad_(), flow.requires_grad_(), importance.requires_grad_()
    moved, weight = splat_with_weight(values, flow, importance=importance)
    assert not moved.any()
    assert not weight.any()
    for gradient in torch.autograd.grad(moved.sum(), [values, flow, importance]):
        assert not gradient.any()


def test_importance_that_is_not_a_number_counts_as_zero():
    values, flow, importance = random_case()
    importance[0, 0, 2, 3] = math.nan
    zeroed = importance.nan_to_num()
    for mode in ("linear", "softmax"):
        assert torch.equal(
            softsplat(values, flow, importance=importance, mode=mode),
            softsplat(values, flow, importance=zeroed, mode=mode),
        )


def test_values_reach_no_pixel_on_which_they_do_not_land():
    values, _, _ = random_case()
    values[0, 0, 2, 3] = math.nan  # its corners below and to the right have weight 0
    flow = torch.zeros(2, 2, 6, 7)
    moved = softsplat(values, flow, importance=None, mode="average")
    assert moved.isnan().sum() == 1
    assert moved[0, 0, 2, 3].isnan()


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)])
@pytest.mark.parametrize("mode", MODES)
def test_nothing_to_splat(shape, mode):
    batch, _, height, width = shape
    values = torch.zeros(shape, requires_grad=True)
    flow = torch.zeros(batch, 2, height, width, requires_grad=True)
    importance = (
        torch.zeros(batch, 1, height, width, requires_grad=True) if importance_for(mode, values) is not None else None
    )
    moved, weight = splat_with_weight(values, flow, importance=importance, mode=mode)
    assert moved.shape == shape
    assert weight.shape == (batch, 1, height, width)
    moved.sum().backward()
    assert values.grad.shape == shape
    assert not flow.grad.any()


@pytest.mark.parametrize("mode", MODES)
def test_strides_make_no_difference(mode):
    values, flow, importance = random_case(channels=9)
    importance = importance_for(mode, importance)
    expected = softsplat(values, flow, importance=importance, mode=mode)
    upstream = torch.randn(values.shape, generator=torch.Generator().manual_seed(1))

    def every_second(tensor):
        return torch.stack([tensor, tensor + 7], dim=-1).flatten(3)[..., ::2]

    layouts = {
        "channels last": lambda t: t.contiguous(memory_format=torch.channels_last),
        "transposed": lambda t: t.transpose(2, 3).contiguous().transpose(2, 3),
        "every second": every_second,
    }
    results = []
    for layout in (torch.Tensor.contiguous, *layouts.values()):
        inputs = [layout(t).detach().requires_grad_() for t in (values, flow, importance) if t is not None]
        moved = softsplat(*inputs[:2], inputs[2] if importance is not None else None, mode=mode)
        torch.testing.assert_close(moved, expected)
        results.append(torch.autograd.grad(moved, inputs, layout(upstream)))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def test_float64_values_keep_their_precision_if_the_flow_has_it_too():
    values, flow, importance = random_case(dtype=torch.float64)
    assert softsplat(values, flow, importance=importance).dtype == torch.float64
    for other in (values.float(), values.half()):
        moved = softsplat(other, flow, importance=importance)
        assert moved.dtype == other.dtype
        torch.testing.assert_close(moved, softsplat(other.double(), flow, importance=importance).to(other.dtype))
    single = softsplat(values, flow.float(), importance=importance.float())
    assert single.dtype == torch.float64
    torch.testing.assert_close(single, softsplat(values, flow, importance=importance), atol=1e-4, rtol=1e-4)


def test_bad_input_is_named():
    values, flow, importance = random_case()
    with pytest.raises(ValueError, match=r"mode 'soft'.*summation, average"):
        softsplat(values, flow, importance=importance, mode="soft")
    with pytest.raises(ValueError, match="needs importance"):
        softsplat(values, flow)
    with pytest.raises(ValueError, match="takes no importance"):
        softsplat(values, flow, importance=importance, mode="average")
    with pytest.raises(ValueError, match=r"flow \[B, 2, H, W\]"):
        softsplat(values, flow[:, :1], importance=importance)
    with pytest.raises(ValueError, match="importance of shape"):
        softsplat(values, flow, importance=importance[..., 1:])
    with pytest.raises(ValueError, match="don't fit"):
        softsplat(values[..., 1:], flow, importance=importance)
    with pytest.raises(ValueError, match="don't fit"):
        softsplat(values, flow[:1], importance=importance[:1])
    with pytest.raises(ValueError, match="don't fit"):
        softsplat(values[0], flow, importance=importance)
    with pytest.raises(ValueError, match=r"floating point .* got torch.uint8"):
        softsplat(values.byte(), flow, importance=importance)
    with pytest.raises(ValueError, match=r"floating point .* on meta"):
        softsplat(values.to("meta"), flow, importance=importance)
    with pytest.raises(ValueError, match="importance is on meta"):
        softsplat(values, flow, importance=importance.to("meta"))
    with pytest.raises(ValueError, match="too large to splat at once"):
        plan_splat(torch.zeros(1, 1, 1, 1).expand(1, 2, 2**15, 2**15), None, mode="average")
