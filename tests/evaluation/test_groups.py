"""Groups of sequences, by the manifest and by a CSV, and their figures."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from evaluation.groups import Grouping, grouping, groups_of
from evaluation.metrics.registry import METRICS
from evaluation.report.text import format_table
from evaluation.sequences import EvaluationSequence
from evaluation.tables.cells import group_tables


def sequence(identifier: str, source: str, split: str = "test") -> EvaluationSequence:
    return EvaluationSequence(Path("dataset"), {"id": identifier, "source": source, "split": split, "shot": None})


SEQUENCES = [sequence("a-0", "film/a.mp4"), sequence("a-1", "film/a.mp4"), sequence("b-0", "b.mp4", "train")]


def test_a_column_of_the_manifest_groups_sequences() -> None:
    assert Grouping("split").members(SEQUENCES) == {"a-0": "test", "a-1": "test", "b-0": "train"}


@pytest.mark.parametrize("naming", ["file,kind\na.mp4,candle\n", "source,kind\nfilm/a.mp4,candle\n"])
def test_a_csv_names_videos_with_or_without_folders(tmp_path: Path, naming: str) -> None:
    table = tmp_path / "videos.csv"
    table.write_text(naming)
    assert grouping(f"{table}:kind").members(SEQUENCES) == {"a-0": "candle", "a-1": "candle"}


def test_a_csv_names_single_sequences(tmp_path: Path) -> None:
    table = tmp_path / "sequences.csv"
    table.write_text("id,wind\na-1,strong\nb-0,\n")
    assert grouping(f"{table}:wind").members(SEQUENCES) == {"a-1": "strong"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "has no such column"),
        ("shot", "no sequence of the split has a value"),
        ("missing.csv:kind", "no such file"),
        ("videos.csv:wind", "no column 'wind'"),
        ("others.csv:kind", "no sequence of the split has a value"),
        ("nameless.csv:kind", "needs a column id, source or file"),
        ("binary.csv:kind", "not a CSV file"),
    ],
)
def test_what_groups_nothing_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("videos.csv").write_text("file,kind\na.mp4,candle\n")
    Path("others.csv").write_text("file,kind\nz.mp4,candle\n")
    Path("nameless.csv").write_text("name,kind\na.mp4,candle\n")
    Path("binary.csv").write_bytes(b"file,kind\n\xff\xfe,\x80\n")
    with pytest.raises(ValueError, match=message) as caught:
        grouping(text).members(SEQUENCES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "file.csv:", ":kind"])
def test_a_grouping_needs_a_column(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        grouping(text)


def test_figures_of_a_group_are_those_of_its_sequences_alone() -> None:
    scores = {"model": {"a-0": {"coherence": 0.5}, "a-1": {"coherence": 0.7}, "b-0": {"coherence": 0.1, "fid": None}}}
    metrics = {name: METRICS[name] for name in ("fid", "coherence")}
    groups = group_tables(groups_of([Grouping("split")], SEQUENCES), SEQUENCES, metrics, scores=scores, notes={})
    table = groups["split"]["test"]["table"]["model"]
    assert table == {"coherence": pytest.approx(0.6)}
    assert groups["split"]["test"]["sequences"] == 2
    assert groups["split"]["test"]["sources"] == 1
    assert groups["split"]["train"]["table"]["model"]["coherence"] == pytest.approx(0.1)
    whole = {"model": {"coherence": 0.43}}
    report = {"kind": "motion", "table": whole, "intervals": {}, "counts": {}, "groups": groups}
    assert "split = test (2 sequences of 1 video)" in format_table(report, width=80)


def test_two_files_with_the_same_column_are_two_groupings(tmp_path: Path) -> None:
    for name, kind in (("things", "candle"), ("winds", "strong")):
        (tmp_path / f"{name}.csv").write_text(f"file,kind\na.mp4,{kind}\n")
    groupings = [grouping(f"{tmp_path / name}.csv:kind") for name in ("things", "winds")]
    assert {name: set(of.values()) for name, of in groups_of(groupings, SEQUENCES).items()} == {
        "things.csv:kind": {"candle"},
        "winds.csv:kind": {"strong"},
    }
    assert list(groups_of(groupings[:1] * 2, SEQUENCES)) == ["kind"]


def test_an_empty_cell_of_a_group_says_why_as_the_table_does() -> None:
    metrics = {name: METRICS[name] for name in ("amplitude_ratio", "coherence")}
    notes = {"gradient": {"amplitude_ratio": "not computed: a map has no amplitude"}}
    scores: dict = {"gradient": {"a-0": {}}, "model": {"a-0": {}}}
    groups = group_tables(groups_of([Grouping("split")], SEQUENCES), SEQUENCES, metrics, scores=scores, notes=notes)
    found = groups["split"]["test"]["notes"]
    assert found["gradient"]["amplitude_ratio"] == "not computed: a map has no amplitude"
    assert "nothing moves" in found["model"]["amplitude_ratio"]
