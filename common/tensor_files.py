"""Files of tensors: safetensors, written as a whole with bytes that depend on their content alone, and read."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from common.files import temporary_path

if TYPE_CHECKING:
    from torch import Tensor

DAMAGED = "the file is damaged or something else"

# Name of torch's type -> the format's name of it
DTYPES = {
    **{"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64"},
    **{"int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"},
}


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file as a whole or not at all, making its folder if need be.

    Who may read it follows from the umask: the library's own writer makes files for their owner alone.

    The bytes depend only on what the file holds: the library's writer orders the metadata differently in each process,
    so that two runs never give the same file. Files are read with the library.

    The format: 8 bytes with the length of the header (little endian), the header in JSON, then the tensors without gaps
    in little endian order. Here the header's keys are sorted, wide types come first so that each tensor is aligned, and
    the header is padded to a multiple of 8 bytes.

    Raises:
        OSError: full disk among others; nothing is left behind then.
    """
    import torch  # here: what only writes other files need not wait for it

    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": dict(sorted((metadata or {}).items()))}
    end = 0
    for name in names:
        begin, end = end, end + tensors[name].numel() * tensors[name].element_size()
        shape = list(tensors[name].shape)
        header[name] = {
            "dtype": DTYPES[str(tensors[name].dtype).removeprefix("torch.")],
            "shape": shape,
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with temporary_path(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            if tensors[name].numel():  # what is empty has strides that no view takes
                file.write(tensors[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)


def read_tensors(
    path: str | Path, *, only: str = "", advice: str = DAMAGED
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; nothing is unpickled.

    Args:
        path: the file.
        only: the beginning of the names of those that are wanted.
        advice: what the message says to do.

    Raises:
        ValueError: one line, where there is no such file or it is no safetensors file.
    """
    from safetensors import safe_open

    _expect_file(path, advice)
    with _damage_named(path, advice), safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(only)]  # noqa: SIM118 - not a dict
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


def tensor_shapes(path: str | Path, *, advice: str = DAMAGED) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of a safetensors file, from its header alone; errors as of :func:`read_tensors`."""
    from safetensors import safe_open

    _expect_file(path, advice)
    with _damage_named(path, advice), safe_open(path, framework="pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - as above


def tensor_metadata(path: str | Path, *, advice: str = DAMAGED) -> dict[str, str]:
    """Metadata of a safetensors file, from its header alone; errors as of :func:`read_tensors`."""
    from safetensors import safe_open

    _expect_file(path, advice)
    with _damage_named(path, advice), safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def read_torch_file(path: str | Path, *, advice: str = DAMAGED) -> object:
    """What `torch.save` wrote, read with ``weights_only``: tensors and plain values; a file with all else is refused.

    Raises:
        ValueError: one line, where there is no such file or it holds other things.
    """
    import torch

    _expect_file(path, advice)
    with _damage_named(path, advice, "not a checkpoint of tensors alone"):
        return torch.load(path, map_location="cpu", weights_only=True)


def read_published(path: str | Path, *, advice: str = DAMAGED) -> dict[str, Tensor]:
    """Tensors by their names from weights made elsewhere, a safetensors file or one of `torch.save`.

    Raises:
        ValueError: one line, where there is no such file, or it holds other things.
    """
    import torch

    if Path(path).suffix.lower() == ".safetensors":
        return read_tensors(path, advice=advice)[0]
    found = read_torch_file(path, advice=advice)
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError(f"{path}: not a checkpoint of tensors alone; {advice}")
    return {str(name): tensor for name, tensor in found.items()}


def _expect_file(path: str | Path, advice: str) -> None:
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; {advice}")


@contextmanager
def _damage_named(path: str | Path, advice: str, problem: str = "can't be read as safetensors") -> Iterator[None]:
    """What readers raise, which for damaged files is nearly everything, as a `ValueError` of one line."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        kind = type(error).__name__
        reason = (str(error).strip().splitlines() or [""])[0].split(". ")[0][:160]
        raise ValueError(f"{path}: {problem} ({reason or kind}); {advice}") from None
