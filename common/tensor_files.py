"""Files of tensors: safetensors, written as a whole with bytes that depend on their content alone, and read."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from common.files import temporary_path

if TYPE_CHECKING:
    from torch import Tensor

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
            file.write(tensors[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
