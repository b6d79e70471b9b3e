"""Tensors of a dataset as few bytes, to the last bit what they were.

Motion and pictures are smooth, so of each value only what a plane through its left, upper and upper left neighbour
misses is kept; the bytes of these differences, high ones and low ones apart, are compressed by bzip2. Motion in float16
shrinks to about 62 %, a photo to about half.
"""

from __future__ import annotations

import bz2
from typing import Any

import numpy as np

PREDICTED = {"float16": np.uint16, "uint8": np.uint8}  # types whose last two axes are a picture's
PLAIN = ("int32", "int64", "float32")


def encode(values: np.ndarray) -> bytes:
    """The bytes of an array; its type and shape have to be kept beside them.

    Raises:
        ValueError: a type that no dataset has.
    """
    name = values.dtype.name
    if name in PREDICTED and values.ndim >= 2:
        return bz2.compress(_byte_planes(_fold(_differences(_ordered(values)))))
    if name not in PREDICTED and name not in PLAIN:
        raise ValueError(f"an array of {name} can't be packed, only {', '.join((*PREDICTED, *PLAIN))}")
    return bz2.compress(np.ascontiguousarray(values).tobytes())


def decode(data: bytes, name: str, *, shape: tuple[int, ...]) -> np.ndarray:
    """Inverse of :func:`encode`.

    Args:
        name: of the type, as NumPy has it.
        shape: of the array.

    Raises:
        ValueError: the data are not those of such an array.
    """
    if name not in PREDICTED and name not in PLAIN:
        raise ValueError(f"no array of {name} is ever packed")
    try:
        raw = bz2.decompress(data)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"damaged data ({error})") from None
    dtype: np.dtype[Any] = np.dtype(name)
    if len(raw) != dtype.itemsize * int(np.prod(shape)):
        raise ValueError(f"{len(raw)} bytes where an array of {name} {shape} has {dtype.itemsize * np.prod(shape)}")
    if name not in PREDICTED or len(shape) < 2:
        return np.frombuffer(raw, dtype).reshape(shape).copy()
    integer = PREDICTED[name]
    values = _unfold(np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, -1).T.copy().view(integer).reshape(shape))
    for axis in (-1, -2):  # the inverse of taking differences along both; sums wrap around as differences did
        values = np.cumsum(values, axis=axis, dtype=integer)
    return _disordered(values, dtype)


def _ordered(values: np.ndarray) -> np.ndarray:
    """Unsigned integers in the order of the values: float16 has sign and size, which jumps where the sign changes."""
    if values.dtype != np.float16:
        return values
    bits = np.ascontiguousarray(values).view(np.uint16)
    return np.where(bits >= 0x8000, ~bits, bits | 0x8000)


def _disordered(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    if dtype != np.float16:
        return values
    return np.where(values >= 0x8000, values & 0x7FFF, ~values).astype(np.uint16).view(np.float16)


def _differences(values: np.ndarray) -> np.ndarray:
    for axis in (-1, -2):
        first = np.take(values, [0], axis=axis)
        values = np.concatenate([first, np.diff(values, axis=axis)], axis=axis)  # wraps around
    return values


def _fold(values: np.ndarray) -> np.ndarray:
    """Small differences of either sign become small numbers: 0, -1, 1, -2, 2 ... -> 0, 1, 2, 3, 4 ..."""
    top = 8 * values.itemsize - 1
    sign = (values >> top).astype(values.dtype)
    return (values << 1) ^ (0 - sign).astype(values.dtype)


def _unfold(values: np.ndarray) -> np.ndarray:
    return (values >> 1) ^ (0 - (values & 1)).astype(values.dtype)


def _byte_planes(values: np.ndarray) -> bytes:
    """All first bytes, then all second ones."""
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).reshape(-1, values.itemsize).T.tobytes()
