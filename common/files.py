"""Files that are there as a whole or not at all, the cache, and locks."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ABANDONED_SECONDS = 24 * 3600  # a temporary file of another machine that nobody wrote to for so long is given up
LOCK_SECONDS = 0.5  # how long to try: a process that ends has the lock to itself for a moment
LONGEST_NAME = 255  # bytes, of nearly every file system
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, none for this user, or no file of this size
TEMPORARY_NAME = re.compile(r"\..*\.(?P<host>[A-Za-z0-9-]*)\.(?P<process>\d+)\.tmp(\.\w+)?")


@contextmanager
def temporary_path(path: str | Path) -> Iterator[Path]:
    """Path to write to, which is put in ``path``'s place when the block succeeds and removed when it does not.

    It lies beside the file that ``path`` is or leads to. The temporary name keeps the suffix, because encoders choose
    the format by it, and holds machine and process, so that those who write to one folder do not meet. Errors of the
    file system name ``path``.

    A pipe or a device such as ``/dev/stdout`` is never replaced: what was written is copied into it.
    """
    path = Path(path)
    check_target(path)
    if is_stream(path):
        with _named(path), tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / f"contents{path.suffix}"
            yield temporary
            with temporary.open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        return
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    temporary = place.with_name(temporary_name(place))
    try:
        with _named(path, temporary):
            yield temporary
            os.replace(temporary, place)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text as a whole, making its folder where there is none."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def _named(path: Path, *others: Path) -> Iterator[None]:
    """Errors of the file system that have no file name, or one of ``others``, get ``path``'s."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and (error.filename is None or Path(os.fsdecode(error.filename)) in others):
            error.filename = str(path)
        raise


def temporary_name(path: Path) -> str:
    """The name that :func:`temporary_path` gives; of a name that is too long it keeps the beginning."""
    mark = f".{_host_name()}.{os.getpid()}.tmp"
    room = LONGEST_NAME - len(os.fsencode(f".{mark}{path.suffix}"))
    stem = os.fsencode(path.stem)[: max(room, 1)].decode(errors="ignore")
    return f".{stem}{mark}{path.suffix}"


def check_target(path: Path) -> None:
    """Raise ValueError in one line where something is under this path that no file may take the place of."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{path}: is a link that leads in a circle; choose another path") from None
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError(f"{path}: the name is too long; choose a shorter one") from None
        return  # what is wrong with the folders above is told where they are looked at
    if stat.S_ISDIR(mode):
        raise ValueError(f"{path}: is a folder; name a file in it")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        raise ValueError(f"{path}: is a socket or a disk; choose another path")


def is_stream(path: Path) -> bool:
    """Whether a path is a pipe or a device, or the name of something that this process has open."""
    with suppress(OSError):
        mode = path.stat().st_mode
        opened = path.parent in (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))
        return not stat.S_ISREG(mode) or opened
    return False


def is_temporary(path: Path) -> bool:
    """Whether a file has a name that :func:`temporary_path` gives."""
    return TEMPORARY_NAME.fullmatch(path.name) is not None


def remove_stale_files(folder: Path) -> None:
    """Remove temporary files of processes that are gone: of this machine, or of another one and a day old."""
    for path in folder.glob(".*.tmp*"):
        match = TEMPORARY_NAME.fullmatch(path.name)
        if match and _is_stale(path, match["host"], int(match["process"])):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _is_stale(path: Path, host: str, process: int) -> bool:
    if host == _host_name():
        return not _is_alive(process)
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > ABANDONED_SECONDS
    return False


def _is_alive(process: int) -> bool:
    if os.name != "posix":
        return process == os.getpid()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40]


def cache_folder(name: str) -> Path:
    """Where this project keeps what can be obtained again: below ``$XDG_CACHE_HOME``, or else ``~/.cache``.

    Args:
        name: the folder for one kind of thing, "metrics".
    """
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "generative-image-dynamics" / name


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[int | None]:
    """Hold a lock by a file that exists meanwhile; the system frees it when this process ends, however that happens.

    Where the file system (some of those on networks) or the system (Windows) knows no locks, nothing is locked.

    Args:
        shared: others may hold the lock too, as long as all of them share it.

    Yields:
        The lock file's descriptor: a process that inherits it holds the lock as well, after this one was killed too.
        None on Windows.

    Raises:
        BlockingIOError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield None
        return
    deadline, supported = time.monotonic() + LOCK_SECONDS, True
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
            continue
        except OSError:
            supported = False
        if _is_same_file(descriptor, path):
            break
        os.close(descriptor)  # the last holder removed it between the two calls
    try:
        yield descriptor
    finally:
        with suppress(OSError):  # the last one removes the file: it is alone with it if it can have it for itself
            if supported:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _is_same_file(descriptor: int, path: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def expect_content(path: Path, what: str, name: str | None = None) -> None:
    """Raise ValueError in one line unless there is a file with something in it.

    Args:
        path: the file.
        what: image, video ...
        name: what the message calls the file, its path by default.
    """
    name = name or str(path)
    if not path.exists():
        raise ValueError(f"{name}: no such {what} file")
    if path.is_dir():
        raise ValueError(f"{name}: is a folder, expected {'an' if what == 'image' else 'a'} {what} file")
    if not path.is_file():  # reading a pipe or a device may never end
        raise ValueError(f"{name}: is a pipe or a device, expected {'an' if what == 'image' else 'a'} {what} file")
    if path.stat().st_size == 0:
        raise ValueError(f"{name}: the file is empty")
