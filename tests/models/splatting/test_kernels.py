"""The CUDA kernels of softmax splatting: on the processor behind a shim, through NVIDIA's compilers, and on a GPU."""

import sys
import warnings
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from helpers.flow.cuda_on_host import build, compile_with_nvcc, compile_with_nvrtc
from helpers.flow.softsplat_host import host_launch, splatting_on_host, stand_in_for_cupy

from models.splatting import MODES, plan_splat, softsplat
from models.splatting import cuda as softsplat_cuda
from models.splatting import operators as softsplat_operators
from models.splatting import sorted as softsplat_sorted
from models.splatting.operators import splatting_by
from models.splatting.reference import softsplat_reference

pytestmark = pytest.mark.usefixtures("one_thread")
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")


@pytest.fixture
def kernels(tmp_path_factory):
    """The kernels, compiled for the processor."""
    return build(tmp_path_factory.getbasetemp(), softsplat_cuda.SOURCE)


@pytest.fixture
def host(kernels):
    """Splatting runs these kernels."""
    with splatting_on_host(kernels):
        yield kernels


def in_layout(memory_format):
    """Makes results in a layout, as a GPU does that is given values in it; on a processor they are channels last."""
    return lambda values: torch.empty_like(values, memory_format=memory_format)


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def random_case(mode, batch=2, channels=19, height=6, width=7, dtype=torch.float32, spread=2.0):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(batch, channels, height, width, generator=generator, dtype=torch.float64).to(dtype)
    motion = torch.float64 if dtype == torch.float64 else torch.float32
    flow = (torch.randn(batch, 2, height, width, generator=generator, dtype=torch.float64) * spread).to(motion)
    importance = torch.rand(batch, 1, height, width, generator=generator, dtype=torch.float64).to(motion) * 3 + 0.1
    return [values, flow] + ([importance] if mode in ("linear", "softmax") else [])


def forward_and_backward(splat, inputs, mode, upstream=None):
    inputs = [tensor.detach().requires_grad_() for tensor in inputs]
    output = splat(inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None, mode=mode)
    upstream = torch.ones_like(output) if upstream is None else upstream
    return [output, *torch.autograd.grad(output, inputs, upstream)]


# ---- Behind the shim ----


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_agree_with_the_reference_for_each_type(host, mode, dtype):
    inputs = random_case(mode, dtype=dtype)
    upstream = torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = forward_and_backward(softsplat, inputs, mode, upstream)
    wide = [tensor.double() for tensor in (*inputs, upstream)]
    expected = forward_and_backward(softsplat_reference, wide[:-1], mode, wide[-1])
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 8e-2}[dtype]
    assert [tensor.dtype for tensor in found[:2]] == [dtype, dtype]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, atol=tolerance, rtol=tolerance)
    name = str(dtype).removeprefix("torch.")
    assert {f"splat_{name}", f"splat_backward_{name}"} <= set(host.launched)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [1, 3, 8, 17, 64])
