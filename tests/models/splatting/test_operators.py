"""Softmax splatting within PyTorch: as registered operators, under autocast and torch.compile, differentiated twice."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from helpers.places import ROOT
from helpers.slow import slow

from models.splatting import MODES, operators, plan_splat, softsplat
from models.splatting.reference import prepare

pytestmark = pytest.mark.usefixtures("one_thread")


def random_case(mode, batch=2, channels=3, height=5, width=6, dtype=torch.float32, requires_grad=True):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(batch, channels, height, width, generator=generator, dtype=dtype)
    flow = torch.randn(batch, 2, height, width, generator=generator, dtype=dtype) * 2
    flow = flow.floor() + (flow - flow.floor()).clamp(0.05, 0.95)  # the bilinear weights have kinks at whole pixels
    importance = torch.rand(batch, 1, height, width, generator=generator, dtype=dtype) + 0.1
    inputs = [values, flow] + ([importance] if mode in ("linear", "softmax") else [])
    return [tensor.requires_grad_(requires_grad) for tensor in inputs]


def splat_in(mode):
    return lambda values, flow, importance=None: softsplat(values, flow, importance=importance, mode=mode)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "dtype"), [*((mode, torch.float32) for mode in MODES), ("softmax", torch.bfloat16)])
def test_operators_pass_pytorchs_own_checks(mode, dtype):
    """Schema, fake implementation, autograd registration and tracing with static and dynamic shapes."""
    values, *motion = random_case(mode)
    flow, importance = prepare(motion[0], motion[1] if len(motion) > 1 else None)
    values = values.detach().to(dtype).requires_grad_()
    constant = None if importance is None else importance.detach()
    plan = (flow.detach(), constant, mode)
    torch.library.opcheck(operators.plan, plan)
    *entries, _ = operators.plan(*plan)
    torch.library.opcheck(operators.splat, (values, flow, importance, *entries, mode))
    with torch.no_grad():
        output = operators.splat(values, flow, importance, *entries, mode)
        arguments = (output, values, output, flow, importance, *entries[3:], mode)
        for needed in ((True, True), (True, False), (False, True))[: 3 if mode == "softmax" else 1]:
            torch.library.opcheck(operators.splat_backward, (*arguments, *needed))


@pytest.mark.parametrize("channels", [1, slow(3), 16, 37])
def test_channels_last(channels):
    values = torch.randn(2, channels, 5, 6, dtype=torch.float64).requires_grad_()
    copy = operators.channels_last(values)
    assert copy.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(copy, values)
    if channels > 1:  # else the tensor itself is channels last already
        torch.library.opcheck(operators.channels_last, (values,))
        assert torch.autograd.gradcheck(operators.channels_last, values, fast_mode=True)


@pytest.mark.parametrize("mode", MODES)
def test_second_derivatives_in_float64(mode):
    inputs = random_case(mode, batch=1, channels=2, height=3, width=4, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(splat_in(mode), inputs)


def test_first_derivatives_agree_with_and_without_a_graph():
    inputs = random_case("softmax", dtype=torch.float64)
    output = softsplat(*inputs).square().sum()
    plain = torch.autograd.grad(output, inputs, retain_graph=True)
    differentiable = torch.autograd.grad(output, inputs, create_graph=True)
    torch.testing.assert_close(differentiable, plain)
    assert all(gradient.requires_grad for gradient in differentiable)


@pytest.mark.parametrize("frozen", [{0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}])
def test_only_the_gradients_asked_for(frozen):
    inputs = random_case("softmax", dtype=torch.float64)
    full = torch.autograd.grad(softsplat(*inputs).square().sum(), inputs)
    partial = [t.detach().requires_grad_(i not in frozen) for i, t in enumerate(inputs)]
    softsplat(*partial).square().sum().backward()
    for index, (tensor, gradient) in enumerate(zip(partial, full, strict=True)):
        if index in frozen:
            assert tensor.grad is None
        else:
            torch.testing.assert_close(tensor.grad, gradient)


def test_frozen_inputs_do_not_disturb_second_derivatives():
    values, flow, importance = random_case("softmax", dtype=torch.float64)
    output = softsplat(values, flow.detach(), importance=importance).square().sum()
    (first,) = torch.autograd.grad(output, importance, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), importance)
    assert second.abs().sum() > 0


@pytest.mark.parametrize("mode", MODES)
def test_compiled_in_one_graph(mode):
    """What dynamo and AOT autograd make of it, forward and backward; the backend that writes code is not under test."""
    inputs = random_case(mode)

    def moved_twice(values, flow, importance=None):
        plan = plan_splat(flow * 0.5, importance, mode=mode)
        return plan(values * 2), plan(values[:, :1]), plan.coverage

    def run(function):
        first, second, coverage = function(*inputs)
        return [first, second, coverage, *torch.autograd.grad(first.sum() + second.square().sum(), inputs)]

    compiled = torch.compile(moved_twice, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(run(compiled), run(moved_twice))


def test_compiled_once_for_all_sizes():
    from torch._dynamo.testing import CompileCounterWithBackend

    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(softsplat, backend=counter, fullgraph=True, dynamic=True)
    for channels, height in ((3, 5), (4, 7), (6, 12)):
        inputs = random_case("softmax", channels=channels, height=height)
        torch.testing.assert_close(compiled(*inputs), softsplat(*inputs))
    assert counter.frame_count == 1


def test_compiled_backward_runs_the_operator():
    inputs = random_case("softmax", height=7)
    moved = torch.compile(softsplat, backend="aot_eager", fullgraph=True)(*inputs)
    with torch.autograd.profiler.profile() as profile:
        moved.sum().backward()
    assert "softsplat::splat_backward" in {event.key for event in profile.key_averages()}


def test_autocast_neither_changes_sums_nor_types():
    values, flow, importance = random_case("softmax", channels=8)
    kernel = torch.randn(8, 8, 3, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    inputs = [values, flow, importance]
    expected = [softsplat(*inputs), *torch.autograd.grad(softsplat(*inputs).sum(), inputs)]
    with torch.autocast("cpu", torch.bfloat16):
        output = softsplat(*inputs)
        gradients = torch.autograd.grad(output.sum(), inputs)
        features = F.conv2d(values, kernel, padding=1)
        moved = softsplat(features, flow, importance=importance)
        assert features.dtype == moved.dtype == torch.bfloat16
        moved.float().square().sum().backward()
    assert all(torch.equal(a, b) for a, b in zip([output, *gradients], expected, strict=True))
    assert kernel.grad.dtype == torch.float32
    assert kernel.grad.isfinite().all()


@pytest.mark.slow
def test_splatting_does_not_import_the_compiler():
    """PyTorch's compiler takes a second to import; rendering a picture has no use for it."""
    program = (
        "import sys, torch; from models.splatting import softsplat; "
        "image = torch.ones(1, 2, 4, 4, requires_grad=True); "
        "softsplat(image, torch.zeros(1, 2, 4, 4), mode='average').sum().backward(); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)
