"""What every script's command line shares: one-line errors with the right exit status, devices, sizes and reports."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from common.files import DISK_FULL, write_text
from common.option_types import parse_seed
from common.output_paths import check_writable
from common.plain import as_tuple

Options = TypeVar("Options")

VERSION = "0.1.0"  # as CITATION.cff has it

# The packages whose versions a report records.
REPORTED_PACKAGES = (
    *("torch", "torchvision", "diffusers", "safetensors", "numpy", "scipy", "numba", "opencv-python-headless"),
    *("torchmetrics", "torch-fidelity", "accelerate"),
)

LONGEST_LINE = 800  # characters of an error
OWN_MODULES = r"(app|baselines|common|data|evaluation|models|training)\."


class MachineFailure(Exception):  # noqa: N818 - it is the machine that failed, not the input
    """The machine failed, not the input: a full disk, a worker that died. The message is one line."""


class PartFailure(Exception):  # noqa: N818 - the other parts have been made
    """Some of several inputs could not be worked with; a line for each of them."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = tuple(lines)


def run_script(script: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> int:
    """Run a script's body and turn what goes wrong into one line on stderr and an exit status.

    Bad input (`ValueError`, `OSError`) gives 2; a full disk, a loss that is not finite, or a `MachineFailure`, gives 1,
    and so does a `PartFailure`, with a line for each part; Ctrl-C gives 130. Anything else is a defect of ours: its
    traceback is kept, because a report needs it, and Python ends with status 1.
    """
    wait_without_spinning()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal's encoding lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        with quiet_libraries():
            check_writable(getattr(arguments, "report", None))
            script(arguments)
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1 if is_disk_full(error) else 2
    except PartFailure as failure:
        for line in failure.lines:
            print(f"error: {line}", file=sys.stderr)
        return 1
    except (FloatingPointError, MachineFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let `kill` and a closed terminal end the program as Ctrl-C does, so that temporary files go.

    A signal that is ignored stays so, as `nohup` wants it. Only the main thread can: elsewhere this changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    caught = [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, interrupt) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_disk_full(error: BaseException) -> bool:
    """Whether there is no room for a file, which no other input would change."""
    return isinstance(error, OSError) and error.errno in DISK_FULL


def one_line(error: Exception) -> str:
    """What went wrong, as it is told on a terminal."""
    return _shortened(_described(error))


def _shortened(line: str) -> str:
    """A line without the middle of a value that is thousands of characters long."""
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 200]} ... {line[-200:]}"


def _described(error: Exception) -> str:
    if not isinstance(error, OSError) or error.errno is None:
        return " ".join(str(error).split()) or type(error).__name__
    advice = "free some space and run the same command again"
    if error.errno not in DISK_FULL:
        advice = "check the path and its permissions"
    named = isinstance(error.filename, str | bytes)
    place = f"{os.fsdecode(error.filename)}: " if named else ""
    return f"{place}{error.strerror}; {advice}"


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what libraries have to say to programmers off a user's terminal; our own warnings are told in one line.

    What Python is asked to show, by ``-W`` or ``PYTHONWARNINGS``, is shown.
    """
    for library in ("DIFFUSERS", "TRANSFORMERS", "HF_HUB"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    silent = logging.NullHandler()  # without any, logging prints warnings by itself
    with warnings.catch_warnings():
        if not sys.warnoptions and "PYTHONWARNINGS" not in os.environ:
            warnings.simplefilter("ignore")
            warnings.filterwarnings("once", module=OWN_MODULES)
            warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
        logging.getLogger().addHandler(silent)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(silent)


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
    add_seed_option(parser)
    add_report_option(parser)


def add_seed_option(parser: argparse.ArgumentParser) -> None:
    """``--seed``."""
    parser.add_argument("--seed", type=parse_seed, default=0, help="seed of everything random (default: 0)")


def add_report_option(parser: argparse.ArgumentParser) -> None:
    """``--report``."""
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


def package_versions() -> dict[str, str]:
    """Versions of Python, the machine and the packages that results may depend on."""
    versions = {"python": platform.python_version(), "machine": platform.platform()}
    installed = {name: _installed_version(name) for name in REPORTED_PACKAGES}
    return versions | {name: found for name, found in installed.items() if found is not None}


@cache
def _installed_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write_json(path: Path, values: dict) -> None:
    """Write JSON through a temporary file, so that a reader never sees half of it."""
    write_text(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


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
    """argparse without the usage text in front of an error, and with ``--version``, for all scripts."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.add_argument("--version", action="version", version=f"generative-image-dynamics {VERSION}")

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's, which takes the ``--`` in ``--steps=--`` for the end of the options and then fails."""
        words = sys.argv[1:] if args is None else list(args)
        for word in words[: words.index("--") if "--" in words else None]:
            option, separator, value = str(word).partition("=")
            if separator and value == "--" and option.startswith("-"):
                self.error(f"argument {option}: '--' is not a value")
        return super().parse_known_args(words, namespace)

    def error(self, message: str):
        self.exit(2, f"error: {_shortened(' '.join(message.split()))} (see --help)\n")
