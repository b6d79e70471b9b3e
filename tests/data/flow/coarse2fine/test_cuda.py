"""The GPU's coarse-to-fine flow: its kernels on the processor behind a shim, its driver, and both on a GPU."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.flow import reference_coarse2fine
from helpers.flow.coarse2fine_calls import pair_flow
from helpers.flow.coarse2fine_host import HostDevice
from helpers.flow.cuda_on_host import compile_with_nvcc, compile_with_nvrtc
from helpers.flow.textures import endpoint_difference, pair
from helpers.places import SAMPLES

from benchmarks import flow as coarse2fine_benchmark
from common.cuda_kernels import CupyDevice
from data.flow.coarse2fine import cuda as coarse2fine_cuda
from data.flow.coarse2fine.cpu import coarse2fine_flow_batch
from data.flow.coarse2fine.cuda import coarse2fine_flow_batch_cuda, coarse2fine_flow_pairs_cuda
from data.flow.coarse2fine.parameters import Parameters
from data.flow.coarse2fine.regions import cut, plan_regions

KERNELS = {"planar", "shrink", "features", "smooth", "upsample", "linearise", "relax"}
QUICK = Parameters(num_outer=1, num_sor=6)


@pytest.fixture
def host(tmp_path_factory):
    """A device that is the processor."""
    return HostDevice(tmp_path_factory.getbasetemp())


def relax_red_black(a11, a22, a12, b1, b2, phi, alpha, num_sweeps, omega=1.8):
    """`reference_coarse2fine.relax` with all pixels of even x + y before the others."""
    rows, columns = np.mgrid[: phi.shape[0], : phi.shape[1]]
    right = np.where(columns < phi.shape[1] - 1, phi, 0)
    below = np.where(rows < phi.shape[0] - 1, phi, 0)
    left = np.pad(right, ((0, 0), (1, 0)))[:, :-1]
    above = np.pad(below, ((1, 0), (0, 0)))[:-1]
    total = 0.05 * alpha + alpha * (right + left + below + above)

    def around(field):
        wide = np.pad(field, 1)
        return alpha * (
            right * wide[1:-1, 2:] + left * wide[1:-1, :-2] + below * wide[2:, 1:-1] + above * wide[:-2, 1:-1]
        )

    du, dv = np.zeros_like(phi), np.zeros_like(phi)
    for _ in range(num_sweeps):
        for color in (0, 1):
            own = (rows + columns) % 2 == color
            du = np.where(own, (1 - omega) * du + omega * (b1 + around(du) - a12 * dv) / (a11 + total), du)
            dv = np.where(own, (1 - omega) * dv + omega * (b2 + around(dv) - a12 * du) / (a22 + total), dv)
    return du, dv


@pytest.fixture
def reference():
    """The float64 reference, relaxing in red-black order."""
    return partial(reference_coarse2fine.reference_flow, relaxation=relax_red_black)


# ---- Behind the shim ----


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("size", "motion", "parameters"),
    [
        ((48, 32), {"sway": 0.8, "shift": (1.6, -0.3)}, {"num_outer": 3}),
        ((100, 70), {"sway": 0.8, "shift": (1.6, -0.3)}, {"num_outer": 1, "num_sor": 9}),  # several regions
        ((67, 30), {"sway": 0.6}, {"num_outer": 1}),  # two regions, across and
        ((21, 135), {"sway": 0.6}, {"num_outer": 1}),  # three, down
        ((30, 21), {"sway": 0.6}, {"num_inner": 3, "num_outer": 2}),
        ((130, 20), {"sway": 0.6}, {"num_inner": 2, "num_outer": 1, "num_sor": 7}),
        ((33, 26), {"sway": 0.6}, {"color_type": 1, "num_outer": 3}),
        ((50, 6), {"sway": 0.5}, {"ratio": 0.5, "min_width": 6, "num_outer": 1}),  # a level one pixel high
        ((40, 30), {"sway": 0.6}, {"ratio": 0.5, "min_width": 8, "alpha": 0.05, "num_outer": 2}),
        ((3, 2), {"sway": 0.5}, {}),
        ((1, 1), {"sway": 0.5}, {}),
    ],
)
def test_kernels_agree_with_the_reference_whatever_the_order_of_threads(
    host, reference, size, motion, parameters, backwards
):
    source, target = pair(*size, **motion)
    host.kernels.backwards = backwards
    flow = coarse2fine_flow_batch_cuda(source, target[None], parameters=Parameters(**parameters), device=host)
    assert flow.dtype == np.float32
    assert flow.shape == (1, size[1], size[0], 2)
    assert endpoint_difference(flow[0], reference(source, target, **parameters)).max() < 2e-5


def test_kernels_agree_with_the_reference_where_motion_leaves_the_picture(host, reference):
    source, target = pair(48, 32, shift=(10.0, -5.0), sway=1.0, seed=3)
    expected = reference(source, target, num_outer=3)
    columns = np.arange(48) + expected[..., 0]
    assert ((columns < 0) | (columns > 47)).mean() > 0.1
    flow = coarse2fine_flow_batch_cuda(source, target[None], parameters=Parameters(num_outer=3), device=host)[0]
    assert endpoint_difference(flow, expected).mean() < 1e-4


@pytest.mark.parametrize(("size", "motion"), [((64, 40), {"sway": 1.0}), ((90, 60), {"shift": (2.5, -1.25)})])
def test_agrees_with_the_processors_version_on_textures(host, size, motion):
    source, target = pair(*size, **motion)
    flow = coarse2fine_flow_batch_cuda(source, target[None], device=host)[0]
    expected = pair_flow(source, target)
    assert np.hypot(*np.moveaxis(expected, -1, 0)).mean() > 0.5
    assert endpoint_difference(flow, expected).mean() < 1e-3


@pytest.mark.parametrize("name", ["dandelion", "dahlia"])
def test_agrees_with_the_processors_version_on_photos(host, name):
    import cv2

    photo = cv2.imread(str(SAMPLES / f"{name}.jpg"))
    source = cv2.resize(photo, (128, 80), interpolation=cv2.INTER_AREA)[..., ::-1].astype(np.float32) / 255
    y, x = np.mgrid[:80, :128].astype(np.float32)
    motion = np.stack([2 * np.sin(y / 15) + 1, np.cos(x / 20)], axis=-1)
    # target(p + motion(p)) = source(p), to first order where motion is smooth
    place = x - motion[..., 0], y - motion[..., 1]
    target = cv2.remap(source, *place, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).clip(0, 1)
    flow = coarse2fine_flow_batch_cuda(source, target[None], device=host)[0]
    expected = pair_flow(source, target)
    assert endpoint_difference(flow, expected).mean() < 0.01
    inside = np.s_[12:-12, 12:-12]
    assert np.hypot(*np.moveaxis(motion[inside], -1, 0)).mean() > 1
    assert endpoint_difference(flow, motion)[inside].mean() < 0.3


def test_no_motion(host):
    source, _ = pair(70, 30)
    assert np.abs(coarse2fine_flow_batch_cuda(source, source[None], parameters=QUICK, device=host)).max() < 1e-6


# ---- Regions ----


@pytest.mark.parametrize("size", [(256, 160), (512, 288), (64, 64), (65, 64), (64, 65), (66, 3), (1, 1), (500, 77)])
def test_regions_cover_the_picture(size):
    for num_sweeps in (1, 2, 7, 30, 51):
        regions = plan_regions(*size, num_sweeps)
        assert sum(regions.launches(num_sweeps)) == num_sweeps
        assert regions.rows % 4 == 0
        assert regions.rows <= 64
        for count, length, extent in ((regions.across, 64, size[0]), (regions.down, regions.rows, size[1])):
            step = length - 2 * regions.halo
            assert count == 1 or (step > 0 and step % 2 == 0)  # or colours would differ between regions
            written = np.zeros(extent + 64, int)
            for i in range(count):
                begin, end = i * step + regions.halo * (i > 0), i * step + length - regions.halo * (i < count - 1)
                written[begin : min(end, extent)] += 1
            assert (written[:extent] == 1).all()
        if size[0] <= 64 and size[1] <= 64:
            assert list(regions.launches(num_sweeps)) == [num_sweeps]


def test_how_regions_are_cut_changes_nothing(host):
    size = (110, 70)
    workspace = coarse2fine_cuda.Workspace(host, 1, 1, size[0] * size[1], 5)
    system = np.random.default_rng(0).uniform(0.1, 1.0, (6, size[0] * size[1]))
    workspace.system[:] = system.ravel()

    def increment(regions=None):
        relaxed = coarse2fine_cuda.relax(host, workspace, pairs=1, size=size, num_sweeps=11, add=False, regions=regions)
        return relaxed.copy()

    expected = increment()
    assert np.isfinite(expected).all()
    assert expected.any()
    for sweeps in (1, 4):
        np.testing.assert_array_equal(increment(cut(*size, sweeps)), expected)
    # ... but for too small a halo, or the above would prove nothing.
    assert not np.array_equal(increment(replace(cut(*size, 4), halo=6)), expected)


# ---- The driver ----


def test_a_batch_is_its_pairs_in_chunks_that_fit_the_memory(host):
    source = pair(45, 31)[0]
    targets = np.stack([pair(45, 31, shift=(0.2 * i, -0.1 * i))[1] for i in range(5)])
    flows = coarse2fine_flow_batch_cuda(source, targets, parameters=QUICK, device=host)
    done = []
    host.free = int(3.5 * coarse2fine_cuda.bytes_of_a_pair(45, 31, False, QUICK) / 0.7)
    in_chunks = coarse2fine_flow_batch_cuda(source, targets, parameters=QUICK, progress=done.append, device=host)
    assert done == [3, 2]
    np.testing.assert_array_equal(in_chunks, flows)
    sources = np.stack([source] * 5)
    np.testing.assert_array_equal(coarse2fine_flow_pairs_cuda(sources, targets, parameters=QUICK, device=host), flows)
    assert coarse2fine_flow_batch_cuda(source, targets[:0], device=host).shape == (0, 31, 45, 2)
    assert coarse2fine_flow_pairs_cuda(sources[:0], targets[:0], device=host).shape == (0, 31, 45, 2)


def test_pairs_have_sources_of_their_own(host):
    pairs = [pair(40, 24, sway=0.6, seed=seed) for seed in range(3)]
    sources, targets = (np.stack([images[i] for images in pairs]) for i in (0, 1))
    flows = coarse2fine_flow_pairs_cuda(sources, targets, parameters=QUICK, device=host)
    for source, target, flow in zip(sources, targets, flows, strict=True):
        np.testing.assert_array_equal(
            coarse2fine_flow_batch_cuda(source, target[None], parameters=QUICK, device=host)[0], flow
        )
    host.free = 1
    done = []
    one_by_one = coarse2fine_flow_pairs_cuda(sources, targets, parameters=QUICK, progress=done.append, device=host)
    assert done == [1, 1, 1]
    np.testing.assert_array_equal(one_by_one, flows)


def test_memory_that_others_took_makes_chunks_smaller_and_then_an_error(host):
    source, target = pair(40, 24)
    targets = np.stack([target] * 8)
    need = coarse2fine_cuda.bytes_of_a_pair(40, 24, True, QUICK)
    host.room, done = 2 * need, []
    coarse2fine_flow_batch_cuda(source, targets, parameters=QUICK, progress=done.append, device=host)
    assert done == [2, 2, 2, 2]
    host.room = need // 2
    with pytest.raises(ValueError, match=r"a pair of 40x24 needs .* use coarse2fine"):
        coarse2fine_flow_batch_cuda(source, targets, parameters=QUICK, device=host)


def test_what_a_pair_takes_is_what_is_said(host):
    source, target = pair(90, 60)
    for own_sources, function, first in (
        (False, coarse2fine_flow_batch_cuda, source),
        (True, coarse2fine_flow_pairs_cuda, np.stack([source] * 4)),
    ):
        taken = []
        for count in (2, 4):
            host.taken_at_most = 0
            function(first[:count] if own_sources else first, np.stack([target] * count), parameters=QUICK, device=host)
            taken.append(host.taken_at_most)
        assert (taken[1] - taken[0]) / 2 == coarse2fine_cuda.bytes_of_a_pair(90, 60, own_sources, QUICK)


def test_launches_do_not_grow_with_the_batch(host, monkeypatch):
    """And are as few as the documents say."""
    monkeypatch.setattr(host, "kernels", SimpleNamespace(get_function=lambda name: lambda grid, block, words: None))
    counts = []
    for pairs in (1, 3):
        host.launches.clear()
        coarse2fine_flow_batch_cuda(np.zeros((160, 256, 3)), np.zeros((pairs, 160, 256, 3)), device=host)
        counts.append(len(host.launches))
        assert {name for name, _, _ in host.launches} == KERNELS
        assert max(threads for _, _, threads in host.launches) <= 512
    assert counts == [471, 471]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": np.zeros((2, 12, 17, 3))}, "targets must be"),
        ({"source": np.zeros((12, 16, 4)), "targets": np.zeros((2, 12, 16, 4))}, "channels"),
        ({"targets": np.full((2, 12, 16, 3), np.nan)}, "not finite"),
        ({"source": np.full((12, 16, 3), np.inf)}, "not finite"),
    ],
)
def test_bad_input_is_named(change, message):
    source, targets = np.zeros((12, 16, 3)), np.zeros((2, 12, 16, 3))
    arguments = {"source": source, "targets": targets, **change}
    with pytest.raises(ValueError, match=message):
        coarse2fine_flow_batch_cuda(**arguments)


def test_bad_pairs_are_named():
    with pytest.raises(ValueError, match="sources and targets must both be"):
        coarse2fine_flow_pairs_cuda(np.zeros((3, 12, 16, 3)), np.zeros((2, 12, 16, 3)))
    with pytest.raises(ValueError, match="not finite"):
        coarse2fine_flow_pairs_cuda(np.full((2, 12, 16, 3), np.nan), np.zeros((2, 12, 16, 3)))


# ---- CuPy ----


class DeviceArray(np.ndarray):
    """NumPy's memory with what is used of CuPy's arrays."""

    data = property(lambda self: SimpleNamespace(ptr=self.ctypes.data))

    def get(self):
        return np.array(self)


@pytest.fixture
def cupy(host, monkeypatch):
    """A stand-in for CuPy whose device is the processor."""
    runtime, stream = SimpleNamespace(getDeviceCount=lambda: 1), SimpleNamespace(synchronize=lambda: None)
    module = SimpleNamespace(
        zeros=lambda count, dtype: np.zeros(count, dtype).view(DeviceArray),
        asarray=lambda array: array.copy().view(DeviceArray),
        copyto=np.copyto,
        RawModule=lambda code, options: host.kernels,
        get_default_memory_pool=lambda: SimpleNamespace(free_bytes=lambda: 0),
        cuda=SimpleNamespace(
            runtime=runtime, get_current_stream=lambda: stream, Device=lambda: SimpleNamespace(mem_info=(1 << 30, 0))
        ),
    )
    monkeypatch.setitem(sys.modules, "cupy", module)
    coarse2fine_cuda.cuda_device.cache_clear()
    yield module
    coarse2fine_cuda.cuda_device.cache_clear()


def test_goes_through_cupy(host, cupy):
    source, target = pair(40, 24, sway=0.6)
    expected = coarse2fine_flow_batch_cuda(source, target[None], parameters=QUICK, device=host)
    host.kernels.launched.clear()
    for _ in range(2):
        np.testing.assert_array_equal(coarse2fine_flow_batch_cuda(source, target[None], parameters=QUICK), expected)
    assert set(host.kernels.launched) == KERNELS
    assert host.kernels.compiled == 1


def test_what_is_missing_is_named(cupy, host, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("insufficient driver\nsecond line")

    frames = np.zeros((12, 16, 3)), np.zeros((1, 12, 16, 3))
    monkeypatch.setattr(host.kernels, "compile", fail)
    with pytest.raises(ValueError, match=r"coarse2fine-cuda .* CuPy can't compile them \(insufficient driver\); "):
        coarse2fine_flow_batch_cuda(*frames)
    cupy.cuda.runtime.getDeviceCount = fail
    with pytest.raises(ValueError, match=r"NVIDIA GPU, and CUDA finds none \(insufficient driver\); use coarse2fine,"):
        coarse2fine_flow_batch_cuda(*frames)
    cupy.cuda.runtime.getDeviceCount = lambda: 0
    with pytest.raises(ValueError, match="NVIDIA GPU, and CUDA finds none; use coarse2fine,"):
        coarse2fine_flow_batch_cuda(*frames)
    monkeypatch.setitem(sys.modules, "cupy", None)  # makes `import cupy` fail
    with pytest.raises(ValueError, match=r"CuPy can't be imported.*pip install the cupy package .* or use coar"):
        coarse2fine_flow_batch_cuda(*frames)


# ---- The benchmark ----


def test_benchmark_measures_and_reports(cupy, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(coarse2fine_benchmark, "COPIED_BYTES", 1 << 16)
    options = ["--sizes", "24x16", "--pairs", "2", "--cpu-pairs", "1", "--threads", "1", "--repeats", "1"]
    assert coarse2fine_benchmark.main([*options, "--report", str(tmp_path / "speed.json")]) == 0
    assert "24x16: " in capsys.readouterr().out
    result = json.loads((tmp_path / "speed.json").read_text())["results"]["24x16"]
    assert result["pairs_per_second"] == pytest.approx(2 / result["seconds"])
    assert result["mean_endpoint_difference"] < 0.01
    # One region, all 30 sweeps in one launch: the system is read and the flow read and written.
    assert result["half_sweep_bytes_moved"] == 2 * 24 * 16 * (24 + 16) / 60
    assert result["half_sweep_bytes"] == 2 * 24 * 16 * 26


def test_benchmark_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    coarse2fine_cuda.cuda_device.cache_clear()
    assert coarse2fine_benchmark.main([]) == 2
    assert capsys.readouterr().err.startswith("error: coarse2fine-cuda needs CUDA kernels, but CuPy can't be imported")
    assert coarse2fine_benchmark.main(["--device", "cpu"]) == 2
    assert coarse2fine_benchmark.main(["--pairs", "0"]) == 2


# ---- NVIDIA's compilers ----


def test_nvcc_compiles_the_kernels_without_spilling_registers(tmp_path):
    ptx = compile_with_nvcc(coarse2fine_cuda.SOURCE, tmp_path)
    assert all(f".visible .entry {name}(" in ptx for name in KERNELS)
    ptxas = shutil.which("ptxas") or shutil.which("ptxas", path=str(Path(shutil.which("nvcc")).resolve().parent))
    if ptxas is None:
        pytest.skip("no ptxas here")
    command = [ptxas, "-v", "--gpu-name", "sm_80", str(tmp_path / "kernels.ptx"), "-o", str(tmp_path / "kernels.cubin")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("0 bytes spill stores, 0 bytes spill loads") == len(KERNELS), result.stderr


def test_nvrtc_compiles_the_kernels():
    ptx = compile_with_nvrtc(coarse2fine_cuda.SOURCE)
    assert all(f".visible .entry {name}(" in ptx for name in KERNELS)


# ---- On a GPU ----


@pytest.fixture
def gpu():
    try:
        return CupyDevice(coarse2fine_cuda.SOURCE, coarse2fine_cuda.PURPOSE)
    except ValueError as error:
        pytest.skip(str(error))


@pytest.mark.gpu
@pytest.mark.parametrize("size", [(256, 160), (100, 70), (512, 288), (3, 2)])
def test_gpu_agrees_with_cpu(gpu, size):
    pytest.importorskip("numba", reason="the processor's flow needs numba")
    source, targets = several_pairs(size)
    flows = coarse2fine_flow_batch_cuda(source, targets, device=gpu)
    assert endpoint_difference(flows, coarse2fine_flow_batch(source, targets)).mean() < 0.01


@pytest.mark.gpu
@pytest.mark.parametrize("size", [(100, 70), (3, 2)])  # the shim takes long for larger ones
def test_gpu_agrees_with_the_same_kernels_on_the_processor(gpu, host, size):
    source, targets = several_pairs(size)
    flows = coarse2fine_flow_batch_cuda(source, targets, device=gpu)
    on_host = coarse2fine_flow_batch_cuda(source, targets[:1], device=host)
    assert endpoint_difference(flows[:1], on_host).mean() < 1e-3


def several_pairs(size):
    """A picture and four that lie ever further from it."""
    targets = [pair(*size, shift=(0.8 * i, -0.4 * i), sway=0.7)[1] for i in range(4)]
    return pair(*size)[0], np.stack(targets)


@pytest.mark.gpu
def test_gpu_pairs_are_those_of_a_batch_and_repeat_to_the_last_bit(gpu):
    source = pair(256, 160)[0]
    targets = np.stack([pair(256, 160, shift=(0.5 * i, 0.3))[1] for i in range(5)])
    flows = coarse2fine_flow_batch_cuda(source, targets, device=gpu)
    for _ in range(3):
        np.testing.assert_array_equal(coarse2fine_flow_pairs_cuda(np.stack([source] * 5), targets, device=gpu), flows)
