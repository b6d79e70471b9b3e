"""Softmax splatting against a per-pixel loop, its exact cases, gradients and bad input."""

import math

import pytest
import torch

from models import softsplat as module
from models.softsplat import MODES, plan_splat, softsplat, splat_with_weight

pytestmark = pytest.mark.usefixtures("one_thread")


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
    torch.testing.assert_close(softsplat(values, flow, importance, mode).double(), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_sorted_sums_agree_with_scattered_ones(mode, monkeypatch):
    """The form that runs on a GPU, forward and backward, on the CPU."""

    def run():
        values, flow, importance = (t.requires_grad_() for t in random_case(dtype=torch.float64))
        output = softsplat(values, flow, importance_for(mode, importance), mode)
        inputs = [values, flow] + ([importance] if mode in ("linear", "softmax") else [])
        return [output, *torch.autograd.grad(output.square().sum(), inputs)]

    fast = run()
    monkeypatch.setattr(module, "_sort_by_target", lambda targets, size: None)
    for a, b in zip(fast, run(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_in_float64(mode):
    values, flow, importance = random_case(batch=1, channels=2, height=4, width=5, dtype=torch.float64, spread=1.3)
    fraction = flow - flow.floor()
    flow = flow.floor() + fraction.clamp(0.05, 0.95)  # the bilinear weights have kinks at whole pixels
    inputs = [t.requires_grad_() for t in (values, flow)]
    if mode in ("linear", "softmax"):
        inputs.append(importance.requires_grad_())
    assert torch.autograd.gradcheck(lambda values, flow, z=None: softsplat(values, flow, z, mode), inputs)


def test_gradient_of_one_image_along_many_flows_is_the_sum():
    values, flow, importance = random_case(batch=3, dtype=torch.float64)
    image = values[:1].clone().requires_grad_()
    plan_splat(flow, importance)(image).square().sum().backward()
    together, image.grad = image.grad, None
    softsplat(image.expand(3, -1, -1, -1), flow, importance).square().sum().backward()
    torch.testing.assert_close(together, image.grad)


@pytest.mark.parametrize("mode", MODES)
def test_whole_pixel_shift_is_exact(mode):
    values, _, importance = random_case()
    flow = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(2, 2, 6, 7)
    moved = softsplat(values, flow, importance_for(mode, torch.ones_like(importance)), mode)
    assert torch.equal(moved[:, :, :-1, 2:], values[:, :, 1:, :-2])
    assert not moved[:, :, -1].any()
    assert not moved[:, :, :, :2].any()


def test_constant_importance_is_the_average():
    values, flow, importance = random_case()
    average = softsplat(values, flow, None, "average")
    for mode in ("linear", "softmax"):
        torch.testing.assert_close(softsplat(values, flow, torch.full_like(importance, 7.5), mode), average)


def test_summation_conserves_what_stays_inside():
    values, flow, _ = random_case(height=20, width=20, spread=0.3)
    inner = torch.zeros_like(values)
    inner[:, :, 4:-4, 4:-4] = values[:, :, 4:-4, 4:-4]
    moved = softsplat(inner, flow, None, "summation")
    torch.testing.assert_close(moved.sum((2, 3)), inner.sum((2, 3)), atol=1e-4, rtol=1e-4)


def test_the_more_important_pixel_wins_whatever_the_magnitude():
    values = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 1, 3)
    flow = torch.zeros(1, 2, 1, 3)
    flow[0, 0, 0, 0], flow[0, 0, 0, 1] = 1.0, 0.25  # two land on pixel 1, the third stays
    for scale in (100.0, 1e4, 1e30):
        importance = torch.tensor([1.0, 2.0, -5.0]).view(1, 1, 1, 3) * scale
        moved = softsplat(values, flow, importance)
        assert moved.isfinite().all()
        torch.testing.assert_close(moved.flatten(), torch.tensor([0.0, 2.0, 2.0]))
    # Far less important than pixels elsewhere, yet alone at its target: it must not vanish.
    importance = torch.tensor([0.0, 0.0, -1e6]).view(1, 1, 1, 3)
    assert softsplat(values, torch.zeros(1, 2, 1, 3), importance).flatten().tolist() == [1.0, 2.0, 3.0]


def test_gradients_stay_finite_with_huge_importance():
    values, flow, importance = random_case()
    importance = (importance * 1e5).requires_grad_()
    flow.requires_grad_()
    softsplat(values, flow, importance).sum().backward()
    assert importance.grad.isfinite().all()
    assert flow.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_accumulates_in_float32(dtype):
    # 4096 ones meet in one pixel: in half precision the sum would stop at 2048 (256 in bfloat16).
    flow = -torch.stack(torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="xy"))[None]
    total = softsplat(torch.ones(1, 1, 64, 64, dtype=dtype), flow.to(dtype), None, "summation")
    assert total.dtype == dtype
    assert total[0, 0, 0, 0] == 4096
    values, flow, importance = random_case()
    half = softsplat(values.to(dtype), flow, importance)
    full = softsplat(values.to(dtype).float(), flow, importance)
    torch.testing.assert_close(half.float(), full, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
def test_pixels_without_a_usable_flow_are_dropped(bad):
    values, flow, importance = random_case(spread=0.0)
    flow[0, 1, 2, 3] = bad
    flow.requires_grad_()
    moved, weight = splat_with_weight(values, flow, importance)
    assert not moved[0, :, 2, 3].any()
    assert weight[0, 0, 2, 3] == 0
    kept = weight > 0
    assert kept.sum() == weight.numel() - 1
    assert torch.equal(moved.where(kept, 0), values.where(kept, 0))
    moved.sum().backward()
    assert flow.grad.isfinite().all()


def test_coverage_is_the_accumulated_bilinear_weight():
    values, flow, importance = random_case()
    _, weight = splat_with_weight(values, flow, importance)
    expected = splat_by_loop(torch.ones_like(values[:, :1]), flow, None, "summation")
    torch.testing.assert_close(weight.double(), expected, atol=1e-5, rtol=1e-5)


def test_one_plan_serves_several_tensors():
    values, flow, importance = random_case()
    other = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(1))
    plan = plan_splat(flow, importance)
    both = torch.cat([plan(values), plan(other)], dim=1)
    assert torch.equal(both, softsplat(torch.cat([values, other], dim=1), flow, importance))


def test_bad_input_is_named():
    values, flow, importance = random_case()
    with pytest.raises(ValueError, match=r"mode 'soft'.*summation, average"):
        softsplat(values, flow, importance, "soft")
    with pytest.raises(ValueError, match="needs importance"):
        softsplat(values, flow)
    with pytest.raises(ValueError, match="takes no importance"):
        softsplat(values, flow, importance, "average")
    with pytest.raises(ValueError, match=r"flow \[B, 2, H, W\]"):
        softsplat(values, flow[:, :1], importance)
    with pytest.raises(ValueError, match="importance of shape"):
        softsplat(values, flow, importance[..., 1:])
    with pytest.raises(ValueError, match="don't fit"):
        softsplat(values[..., 1:], flow, importance)
    with pytest.raises(ValueError, match="don't fit"):
        softsplat(values[:, :, :, :], flow[:1], importance[:1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
@pytest.mark.parametrize("mode", MODES)
def test_gpu_agrees_with_cpu(mode):
    results = []
    for device in ("cpu", "cuda"):
        values, flow, importance = (t.to(device).requires_grad_() for t in random_case(dtype=torch.float64))
        output = softsplat(values, flow, importance_for(mode, importance), mode)
        results.append([output, *torch.autograd.grad(output.square().sum(), [values, flow])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b.cpu())
