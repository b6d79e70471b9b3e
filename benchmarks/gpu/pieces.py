"""A checkpoint in files that are small enough to be carried one by one, and one again of them.

The files of the checkpoint are archived (zip, deflated) and cut: ``NAME.zip.1of3`` and so on. Joining checks that all
pieces are there and belong together.

Examples:
  python -m benchmarks.gpu.pieces results/motion --output runs/from_gpu
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from common.command_line import OneLineParser, run_script
from common.files import temporary_path

LARGEST = 15 * 1024 * 1024  # bytes of a piece
DIGEST = 16  # characters of the archive's hash that each piece begins with, so that pieces of two do not mix
PIECE = re.compile(r"(?P<name>.+)\.zip\.(?P<number>\d+)of(?P<count>\d+)")


def write_pieces(folder: Path, names: Sequence[str], *, target: Path, largest: int = LARGEST) -> list[Path]:
    """Write some files of a folder as pieces ``target.zip.1of3`` ..., in place of those of an earlier call.

    Args:
        names: of the files, those that are not there are left out.
        target: without the ending.
        largest: bytes of a piece.

    Raises:
        ValueError: none of the files is there.
    """
    there = [name for name in names if (folder / name).is_file()]
    if not there:
        raise ValueError(f"{folder}: none of {', '.join(names)} is there, nothing to divide")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in there:
            archive.write(folder / name, name)
    data = buffer.getvalue()
    head, step = _digest(data), largest - DIGEST
    count = -(-len(data) // step)
    written = []
    for number in range(count):
        path = target.with_name(f"{target.name}.zip.{number + 1}of{count}")
        with temporary_path(path) as temporary:
            temporary.write_bytes(head + data[number * step : (number + 1) * step])
        written.append(path)
    for path in find_pieces(target):
        if path not in written:
            path.unlink(missing_ok=True)
    return written


def find_pieces(target: Path) -> list[Path]:
    """All pieces of a name, in no order."""
    found = [(path, PIECE.fullmatch(path.name)) for path in target.parent.glob(f"{target.name}.zip.*")]
    return [path for path, match in found if match and match["name"] == target.name]


def join_pieces(target: Path, output: Path) -> list[Path]:
    """The files that :func:`write_pieces` divided, written to a folder; returns their paths.

    Raises:
        ValueError: a piece is missing, or they do not belong together.
    """
    pieces = {}
    for path in find_pieces(target):
        match = PIECE.fullmatch(path.name)
        assert match is not None
        pieces[int(match["count"]), int(match["number"])] = path
    if not pieces:
        raise ValueError(f"{target}.zip.1of...: no such piece; name what stands before .zip")
    count = max(count for count, _ in pieces)
    missing = [str(number) for number in range(1, count + 1) if (count, number) not in pieces]
    if missing:
        raise ValueError(f"{target}: of {count} pieces {', '.join(missing)} is missing; copy it beside the others")
    contents = [pieces[count, number].read_bytes() for number in range(1, count + 1)]
    data = b"".join(content[DIGEST:] for content in contents)
    if any(content[:DIGEST] != _digest(data) for content in contents):
        raise ValueError(f"{target}: the pieces are damaged or not of one checkpoint; copy them again")
    output.mkdir(parents=True, exist_ok=True)
    written = []
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if Path(name).name != name:
                raise ValueError(f"{target}: holds {name!r}, which is no plain file")
            with temporary_path(output / name) as temporary:
                temporary.write_bytes(archive.read(name))
            written.append(output / name)
    return written


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest()[:DIGEST].encode()


def main(argv: list[str] | None = None) -> int:
    """Join pieces; returns the exit status."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pieces", type=Path, metavar="NAME", help="of the pieces, without .zip.1of3")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="for the checkpoint's files")
    return run_script(_join, parser.parse_args(argv))


def _join(arguments: argparse.Namespace) -> None:
    for path in join_pieces(arguments.pieces, arguments.output):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
