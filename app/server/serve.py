"""Start and stop of `generate.py --serve`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.local import HOST
from app.options import SMALLEST_SIDE, FileOptions, LoopOptions, Playing
from app.server.guard import WebLimits
from app.server.jobs import WAITING, JobQueue
from app.server.web import LoopServer
from common.command_line import ended_by_signals

if TYPE_CHECKING:
    from models.pipeline import ImageDynamicsPipeline

DEFAULT_WEB_LIMITS = WebLimits()


def check_alone(files: FileOptions, *, photos: Sequence[Path], playing: Playing, report: Path | None) -> None:
    """Raise ValueError where an option was given that has no meaning with ``--serve``."""
    given = {"photos": photos, "poke": playing.pokes, "report": report, **vars(files)}
    if playing.regions:
        given |= {"mask": playing.regions.file, "still": playing.regions.still, "move": playing.regions.move}
    meant = [
        name for name, value in given.items() if not (value is None or value is False or value == [] or value == ())
    ]
    if meant:
        option = "a photo" if meant[0] == "photos" else f"--{meant[0].replace('_', '-')}"
        raise ValueError(f"--serve: the photos come from the page, so {option} has no meaning with it; leave it out")


def serve(options: LoopOptions, *, port: int, load: Callable[[], ImageDynamicsPipeline]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        options: the page's defaults.
        port: where it listens; 0 takes a free one.
        load: loads the models, after the port has been taken.
    """
    options.rendering.frame_size((SMALLEST_SIDE, SMALLEST_SIDE))  # says what is wrong with a size
    with ended_by_signals(), loop_server(options, port=port, load=load) as server:
        try:
            # Whoever reads this line may end the program at once.
            print(f"http://{HOST}:{server.port}/   (Ctrl-C ends it and removes what was sent and made)", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopping", file=sys.stderr)


@contextmanager
def loop_server(
    defaults: LoopOptions,
    *,
    port: int,
    load: Callable[[], ImageDynamicsPipeline],
    waiting: int = WAITING,
    web_limits: WebLimits = DEFAULT_WEB_LIMITS,
    folder: Path | None = None,
) -> Iterator[LoopServer]:
    """A server with its queue and a temporary folder, all of which end with the block.

    Args:
        defaults: the page's.
        port: where it listens; 0 takes a free one.
        load: loads the models, after the port has been taken.
        waiting: photos that wait beside the one that is worked on; more are refused.
        web_limits: what one sender may take at most.
        folder: where the temporary folder is made; by default where the system wants such folders.
    """
    server = LoopServer(port, limits=web_limits)
    try:
        pipeline = load()
        with tempfile.TemporaryDirectory(prefix="generate-serve-", dir=folder, ignore_cleanup_errors=True) as made:
            jobs = JobQueue(Path(made), waiting)
            server.start(pipeline, jobs, defaults)
            try:
                yield server
            finally:
                server.disconnect()
                jobs.close()
    finally:
        server.server_close()
