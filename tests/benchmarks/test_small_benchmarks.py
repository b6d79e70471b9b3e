"""Every benchmark of docs/performance.md runs at a small size and reports what it measured."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.clips.small_clips import make_clip
from helpers.flow.textures import pair

from benchmarks import flow_cpu, lfdm_steps, reference_unet, rendering, splatting
from benchmarks.datasets import decoding, memory
from benchmarks.timing import time_in_turn
from models.motion.reference_unet import ReferenceUNetConfig

pytestmark = pytest.mark.slow


def results(main: Callable[[list[str]], int], arguments: list[str], folder: Path) -> dict:
    """What a benchmark writes into its report."""
    report = folder / "report.json"
    assert main([*arguments, "--report", str(report)]) == 0
    return json.loads(report.read_text())["results"]


def test_ways_take_turns_and_the_first_round_does_not_count() -> None:
    calls, now = [], iter(range(100))
    seconds = time_in_turn(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2, clock=lambda: next(now)
    )
    assert calls == ["a", "b"] * 3
    assert seconds == {"a": [1, 1], "b": [1, 1]}


def test_rendering(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    seconds = results(
        rendering.main, ["--size", "64x48", "--frames", "4", "--rounds", "1", "--threads", "1"], tmp_path
    )["seconds"]
    table = capsys.readouterr().out
    for way in (rendering.SIDE_BY_SIDE, rendering.IN_TURN, rendering.ONCE, rendering.EVERY_FRAME):
        ratio = min(seconds[rendering.EVERY_FRAME]) / min(seconds[way])
        assert re.search(rf"^{way} +[0-9.]+ +{ratio:.1f}$", table, re.MULTILINE)


def test_splatting(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    seconds = results(splatting.main, ["--sizes", "64x48", "32x32", "--channels", "4", "--rounds", "1"], tmp_path)
    assert list(seconds) == ["64x48", "32x32"]
    for result in seconds.values():
        assert all(0 < result[what][way] < 60 for what in result for way in (splatting.OURS, splatting.SCATTERED))
    assert capsys.readouterr().out.count("forward and backward") == 2


def test_reference_unet_counts_calls() -> None:
    config = ReferenceUNetConfig(block_channels=(8, 8, 8, 8), layers_per_block=1, head_channels=4, norm_groups=4)
    ticks = iter(range(100))  # a call takes one second, whatever else the machine does
    seconds = reference_unet.measure(
        config, num_frequencies=2, rounds=1, latent_size=(16, 16), clock=lambda: next(ticks)
    )
    # 100 steps of two frequencies, one after the other, against 20 steps of both at once.
    assert seconds == {reference_unet.THERE: 200, reference_unet.HERE: 20}
    assert "10.0 times" in reference_unet.describe(seconds)


def test_flow_times_and_precision(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip = make_clip(tmp_path / "clip.mp4", num_frames=4)
    milliseconds = results(flow_cpu.main, [str(clip), "--size", "64x48", "--frames", "4"], tmp_path)
    names = ["3 targets of one source", "3 pairs of neighbouring frames", "a lone pair"]
    assert list(milliseconds["cpu_milliseconds_a_pair"]) == names
    assert capsys.readouterr().out.count("ms a pair") == 3


def test_flow_is_close_to_float64() -> None:
    first, second = pair(48, 32, shift=(1.0, 0.5))
    assert flow_cpu.reference_difference(first, second) < 2e-5


def test_decoding_gives_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip = make_clip(tmp_path / "clip.mp4", num_frames=30)
    options = [str(clip), *["--size", "64x48", "--num-frames", "20", "--stride", "5", "--every", "2"]]
    assert set(results(decoding.main, options, tmp_path)["cpu_seconds_a_sequence"]) == {decoding.RESUMED, decoding.ANEW}
    assert decoding.main([str(clip), "--num-frames", "31"]) == 2
    assert "has 30 frames, fewer than the 31 of a sequence" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux alone")
def test_memory_counts_children() -> None:
    child = "import numpy as n, time; a = n.ones(4_000_000); time.sleep(1.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    peaks = memory.peak_memory([sys.executable, "-c", parent])
    assert peaks["the largest other"] > np.ones(4_000_000).nbytes > peaks["the first process"]
    assert peaks["all processes"] > peaks["the largest other"]
    with pytest.raises(ValueError, match="failed with status 3"):
        memory.peak_memory([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.parametrize("what", ["autoencoder", "diffusion", "sampling"])
def test_steps_of_lfdm(what: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    found = results(lfdm_steps.main, [what, "--preset", "tiny", "--batch-size", "2"], tmp_path)
    assert found["processor_seconds"] > 0
    assert found["peak_bytes"] > 1e7
    assert f"{what}, tiny, batch 2" in capsys.readouterr().out
