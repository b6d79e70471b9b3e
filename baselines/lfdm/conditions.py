"""Vectors of free text, by a frozen encoder of Hugging Face."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


def encode_texts(texts: Sequence[str], encoder: str) -> Tensor:
    """Mean of the last hidden states over a text's tokens, the first ([CLS]) left out: ``[B, D]`` on the CPU.

    Args:
        encoder: hub id, such as ``bert-base-cased``, or the folder of one.

    Raises:
        ValueError: in one line, without the package or the encoder.
    """
    return torch.stack([_encode(text, encoder) for text in texts])


@lru_cache(maxsize=4096)  # labels come again at every step
def _encode(text: str, encoder: str) -> Tensor:
    tokenizer, model = _load(encoder)
    tokens = tokenizer(text, return_tensors="pt", truncation=True)
    with torch.no_grad():
        states = model(**tokens).last_hidden_state[0]
    return states[1:].mean(dim=0)


@lru_cache(maxsize=1)
def _load(encoder: str) -> tuple[Any, Any]:
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError:
        raise ValueError("conditions as free text need a package: pip install transformers") from None
    try:
        return AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{encoder}: no text encoder can be loaded from there ({reason})") from None
