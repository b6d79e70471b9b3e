"""Writing safetensors files whose bytes depend on what they hold alone.

The library's own writer puts the lines of the metadata in another order in each process; two runs then never give the
same file. Files are read with the library.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from data.temporary_files import temporary_path

# torch's type -> the format's name of it
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write ``path`` as a whole or not at all, readable for everybody (umask 022), as datasets are shared.

    The format: 8 bytes with the length of the header (little endian), the header in JSON, then the tensors without gaps
    in little endian order. Here the header's keys are sorted, wide types come first so that each tensor is aligned, and
    the header is padded to a multiple of 8 bytes.

    Raises:
        OSError: full disk among others; nothing is left behind then.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in names:
        begin, end = end, end + tensors[name].numel() * tensors[name].element_size()
        shape = list(tensors[name].shape)
        header[name] = {"dtype": DTYPES[tensors[name].dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with temporary_path(path) as temporary:
        with temporary.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name in names:
                file.write(tensors[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        temporary.chmod(0o644)
