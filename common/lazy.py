"""Functions named as text, so that a registry can be read without importing what its entries need."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def resolve(target: str | Callable[..., Any]) -> Callable[..., Any]:
    """The function that ``"package.module:function"`` names, imported now; a function is returned as it is."""
    if not isinstance(target, str):
        return target
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
