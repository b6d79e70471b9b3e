"""Start and stop of `generate.py --serve`."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.files import SMALLEST_SIDE, parse_frame_size
from app.server.animate import LoopOptions, animate
from app.server.jobs import DEFAULT_LIMITS, JobQueue, Limits
from app.server.web import HOST, LoopServer

if TYPE_CHECKING:
    from models.pipeline import ImageDynamicsPipeline


# generate.py's options that belong to one photo, or that are decided here.
NOT_SERVED = (
    "photos", "output", "save_motion", "motion", "poke", "preview", "show_motion", "xt_slice", "viewer", "report",
)  # fmt: skip


def check_together(arguments: argparse.Namespace) -> None:
    """Raise ValueError where another option was given that has no meaning with ``--serve``."""
    values = {name: getattr(arguments, name) for name in NOT_SERVED}
    given = [name for name, value in values.items() if not (value is None or value is False or value == [])]
    if given:
        option = "a photo" if given[0] == "photos" else f"--{given[0].replace('_', '-')}"
        raise ValueError(f"--serve: the photos come from the page, so {option} has no meaning with it; leave it out")
    parse_frame_size(arguments.size, (SMALLEST_SIDE, SMALLEST_SIDE))


def serve(arguments: argparse.Namespace, load: Callable[[], ImageDynamicsPipeline]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        arguments: generate.py's options; those about loops are the page's defaults.
        load: loads the models, after the port has been taken.
    """
    check_together(arguments)
    with ended_by_signals(), loop_server(LoopOptions.of(arguments), arguments.port, load) as server:
        try:
            # Whoever reads this line may end the program at once.
            print(f"http://{HOST}:{server.port}/   (Ctrl-C ends it and removes what was sent and made)", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopping", file=sys.stderr)


@contextmanager
def loop_server(
    defaults: LoopOptions, port: int, load: Callable[[], ImageDynamicsPipeline], limits: Limits = DEFAULT_LIMITS
) -> Iterator[LoopServer]:
    """A server with its worker and a temporary folder, all of which end with the block."""
    server = LoopServer(port)
    try:
        pipeline = load()
        with tempfile.TemporaryDirectory(prefix="generate-serve-", ignore_cleanup_errors=True) as folder:
            jobs = JobQueue(Path(folder), partial(animate, pipeline), limits)
            server.start(jobs, defaults)
            try:
                yield server
            finally:
                server.disconnect()
                jobs.close()
    finally:
        server.server_close()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let `kill` and a closed terminal end the program as Ctrl-C does, so that the temporary folder goes."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
