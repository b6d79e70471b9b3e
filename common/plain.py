"""What JSON holds, read with distrust: values of dataclasses by the types and limits that their fields declare.

A field's annotation says all that is checked: ``channels: Width = 48``, ``size: tuple[Side, Side]``,
``kind: Literal["a", "b"]``, ``unet: UNetConfig``. Limits keep a number from a damaged file from filling memory or
taking hours; what goes with what is checked by the dataclass itself.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Range:
    """Limits of a number, both included."""

    low: float
    high: float


@dataclass(frozen=True)
class Length:
    """How many items a tuple may have."""

    low: int
    high: int


Width = Annotated[int, Range(1, 8192)]  # channels of a layer
Depth = Annotated[int, Range(0, 256)]  # layers or blocks of a kind
Widths = Annotated[tuple[Width, ...], Length(1, 16)]  # of the levels of a network
Multipliers = Annotated[tuple[Annotated[int, Range(1, 64)], ...], Length(1, 16)]
Side = Annotated[int, Range(1, 8192)]  # pixels
Share = Annotated[float, Range(0, 1)]
Frames = Annotated[int, Range(1, 1_000_000)]
Frequencies = Annotated[int, Range(1, 4096)]
FrameRate = Annotated[float, Range(0.001, 1000)]
Steps = Annotated[int, Range(0, 10**9)]  # of a training, which only counts them

SHOWN = 60  # characters of a wrong value


def from_plain(kind: type[Kind], values: Any, where: str = "", *, key: str = "") -> Kind:
    """A dataclass from what JSON made of it; a field that is not there takes its default.

    Args:
        kind: the dataclass.
        values: as read.
        where: what errors begin with, such as the file.
        key: the place of ``values`` in the file, for errors: ``model.unet``.

    Raises:
        ValueError: one line that names file and key.
    """
    if not isinstance(values, Mapping):
        raise _wrong(where, key or "all of it", values, "an object")
    hints = _hints(kind)  # type: ignore[arg-type]
    unknown = sorted(map(str, values.keys() - hints.keys()))
    if unknown:
        raise ValueError(f"{_begin(where)}unknown key {_shown(_join(key, unknown[0]))}; known: {', '.join(hints)}")
    needed = [field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING]  # type: ignore[arg-type]
    missing = [name for name in needed if name not in values]
    if missing:
        raise ValueError(f"{_begin(where)}{_join(key, missing[0])} is missing")
    found = {name: plain_value(hints[name], value, where, key=_join(key, name)) for name, value in values.items()}
    try:
        return kind(**found)
    except ValueError as error:
        raise ValueError(f"{_begin(where)}{_begin(key)}{error}") from None


def plain_value(annotation: Any, value: Any, where: str = "", *, key: str) -> Any:
    """A value of an annotated type from what JSON made of it: lists become tuples; arguments as of :func:`from_plain`.

    Raises:
        ValueError: it has another type, or is beyond its limits.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any or (is_dataclass(value) and not isinstance(value, type)):  # which is made and checked already
        return value
    if origin is Annotated:
        found = plain_value(arguments[0], value, where, key=key)
        for limit in arguments[1:]:
            size = len(found) if isinstance(limit, Length) else found
            if not limit.low <= size <= limit.high:
                kind = "items" if isinstance(limit, Length) else _name(arguments[0])
                raise _wrong(where, key, value, f"{kind} from {limit.low:g} to {limit.high:g}")
        return found
    if origin in (Union, types.UnionType):
        return _of_union(arguments, value, where, key)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool) not in {isinstance(one, bool) for one in arguments}:
            raise _wrong(where, key, value, f"one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        return _of_tuple(arguments, value, where, key)
    if origin is list:
        return list(_of_tuple((arguments[0], Ellipsis), value, where, key))
    if origin in (dict, Mapping) or annotation is dict:
        if not isinstance(value, dict):
            raise _wrong(where, key, value, "an object")
        inner = arguments[1] if arguments else Any
        return {name: plain_value(inner, item, where, key=_join(key, name)) for name, item in value.items()}
    if is_dataclass(annotation):
        return from_plain(annotation, value, where, key=key)  # type: ignore[arg-type]
    return _of_basic(annotation, value, where, key)


def _of_union(arguments: tuple, value: Any, where: str, key: str) -> Any:
    others = [one for one in arguments if one is not types.NoneType]
    if value is None and len(others) < len(arguments):
        return None
    return plain_value(others[0], value, where, key=key)


def _of_tuple(arguments: tuple, value: Any, where: str, key: str) -> tuple:
    any_length = len(arguments) == 2 and arguments[1] is Ellipsis
    if not isinstance(value, list | tuple) or not (any_length or len(value) == len(arguments)):
        raise _wrong(where, key, value, "a list" if any_length else f"a list of {len(arguments)}")
    kinds = (arguments[0],) * len(value) if any_length else arguments
    items = enumerate(zip(kinds, value, strict=True))
    return tuple(plain_value(kind, item, where, key=f"{key}[{index}]") for index, (kind, item) in items)


def _of_basic(annotation: Any, value: Any, where: str, key: str) -> Any:
    if annotation is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        value = float(value)
    right = isinstance(value, annotation) and (annotation is bool or not isinstance(value, bool))
    if not right or (annotation is float and not math.isfinite(value)):
        raise _wrong(where, key, value, _name(annotation))
    return value


def _name(annotation: Any) -> str:
    annotation = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    names = {int: "whole number", float: "finite number", str: "text", bool: "true or false"}
    name = names.get(annotation, getattr(annotation, "__name__", str(annotation)))
    return name if annotation is bool else f"a {name}"


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Annotations of a dataclass's fields, resolved."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def _wrong(where: str, key: str, value: Any, expected: str) -> ValueError:
    return ValueError(f"{_begin(where)}{key} is {_shown(value)}, expected {expected}")


def _begin(where: str) -> str:
    return f"{where}: " if where else ""


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _shown(value: Any) -> str:
    if isinstance(value, str | int | float | bool | None):
        text = repr(value) if not isinstance(value, int) or abs(value) < 10**SHOWN else "a number too long to show"
    else:
        text = f"{'a list' if isinstance(value, list | tuple) else 'an object'} of {len(value)}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


# JSON -----------------------------------------------------------------------------------------------------------------


def parse_json(text: str | bytes, where: str) -> dict[str, Any]:
    """The object that a text in JSON holds.

    Args:
        text: the text.
        where: what errors begin with, such as the file.

    Raises:
        ValueError: one line; also for what is nested deeper than Python can read.
    """
    try:
        values = json.loads(text)
    except RecursionError:
        raise ValueError(f"{where}: nested too deeply for anything that this project writes") from None
    except ValueError as error:  # no JSON, no text, or a number of thousands of digits
        raise ValueError(f"{where}: not valid JSON ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{where}: holds {_shown(values)}, expected an object")
    return values


def read_json(path: str | Path) -> dict[str, Any]:
    """The object that a file in JSON holds; errors as of :func:`parse_json`, and those of the file system."""
    return parse_json(Path(path).read_bytes(), str(path))


def as_tuple(value: Any) -> Any:
    """JSON has lists for tuples: a value with tuples in their place, at all depths."""
    return tuple(as_tuple(item) for item in value) if isinstance(value, list) else value