def test_any_number_of_channels_in_either_layout(kernels, layout, channels):
    inputs = random_case("softmax", channels=channels)
    with splatting_on_host(kernels, in_layout(layout)):
        found = forward_and_backward(softsplat, inputs, "softmax")
    assert found[0].is_contiguous(memory_format=layout)
    for a, b in zip(found, forward_and_backward(softsplat_reference, inputs, "softmax"), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_values_and_gradients_of_any_strides_are_read_in_place(kernels):
    """Below the public function, which may rearrange them."""
    values, flow, importance = random_case("softmax", channels=5)
    splatting = softsplat_cuda.CudaSplatting(host_launch(kernels))
    *entries, _ = splatting.plan(flow, importance, mode="softmax")
    begin, source, weight, peak, total = entries
    splat = partial(splatting.splat, begin=begin, source=source, weight=weight)
    plain = splat(values)
    motion = {"flow": flow, "importance": importance, "peak": peak, "total": total, "mode": "softmax"}
    backward = partial(splatting.splat_backward, **motion, needs_values=True, needs_motion=True)
    gradients = backward(plain, values, output=plain)

    def strided(tensor):
        wide = tensor.new_full((2, 10, 8, 21), 1e6)
        window = wide[:, 1::2, 1:7, ::3]
        window.copy_(tensor)
        return window

    transposed = values.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
    for layout in (strided(values), transposed):
        assert torch.equal(splat(layout), plain)
        again = backward(strided(plain), layout, output=strided(plain))
        assert all(torch.equal(a, b) for a, b in zip(again, gradients, strict=True))
    repeated = values[:1].expand(2, -1, -1, -1)
    assert torch.equal(splat(repeated)[0], plain[0])
    ones = torch.ones(1).expand(plain.shape)
    by_values, _, _ = backward(ones, repeated, output=plain)
    assert torch.equal(by_values, backward(ones.contiguous(), values, output=plain)[0])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sizes_and_tolerances_of_the_gpu_test_suit_the_kernels(kernels, layout, dtype):
    """The comparison below, `test_gpu_agrees_with_cpu`, with the kernels on the processor in the GPU's place."""
    inputs = random_case("softmax", channels=35, height=40, width=56, dtype=dtype)
    with splatting_on_host(kernels, in_layout(layout)):
        found = forward_and_backward(softsplat, inputs, "softmax")
    tolerance = {torch.float32: 1e-3, torch.bfloat16: 1e-1}[dtype]
    for a, b in zip(found, forward_and_backward(softsplat, inputs, "softmax"), strict=True):
        assert_nearly_all_close(a, b, tolerance)


def test_one_image_along_many_flows_keeps_its_layout():
    """On a GPU, which here is a device without memory: a batch of one image is as its image is."""
    image = torch.empty(1, 8, 6, 7, device="meta")
    for memory_format in (torch.contiguous_format, torch.channels_last):
        batch = image.contiguous(memory_format=memory_format).expand(5, -1, -1, -1)
        result = softsplat_sorted.new_result(batch)
        assert result.shape == (5, 8, 6, 7)
        assert result.is_contiguous(memory_format=memory_format)


def test_a_stream_is_looked_at_once_and_without_a_warning(kernels, monkeypatch):
    made = []
    cupy = stand_in_for_cupy(kernels, monkeypatch)

    def external_stream(address):
        made.append(address)
        warnings.warn("ExternalStream is deprecated", DeprecationWarning, stacklevel=2)
        return nullcontext()

    cupy.cuda.ExternalStream = external_stream
    launch = softsplat_cuda.CupyLaunch()
    with warnings.catch_warnings(), splatting_by(softsplat_cuda.CudaSplatting(launch)):
        warnings.simplefilter("error")
        for _ in range(2):
            softsplat(*random_case("softmax"))
    assert made == [0]


def test_deterministic_whatever_the_order_of_threads(host, deterministic):
    mode, results = "softmax", []
    inputs = random_case(mode, height=24, width=24, spread=1.0)
    inputs[1][1] = -torch.stack(
        torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="xy")
    )  # all to one pixel
    inputs[1][1, :, 12:] += 20.3  # or to another, lists that are sorted by heap
    for host.backwards in (False, True):
        results.append(forward_and_backward(softsplat, inputs, mode))
    assert "sort_lists_float32" in host.launched
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_order_of_threads_matters_to_the_last_bit_at_most(host):
    inputs = random_case("average", height=24, width=24)
    results = []
    for host.backwards in (False, True):
        results.append(forward_and_backward(softsplat, inputs, "average"))
    assert "sort_lists_float32" not in host.launched
    assert not torch.equal(results[0][0], results[1][0])  # or the test above would prove nothing
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_converted_exactly(host, dtype):
    """Every value there is survives a flow of zero; sums are rounded to nearest."""
    values = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype).view(1, 1, 256, 256)
    moved = softsplat(values, torch.zeros(1, 2, 256, 256), importance=None, mode="summation")
    assert torch.equal(moved.isnan(), values.isnan())
    assert torch.equal(moved.nan_to_num(), values.nan_to_num())
    flow = torch.zeros(1, 2, 256, 256)
    flow[:, 0] = torch.linspace(0, 1, 256)
    finite = values.where(values.isfinite() & (values.float().abs() < 1e30), 0)
    moved = softsplat(finite, flow, importance=None, mode="summation")
    exact = softsplat_reference(finite.double(), flow.double(), importance=None, mode="summation")
    assert torch.equal(moved, softsplat(finite.float(), flow, importance=None, mode="summation").to(dtype))
    torch.testing.assert_close(moved.double(), exact, atol=1e-7, rtol=torch.finfo(dtype).eps)


