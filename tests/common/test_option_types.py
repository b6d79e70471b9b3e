"""Types of options: what they take, and that everything else is answered with what is expected."""

from __future__ import annotations

import argparse

import pytest

from common import option_types as types

NUMBERS = ["nan", "inf", "-inf", "1e400", "1e-320", "", " ", "one", "0x1", "1,2", "\u00b2"]


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "expected"),
    [
        (types.count, {"1": 1, "999": 999}, ["0", "-1", "1.0", "+1", "1e3", *NUMBERS], "whole number above 0"),
        (types.whole, {"0": 0}, ["-1", *NUMBERS], "whole number of 0 or more"),
        (types.few, {"65536": 65536}, ["65537", "9" * 5000], "from 1 to 65536"),
        (types.process_count, {"1024": 1024}, ["1" + "0" * 23], "from 1 to 1024"),
        (types.positive, {"0.5": 0.5, "1e30": 1e30}, ["0", "-1", *NUMBERS], "number above"),
        (types.not_negative, {"0": 0.0}, ["-0.1", "nan", "inf", "x"], "number of 0 or more"),
        (types.share, {"0": 0.0, "1": 1.0}, ["1.1", "-1", "nan"], "from 0 to 1"),
        (types.frame_rate, {"29.97": 29.97, "1000": 1000.0}, ["1001", "0", "1e-320"], "from 0.001 to 1000"),
        (types.frame_size, {"256x160": (256, 160), "16X8192": (16, 8192)}, ["8x16"], "too small"),
        (types.frame_size, {}, ["99999x99999"], "too large"),
        (
            types.parse_size,
            {"1x1": (1, 1)},
            ["0x1", "1x", "x", "\u00b2x\u00b2", "1x1x1", "1" * 99 + "x1"],
            "WIDTHxHEIGHT",
        ),
        (
            types.parse_seed,
            {"0": 0, str(2**32 - 1): 2**32 - 1},
            [str(2**32), "-1", "\u00b2", "9" * 5000],
            "from 0 to 4294967295",
        ),
        (types.numbers(types.whole, "1,2"), {"1,2,1": (1, 2, 1)}, ["1,,2", "", "1,x"], "such as 1,2"),
        (types.numbers(types.whole, "1,2", distinct=True), {"1,2,1": (1, 2)}, ["x"], "such as 1,2"),
    ],
)
def test_types_take_what_makes_sense_and_name_what_they_expect(kind, right: dict, wrong: list, expected: str) -> None:
    assert {text: kind(text) for text in right} == right
    for text in wrong:
        with pytest.raises(argparse.ArgumentTypeError, match=expected) as error:
            kind(text)
        assert len(str(error.value)) < 160
