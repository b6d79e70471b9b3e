"""For rehearsals: the CUDA kernels on the processor, behind the shim that the tests use."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from common.cuda_kernels import Device

TESTS = Path(__file__).parents[2] / "tests"


def flow_device() -> Device:
    """A device for `data.flow.coarse2fine.cuda` that is the processor."""
    with _tests_importable():
        from helpers.flow.coarse2fine_host import HostDevice

        with tempfile.TemporaryDirectory(prefix="kernels-") as folder:
            return HostDevice(Path(folder))  # a library that is loaded needs its file no more


@contextlib.contextmanager
def splatting_kernels() -> Iterator[None]:
    """Within this context splatting on the processor goes through `models.splatting.cuda` and its kernels."""
    from models.splatting.cuda import SOURCE

    with _tests_importable():
        from helpers.flow.cuda_on_host import build
        from helpers.flow.softsplat_host import splatting_on_host
    with tempfile.TemporaryDirectory(prefix="kernels-") as folder, splatting_on_host(build(Path(folder), SOURCE)):
        yield


@contextlib.contextmanager
def _tests_importable() -> Iterator[None]:
    sys.path.insert(0, str(TESTS))
    try:
        yield
    finally:
        sys.path.remove(str(TESTS))
