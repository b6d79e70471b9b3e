"""Temporary files that runs leave behind."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

from common.files import is_temporary, locked, remove_stale_files, temporary_path, write_text


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


def test_a_text_that_can_not_be_written_leaves_the_older_one_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "plots" / "plot.svg"
    write_text(path, "<svg/>")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half of it \udc80")
    assert path.read_text() == "<svg/>"
    assert list(path.parent.iterdir()) == [path]


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


def test_links_are_followed_and_pipes_and_devices_written_to(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "below" / "file")
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    for name in ("link", "pipe"):
        with temporary_path(tmp_path / name) as temporary:
            temporary.write_bytes(b"contents")
    reader.join()
    assert read == [b"contents"]
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "below" / "file").read_bytes() == b"contents"
    with temporary_path(os.devnull) as temporary:
        temporary.write_bytes(b"contents")
    assert Path(os.devnull).is_char_device()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["below", "file", "link", "pipe"]


def test_names_as_long_as_they_may_be_have_a_temporary_name(tmp_path: Path) -> None:
    for name in ("n" * 250 + ".json", "\u00e9" * 125 + ".json"):
        with temporary_path(tmp_path / name) as temporary:
            temporary.write_text("{}")
            assert is_temporary(temporary)
        assert (tmp_path / name).read_text() == "{}"


def test_errors_of_the_disk_name_the_file_that_was_wanted(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"No space left on device: '/dev/full'"),
        temporary_path("/dev/full") as temporary,
    ):
        temporary.write_bytes(b"contents")
    with pytest.raises(FileNotFoundError) as error, temporary_path(tmp_path / "none" / "a") as temporary:
        temporary.write_bytes(b"")
    assert error.value.filename == str(tmp_path / "none" / "a")


def ended_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid
