"""From published files of weights to tensors by the names that the metrics load; nothing but arrays is unpickled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.tensor_files import read_tensors, read_torch_file
from evaluation.networks.array_pickle import read_array_pickle, read_torchscript_arrays

DTDB_CLASSES = 18  # of the Dynamic Textures Database, which DTI3D was trained on
DTI3D_POOLED_FRAMES = {"dti3d_16": 2, "dti3d_32": 4}  # the final pooling of each variant

# Where torchvision's `features` have their convolutions.
ALEXNET_CONVOLUTIONS = (0, 3, 6, 8, 10)
VGG16_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
LPIPS_HEADS = 5

# torch-fidelity's InceptionV3, unit by unit in the order of the TensorFlow graph, which the TorchScript file keeps.
_INCEPTION_BLOCKS = {
    "A": "branch1x1 branch5x5_1 branch5x5_2 branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3 branch_pool",
    "B": "branch3x3 branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3",
    "C": "branch1x1 branch7x7_1 branch7x7_2 branch7x7_3 branch7x7dbl_1 branch7x7dbl_2 branch7x7dbl_3 branch7x7dbl_4 "
    "branch7x7dbl_5 branch_pool",
    "D": "branch3x3_1 branch3x3_2 branch7x7x3_1 branch7x7x3_2 branch7x7x3_3 branch7x7x3_4",
    "E": "branch1x1 branch3x3_1 branch3x3_2a branch3x3_2b branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3a "
    "branch3x3dbl_3b branch_pool",
}
_INCEPTION_STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
_INCEPTION_LAYERS = dict(
    zip(("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"), "AAABCCCCDEE", strict=True)
)
_INCEPTION_TENSORS = {
    "weight": "conv.weight",
    "beta": "bn.bias",
    "mean": "bn.running_mean",
    "var": "bn.running_var",
}

_FLAX_TENSORS = {
    ("Conv_0", "kernel"): "w",
    ("Conv_0", "bias"): "b",
    ("BatchNorm_0", "bias"): "beta",
    ("BatchNorm_0", "mean"): "mean",
    ("BatchNorm_0", "var"): "var",
}


def _lpips_converter(backbone: str, convolutions: tuple[int, ...]) -> Callable[[bytes], dict[str, Tensor]]:
    def convert(data: bytes) -> dict[str, Tensor]:
        arrays = read_array_pickle(data)
        tensors = {}
        for number, layer in enumerate(convolutions):
            tensors[f"features.{layer}.weight"] = _kernel(arrays[f"{backbone}|Conv_{number}|kernel"])
            tensors[f"features.{layer}.bias"] = _tensor(arrays[f"{backbone}|Conv_{number}|bias"])
        for head in range(LPIPS_HEADS):
            tensors[f"lin{head}.model.1.weight"] = _kernel(arrays[f"NetLinLayer_{head}|Conv_0|kernel"])
        return tensors

    return convert


convert_lpips_alexnet = _lpips_converter("AlexNet_0", ALEXNET_CONVOLUTIONS)
convert_lpips_vgg16 = _lpips_converter("VGG16_0", VGG16_CONVOLUTIONS)


def convert_i3d(data: bytes) -> dict[str, Tensor]:
    """Kinetics-400 I3D: ``<unit>.w/.beta/.mean/.var``, ``.b`` for the logits, units named as in the original."""
    tensors = {}
    for path, array in read_array_pickle(data).items():
        _, *unit, layer, kind = path.split("|")
        name = _FLAX_TENSORS[layer, kind]
        tensors[f"{'.'.join(unit)}.{name}"] = _kernel(array) if name == "w" else _tensor(array.reshape(-1))
    return tensors


def convert_fid_inception(data: bytes) -> dict[str, Tensor]:
    """FID's InceptionV3 up to its 2048 features: ``<unit>.conv.weight``, ``<unit>.bn.bias``, means and variances.

    The graph of 2015 has no scale in its normalisation; the classifier behind the features isn't in the file.
    """
    arrays = read_torchscript_arrays(data)
    kinds = len(_INCEPTION_TENSORS)
    units = [unit for unit in inception_units() for _ in range(kinds)]
    tensors = {}
    for unit, (path, array) in zip(units, arrays.items(), strict=True):
        tensors[f"{unit}.{_INCEPTION_TENSORS[path.rpartition('.')[2]]}"] = _tensor(array)
    return tensors


def inception_units() -> list[str]:
    """Names of the 94 convolutions of torch-fidelity's InceptionV3, in the order of the original graph."""
    blocks = ((f"Mixed_{name}", _INCEPTION_BLOCKS[kind].split()) for name, kind in _INCEPTION_LAYERS.items())
    return [*_INCEPTION_STEM, *(f"{block}.{branch}" for block, branches in blocks for branch in branches)]


def convert_dti3d(name: str, path: Path) -> dict[str, Tensor]:
    """A user's DTI3D checkpoint -> its state dict by plain names, every name and shape checked.

    Args:
        name: ``dti3d_16`` or ``dti3d_32``. The two differ in pooling alone, so their tensors can't tell them apart.
        path: a PyTorch checkpoint of tensors and plain values, or safetensors.
    """
    from evaluation.networks.i3d import InceptionI3D, load_i3d_state

    state = _state_dict(_read_checkpoint(path))
    tensors = {_plain_name(key): value.detach().float().contiguous() for key, value in state.items()}
    tensors = {key: value for key, value in tensors.items() if not key.endswith("num_batches_tracked")}
    load_i3d_state(InceptionI3D(DTDB_CLASSES, DTI3D_POOLED_FRAMES[name]), tensors, str(path))
    return tensors


def _read_checkpoint(path: Path) -> object:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give the checkpoint that the authors of DTI3D share")
    advice = "save its state_dict and give that"
    return read_tensors(path)[0] if path.suffix == ".safetensors" else read_torch_file(path, advice=advice)


def _state_dict(contents: object) -> Mapping[str, Tensor]:
    """The first dictionary of tensors in a checkpoint, under whichever usual name it is stored."""
    while isinstance(contents, Mapping):
        inner = next((contents[k] for k in ("state_dict", "model", "model_state_dict") if k in contents), None)
        if not isinstance(inner, Mapping):
            break
        contents = inner
    tensors = {k: v for k, v in contents.items() if isinstance(v, Tensor)} if isinstance(contents, Mapping) else {}
    return tensors


def _plain_name(name: str) -> str:
    prefixes = ("module.", "state_dict.", "model.")
    while name.startswith(prefixes):
        name = name.partition(".")[2]
    return name


def _kernel(array: np.ndarray) -> Tensor:
    """TensorFlow's ``[..., in, out]`` -> PyTorch's ``[out, in, ...]``."""
    return _tensor(np.moveaxis(array, (-1, -2), (0, 1)))


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))  # a copy: pickled bytes can't be written to
