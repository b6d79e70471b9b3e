"""Dataclasses that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def from_plain(kind: type, values: Mapping[str, Any]) -> Any:
    """A dataclass of plain values and tuples from what JSON made of it.

    Raises:
        ValueError: other fields than it has.
    """
    other = set(values) ^ {field.name for field in fields(kind)}
    if other:
        raise ValueError(f"{kind.__name__} has other fields: {', '.join(sorted(other))}")
    return kind(**{name: as_tuple(value) for name, value in values.items()})


def as_tuple(value: Any) -> Any:
    """JSON has lists for tuples: a value with tuples in their place, at all depths."""
    return tuple(as_tuple(item) for item in value) if isinstance(value, list) else value
