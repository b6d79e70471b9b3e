"""Hashes of files, texts and weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from common.hashing import content_hash, file_sha256, text_sha256


def small_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def test_hash_of_weights_tells_values_names_and_types_apart() -> None:
    weights = small_model().state_dict()
    found = content_hash(weights)
    assert found == content_hash(small_model().state_dict())
    assert found == content_hash(dict(reversed(weights.items())))
    assert found != content_hash(small_model(1).state_dict())
    assert found != content_hash(small_model().double().state_dict())
    assert found != content_hash(nn.Sequential(nn.Identity(), *small_model()).state_dict())
    assert found != content_hash({name: value[None] for name, value in weights.items()})


def test_files_and_texts_are_hashed_by_their_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than is read at once
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
    assert text_sha256("\u6ce2") == hashlib.sha256(b"\xe6\xb3\xa2").hexdigest()
