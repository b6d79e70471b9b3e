"""What every script's command line shares: one-line errors with the right exit status, devices, sizes and reports."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from common.files import temporary_path
from common.plain import as_tuple

Options = TypeVar("Options")

# The packages whose versions a report records.
REPORTED_PACKAGES = (
    *("torch", "torchvision", "diffusers", "safetensors", "numpy", "scipy", "numba", "opencv-python-headless"),
    *("torchmetrics", "torch-fidelity", "accelerate"),
)


class MachineFailure(Exception):  # noqa: N818 - it is the machine that failed, not the input
    """The machine failed, not the input: a full disk, a worker that died. The message is one line."""


def run_script(script: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> int:
    """Run a script's body and turn what goes wrong into one line on stderr and an exit status.

    Bad input (`ValueError`, `OSError`) gives 2; a loss that is not finite, or a `MachineFailure`, gives 1; Ctrl-C gives
    130. Anything else is a defect of ours: its traceback is kept, because a report needs it, and Python ends with
    status 1.
    """
    wait_without_spinning()
    try:
        check_writable(getattr(arguments, "report", None))
        script(arguments)
    except (ValueError, OSError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, OSError) and error.filename is not None:
            message = f"{error.filename}: {error.strerror}; check the path, its permissions and the space left"
        print(f"error: {message}", file=sys.stderr)
        return 2
    except (FloatingPointError, MachineFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def wait_without_spinning() -> None:
    """Let OpenMP's threads sleep while they wait for each other, unless the environment says how they shall wait.

    PyTorch's wait in a loop, and beside other programs that keep a core busy they wait most of the time: all took
    two to three times as long. On an idle machine sleeping costs about 5 % (docs/performance.md). OpenMP looks at this
    when it is loaded, so it has to be said before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """The options that every script has: device, seed and report."""
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="device to compute on (default: the best available)",
    )
    parser.add_argument("--seed", type=parse_seed, default=0, help="seed of everything random (default: 0)")
    parser.add_argument(
        "--report", type=Path, metavar="FILE.json", help="write what was run, versions, timings and results"
    )


def options_of(kind: type[Options], arguments: argparse.Namespace, **changed: Any) -> Options:
    """A dataclass of options: what is given here, then the arguments of the same names, then the fields' defaults.

    Lists become tuples, since options are frozen.

    Raises:
        ValueError: options that contradict each other.
    """
    same = {field.name for field in fields(kind)} & vars(arguments).keys() - changed.keys()  # type: ignore[arg-type]
    return kind(**{name: as_tuple(getattr(arguments, name)) for name in same}, **changed)


def select_device(name: str):  # -> torch.device, which is not imported here for the sake of `--help`
    """The torch device of a ``--device`` choice; ``auto`` takes CUDA, then MPS, then the CPU."""
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise ValueError(f"--device {name}: this machine has none; use --device cpu")
    return torch.device(name)


def parse_size(text: str) -> tuple[int, int]:
    """``256x160`` -> (256, 160), width first as on every command line here."""
    width, separator, height = text.lower().partition("x")
    if not separator or not width.isdigit() or not height.isdigit() or min(int(width), int(height)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 256x160")
    return int(width), int(height)


def parse_seed(text: str) -> int:
    """A whole number from 0 to 2^62, which all generators of random numbers here take."""
    if not (text.isascii() and text.isdigit() and int(text) <= 2**62):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2^62")
    return int(text)


def check_writable(path: Path | None, folder: bool = False) -> None:
    """Find out before hours of work whether a file, or with ``folder`` a folder, can be written; nothing is created.

    Raises:
        ValueError: one line that says why not.
    """
    if path is None:
        return
    if not folder and path.is_dir():
        raise ValueError(f"{path}: is a folder; name a file in it")
    place = (path if folder else path.parent).absolute()
    there = next(parent for parent in (place, *place.parents) if parent.exists())
    if not there.is_dir():
        raise ValueError(f"{path}: {there} is a file, not a folder; choose another path")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{path}: {there} can't be written to; choose another path or change its permissions")


def package_versions() -> dict[str, str]:
    """Versions of Python, the machine and the packages that results may depend on."""
    versions = {"python": platform.python_version(), "machine": platform.platform()}
    for name in REPORTED_PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def write_json(path: Path, values: dict) -> None:
    """Write JSON through a temporary file, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_path(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n")


def write_report(path: Path | None, script: str, arguments: argparse.Namespace, results: dict) -> None:
    """Write the ``--report`` file if one was asked for: command, versions, and the results given."""
    if path is None:
        return
    options = {key: _primitive(value) for key, value in vars(arguments).items()}
    write_json(path, {"script": script, "options": options, "versions": package_versions(), **results})


def _primitive(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_primitive(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class OneLineParser(argparse.ArgumentParser):
    """argparse without the usage text in front of an error."""

    def error(self, message: str):
        self.exit(2, f"error: {message} (see --help)\n")


# Argument types -------------------------------------------------------------------------------------------------------


def frame_size(text: str) -> tuple[int, int]:
    """``256x160`` -> (256, 160), large enough for the models."""
    size = parse_size(text)
    if min(size) < MIN_SIDE:
        raise argparse.ArgumentTypeError(f"{text!r} is too small, each side needs {MIN_SIDE} pixels or more")
    return size


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def frame_count(text: str) -> int:
    """A whole number above 1: one frame has no motion."""
    if not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 1")
    return int(text)


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def frame_rate(text: str) -> float:
    """Frames a second, up to the `MAX_FPS` that videos may have."""
    value = positive(text)
    if value > MAX_FPS:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {MAX_FPS} frames a second")
    return value


def not_negative(text: str) -> float:
    """A finite number of 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return value


MAX_FPS = 1000  # a file that says more, or less than 1, is not believed
MIN_SIDE = 16  # pixels; below it there is nothing that could move, and the models' strides do not fit
