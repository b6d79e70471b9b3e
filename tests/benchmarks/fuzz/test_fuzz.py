"""The fuzz: a few cases of every door with a fixed seed, and that its judge sees what may not happen."""

from __future__ import annotations

import os
import pickle
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.fuzz import judge
from benchmarks.fuzz.__main__ import try_case
from benchmarks.fuzz.doors import DOORS
from benchmarks.fuzz.mutations import damaged_bytes, damaged_values

CASES = {"photo": 10, "motion_file": 8, "checkpoint": 6, "training_state": 20, "arguments": 20}


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_hostile_input_ends_in_success_or_one_line(door) -> None:
    faults = {number: try_case(door, seed=0, number=number) for number in range(CASES[door.name])}
    assert {number: fault for number, fault in faults.items() if fault} == {}


def says(status: int, *lines: str) -> Callable[[], int]:
    def command() -> int:
        print(*lines, sep="\n", file=sys.stderr)
        return status

    return command


def raising() -> int:
    raise KeyError("x")


def unpickling() -> int:
    pickle.loads(pickle.dumps(Path("x")))
    return 0


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (says(0, "warning: a word"), ""),
        (says(2, "warning: a word", "error: one line"), ""),
        (says(2, "error: one", "error: two"), "in 2 lines"),
        (says(1), "in 0 lines"),
        (says(3, "error: one line"), "status 3"),
        (says(0, "Traceback (most recent call last):", "KeyError"), "printed a traceback"),
        (raising, "KeyError: 'x'"),
        (unpickling, "started something: pickle.find_class"),
        (lambda: os.system("true"), "started something: os.system"),
    ],
)
def test_the_judge_sees_what_may_not_happen(tmp_path: Path, command: Callable[[], int], expected: str) -> None:
    fault = judge.fault_of(command, tmp_path)
    assert (expected in fault) if expected else not fault


def test_the_judge_looks_at_files_and_at_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaving(name: str, status: int) -> Callable[[], int]:
        def command() -> int:
            (tmp_path / name).write_text("x")
            return says(status, "error: no")()

        return command

    assert "changed files" in judge.fault_of(leaving("a.mp4", 2), tmp_path)
    assert "left .a.host.1.tmp.mp4 behind" in judge.fault_of(leaving(".a.host.1.tmp.mp4", 0), tmp_path)
    monkeypatch.setattr(judge, "SECONDS", 0.05)
    assert "still at work" in judge.fault_of(lambda: time.sleep(5) or 0, tmp_path)


def test_damage_follows_from_the_seed() -> None:
    values = {"a": [1, 2, {"b": None}], "c": "text"}
    for damage, whole in ((damaged_bytes, bytes(range(200))), (damaged_values, values)):
        first, again = ([damage(whole, random.Random(seed)) for seed in range(20)] for _ in range(2))
        assert repr(first) == repr(again)
        assert len({repr(found) for found in first}) > 10
    assert values == {"a": [1, 2, {"b": None}], "c": "text"}
