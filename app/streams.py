"""``-`` in place of a photo or of the loop: standard input and output."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.options import FileOptions

STREAM = "-"
INPUTS = (Path(STREAM), Path("/dev/stdin"))
INPUT, OUTPUT = "standard input", "standard output"


@dataclass(frozen=True)
class Streams:
    """The photos and files of a run, with temporary files in the place of streams."""

    photos: Sequence[Path]
    files: FileOptions
    names: dict[str, str]  # temporary file -> what it stands for

    def shown(self, told: Any) -> Any:
        """A text, or texts in lists and dictionaries, that name streams by what they are."""
        if isinstance(told, str):
            for path, name in self.names.items():
                told = told.replace(path, name)
        elif isinstance(told, list):
            return [self.shown(value) for value in told]
        elif isinstance(told, dict):
            return {key: self.shown(value) for key, value in told.items()}
        return told


@contextlib.contextmanager
def open_streams(photos: Sequence[Path], files: FileOptions) -> Iterator[Streams]:
    """Put what comes from standard input into a file, and at the end the loop's file into standard output.

    Meanwhile all that is printed goes to standard error, where a video goes to standard output. Errors name the
    streams.

    Raises:
        ValueError: a terminal as standard output, a photo from it among others, or files without a name.
    """
    reads, writes = any(photo in INPUTS for photo in photos), files.output == STREAM
    if writes:
        _check_output(files, several=len(photos) > 1)
    if not (reads or writes):
        yield Streams(photos, files, {})
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        taken, given = Path(folder) / "stdin", Path(folder) / "loop.mp4"
        streams = Streams(photos, files, {str(taken): INPUT, str(given): OUTPUT})
        if reads:
            with taken.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
            streams = replace(streams, photos=[taken if photo in INPUTS else photo for photo in photos])
        binary = sys.stdout.buffer if writes else None
        if binary:
            streams = replace(streams, files=replace(files, output=str(given)))
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        try:
            yield streams
        except ValueError as error:
            raise ValueError(streams.shown(str(error))) from error
        if binary:
            with given.open("rb") as file:
                shutil.copyfileobj(file, binary)
            binary.flush()


def _check_output(files: FileOptions, *, several: bool) -> None:
    if several:
        raise ValueError("--output -: standard output takes the loop of one photo; give one photo at a time")
    if files.preview or files.show_motion or files.xt_slice is not None:
        raise ValueError("--output -: --preview, --show-motion and --xt-slice name their files after OUT; give a file")
    if files.variations or files.pick:
        raise ValueError("--output -: --variations and --pick name their files after OUT; give a file")
    if sys.stdout.isatty():
        raise ValueError("--output -: standard output is a terminal; send it to a file or a program")
