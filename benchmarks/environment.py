"""What this machine has of what the repository can use, what is missing, and what that costs.

Examples:
  python -m benchmarks.environment
  python -m benchmarks.environment --json
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from common.command_line import OneLineParser, run_script

ROOT = Path(__file__).parents[1]
WEIGHTS = ("motion", "motion_teacher", "frame_synthesis")  # folders that come with the repository
# Import, distribution, what it is for, what works without it.
PACKAGES = (
    (
        "diffusers",
        "diffusers",
        "the samplers ddim and ddpm, and the preset reference",
        "dpmsolver++, the default, needs none",
    ),
    (
        "cv2",
        "opencv-python-headless",
        "reading videos, preparing data, the baseline remap",
        "training on prepared data and rendering go on",
    ),
    (
        "numba",
        "numba",
        "optical flow on the processor, and planning a splat there",
        "splatting sorts instead, three times as slow on the processor",
    ),
    ("imageio_ffmpeg", "imageio-ffmpeg", "writing MP4 and GIF", "WebP and APNG are written by Pillow"),
    ("PIL", "pillow", "reading and writing pictures", "nothing that shows a picture works"),
    ("matplotlib", "matplotlib", "plots of training and reports", "training ends with an error when it plots"),
    ("scipy", "scipy", "localisation, a figure of validation", "the motion model can't be validated"),
    ("torchmetrics", "torchmetrics", "the networks of FID and LPIPS", "those metrics are left out"),
    ("accelerate", "accelerate", "training in several processes", "one process needs none"),
    ("torchvision", "torchvision", "the estimator raft", "the other estimators go on"),
)


@dataclass(frozen=True)
class Finding:
    """One thing that is there or is not."""

    name: str
    there: bool
    detail: str  # version or place; where it is missing, what that means


def main(argv: list[str] | None = None) -> int:
    """Print what there is and what is missing."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="as JSON, for other programs")
    return run_script(_print, parser.parse_args(argv))


def _print(arguments: argparse.Namespace) -> None:
    found = list(findings())
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in found], indent=1))
        return
    print(describe(found))


def describe(found: list[Finding]) -> str:
    """Readable lines: what is there, then what is missing."""
    width = max(len(finding.name) for finding in found)
    lines = ["This machine has"]
    lines += [f"  {finding.name:{width}}  {finding.detail}" for finding in found if finding.there]
    missing = [f"  {finding.name:{width}}  {finding.detail}" for finding in found if not finding.there]
    return "\n".join(lines + (["and lacks", *missing] if missing else ["and lacks nothing that is looked for here."]))


def findings() -> Iterator[Finding]:
    """Everything that is looked for."""
    yield Finding("Python", True, platform.python_version())
    yield Finding("processor", True, f"{os.cpu_count()} cores, {platform.machine()}")
    yield from _torch()
    yield _cupy()
    for module, distribution, purpose, without in PACKAGES:
        yield _package(module, distribution, purpose, without)
    yield _program("ffmpeg", ("ffmpeg",), "imageio-ffmpeg brings one of its own where it is installed")
    yield _program("C++ compiler", ("g++", "clang++"), "torch.compile on the processor and the rehearsal need one")
    yield _program("nvcc", ("nvcc",), "only two tests use it; CuPy compiles the kernels without")
    yield _program("Chromium", ("chromium", "chromium-browser", "google-chrome"), "the tests of pages skip themselves")
    yield _weights()
    yield from _metric_networks()


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("PyTorch", False, f"nothing works without it ({error}); pip install -r requirements.txt")
        return
    yield Finding("PyTorch", True, torch.__version__)
    if not torch.cuda.is_available():
        built = f"PyTorch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "PyTorch is built without"
        yield Finding("CUDA", False, f"no NVIDIA GPU that PyTorch can use ({built}); everything runs on the processor")
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        bfloat16 = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bfloat16"
        capability = f"compute capability {properties.major}.{properties.minor}"
        detail = f"{properties.name}, {memory}, {capability}, {bfloat16}; CUDA {torch.version.cuda}"
        yield Finding(f"CUDA device {index}", True, detail)
    found = _importable("triton")
    without = "torch.compile can't make kernels; nothing but a comparison uses it"
    yield Finding("Triton", not found, _version("triton") if not found else without)


def _cupy() -> Finding:
    problem = _importable("cupy")
    if problem:
        cost = "on a GPU splatting is slower and coarse2fine-cuda does not run"
        return Finding("CuPy", False, f"{problem}; {cost}: see requirements-gpu.txt")
    try:
        import cupy
    except Exception as error:  # installed for another CUDA, or broken in its own way
        return Finding("CuPy", False, f"can't be imported ({(str(error).splitlines() or [''])[0]})")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        runtime = cupy.cuda.runtime.runtimeGetVersion()
    except Exception as error:  # of the driver, the runtime or CuPy, as the machine has it
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        return Finding("CuPy", False, f"{cupy.__version__} is installed but finds no GPU ({reason})")
    return Finding("CuPy", True, f"{cupy.__version__}, CUDA runtime {runtime}, {count} device(s)")


def _package(module: str, distribution: str, purpose: str, without: str) -> Finding:
    problem = _importable(module)
    return Finding(distribution, not problem, f"{problem}; {purpose}: {without}" if problem else _version(distribution))


def _importable(module: str) -> str:
    """Empty, or that a module is not there; it is looked for without being imported, which takes long for some."""
    try:
        return "" if importlib.util.find_spec(module) else "not installed"
    except (ImportError, ValueError) as error:
        return f"can't be imported ({error})"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "installed"


def _program(name: str, programs: tuple[str, ...], without: str) -> Finding:
    places = [place for place in map(shutil.which, programs) if place]
    return Finding(name, bool(places), places[0] if places else without)


def _weights() -> Finding:
    files = [ROOT / "models" / "pretrained" / part / "model.safetensors" for part in WEIGHTS]
    missing = [str(path.relative_to(ROOT)) for path in files if not path.is_file()]
    if missing:
        return Finding("pretrained weights", False, f"{', '.join(missing)}: get them with git, or train")
    size = sum(path.stat().st_size for path in files) / 1e6
    return Finding("pretrained weights", True, f"{size:.0f} MB in models/pretrained")


def _metric_networks() -> Iterator[Finding]:
    from evaluation.networks.weights import WEIGHTS, MissingWeightsError, find_weights

    for name in WEIGHTS:
        try:
            yield Finding(f"metric network {name}", True, str(find_weights(name)))
        except MissingWeightsError as error:
            yield Finding(f"metric network {name}", False, str(error))


if __name__ == "__main__":
    sys.exit(main())
