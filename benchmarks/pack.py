"""Pack a dataset folder for training elsewhere: one small file with what training reads and nothing else.

What training reads of it afterwards is the same to the last bit: photo and motion of each sequence (the lowest
frequencies that the model knows), with --renderer also its later frames and their flow. What does not fit the limit is
left out in a fixed order: sequences are taken from all sources in turn, each source's first, then each one's second;
after three sequences for training comes one for validation, of which each source gives one; the first that does not fit
ends it.

Examples:
  python -m benchmarks.pack dataset --limit 40M --output film.pack
  python -m benchmarks.pack --unpack film.pack --output dataset
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.packed_tensors import decode, encode
from common.command_line import OneLineParser, run_script, write_json
from common.files import temporary_path
from common.tensor_files import save_tensors
from data.dataset.manifest import COLUMNS, load_manifest, load_statistics, write_manifest
from data.dataset.sequence_file import read_metadata, read_sequence, read_slice, sequence_path

VERSION = 1
HEADER = "pack.json"
TRAIN_A_VALIDATION = 3  # sequences for training before each one for validation
RESERVED = 4096  # bytes of a file for its directory, besides 256 for each member
UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3}


@dataclass(frozen=True)
class Packed:
    """What came into a file."""

    sequences: int
    left_out: int
    size: int  # bytes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("dataset", type=Path, nargs="?", metavar="DATASET", help="folder that data.prepare wrote")
    add("--unpack", type=Path, metavar="FILE.pack", help="make a dataset folder of a packed file instead")
    add("--output", "-o", type=Path, required=True, metavar="PATH", help="the file, or with --unpack the folder")
    add("--limit", type=parse_bytes, default="40M", metavar="SIZE", help="of the file, such as 40M (default: 40M)")
    add("--frequencies", type=int, default=16, metavar="K", help="lowest ones that are kept (default: 16)")
    add("--renderer", action="store_true", help="keep later frames and flow too, for train_frame_synthesis.py")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Pack or unpack; returns the exit status."""
    return run_script(_work, build_parser().parse_args(argv))


def _work(arguments: argparse.Namespace) -> None:
    if (arguments.dataset is None) == (arguments.unpack is None):
        raise ValueError("give either a DATASET to pack or --unpack FILE.pack")
    if arguments.unpack is not None:
        count = unpack(arguments.unpack, arguments.output)
        print(f"{arguments.output}: {count} sequences, ready for train_unet.py --data {arguments.output}")
        return
    packed = pack(
        arguments.dataset,
        arguments.output,
        limit=arguments.limit,
        frequencies=arguments.frequencies,
        renderer=arguments.renderer,
    )
    rest = f"; {packed.left_out} sequences did not fit" if packed.left_out else "; nothing was left out"
    print(f"{arguments.output}: {packed.sequences} sequences in {packed.size / 1e6:.1f} MB{rest}")


