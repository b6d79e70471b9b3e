"""`compiled`: numba's `njit` for the modules beside this one, whose compiled code is kept on disk wherever it can be.

numba keeps code for as long as the file that a kernel is written in stays the same. A kernel calls those of other
files, though, so here the folder's name holds a hash of all of them: an update can't run what was compiled before it.
"""

# mypy: disable-error-code="attr-defined"
# (numba fills its config at run time.)

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numba import config, njit


def compiled(function: Callable[..., Any]) -> Any:
    """Compile at the first call, without the interpreter lock; later processes read what was compiled.

    Where no folder is writable, each process compiles for itself.
    """
    return compile_into(function, _own_folder())


def compile_into(function: Callable[..., Any], folder: Path | None) -> Any:
    """As :func:`compiled`, with the compiled code in this folder, or nowhere."""
    if folder is None:
        return njit(nogil=True)(function)
    configured = config.CACHE_DIR
    config.CACHE_DIR = str(folder)  # read when a function is decorated, and only then
    try:
        return njit(cache=True, nogil=True)(function)
    finally:
        config.CACHE_DIR = configured


@functools.cache
def _own_folder() -> Path | None:
    return find_folder(Path(__file__).parent)


def find_folder(package: Path) -> Path | None:
    """Where the compiled code of a package's modules is kept as they are now.

    The first place that is writable: ``NUMBA_CACHE_DIR``, ``__pycache__`` in the package, the user's cache.
    """
    digest = hashlib.sha256()
    for path in sorted(package.glob("*.py")):
        digest.update(path.read_bytes())
    for base in _bases(package):
        folder = base / f"coarse2fine-{digest.hexdigest()[:16]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    warnings.warn(
        "no folder is writable for the compiled optical flow, so every process compiles it again: "
        "let NUMBA_CACHE_DIR name one",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def _bases(package: Path) -> Iterator[Path]:
    if config.CACHE_DIR:
        yield Path(config.CACHE_DIR)
    yield package / "__pycache__"
    if "XDG_CACHE_HOME" in os.environ:
        yield Path(os.environ["XDG_CACHE_HOME"]) / "numba"
    else:
        try:
            yield Path.home() / ".cache" / "numba"
        except RuntimeError:  # an account without a home
            return
