"""Random damage: to bytes, to values that JSON holds, and to files of tensors. All of it follows from a seed."""

from __future__ import annotations

import copy
import json
import random
import struct
from typing import Any

MANY = 10**9
# What a value may be instead; nested ones are deeper than Python's own limit.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 7, MANY, 10**40, -(10**40), 0.0, -0.5, 1e-320, 1e308, float("nan")),
    *(float("inf"), "", "x", "\0", "1", "spectral", [], [0], [None], [MANY] * 3, {}, {"x": 1}, {"kind": "kl"}),
    *([[1]], [[]], "9" * 5000),
)
EXTREMES = (0x00, 0x01, 0x7F, 0x80, 0xFF)


def damaged_bytes(data: bytes, chance: random.Random) -> bytes:
    """Bytes with a few of them changed, cut off, repeated, removed or zeroed."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if not found:
            break
        place, length = chance.randrange(len(found)), chance.choice((1, 2, 4, 64, 1000))
        kind = chance.randrange(7)
        if kind == 0:
            found[place] = chance.randrange(256)
        elif kind == 1:
            found[place] = chance.choice(EXTREMES)
        elif kind == 2:
            found[place : place + 4] = struct.pack(chance.choice("<>") + "I", chance.choice((0, 1, 2**31, 2**32 - 1)))
        elif kind == 3:
            del found[place:]
        elif kind == 4:
            del found[place : place + length]
        elif kind == 5:
            found[place:place] = found[place : place + length]
        else:
            found[place : place + length] = bytes(len(found[place : place + length]))
    return bytes(found)


def damaged_values(values: Any, chance: random.Random) -> Any:
    """Values as of JSON with one of them another one, missing, or one more; or nothing of them left."""
    changed = copy.deepcopy(values)
    places = list(_places(changed))
    if not places or chance.random() < 0.05:
        return chance.choice(VALUES)
    holder, key = chance.choice(places)
    kind = chance.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[chance.choice(("x", "", "kind", "__class__", "size"))] = chance.choice(VALUES)
    elif kind == 2 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = chance.choice((-1, 0, 0.5, 2, 1000, MANY)) * holder[key]
    else:
        holder[key] = chance.choice(VALUES)
    return changed


def _places(values: Any):
    """Every dictionary or list with each of its keys, at all depths."""
    keys = list(values) if isinstance(values, dict) else range(len(values)) if isinstance(values, list) else ()
    for key in keys:
        yield values, key
        yield from _places(values[key])


def damaged_text(values: Any, chance: random.Random) -> bytes:
    """JSON of damaged values, or JSON that is damaged itself."""
    kind = chance.random()
    if kind < 0.05:
        return chance.choice((b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"", b"9" * 5000))
    text = json.dumps(damaged_values(values, chance)).encode()
    return damaged_bytes(text, chance) if kind < 0.2 else text