def parse_bytes(text: str) -> int:
    """``40M`` -> 40,000,000; also k and G, and plain numbers."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in ("k", "M", "G") else (text, "")
    if not number.isdigit() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 40M")
    return int(number) * UNITS[unit]


# ---- Packing ----


def pack(dataset: Path, output: Path, *, limit: int, frequencies: int = 16, renderer: bool = False) -> Packed:
    """Write a file of at most ``limit`` bytes from a dataset folder.

    Args:
        frequencies: K, the lowest so many of those stored, or all where there are fewer.
        renderer: keep later frames and their flow as well.

    Raises:
        ValueError: no dataset there, or not even the first sequence fits.
    """
    statistics = load_statistics(dataset)
    known = min(frequencies, statistics["num_frequencies"])
    rows: list[dict] = []
    used, left = RESERVED, 0
    with temporary_path(output) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
            headers = {}
            for row in packing_order(load_manifest(dataset)):
                members, header = _members(dataset, row, known, renderer)
                size = sum(len(data) + 256 + 2 * len(name) for name, data in members.items())
                size += len(json.dumps(header)) + len(str(row))
                if left or used + size > limit:
                    left += 1
                    if not rows:
                        raise ValueError(
                            f"{dataset}: its first sequence alone needs {size / 1e6:.1f} MB; raise --limit"
                        )
                    break
                for name, data in members.items():
                    _write(file, name, data)
                headers[row["id"]] = header
                used += size
                rows.append(row if renderer else row | {"stored_frames": 0})
            _write(file, "manifest.csv", _manifest(rows))
            cut = {name: values[:known] for name, values in statistics.items() if name in ("p95", "rms")}
            _write(file, "stats.json", json.dumps(statistics | cut | {"num_frequencies": known}).encode())
            _write(file, HEADER, json.dumps({"format_version": VERSION, "sequences": headers}).encode())
        size = temporary.stat().st_size
        if size > limit:
            raise ValueError(f"{output}: came out at {size} bytes, above --limit {limit}; lower it by a few thousand")
    return Packed(len(rows), len(list(packing_order(load_manifest(dataset)))) - len(rows), size)


def packing_order(rows: list[dict]) -> Iterator[dict]:
    """The sequences for training and validation in the order in which they are packed; see the module."""
    kept = [row for row in rows if row["status"] == "kept"]
    train = _in_turn([row for row in kept if row["split"] == "train"])
    first = {row["source"]: row for row in reversed(kept) if row["split"] == "validation"}
    validation = iter([row for row in kept if first.get(row["source"]) is row])
    for number, row in enumerate(train, 1):
        yield row
        if number % TRAIN_A_VALIDATION == 0 or number == len(train):
            yield from [found for found in [next(validation, None)] if found is not None]


def _in_turn(rows: list[dict]) -> list[dict]:
    """Each source's first sequence, then each one's second, and so on."""
    turns: dict[str, int] = {}
    numbered = []
    for row in rows:
        turns[row["source"]] = turns.get(row["source"], -1) + 1
        numbered.append((turns[row["source"]], row))
    return [row for _, row in sorted(numbered, key=lambda pair: pair[0])]  # stable: the manifest's order within a turn


def _members(dataset: Path, row: dict, frequencies: int, renderer: bool) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The packed tensors of a sequence by the names of their members, and what has to be known to unpack them."""
    path = sequence_path(dataset, row["id"])
    names = ["first_frame", *(("frames", "flows", "frame_indices") if renderer else ())]
    tensors = read_sequence(path, names) | {
        "spectral_volume": read_slice(path, "spectral_volume", slice(0, frequencies))
    }
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    metadata = read_metadata(path) | {"num_frequencies": str(len(arrays["spectral_volume"]))}
    metadata |= {} if renderer else {"stored_frames": "0"}
    metadata = dict(sorted(metadata.items()))  # which come in another order in each process
    shapes = {name: [array.dtype.name, list(array.shape)] for name, array in arrays.items()}
    members = {f"sequences/{row['id']}/{name}": encode(array) for name, array in arrays.items()}
    return members, {"tensors": shapes, "metadata": metadata}


def _manifest(rows: list[dict]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _write(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    # Without the time: the same dataset packs to the same bytes.
    file.writestr(zipfile.ZipInfo(name), data)


# ---- Unpacking ----


def unpack(path: Path, folder: Path) -> int:
    """Make a dataset folder of a packed file; returns its number of sequences.

    Raises:
        ValueError: not a packed file, or a folder that holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: there is something already, choose another --output")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as place:
        try:
            count = _unpack_into(path, Path(place) / folder.name)
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a packed dataset ({error}); pack it again with benchmarks.pack") from error
        os.replace(Path(place) / folder.name, folder)  # whole or not at all; an empty folder gives way
    return count


def _unpack_into(path: Path, folder: Path) -> int:
    with zipfile.ZipFile(path) as file:
        header = json.loads(file.read(HEADER))
        if header["format_version"] != VERSION:
            raise ValueError(f"format version {header['format_version']}, this program reads {VERSION}")
        _write_sequences(file, header["sequences"], folder)
        write_json(folder / "stats.json", json.loads(file.read("stats.json")))
        rows = list(csv.DictReader(io.StringIO(file.read("manifest.csv").decode())))
    write_manifest(folder / "manifest.csv", rows)
    return len(rows)


def _write_sequences(file: zipfile.ZipFile, sequences: dict[str, Any], folder: Path) -> None:
    (folder / "sequences").mkdir(parents=True)

    def write(entry: tuple[str, Any, dict[str, bytes]]) -> None:
        name, header, members = entry
        tensors = {
            tensor: torch.from_numpy(decode(members[tensor], kind, shape=tuple(shape)))
            for tensor, (kind, shape) in header["tensors"].items()
        }
        save_tensors(sequence_path(folder, name), tensors, header["metadata"])

    def entries() -> Iterator[tuple[str, Any, dict[str, bytes]]]:
        for name, header in sequences.items():
            if Path(name).name != name:
                raise ValueError(f"{name!r} is no name of a sequence")
            yield name, header, {tensor: file.read(f"sequences/{name}/{tensor}") for tensor in header["tensors"]}

    with ThreadPoolExecutor() as pool:  # bzip2 lets go of Python's lock
        list(pool.map(write, entries()))


if __name__ == "__main__":
    sys.exit(main())
