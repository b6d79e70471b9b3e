"""Arrays out of pickled checkpoints without running what a pickle may hold: everything but arrays is refused."""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

# What a pickled numpy array is made of, by the module names of numpy 1 and 2.
_ARRAY_PARTS = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds containers of plain values and numpy arrays; any other class or function is an error."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAY_PARTS:
            raise ValueError(f"refused to unpickle {module}.{name}: only arrays belong in a file of weights")
        if name == "_reconstruct":
            return np.ndarray(0).__reduce__()[0]  # numpy's own, wherever this version keeps it
        return getattr(np, name)


def read_array_pickle(data: bytes) -> dict[str, np.ndarray]:
    """Nested dictionaries of arrays as one: ``{"a": {"b": array}}`` -> ``{"a|b": array}``.

    Raises:
        ValueError: where the pickle asks for anything but arrays, or holds something else.
    """
    found: dict[str, np.ndarray] = {}

    def collect(values: dict, prefix: str) -> None:
        for key, value in values.items():
            if isinstance(value, dict):
                collect(value, f"{prefix}{key}|")
            elif isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
                found[f"{prefix}{key}"] = value
            else:
                raise ValueError(f"{prefix}{key} is {type(value).__name__}, not an array of numbers")

    contents = _load(lambda: _ArrayUnpickler(io.BytesIO(data)))
    if not isinstance(contents, dict):
        raise ValueError(f"holds {type(contents).__name__}, not a dictionary of arrays")
    collect(contents, "")
    return found


class _ScriptedModule:
    """Stands for any module of a TorchScript file: its attributes, and none of its code."""

    def __setstate__(self, state: dict) -> None:
        self.attributes = state


class _TorchScriptUnpickler(pickle.Unpickler):
    """Builds `_ScriptedModule` trees with float32 arrays; any class or function besides a module's is an error."""

    def __init__(self, data: bytes, read_storage: Callable[[str], bytes]) -> None:
        super().__init__(io.BytesIO(data))
        self.read_storage = read_storage

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__."):
            return _ScriptedModule
        parts: dict[tuple[str, str], Any] = {
            ("torch._utils", "_rebuild_tensor_v2"): self._array,
            ("torch", "FloatStorage"): "float32",
            ("torch.jit._pickle", "build_intlist"): list,
            ("collections", "OrderedDict"): collections.OrderedDict,
        }
        if (module, name) not in parts:
            raise ValueError(f"refused to unpickle {module}.{name}: only modules and float32 tensors belong there")
        return parts[module, name]

    def persistent_load(self, saved: Any) -> bytes:
        kind, dtype, key = saved[:3]
        if (kind, dtype) != ("storage", "float32") or not str(key).isdecimal():
            raise ValueError(f"refused to unpickle {saved!r:.80}: not the numbers of a tensor")
        return self.read_storage(str(key))

    @staticmethod
    def _array(storage: bytes, offset: int, shape: tuple, stride: tuple, *rest: Any) -> np.ndarray:
        values = np.frombuffer(storage, "<f4")[offset:].reshape(-1)
        array = values[: int(np.prod(shape))].reshape(shape)
        if array.size > 1 and tuple(step // 4 for step in array.strides) != tuple(stride):
            raise ValueError(f"a tensor {shape} has strides {stride}, only contiguous ones are read")
        return array


def read_torchscript_arrays(data: bytes) -> dict[str, np.ndarray]:
    """Tensors of a TorchScript file, none of its code loaded: ``{"layers.conv.weight": array}`` in the file's order."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("not a TorchScript file: it has no data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        root = _load(
            lambda: _TorchScriptUnpickler(archive.read(pickles[0]), lambda key: archive.read(f"{folder}data/{key}"))
        )
    found: dict[str, np.ndarray] = {}

    def collect(module: Any, prefix: str) -> None:
        for name, value in module.attributes.items():
            if isinstance(value, _ScriptedModule):
                collect(value, f"{prefix}{name}.")
            elif isinstance(value, np.ndarray):
                found[f"{prefix}{name}"] = value

    if not isinstance(root, _ScriptedModule):
        raise ValueError("not a TorchScript module")
    collect(root, "")
    return found


def _load(make_unpickler: Callable[[], pickle.Unpickler]) -> Any:
    """Load, with whatever a damaged or foreign pickle raises as a `ValueError`."""
    try:
        return make_unpickler().load()
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"not readable as pickled arrays ({type(error).__name__}: {error})") from None
