"""Photos -> maps: ``python -m data.synthetic.maps PHOTO... --class-network F --subject-network F ...``.

What `data.synthetic` reads to know what a photo shows. The same command goes on with an unfinished folder.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.command_line import OneLineParser, run_script, write_report
from common.files import remove_stale_files
from common.hashing import file_sha256
from data.footage.find import find_sources
from data.media.images import IMAGE_SUFFIXES
from data.synthetic.maps.files import FOLDER, expected_metadata, maps_path, read_metadata, write_maps
from data.synthetic.maps.networks import ClassNetwork, MatteNetwork, Networks

EXAMPLES = """examples:
  python -m data.synthetic.maps photos/ --class-network deeplabv3_mnv2_ade20k_int8.tflite
  python -m data.synthetic.maps photos/ --maps maps --class-network C.tflite --subject-network isnet.onnx
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``python -m data.synthetic.maps``."""
    parser = OneLineParser(
        prog="python -m data.synthetic.maps",
        description="Classes, subject and saliency of photos, for data.synthetic. Each network is optional.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="PHOTO_OR_FOLDER", help="photos, and folders to search for photos")
    add("--maps", type=Path, metavar="DIR", help="where to keep the maps (default: maps, beside the photos)")
    add("--class-network", type=Path, metavar="TFLITE", help="DeepLabv3+ MobileNetV2 ADE20K, int8: what is where")
    add("--subject-network", type=Path, metavar="ONNX", help="IS-Net: the matte of the subject")
    add("--saliency-network", type=Path, metavar="ONNX", help="u2netp: a coarser matte")
    add("--report", type=Path, metavar="FILE", help="JSON file with what was run and its timings")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_script(make_maps, build_parser().parse_args(argv))


def default_folder(inputs: list[Path]) -> Path:
    """The folder of maps beside the photos: within the first folder given, or beside the first photo."""
    first = inputs[0]
    return (first if first.is_dir() else first.parent) / FOLDER


def make_maps(arguments: argparse.Namespace) -> None:
    """Make the maps that the command line describes."""
    started = time.perf_counter()
    names = find_sources(arguments.inputs, IMAGE_SUFFIXES, thing="photo")
    networks = load_networks(arguments)
    folder = arguments.maps or default_folder(arguments.inputs)
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale_files(folder)
    counts = {"made": 0, "present": 0, "skipped": 0}
    for path, name, problem in _process([path for path, _ in names], folder, networks):
        counts[name] += 1
        if problem:
            print(f"warning: {path.name}: {problem}", file=sys.stderr)
    print(f"{folder}: maps of {counts['made'] + counts['present']} photos, {counts['made']} made now")
    timings = {"maps": time.perf_counter() - started}
    write_report(arguments.report, "data.synthetic.maps", arguments, {"timings_seconds": timings, "results": counts})
    if counts["skipped"] == len(names):
        raise ValueError(f"{folder}: none of the photos could be used")


def load_networks(arguments: argparse.Namespace) -> Networks:
    """The networks that were named; says in one line which are missing.

    Raises:
        ValueError: none was named, or one can't be loaded.
    """
    files = {
        "--class-network": arguments.class_network,
        "--subject-network": arguments.subject_network,
        "--saliency-network": arguments.saliency_network,
    }
    missing = [option for option, path in files.items() if path is None]
    if len(missing) == len(files):
        raise ValueError(f"no network is named; give at least one of {', '.join(files)}")
    for path in filter(None, files.values()):
        if not path.is_file():
            raise ValueError(f"{path}: no such file")
    if missing:
        print(f"without {' and '.join(missing)}, the maps lack what that network would say", file=sys.stderr)
    return Networks(
        ClassNetwork(arguments.class_network) if arguments.class_network else None,
        MatteNetwork(arguments.subject_network) if arguments.subject_network else None,
        MatteNetwork(arguments.saliency_network) if arguments.saliency_network else None,
    )


def _process(photos: list[Path], folder: Path, networks: Networks) -> Iterator[tuple[Path, str, str | None]]:
    """Make what is missing; yield each photo with what became of it, and what was wrong with it."""
    from tqdm import tqdm

    description = networks.description()
    first_of: dict[str, Path] = {}
    for photo in tqdm(photos, unit=" photos", dynamic_ncols=True, leave=False):
        other = first_of.setdefault(photo.stem, photo)
        try:
            if other != photo:
                raise ValueError(f"its maps would have the name of those of {other}; rename one of them")
            metadata = expected_metadata(photo, file_sha256(photo), description)
            target = maps_path(folder, photo)
            if _holds(read_metadata(target), metadata):
                yield photo, "present", None
                continue
            maps = networks.maps_of(_upright(photo))
        except (OSError, ValueError) as error:
            yield photo, "skipped", str(error)
            continue
        write_maps(target, maps, metadata)  # a full disk does end the run
        yield photo, "made", None


def _upright(photo: Path):  # -> PIL.Image.Image
    from PIL import Image

    from data.media.images import read_image

    return Image.fromarray(np.ascontiguousarray(read_image(photo)))


def _holds(present: dict[str, str] | None, wanted: dict[str, str]) -> bool:
    """Whether a file has what is wanted; it may hold maps of further networks."""
    return present is not None and wanted.items() <= present.items()