def test_one_compilation_serves_all(kernels, monkeypatch):
    stand_in_for_cupy(kernels, monkeypatch)
    with splatting_by(softsplat_cuda.CudaSplatting(softsplat_cuda.CupyLaunch())):
        for channels, height in ((3, 6), (9, 11)):
            for mode in MODES:
                forward_and_backward(softsplat, random_case(mode, channels=channels, height=height), mode)
    assert kernels.compiled == 1


# ---- Without CuPy ----


@pytest.fixture
def forgotten():
    """Whether there are kernels is found out anew."""
    softsplat_cuda.cuda_splatting.cache_clear()
    yield
    softsplat_cuda.cuda_splatting.cache_clear()


@pytest.mark.usefixtures("forgotten")
def test_one_warning_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # makes `import cupy` fail
    with pytest.warns(UserWarning, match=r"CuPy can't be imported .* install the cupy package") as caught:
        assert softsplat_cuda.cuda_splatting() is None
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert softsplat_cuda.cuda_splatting() is None


@pytest.mark.usefixtures("forgotten")
def test_one_warning_where_cupy_cannot_compile(kernels, monkeypatch):
    def fail(self):
        raise RuntimeError("no NVRTC\nsecond line")

    monkeypatch.setattr(type(kernels), "compile", fail)
    stand_in_for_cupy(kernels, monkeypatch)
    with pytest.warns(UserWarning, match=r"CuPy can't compile them \(no NVRTC\); "):
        assert softsplat_cuda.cuda_splatting() is None


# ---- NVIDIA's compilers ----


def test_nvcc_compiles_the_kernels(tmp_path):
    _has_all_kernels(compile_with_nvcc(softsplat_cuda.SOURCE, tmp_path))


def test_nvrtc_compiles_the_kernels():
    _has_all_kernels(compile_with_nvrtc(softsplat_cuda.SOURCE))


def _has_all_kernels(ptx):
    plan = {f"{k}_{t}" for k in ("count", "fill", "sort_lists", "weigh") for t in ("float32", "float64")}
    types = ("float32", "float16", "bfloat16", "float64")
    for name in plan | {f"{k}_{t}" for k in ("splat", "splat_backward") for t in types}:
        assert f".visible .entry {name}(" in ptx
    assert "cvt.rn.f16.f32" in ptx
    assert "atom.global.add.f" not in ptx  # no floating-point atomics: what deterministic mode relies on
    assert "red.global.add.f" not in ptx


# ---- On a GPU ----


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gpu_agrees_with_cpu(mode, dtype, memory_format):
    inputs = random_case(mode, channels=35, height=40, width=56, dtype=dtype)
    inputs[0] = inputs[0].contiguous(memory_format=memory_format)
    upstream = torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    on_cpu = forward_and_backward(softsplat, inputs, mode, upstream)
    found = forward_and_backward(softsplat, [tensor.cuda() for tensor in inputs], mode, upstream.cuda())
    assert found[0].is_contiguous(memory_format=memory_format)
    tolerance = {torch.float64: 1e-10, torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}[dtype]
    for a, b in zip(found, on_cpu, strict=True):
        assert_nearly_all_close(a.cpu(), b, tolerance)


def assert_nearly_all_close(found, expected, tolerance):
    """All but one in a thousand values agree: where next to nothing lands, a gradient magnifies the output's rounding,
    which in half precision is another one where the sums are added in another order."""
    assert found.dtype == expected.dtype
    assert found.isfinite().all()
    apart = ~torch.isclose(found.double(), expected.double(), atol=tolerance, rtol=tolerance)
    assert apart.double().mean() <= 1e-3, f"{int(apart.sum())} of {apart.numel()} values differ"


