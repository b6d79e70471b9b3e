"""What came of a command on hostile input: success, or one line and status 1 or 2, with nothing left behind or run."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from common.files import TEMPORARY_NAME

SECONDS = 60.0  # of work, after which a command is taken to hang
# Audit events of Python that show foreign code at work; ffmpeg alone may be started.
FORBIDDEN = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "exec")
PROGRESS = re.compile(r"\d%\||\d(it|s| \w+)/(s|it)\b")  # a bar that tqdm draws
_watched: list[str] | None = None
_hooked = False


class HangError(BaseException):
    """A command took too long; no handler of ours may catch it."""


def fault_of(command: Callable[[], int], folder: Path) -> str:
    """Run a command that works in a folder, and say what is wrong with how it ended; nothing, if all is well.

    Args:
        command: returns its exit status, or raises `SystemExit`.
        folder: where its files are; what is there must be the same after a failure.
    """
    before = contents(folder)
    output, errors = io.StringIO(), io.StringIO()
    seen: list[str] = []
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), watched(seen), limited(SECONDS):
            status = command()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    except HangError:
        return f"still at work after {SECONDS:g} s"
    except BaseException:
        return "raised\n" + traceback.format_exc(limit=-6)
    after = contents(folder)
    return complaint(status, errors.getvalue(), seen, changed=after != before, left=temporary(after))


def complaint(status: int, errors: str, seen: list[str], *, changed: bool, left: list[str]) -> str:
    """What is wrong with a status, what was printed, what was started, and the files."""
    if seen:
        return f"started something: {seen[0]}"
    if left:
        return f"left {left[0]} behind"
    lines = [line for line in errors.splitlines() if line.strip() and not PROGRESS.search(line)]
    if "Traceback" in errors:
        return f"printed a traceback: {lines[-1]}"
    if status == 0:
        return ""
    if status not in (1, 2):
        return f"ended with status {status}"
    told = [line for line in lines if not line.startswith(("warning: ", "note: "))]
    if len(told) != 1 or not told[0].startswith("error: "):
        return f"told of its failure in {len(told)} lines: {' / '.join(told)[:300]}"
    if len(told[0]) > 1000:
        return f"told of its failure in a line of {len(told[0])} characters"
    return "failed and changed files" if changed else ""


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with a hash of what it holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(folder))] = digest
    return found


def temporary(names: dict[str, str]) -> list[str]:
    """Those of the files that have a temporary name."""
    return [name for name in names if TEMPORARY_NAME.fullmatch(Path(name).name)]


@contextlib.contextmanager
def watched(seen: list[str]) -> Iterator[None]:
    """Note what this process starts or unpickles meanwhile. Python has no way to take an audit hook out again."""
    global _watched, _hooked
    if not _hooked:
        sys.addaudithook(_note)
        _hooked = True
    _watched = seen
    try:
        yield
    finally:
        _watched = None


def _note(event: str, arguments: tuple) -> None:
    if _watched is None or event not in FORBIDDEN:
        return
    if event == "pickle.find_class" and _is_numbas():
        return  # its cache of compiled functions, which is this user's own
    if event == "exec":  # modules are run as they are imported; what is compiled from a text has no file
        name = getattr(arguments[0], "co_filename", "")
        if os.path.exists(name) or name.startswith("<"):  # noqa: PTH110 - no Path inside an audit hook
            return
    words = " ".join(map(str, arguments))[:200]
    if "ffmpeg" not in words:
        _watched.append(f"{event} {words}")


def _is_numbas() -> bool:
    """Whether numba is among what led here."""
    frame = sys._getframe(1)
    while frame is not None and not str(frame.f_globals.get("__name__")).startswith("numba."):
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise :class:`HangError` after so many seconds of work, or ten times as many of waiting, where signals reach."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_: object) -> None:
        raise HangError

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, 10 * seconds)}
    before = {number: signal.signal(number, stop) for number in timers}
    for timer, most in timers.values():
        signal.setitimer(timer, most)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
