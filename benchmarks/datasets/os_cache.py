"""The operating system's cache of files: which bytes are in memory, and dropping them, to measure a first reading."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

BLOCK = 1 << 16  # bytes between the places that are looked at


def is_cached(path: str | Path) -> bool | None:
    """Whether any of the places looked at is in memory; None where the system can't tell (it takes Linux)."""
    if not hasattr(os, "preadv") or not hasattr(os, "RWF_NOWAIT"):
        return None
    with Path(path).open("rb", buffering=0) as file:
        for offset in range(0, os.fstat(file.fileno()).st_size, BLOCK):
            try:
                os.preadv(file.fileno(), [bytearray(1)], offset, os.RWF_NOWAIT)
                return True
            except BlockingIOError:
                continue
            except OSError:  # the file system doesn't know this flag
                return None
    return False


def drop_from_cache(paths: Iterable[str | Path]) -> bool:
    """Write files back and ask the system to forget their pages; whether it did, as far as that can be told."""
    if not hasattr(os, "posix_fadvise"):
        return False
    dropped = True
    for path in paths:
        with Path(path).open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        # Looking reads a block ahead of what it finds missing on some systems, so each file is looked at once, last.
        dropped = is_cached(path) is False and dropped
    return dropped
