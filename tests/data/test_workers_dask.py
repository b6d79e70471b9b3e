"""Preparation on a Dask cluster of two processes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.clips.small_clips import QUICK, contents, two_clips, undisturbed
from helpers.places import ROOT

from data.dask_cluster import dask_client
from data.flow.estimators import ESTIMATORS
from data.prepare import main
from data.workers import Workers

pytestmark = pytest.mark.slow  # two processes start and import everything


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips: 4 sequences."""
    return two_clips(tmp_path_factory.mktemp("videos"), num_frames=30)


@pytest.fixture(scope="module")
def whole(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes."""
    return undisturbed(videos, tmp_path_factory.mktemp("whole") / "dataset")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a Dask cluster of two processes."""
    distributed = pytest.importorskip("distributed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as local:
            yield local.scheduler_address


def test_dask_gives_the_same_bytes(
    cluster: str, videos: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scheduler.json").write_text(json.dumps({"address": cluster}))
    monkeypatch.setitem(ESTIMATORS, "dis", replace(ESTIMATORS["dis"], solve=None))  # not in this process
    monkeypatch.chdir(tmp_path)
    for number, scheduler in enumerate((cluster, "scheduler.json")):
        options = [str(videos), "--output", f"dataset_{number}", *QUICK, "--dask", scheduler]
        if number:
            options += ["--shard", "1/1"]
        assert main(options) == 0
    assert main(["merge", "dataset_1", "--dask", cluster]) == 0
    assert contents(tmp_path / "dataset_0") == contents(tmp_path / "dataset_1") == whole


def test_dask_problems_are_one_line(
    cluster: str, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from distributed import Client

    def error(*options: str) -> str:
        capsys.readouterr()
        assert main([str(videos), "--output", str(tmp_path / "dataset"), *QUICK, *options]) == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert "no such scheduler file" in error("--dask", str(tmp_path / "missing.json"))
    with pytest.raises(ValueError, match="no scheduler answers there"):
        Workers(dask="tcp://127.0.0.1:9", connect_seconds=0.2)
    assert "missing port number" in error("--dask", "localhost")
    for text in ("{}", "[]", "{", '{"address": null}'):
        (tmp_path / "scheduler.json").write_text(text)
        assert "not a scheduler file" in error("--dask", str(tmp_path / "scheduler.json"))
    # A client that is still open would keep the interpreter waiting when it ends.
    statuses = {thing.status for thing in gc.get_objects() if type(thing) is Client}
    assert statuses <= {"closed", "newly-created"}
    with contextlib.suppress(ValueError), Workers(dask=cluster) as workers:
        list(workers.map(int, ["1", "two"], total=2, unit="numbers"))
        pytest.fail("an exception on a worker got lost")
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "pip install distributed" in error("--dask", cluster)
    assert not (tmp_path / "dataset").exists()


def test_a_worker_that_lacks_a_module_is_named_in_one_line(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("def double(number):\n    return 2 * number\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    double = importlib.import_module("only_here").double
    problem = r"can't import what it needs .*only_here.* PYTHONPATH"
    with pytest.raises(ValueError, match=problem), Workers(dask=cluster) as workers:
        list(workers.map(double, [1, 2], total=2, unit="numbers"))


def test_a_running_event_loop_as_notebooks_have_one_is_no_obstacle() -> None:
    async def within() -> None:
        with pytest.raises(ValueError, match="no scheduler answers there"):
            dask_client("tcp://127.0.0.1:1", 2.0)

    asyncio.run(within())