@pytest.mark.gpu
@on_gpu
def test_gpu_repeats_to_the_last_bit_in_deterministic_mode(deterministic):
    inputs = [tensor.cuda() for tensor in random_case("softmax", channels=64, height=160, width=256, spread=8.0)]
    inputs[1][1, :, :20] = -inputs[1].new_tensor([3.5, 100.0]).view(2, 1, 1)
    first = forward_and_backward(softsplat, inputs, "softmax")
    for _ in range(5):
        again = forward_and_backward(softsplat, inputs, "softmax")
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.gpu
@on_gpu
def test_gpu_works_on_the_current_stream():
    values, flow, importance = (tensor.cuda() for tensor in random_case("softmax", channels=64, height=288, width=512))
    expected = softsplat(values, flow, importance=importance)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)  # what runs on another stream meanwhile would read zeros
        late = torch.zeros_like(values)
        late.copy_(values)
        found = softsplat(late, flow, importance=importance) * 1
    stream.synchronize()
    torch.testing.assert_close(found, expected)


@pytest.mark.gpu
@on_gpu
def test_gpu_runs_in_a_cuda_graph_and_under_autocast():
    inputs = [tensor.cuda() for tensor in random_case("softmax", channels=16, height=64, width=96)]
    expected = softsplat(*inputs)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = softsplat(*inputs)
    graph.replay()
    torch.testing.assert_close(captured, expected)
    with torch.autocast("cuda", torch.bfloat16):
        torch.testing.assert_close(softsplat(*inputs), expected)
        assert softsplat(inputs[0].bfloat16(), *inputs[1:]).dtype == torch.bfloat16


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("mode", MODES)
def test_gpu_gradients_in_float64(mode):
    inputs = random_case(mode, batch=1, channels=2, height=4, width=5, dtype=torch.float64, spread=1.3)
    inputs[1] = inputs[1].floor() + (inputs[1] - inputs[1].floor()).clamp(0.05, 0.95)
    inputs = [tensor.cuda().requires_grad_() for tensor in inputs]

    def splat(values, flow, importance=None):
        return softsplat(values, flow, importance=importance, mode=mode)

    # The second derivative is taken through `scatter_add_`, which on a GPU adds in no fixed order.
    assert torch.autograd.gradcheck(splat, inputs, nondet_tol=1e-10)
    assert torch.autograd.gradgradcheck(splat, inputs, nondet_tol=1e-10)


@pytest.mark.gpu
@on_gpu
def test_gpu_passes_pytorchs_own_checks():
    values, flow, importance = (tensor.cuda() for tensor in random_case("softmax", channels=3))
    # Which order the entries are in is up to chance, so plans can't be compared; what is made of one can.
    torch.library.opcheck(
        softsplat_operators.plan, (flow, importance, "softmax"), test_utils=("test_schema", "test_faketensor")
    )
    *entries, _ = softsplat_operators.plan(flow, importance, "softmax")
    inputs = [tensor.requires_grad_() for tensor in (values, flow, importance)]
    torch.library.opcheck(softsplat_operators.splat, (*inputs, *entries, "softmax"))


@pytest.mark.gpu
@on_gpu
def test_gpu_without_cupy_agrees_with_cpu():
    for layout in (torch.contiguous_format, torch.channels_last):
        inputs = [tensor.contiguous(memory_format=layout) for tensor in random_case("softmax", height=40, width=56)]
        on_cpu = forward_and_backward(softsplat, inputs, "softmax")
        with splatting_by(softsplat_sorted):
            found = forward_and_backward(softsplat, [tensor.cuda() for tensor in inputs], "softmax")
            assert plan_splat(*(tensor.cuda() for tensor in inputs[1:])).coverage.is_cuda
        for a, b in zip(found, on_cpu, strict=True):
            torch.testing.assert_close(a.cpu(), b, atol=1e-3, rtol=1e-3)
