"""Many workers: memory, kills, full disks, and two runs at once."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.clips.small_clips import QUICK, contents, two_clips, undisturbed
from helpers.commands import heeding
from helpers.places import ROOT

from common.files import locked, temporary_path
from data.flow.estimators import ESTIMATORS
from data.prepare import main
from data.workers import WorkerDiedError, Workers

WINDOW_LIMIT = 2  # items a worker that are taken ahead


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of 110 frames: 20 sequences, a second or two of work in one process."""
    return two_clips(tmp_path_factory.mktemp("videos"), num_frames=110)


@pytest.fixture(scope="module")
def whole(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one undisturbed run in one process makes."""
    return undisturbed(videos, tmp_path_factory.mktemp("whole") / "dataset")


def started(*command: str) -> subprocess.Popen:
    """A command of this interpreter in a process group of its own."""
    return subprocess.Popen(heeding(*command), cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)


def sequences_in(dataset: Path) -> int:
    return len(list((dataset / "sequences").glob("[!.]*.safetensors")))


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def alive(group: int) -> bool:
    """Whether a process group has members."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def error_of(process: subprocess.Popen) -> str:
    """The lines on stderr that are no progress bar."""
    text = process.communicate(timeout=60)[1]
    return "\n".join(line for line in re.split(r"[\r\n]", text) if line and "it/s" not in line and "|" not in line)


# Killed ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_run_leaves_no_trace(videos: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    command = ["-m", "data.prepare", str(videos), "--output", str(dataset), *QUICK, "--workers", "2"]
    process = started(*command)
    wait_until(lambda: sequences_in(dataset) >= 3)
    process.kill()
    process.communicate()
    wait_until(lambda: not alive(process.pid))  # the workers notice
    left = contents(dataset)
    finished = {name: value for name, value in left.items() if re.fullmatch(r"sequences/[^.].*", name)}
    assert len(finished) >= 3
    assert all(value == whole[name] for name, value in finished.items())
    assert "manifest.csv" not in left
    # As if it had been killed while it wrote: half a file under the name of a process that is gone.
    name, value = next(iter(finished.items()))
    half = dataset / "sequences" / temporary_name(Path(name), process.pid)
    half.write_bytes(value[:1000])
    times = {path: path.stat().st_mtime_ns for path in (dataset / name for name in finished)}
    assert main([str(videos), "--output", str(dataset), *QUICK]) == 0
    assert contents(dataset) == whole
    assert {path: path.stat().st_mtime_ns for path in times} == times


def temporary_name(path: Path, process: int) -> str:
    with pytest.raises(ZeroDivisionError), temporary_path(path) as temporary:
        1 / 0  # noqa: B018
    return temporary.name.replace(f".{os.getpid()}.", f".{process}.")


# Two workers that wait for long, and say when they do.
NAPPING = """
import sys, time
from functools import partial
from pathlib import Path
from common.command_line import run_script
from data.workers import Workers
from helpers.napping import nap

def script(folder):
    with Workers(2) as workers:
        list(workers.map(partial(nap, folder=folder), [1, 2, 3], total=3, unit="naps"))

if __name__ == "__main__":
    sys.exit(run_script(script, Path(sys.argv[1])))
"""


def test_ctrl_c_stops_all_at_once(tmp_path: Path) -> None:
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]; sys.argv = sys.argv[1:]\n{NAPPING}"
    (tmp_path / "script.py").write_text(code)
    process = started(str(tmp_path / "script.py"), "script", str(tmp_path))
    wait_until(lambda: len(list(tmp_path.glob("nap_*"))) == 2)
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers too
    assert error_of(process) == "interrupted"
    assert process.returncode == 130
    wait_until(lambda: not alive(process.pid))
    assert time.monotonic() - begun < 30  # of the minute that a nap takes


