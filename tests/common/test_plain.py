"""Values from JSON: dataclasses by the types and limits of their fields, with errors that name file and key."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from common.plain import Range, Share, Width, Widths, from_plain, parse_json, read_json


@dataclass(frozen=True)
class Inner:
    channels: Width = 4
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    count: Annotated[int, Range(1, 100)]
    share: Share = 0.5
    flag: bool = False
    name: str = ""
    size: tuple[int, int] = (1, 2)
    widths: Widths = (1,)
    maybe: int | None = None
    inner: Inner = field(default_factory=Inner)
    free: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count == 13:
            raise ValueError("13 brings bad luck")


WHOLE = Outer(3, share=1, size=(5, 6), widths=(7, 8, 9), maybe=2, inner=Inner(9, "b"), free={"x": 1.5})


def test_what_json_made_of_a_dataclass_becomes_it_again() -> None:
    assert from_plain(Outer, json.loads(json.dumps(asdict(WHOLE)))) == WHOLE
    assert from_plain(Outer, {"count": 1}) == Outer(1)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("count", None, "count is None, expected a whole number"),
        ("count", True, "count is True, expected a whole number"),
        ("count", 3.0, "count is 3.0, expected a whole number"),
        ("count", "3", "count is '3', expected a whole number"),
        ("count", [3], "count is a list of 1, expected a whole number"),
        ("count", 0, "count is 0, expected a whole number from 1 to 100"),
        ("count", 10**80, "count is a number too long to show, expected a whole number from 1 to 100"),
        ("count", 13, "13 brings bad luck"),
        ("share", float("nan"), "share is nan, expected a finite number"),
        ("share", 10**400, "share is a number too long to show, expected a finite number"),
        ("share", -0.1, "share is -0.1, expected a finite number from 0 to 1"),
        ("flag", 1, "flag is 1, expected true or false"),
        ("name", {}, "name is an object of 0, expected a text"),
        ("name", None, "name is None, expected a text"),
        ("size", [1], "size is a list of 1, expected a list of 2"),
        ("size", [1, "2"], r"size\[1\] is '2', expected a whole number"),
        ("widths", [], "widths is a list of 0, expected items from 1 to 16"),
        ("widths", [10**9], r"widths\[0\] is 1000000000, expected a whole number from 1 to 8192"),
        ("maybe", "x", "maybe is 'x', expected a whole number"),
        ("inner", 5, "inner is 5, expected an object"),
        ("inner", {"kind": "c"}, "inner.kind is 'c', expected one of a, b"),
        ("inner", {"colour": 1}, "unknown key 'inner.colour'; known: channels, kind"),
        ("free", {"x": "y"}, "free.x is 'y', expected a finite number"),
        ("other", 1, "unknown key 'other'"),
    ],
)
def test_wrong_values_are_told_with_file_and_key(key: str, value: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^config.json: .*{expected}"):
        from_plain(Outer, {**asdict(WHOLE), key: value}, "config.json")


def test_what_is_missing_is_told() -> None:
    with pytest.raises(ValueError, match="count is missing"):
        from_plain(Outer, {})
    with pytest.raises(ValueError, match="all of it is a list of 0, expected an object"):
        from_plain(Outer, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[]", "holds a list of 0, expected an object"),
        ("{", "not valid JSON"),
        ("9" * 5000, "not valid JSON"),
        (b"\xff\xfe\x00{", "not valid JSON"),
        ("", "not valid JSON"),
    ],
    ids=["lists", "objects", "list", "cut", "digits", "bytes", "empty"],
)
def test_texts_that_are_no_object_are_told(tmp_path: Path, text: str | bytes, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^place: {expected}"):
        parse_json(text, "place")
    path = tmp_path / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=f"a.json: {expected}"):
        read_json(path)
