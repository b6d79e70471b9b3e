"""The client of a Dask cluster, for which everything that is wrong is said in one line."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CONNECT_SECONDS = 30


def dask_client(scheduler: str, connect_seconds: float):  # -> distributed.Client, which is optional
    """A client of the cluster at an address, or of the one that a scheduler file names.

    Raises:
        ValueError: the package is missing, the file is none of a scheduler, or nothing answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("--dask needs a package that is not installed here: pip install distributed") from error
    if "://" not in scheduler and scheduler.endswith(".json"):
        if not Path(scheduler).is_file():
            raise ValueError(f"--dask {scheduler}: no such scheduler file; dask scheduler --scheduler-file writes it")
        _expect_scheduler_file(Path(scheduler))
        options: dict[str, Any] = {"scheduler_file": scheduler}
    else:
        options = {"address": scheduler}
    options |= {"timeout": connect_seconds, "set_as_default": False}
    try:
        with ThreadPoolExecutor(max_workers=1) as thread:  # a notebook's own thread has an event loop already
            thread.submit(asyncio.run, _expect_answer(options)).result()
        client = Client(**options)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--dask {scheduler}: no scheduler answers there ({' '.join(str(error).split())}); start one with dask "
            "scheduler"
        ) from error
    if not client.nthreads():
        print("note: the Dask cluster has no workers yet, waiting for them", file=sys.stderr)
    return client


def _expect_scheduler_file(path: Path) -> None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        values = None
    if not isinstance(values, dict) or not isinstance(values.get("address"), str):
        raise ValueError(f"--dask {path}: not a scheduler file; dask scheduler --scheduler-file writes it")


async def _expect_answer(options: Mapping[str, Any]) -> None:
    """Connect once and leave again. A client that works in a thread of its own can't be closed if it fails to connect,
    and the interpreter then waits a minute for it when it ends."""
    from distributed import Client

    client = Client(**options, asynchronous=True)
    try:
        await client
    finally:
        await client.close()