@pytest.mark.slow
def test_an_interrupted_run_leaves_what_is_finished(
    videos: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = tmp_path / "dataset"
    solve, calls = ESTIMATORS["dis"].solve, []

    def interrupted(sources, targets, **options):
        calls.append(len(targets))
        if len(calls) == 7:
            raise KeyboardInterrupt
        return solve(sources, targets, **options)

    with monkeypatch.context() as patch:
        patch.setitem(ESTIMATORS, "dis", replace(ESTIMATORS["dis"], solve=interrupted))
        assert main([str(videos), "--output", str(dataset), *QUICK]) == 130
    assert sequences_in(dataset) == 3
    assert not [name for name in contents(dataset) if ".tmp" in name or ".lock" in name]
    assert main([str(videos), "--output", str(dataset), *QUICK]) == 0
    assert contents(dataset) == whole


def test_a_dead_worker_is_one_line_and_status_1(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(WorkerDiedError, match="fewer --workers"), Workers(2) as workers:
        list(workers.map(os._exit, [3, 3], total=2, unit="exits"))
    capsys.readouterr()

    def die(*arguments, **options) -> None:
        raise WorkerDiedError("a worker process died, perhaps for lack of memory; try fewer --workers")

    monkeypatch.setattr(Workers, "map", die)
    assert main([str(videos), "--output", str(tmp_path / "dataset"), *QUICK]) == 1
    assert capsys.readouterr().err == (
        "error: a worker process died, perhaps for lack of memory; try fewer --workers\n"
    )


# Workers --------------------------------------------------------------------------------------------------------------


def test_items_are_taken_when_they_are_needed(capsys: pytest.CaptureFixture) -> None:
    taken = []

    def items() -> Iterator[float]:
        for number in range(40):
            taken.append(number)
            yield float(number)

    done = 0
    with Workers(2) as workers:
        for item, result in workers.map(abs, items(), total=40, unit="numbers"):
            assert result == item
            done += 1
            assert len(taken) <= done + WINDOW_LIMIT * 2
        assert done == len(taken) == 40
        # Exceptions come through, and the same processes go on working until the end.
        with pytest.raises(ValueError, match="invalid literal"):
            list(workers.map(int, ["1", "2", "three"], total=3, unit="numbers"))
    assert dict(Workers(1).map(int, iter("12"), total=2, unit="numbers")) == {"1": 1, "2": 2}


@pytest.mark.slow
def test_few_items_at_first_leave_processes_for_many_later() -> None:
    with Workers(3) as workers:
        list(workers.map(abs, [1.0, 2.0], total=2, unit="numbers"))  # such as two videos to scan
        list(workers.map(time.sleep, [0.2] * 6, total=6, unit="naps"))
        assert workers.processes == 3


# Full disks -----------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_that_names_the_folder(
    videos: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    dataset = tmp_path / "dataset"
    rename = os.replace
    places = []

    def full(source, target) -> None:
        places.append(Path(target))
        if len(places) in failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    monkeypatch.setattr("common.files.os.replace", full)
    for number in (1, 6, 12):  # parameters.json, two sequences
        places.clear()
        failing = {number}
        assert main([str(videos), "--output", str(dataset), *QUICK]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert lines[-1] == (
            f"error: {dataset}: No space left on device; free some space and run the same command again, "
            "what is finished is kept"
        )
        assert not any(".tmp" in name or ".lock" in name for name in contents(dataset) if dataset.exists())
    assert sequences_in(dataset) == 3 + 9  # parameters.json and sources.json come first
    failing = set()
    assert main([str(videos), "--output", str(dataset), *QUICK]) == 0
    assert contents(dataset) == whole


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    allowed = sys.platform == "linux" and os.geteuid() == 0
    if not allowed or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root on Linux")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_disk_that_really_fills_up(
    videos: Path, whole: dict[str, bytes], tiny_disk: Path, capsys: pytest.CaptureFixture
) -> None:
    dataset = tiny_disk / "dataset"
    assert main([str(videos), "--output", str(dataset), *QUICK]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {dataset}: No space left on device; free some space")
    left = contents(dataset)
    assert not any(".tmp" in name or ".lock" in name for name in left)
    finished = {name: value for name, value in left.items() if name.startswith("sequences/")}
    assert finished
    assert all(value == whole[name] for name, value in finished.items())
    subprocess.run(["mount", "-o", "remount,size=50m", str(tiny_disk)], check=True)
    assert main([str(videos), "--output", str(dataset), *QUICK]) == 0
    assert contents(dataset) == whole


# Two runs at once -----------------------------------------------------------------------------------------------------


def test_a_folder_has_one_writer_or_several_shards(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    command = [str(videos), "--output", str(dataset), *QUICK]
    with locked(dataset / ".lock"):
        assert main(command) == 2
        assert capsys.readouterr().err == (
            f"error: {dataset}: another run is writing to it, wait until that has ended\n"
        )
        assert main([*command, "--shard", "1/2"]) == 2
    assert not list(dataset.iterdir())
    with locked(dataset / ".lock", shared=True):  # another shard
        assert main(command) == 2
        assert main(["merge", str(dataset)]) == 2
        assert main([*command, "--shard", "1/3"]) == 0
    with locked(dataset / "shards" / ".1-of-3.json.lock"):  # the same shard
        assert main([*command, "--shard", "1/3"]) == 2
        assert main([*command, "--shard", "3/3"]) == 0
