"""Photos waiting for their loop: a bounded queue with one worker, and results that expire.

One worker, because a loop takes all cores and the memory of one photo. What does not fit is refused at once, so that
neither memory nor the disk can be filled by sending photos faster than they are animated.
"""

from __future__ import annotations

import secrets
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIDY_SECONDS = 20.0  # between looks for results that have expired
STOP_SECONDS = 30.0  # that the worker has to finish the step it is in


class QueueFullError(Exception):
    """No place in the queue."""


class CancelledError(Exception):
    """Raised inside the work when its job is no longer wanted."""


@dataclass(frozen=True)
class Limits:
    """What the queue holds at most."""

    waiting: int = 4  # jobs beside the one that runs
    kept: int = 12  # results
    kept_bytes: int = 500_000_000  # of all results; the newest is kept whatever its size
    kept_seconds: float = 3600.0  # age of a result


DEFAULT_LIMITS = Limits()


@dataclass
class Job:
    """One photo on its way to a loop. The worker writes stage and files, everybody reads."""

    name: str  # the photo's, as shown; never a path
    options: Any  # what the work is told
    folder: Path  # the job's own; gone with the job
    id: str
    state: str = "arriving"  # then waiting, running, done or failed
    stage: tuple[str, int, int] = ("", 0, 0)  # what is being done, steps done and steps in all
    files: dict[str, Path] = field(default_factory=dict)  # results by the name that they are asked for with
    facts: dict[str, Any] = field(default_factory=dict)  # about the result
    error: str = ""
    finished: float = 0.0  # of time.monotonic
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def photo(self) -> Path:
        """The photo's file. Its name is ours, whatever the sender called it."""
        return self.folder / "photo"

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Say how far the work is; raises :class:`CancelledError` where it shall stop."""
        if self.cancelled.is_set():
            raise CancelledError
        self.stage = (stage, done, total)

    def size(self) -> int:
        """Bytes of its results."""
        return sum(path.stat().st_size for path in self.files.values() if path.exists())


class JobQueue:
    """Jobs in the order of their arrival and the thread that works on them."""

    def __init__(self, folder: Path, work: Callable[[Job], None], limits: Limits = DEFAULT_LIMITS) -> None:
        """
        Args:
            folder: where each job gets a folder; whoever made it removes it after :meth:`close`.
            work: makes ``job.files`` of ``job.photo``; a ValueError is what a user is told.
        """
        self.limits = limits
        self._folder, self._work = folder, work
        self._jobs: dict[str, Job] = {}
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._worker = threading.Thread(target=self._run, name="animate", daemon=True)
        self._worker.start()

    @contextmanager
    def arrival(self, name: str, options: Any) -> Iterator[Job]:
        """A job whose photo the block stores: queued when the block succeeds, forgotten when it does not.

        The place is taken before the photo is read, so photos on their way count as well.

        Raises:
            QueueFullError: no place left.
        """
        with self._changed:
            self._tidy()
            ahead = sum(job.state in ("arriving", "waiting") for job in self._jobs.values())
            if self._closing or ahead >= self.limits.waiting:
                raise QueueFullError(f"{ahead} photos are waiting already; try again when one is done")
            identity = secrets.token_urlsafe(16)
            job = Job(name, options, self._folder / identity, identity)
            self._jobs[identity] = job
        try:
            job.folder.mkdir()
            yield job
            with self._changed:
                if self._closing or job.cancelled.is_set():
                    raise QueueFullError("the server is stopping")
                job.state = "waiting"
                self._changed.notify_all()
        except BaseException:
            with self._changed:
                self._forget(job)
            raise

    def jobs(self) -> list[Job]:
        """All jobs that anybody may ask about, in the order of their arrival."""
        with self._changed:
            self._tidy()
            return [job for job in self._jobs.values() if job.state != "arriving"]

    def get(self, identity: str) -> Job | None:
        """The job of this id, or None where there is none (any more)."""
        with self._changed:
            self._tidy()
            return self._jobs.get(identity)

    def place(self, job: Job) -> int:
        """How many jobs are before a waiting one, the one that runs included."""
        with self._changed:
            before = list(self._jobs.values())
            before = before[: before.index(job)] if job in before else []
            return sum(other.state in ("waiting", "running") for other in before) + self._cancelled_runs()

    def remove(self, identity: str) -> bool:
        """Cancel a job or drop its result; False where there is none of this id."""
        with self._changed:
            job = self._jobs.get(identity)
            if job is None:
                return False
            job.cancelled.set()
            if job is self._running:
                del self._jobs[identity]  # its folder goes when the worker has let go of it
            elif job.state != "arriving":
                self._forget(job)
            return True

    def close(self) -> None:
        """Stop: the running job is cancelled at its next step, none is taken up any more."""
        with self._changed:
            self._closing = True
            for job in self._jobs.values():
                job.cancelled.set()
            if self._running:
                self._running.cancelled.set()
            self._changed.notify_all()
        self._worker.join(STOP_SECONDS)

    def _cancelled_runs(self) -> int:
        return int(self._running is not None and self._running.id not in self._jobs)

    def _run(self) -> None:
        while job := self._take():
            error = self._attempt(job)
            with self._changed:
                self._running = None
                job.photo.unlink(missing_ok=True)  # only the result is kept
                if error is None or job.cancelled.is_set():
                    self._forget(job)
                else:
                    job.error, job.finished = error, time.monotonic()
                    job.state = "failed" if error else "done"
                    self._tidy()

    def _take(self) -> Job | None:
        """Wait for the next job; None when the queue is closed."""
        with self._changed:
            while not self._closing:
                job = next((job for job in self._jobs.values() if job.state == "waiting"), None)
                if job:
                    job.state, self._running = "running", job
                    return job
                self._changed.wait(TIDY_SECONDS)
                self._tidy()
            return None

    def _attempt(self, job: Job) -> str | None:
        """Do the work: what went wrong in one line, empty if nothing did, None if it was cancelled."""
        try:
            job.progress("start")
            self._work(job)
        except CancelledError:
            return None
        except (ValueError, OSError, FloatingPointError, MemoryError) as error:
            return " ".join(str(error).split()) or type(error).__name__
        except Exception:  # a defect of ours: its traceback is kept, and the next photo gets its turn
            traceback.print_exc(file=sys.stderr)
            return "something went wrong; the terminal that runs generate.py says what"
        return ""

    def _tidy(self) -> None:
        """Drop results that are too old or too many, the oldest first."""
        finished = sorted((job for job in self._jobs.values() if job.finished), key=lambda job: job.finished)
        now, total = time.monotonic(), sum(job.size() for job in finished)
        for index, job in enumerate(finished):
            left = len(finished) - index
            old = now - job.finished > self.limits.kept_seconds
            if old or left > self.limits.kept or (total > self.limits.kept_bytes and left > 1):
                total -= job.size()
                self._forget(job)

    def _forget(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)
