"""Finding the input files of a dataset: every real file once, under a name that a table can hold."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MAX_SLUG = 80  # characters of a name that go into a file name, which may have 255 bytes in all


def find_sources(inputs: list[Path], suffixes: tuple[str, ...], *, thing: str) -> list[tuple[Path, str]]:
    """(path, name relative to its input) of every input file, sorted by name; folders are searched for ``suffixes``.

    Symbolic links are followed. A file that is reached in several ways is listed once, under a name without links where
    it has one. Files of one name in several inputs get the names of so many folders in front that they differ. A folder
    below an input that can't be read is listed itself, so that scanning it gives the reason.

    Args:
        thing: what they are called in an error, "video".

    Raises:
        ValueError: an input that does not exist or can't be read, or a folder without such files.
    """
    found: dict[Path, tuple[Path, Path]] = {}  # real path -> (as it was found, the input's folder)
    for given in inputs:
        if given.is_dir():
            paths = _with_suffix(given, suffixes)
            if not paths:
                raise ValueError(f"{given}: no {thing}s in this folder (known: {' '.join(suffixes)})")
            for path in paths:
                found.setdefault(_real(path), (path, given))
        elif given.is_file():
            found.setdefault(_real(given), (given, given.parent))
        else:
            reason = f"neither a {thing} nor a folder" if given.exists() else f"no such {thing} or folder"
            raise ValueError(f"{printable(str(given))}: {reason}")
    return sorted(_distinct_names(found).items(), key=lambda item: (item[1], item[0]))


def _with_suffix(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files below a folder, those without a link in their path first, and folders that can't be read."""
    paths = []
    for path, is_file in _walk(folder):
        if not is_file and path == folder:
            raise ValueError(f"{folder}: can't be read, change its permissions")
        if not is_file or path.suffix.lower() in suffixes:
            paths.append(path)
    return paths


def _walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """(path, whether it is a file) of files and unreadable folders, real ones first, each real folder once."""
    visited: set[Path] = set()
    folders = [folder]
    links: list[Path] = []
    linked_files: list[Path] = []
    while folders or links:
        here = folders.pop() if folders else links.pop(0)
        real = _real(here)
        if real in visited:
            continue
        visited.add(real)
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:
            yield here, False
            continue
        below: list[Path] = []
        for entry in entries:
            path = here / entry.name
            if os.path.isdir(path):  # noqa: PTH112 - false for a link to itself, where others raise
                (links if entry.is_symlink() else below).append(path)
            elif entry.is_symlink():  # a broken one too: scanning says what is wrong with it
                linked_files.append(path)
            elif entry.is_file():  # and no pipe, which would be waited for
                yield path, True
        folders += reversed(below)
    yield from ((path, True) for path in linked_files if path.is_file() or not path.exists())


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve() without an exception for a link to itself


def _distinct_names(found: dict[Path, tuple[Path, Path]]) -> dict[Path, str]:
    """A name for each file: its path from the input's folder on, and folders above that while several share it."""
    named = {}
    for real, (path, folder) in found.items():
        parents = folder.absolute().parts[1:]
        named[real] = [path.relative_to(folder).as_posix(), *reversed(parents)]
    names = {real: printable(parts[0]) for real, parts in named.items()}
    for depth in range(1, max((len(parts) for parts in named.values()), default=1)):
        taken = Counter(names.values())
        for real, parts in named.items():
            if taken[names[real]] > 1 and depth < len(parts):
                names[real] = printable("/".join([*reversed(parts[1 : depth + 1]), parts[0]]))
    return names


def printable(name: str) -> str:
    """A file name as one line of valid text: control characters and stray bytes as escapes, ``\\n``, ``\\xff``."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        one.encode("unicode_escape").decode() if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one
        for one in text
    )


def sequence_id(name: str, sha256: str, number: int) -> str:
    """File name of a sequence without suffix: letters of the source's name, part of its hash, and a number.

    Accents are dropped and other scripts left out; the 12 digits of the hash keep apart what then looks the same.

    Args:
        name: of the source, relative to its input.
        number: start frame, or number among the source's sequences.
    """
    plain = unicodedata.normalize("NFKD", PurePosixPath(name).stem).encode("ascii", "ignore")
    slug = re.sub(r"[^A-Za-z0-9]+", "_", plain.decode())[:MAX_SLUG].strip("_")
    return f"{slug or 'source'}-{sha256[:12]}_{number:05d}"
