"""Temporary files that runs leave behind."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from pathlib import Path

import pytest

from common.files import locked, remove_stale_files, temporary_path


def test_temporary_files_of_others_stay(tmp_path: Path) -> None:
    with temporary_path(tmp_path / "fern_1.safetensors") as own:
        own.write_bytes(b"")
        names = {
            "living": own.name,
            "gone": own.name.replace(f".{os.getpid()}.", f".{ended_process()}."),
            "elsewhere": re.sub(r"\.[^.]+\.\d+\.tmp", ".otherhost.1.tmp", own.name),
            "abandoned": re.sub(r"\.[^.]+\.\d+\.tmp", ".otherhost.2.tmp", own.name),
            "foreign": ".notes.tmp",
        }
        for name in names.values():
            (tmp_path / name).touch()
        os.utime(tmp_path / names["abandoned"], (0, 0))
        remove_stale_files(tmp_path)
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {names[name] for name in ("living", "elsewhere", "foreign")}


def test_without_locks_on_the_file_system_nothing_is_locked_and_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOSYS, "no locks here")

    with locked(tmp_path / ".lock"), pytest.raises(BlockingIOError), locked(tmp_path / ".lock", shared=True):
        pass
    monkeypatch.setattr(fcntl, "flock", unsupported)
    with locked(tmp_path / ".lock"), locked(tmp_path / ".lock"):
        assert (tmp_path / ".lock").exists()
    assert not list(tmp_path.iterdir())


def ended_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid
