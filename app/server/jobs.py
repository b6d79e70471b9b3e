"""Work on photos, one after the other: a bounded number waits, and each has a folder that goes with its request.

One at a time, because a loop takes all cores and the memory of one photo. What does not fit is refused at once, so that
neither memory nor the disk can be filled by sending photos faster than they are animated. Nothing outlives the request
that asked for it: what is made is its answer.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.options import LoopOptions

WAITING = 4  # requests beside the one that is worked on
LOOK_SECONDS = 0.2  # between looks at whether somebody still waits
STOP_SECONDS = 30.0  # that the work has to finish the step it is in


class QueueFullError(Exception):
    """No place in the queue."""


class CancelledError(Exception):
    """Raised inside the work when nobody wants it any more."""


@dataclass(eq=False)
class Job:
    """One request: a photo, what is wanted of it, and what was made."""

    name: str  # the photo's, as shown; never a path
    options: LoopOptions
    suffix: str  # of the loop
    folder: Path  # its own; gone with it
    hear: Callable[[str, int, int], None]  # told of stage, steps done and all steps; raises CancelledError
    ready: bool = False  # its photo has arrived
    files: dict[str, Path] = field(default_factory=dict)  # what was made, by names
    facts: dict[str, Any] = field(default_factory=dict)  # about it

    @property
    def photo(self) -> Path:
        """The photo's file. Its name is ours, whatever the sender called it."""
        return self.folder / "photo"

    @property
    def motion(self) -> Path:
        """The file of the motion, sent or made."""
        return self.folder / "motion.safetensors"

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Say how far the work is; raises :class:`CancelledError` where it shall stop."""
        self.hear(stage, done, total)


class JobQueue:
    """Jobs in the order of their arrival, one of which has its turn."""

    def __init__(self, folder: Path, waiting: int = WAITING) -> None:
        """
        Args:
            folder: where each job gets a folder; whoever made it removes it after :meth:`close`.
            waiting: jobs beside the one that has its turn; more are refused.
        """
        self.waiting, self._folder = waiting, folder
        self._line: list[Job] = []
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closing = False

    @contextmanager
    def place(self, name: str, options: LoopOptions, *, suffix: str, hear: Callable[..., None]) -> Iterator[Job]:
        """A job with its folder, both until the block ends; the place is taken before its photo has arrived.

        Raises:
            QueueFullError: no place left.
        """

        def heard(stage: str, done: int, total: int) -> None:
            if self._closing:
                raise CancelledError
            hear(stage, done, total)

        with self._changed:
            ahead = sum(job is not self._running for job in self._line)
            if self._closing or ahead >= self.waiting:
                raise QueueFullError(f"{ahead} photos are waiting already; try again when one is done")
            job = Job(name, options, suffix, Path(tempfile.mkdtemp(dir=self._folder)), heard)
            self._line.append(job)
        try:
            yield job
        finally:
            shutil.rmtree(job.folder, ignore_errors=True)
            with self._changed:
                self._line.remove(job)
                self._changed.notify_all()

    @contextmanager
    def turn(self, job: Job) -> Iterator[None]:
        """Wait until no other job is worked on, for the time of the block; says meanwhile how many are before it."""
        job.ready = True
        while before := self._before(job):
            job.progress("wait", 0, before)
            with self._changed:
                self._changed.wait(LOOK_SECONDS)
        try:
            yield
        finally:
            with self._changed:
                self._running = None
                self._changed.notify_all()

    def _before(self, job: Job) -> int:
        """How many others have their turn first; with 0 it is this job's."""
        with self._changed:
            ready = [other for other in self._line if other.ready and other is not self._running]
            before = ready.index(job) + (self._running is not None)
            if not before:
                self._running = job
            return before

    def close(self) -> None:
        """Stop: the running job is cancelled at its next step, none is taken up any more."""
        end = time.monotonic() + STOP_SECONDS
        with self._changed:
            self._closing = True
            while self._line and time.monotonic() < end:
                self._changed.wait(LOOK_SECONDS)
