"""Files that are there as a whole or not at all, the cache, locks, tensor files, and dataclasses that JSON can hold."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


ABANDONED_SECONDS = 24 * 3600  # a temporary file of another machine that nobody wrote to for so long is given up
LOCK_SECONDS = 0.5  # how long to try: a process that ends has the lock to itself for a moment
TEMPORARY_NAME = re.compile(r"\..+\.(?P<host>[A-Za-z0-9-]*)\.(?P<process>\d+)\.tmp(\.\w+)?")


@contextmanager
def temporary_path(path: str | Path) -> Iterator[Path]:
    """Path beside ``path`` to write to; renamed to it when the block succeeds, removed when it does not.

    The temporary name keeps the suffix, because encoders choose the format by it, and holds machine and process, so
    that those who write to one folder do not meet. Errors of the file system without a file name get ``path``'s.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{_host_name()}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


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
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock by a file that exists meanwhile; the system frees it when this process ends, however that happens.

    Where the file system (some of those on networks) or the system (Windows) knows no locks, nothing is locked.

    Args:
        shared: others may hold the lock too, as long as all of them share it.

    Raises:
        BlockingIOError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
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
        yield
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


# Name of torch's type -> the format's name of it
DTYPES = {
    **{"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64"},
    **{"int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"},
}


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file as a whole or not at all, making its folder if need be.

    Who may read it follows from the umask: the library's own writer makes files for their owner alone.

    The bytes depend only on what the file holds: the library's writer orders the metadata differently in each process,
    so that two runs never give the same file. Files are read with the library.

    The format: 8 bytes with the length of the header (little endian), the header in JSON, then the tensors without gaps
    in little endian order. Here the header's keys are sorted, wide types come first so that each tensor is aligned, and
    the header is padded to a multiple of 8 bytes.

    Raises:
        OSError: full disk among others; nothing is left behind then.
    """
    import torch  # here: what only writes other files need not wait for it

    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": dict(sorted((metadata or {}).items()))}
    end = 0
    for name in names:
        begin, end = end, end + tensors[name].numel() * tensors[name].element_size()
        shape = list(tensors[name].shape)
        header[name] = {
            "dtype": DTYPES[str(tensors[name].dtype).removeprefix("torch.")],
            "shape": shape,
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with temporary_path(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            file.write(tensors[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)


def from_plain(kind: type, values: Mapping[str, Any]) -> Any:
    """A dataclass of plain values and tuples from what JSON made of it.

    Raises:
        ValueError: other fields than it has.
    """
    other = set(values) ^ {field.name for field in fields(kind)}
    if other:
        raise ValueError(f"{kind.__name__} has other fields: {', '.join(sorted(other))}")
    return kind(**{name: as_tuple(value) for name, value in values.items()})


def as_tuple(value: Any) -> Any:
    """JSON has lists for tuples: a value with tuples in their place, at all depths."""
    return tuple(as_tuple(item) for item in value) if isinstance(value, list) else value


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
