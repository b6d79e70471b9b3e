"""Files that safetensors reads, with bytes that depend on their content alone."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from common.tensor_files import DTYPES, save_tensors


def some_tensors() -> dict[str, Tensor]:
    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)) * 9
    tensors = {f"of_{name}": values.to(getattr(torch, kind)) for kind, name in DTYPES.items()}
    return tensors | {"empty": torch.zeros(0, 7), "single": torch.tensor(2.5), "turned": values.permute(2, 0, 1)}


def test_the_library_reads_what_was_written(tmp_path: Path) -> None:
    metadata = {"zebra": "stripes", "id": 'é "波"\n', "empty": ""}
    tensors = some_tensors()
    save_tensors(tmp_path / "a.safetensors", tensors, metadata)
    read = load_file(tmp_path / "a.safetensors")
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == metadata
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    save_tensors(tmp_path / "below" / "none.safetensors", {})
    assert load_file(tmp_path / "below" / "none.safetensors") == {}


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_who_may_read_a_file_follows_from_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        save_tensors(tmp_path / "a.safetensors", {"x": torch.ones(2)})
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o666 & ~mask


def test_the_order_given_does_not_matter(tmp_path: Path) -> None:
    tensors, metadata = some_tensors(), {str(number): "x" for number in range(20)}
    save_tensors(tmp_path / "a", tensors, metadata)
    save_tensors(tmp_path / "b", dict(reversed(tensors.items())), dict(reversed(metadata.items())))
    content = (tmp_path / "a").read_bytes()
    assert content == (tmp_path / "b").read_bytes()
    # Each tensor begins at a multiple of its element's size, and the data is as long as the library's.
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    for name, tensor in tensors.items():
        assert (8 + length + header[name]["data_offsets"][0]) % tensor.element_size() == 0
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "c")
    (other,) = struct.unpack("<Q", (tmp_path / "c").read_bytes()[:8])
    assert len(content) - length == (tmp_path / "c").stat().st_size - other


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", {"x": torch.ones(2)}, {})
    before = (tmp_path / "a").read_bytes()
    with pytest.raises(KeyError):
        save_tensors(tmp_path / "a", {"x": torch.ones(2, dtype=torch.complex64)}, {})
    assert (tmp_path / "a").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
