import copy
import json
import math
from pathlib import Path
from statistics import fmean, median

import pytest

import evaluate
from common.command_line import write_json
from evaluation.metrics.distances import bootstrap_interval
from evaluation.report.comparison_text import format_comparison
from evaluation.tables.compare import compare_reports, compare_rows, shared_sequences

VIDEOS = 10


def rendering(psnr: float = 0.0, lpips: float = 0.0, noise: float = 0.0, per_video: int = 2) -> dict:
    """A report of ten videos with very different PSNR each; the arguments change it for all, ``noise`` for each."""
    names = [f"v{video}_{start}" for video in range(VIDEOS) for start in range(per_video)]
    values = {
        name: {
            "psnr": 20 + 3 * int(name[1]) + psnr + noise * math.sin(5.0 * index),
            "lpips": 0.3 - 0.01 * int(name[1]) + lpips,
        }
        for index, name in enumerate(names)
    }
    means = {metric: fmean(row[metric] for row in values.values()) for metric in ("psnr", "lpips")}
    return {
        "format_version": 1,
        "kind": "rendering",
        "data": {
            **{"name": "trees", "manifest_sha256": "ab", "split": "test", "sequences": len(names), "sources": VIDEOS},
            "identities": {name: {"source": f"{name[:2]}.mp4", "fingerprint": f"f{name}"} for name in names},
        },
        "checkpoint": {"name": "pretrained", "files": {}},
        "weights": {"lpips_alexnet": "12"},
        "protocol": {"frames": "all"},
        "table": {"model": means},
        "per_sequence": {"model": values},
    }


def motion(fvd: float, half_width: float | None = 10.0, **more: float) -> dict:
    report = rendering() | {"kind": "motion", "table": {"model": {"fvd": fvd, **more}}}
    interval = None if half_width is None else [fvd - half_width, fvd + half_width]
    report |= {"intervals": {"model": {"fvd": interval}}, "weights": {"i3d_kinetics400": "34"}}
    return report


def verdict(a: dict, b: dict, metric: str = "psnr") -> str:
    return compare_reports(a, b)["rows"]["model"][metric]["verdict"]


# Pairs ----------------------------------------------------------------------------------------------------------------


def test_a_small_difference_in_every_sequence_is_seen() -> None:
    """The figures' own intervals are 9 dB wide; the pairs tell 0.1 dB apart."""
    better = rendering(psnr=0.1, lpips=0.001, noise=0.05)
    assert verdict(rendering(), better) == "B better"
    assert verdict(better, rendering()) == "A better"
    assert verdict(rendering(), better, "lpips") == "A better"  # lower is better
    assert verdict(better, rendering(), "lpips") == "B better"
    entry = compare_reports(rendering(), better)["rows"]["model"]["psnr"]
    assert entry["difference"] == pytest.approx(entry["b"] - entry["a"])
    assert entry["interval"][0] < entry["difference"] < entry["interval"][1]
    assert entry["interval"][1] - entry["interval"][0] < 0.1
    assert (entry["sequences"], entry["videos"]) == (2 * VIDEOS, VIDEOS)


def test_what_is_as_often_better_as_worse_is_within_the_interval() -> None:
    assert verdict(rendering(), rendering(noise=1.0)) == "within the interval"
    assert verdict(rendering(), rendering()) == "within the interval"


def test_sequences_of_one_video_do_not_count_as_many() -> None:
    """Three of ten videos change, by the same in each of their sequences: no reason to believe in a difference."""

    def changed(per_video: int) -> dict:
        report = rendering(per_video=per_video)
        for name, values in report["per_sequence"]["model"].items():
            values["psnr"] += {"v0": 2.0, "v1": 1.0, "v2": -1.0}.get(name[:2], 0.0)
        return report

    for per_video in (1, 30):
        assert verdict(rendering(per_video=per_video), changed(per_video)) == "within the interval"
    one, many = (compare_reports(rendering(per_video=n), changed(n))["rows"]["model"]["psnr"] for n in (1, 30))
    assert many["interval"] == pytest.approx(one["interval"])
    # Drawing sequences instead would have called it.
    naive = [2.0] * 30 + [1.0] * 30 + [-1.0] * 30 + [0.0] * 210
    interval = bootstrap_interval(naive)
    assert interval is not None
    assert interval[0] > 0


def test_ratios_are_better_the_nearer_to_one() -> None:
    def report(ratio: float) -> dict:
        values = rendering()
        for index, row in enumerate(values["per_sequence"]["model"].values()):
            row["seam"] = ratio * (1 + 0.01 * math.sin(index))
        return values | {"table": {"model": {"seam": ratio}}}

    assert verdict(report(0.5), report(1.2), "seam") == "B better"
    assert verdict(report(1.1), report(0.5), "seam") == "A better"
    assert verdict(report(1.25), report(0.8), "seam") == "within the interval"
    assert verdict(report(0.0), report(3.0), "seam") == "B better"  # nothing moved at all


def test_metrics_without_a_better_side_are_only_called_higher() -> None:
    def report(value: float) -> dict:
        values = rendering()
        for row in values["per_sequence"]["model"].values():
            row["coherence"] = value
        return values | {"table": {"model": {"coherence": value}}}

    assert verdict(report(0.5), report(0.9), "coherence") == "B higher"
    assert verdict(report(0.9), report(0.5), "coherence") == "A higher"


def test_medians_are_compared_with_medians() -> None:
    """As the stillness table has them: one photo that moves far does not decide."""

    def stillness(values: list[float]) -> dict:
        report = rendering(per_video=1) | {"kind": "stillness", "table": {"model": {"still_photos": median(values)}}}
        named = zip(report["data"]["identities"], values, strict=False)
        report["per_sequence"] = {"model": {name: {"still_photos": value} for name, value in named}}
        return report

    before, after = stillness([0.1] * 9 + [9.0]), stillness([0.2] * 9 + [5.0])
    entry = compare_reports(before, after)["rows"]["model"]["still_photos"]
    assert (entry["a"], entry["b"]) == (0.1, 0.2)
    assert entry["difference"] == pytest.approx(0.1)
    assert entry["verdict"] == "A better"


def test_one_video_has_no_interval_and_few_have_a_warning() -> None:
    def first(videos: int) -> tuple[dict, dict]:
        reports = rendering(), rendering(psnr=1.0)
        for report in reports:
            for part in (report["data"]["identities"], report["per_sequence"]["model"]):
                for name in [name for name in part if int(name[1]) >= videos]:
                    del part[name]
        return reports

    assert verdict(*first(1)) == "no interval"
    assert any("as few as 3 videos" in warning for warning in compare_reports(*first(3))["warnings"])
    assert compare_reports(*first(8))["warnings"] == []


# Distances ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "expected"),
    [(130.0, "A better"), (70.0, "B better"), (114.0, "within the interval"), (115.0, "A better")],
)
def test_distances_are_compared_with_both_intervals(second: float, expected: str) -> None:
    assert verdict(motion(100.0), motion(second), "fvd") == expected  # sqrt(10^2 + 10^2) = 14.1


def test_distances_without_interval_have_no_verdict() -> None:
    assert verdict(motion(100.0), motion(500.0, None), "fvd") == "no interval"


# What makes figures incomparable --------------------------------------------------------------------------------------


def test_different_data_compares_shared_sequences_alone_and_says_so() -> None:
    other = rendering(psnr=1.0)
    for name in ("v0_0", "v0_1"):
        other["data"]["identities"][name]["fingerprint"] = "other frames"
        other["per_sequence"]["model"][name]["psnr"] = -500.0
    other["data"]["manifest_sha256"] = "cd"
    comparison = compare_reports(rendering(), other)
    entry = comparison["rows"]["model"]["psnr"]
    assert entry["verdict"] == "B better"
    assert entry["sequences"] == 2 * VIDEOS - 2
    assert entry["difference"] == pytest.approx(1.0)
    assert "of 20 and 20 sequences 18 are the same" in " ".join(comparison["warnings"])


def test_distances_on_different_data_are_not_compared() -> None:
    fewer = motion(500.0)
    del fewer["data"]["identities"]["v0_0"]
    assert verdict(motion(100.0), fewer, "fvd") == "not comparable"
    unknown = motion(500.0) | {"data": {}}
    assert verdict(unknown, unknown, "fvd") == "not comparable"
    assert shared_sequences(unknown, unknown) == []


def test_the_same_sequences_in_another_folder_are_comparable() -> None:
    other = motion(500.0)
    other["data"] |= {"manifest_sha256": "cd", "name": "elsewhere"}
    assert verdict(motion(100.0), other, "fvd") == "A better"
    assert "manifests differ" in " ".join(compare_reports(motion(100.0), other)["warnings"])


def test_different_metric_weights_are_not_compared() -> None:
    other = rendering(psnr=1.0, lpips=1.0) | {"weights": {"lpips_alexnet": "other"}}
    comparison = compare_reports(rendering(), other)
    assert comparison["rows"]["model"]["lpips"]["verdict"] == "not comparable"
    assert comparison["rows"]["model"]["psnr"]["verdict"] == "B better"
    assert comparison["warnings"] == ["lpips is not comparable: different weights of lpips_alexnet"]


def test_protocols_and_versions_that_differ_are_named() -> None:
    first, second = (rendering() | {"versions": {"torch": version}} for version in ("2.10", "2.11"))
    second["protocol"] = {"frames": "stored", "steps": 20}
    assert compare_reports(first, second)["warnings"] == [
        "different protocols, the figures may not be comparable: frames all / stored, steps - / 20",
        "different versions: torch 2.10 / 2.11",
    ]


def test_gaps_and_rows_of_one_report_are_left_out() -> None:
    first, second = rendering(), rendering()
    first["table"]["remap"] = {"psnr": 20.0}
    second["table"]["model"]["lpips"] = None
    comparison = compare_reports(first, second)
    assert {row: list(metrics) for row, metrics in comparison["rows"].items()} == {"model": ["psnr"]}
    assert comparison["rows_in_one"] == ["remap"]
    assert "rows of one report alone: remap" in format_comparison(comparison)


def test_different_kinds_and_different_rows_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^a\.json is a report of rendering, b\.json of motion; give two of one kind$"
    ):
        compare_reports(rendering(), motion(1.0), names=("a.json", "b.json"))
    other = rendering() | {"table": {"other": {"psnr": 1.0}}}
    with pytest.raises(ValueError, match="no row in common"):
        compare_reports(rendering(), other)


# The command ----------------------------------------------------------------------------------------------------------


def test_compare_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first, second, report = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    write_json(first, rendering())
    write_json(second, rendering(psnr=-1.0))
    assert evaluate.main(["compare", str(first), str(second), "--report", str(report)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"A: {first}: rendering on trees (test): 20 sequences of 10 videos; checkpoint pretrained"
    assert lines[3].split() == ["row", "metric", "A", "B", "B", "-", "A", "95", "%", "interval", "verdict"]
    assert lines[4].split() == ["model", "psnr", "33.50", "32.50", "-1.00", "[-1.00,", "-1.00]", "A", "better"]
    written = json.loads(report.read_text())
    assert written["rows"] == json.loads(json.dumps(compare_reports(rendering(), rendering(psnr=-1.0))["rows"]))
    assert len(written["first"]["sha256"]) == 64
    # What it writes is no table to compare again.
    assert evaluate.main(["compare", str(report), str(second)]) == 2
    assert "not a report of a table" in capsys.readouterr().err


def three_rows() -> dict:
    """A report in which `average` is half a decibel below `model` in every video, and `remap` now above, now below."""
    report = motion(100.0, psnr=33.5)
    for row, changes in {"average": {"psnr": -0.5}, "remap": {"noise": 1.0}}.items():
        other = rendering(**changes)
        report["table"][row] = {"fvd": 130.0 if row == "average" else None, "psnr": other["table"]["model"]["psnr"]}
        report["per_sequence"][row] = other["per_sequence"]["model"]
        report["intervals"][row] = {"fvd": [120.0, 140.0] if row == "average" else None}
    return report


def test_the_rows_of_one_report_are_compared_with_one_of_them() -> None:
    report = three_rows()
    before = copy.deepcopy(report)
    comparison = compare_rows(report, "model", name="r.json")
    assert report == before
    found = {row: {metric: entry["verdict"] for metric, entry in of.items()} for row, of in comparison["rows"].items()}
    assert found == {
        "average": {"fvd": "A better", "psnr": "A better"},
        "remap": {"psnr": "within the interval"},
    }
    assert comparison["rows"]["average"]["psnr"]["difference"] == pytest.approx(-0.5)
    assert compare_rows(report, "average")["rows"]["model"]["psnr"]["verdict"] == "B better"
    assert (comparison["warnings"], comparison["rows_in_one"]) == ([], [])
    assert format_comparison(comparison).startswith("A: r.json, row model: motion on trees (test)")


def test_compare_against_a_row(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first, report = tmp_path / "a.json", tmp_path / "c.json"
    write_json(first, three_rows())
    assert evaluate.main(["compare", str(first), "--against", "average", "--report", str(report)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"B: {first}, its other rows: motion on trees")
    assert [line.split()[0] for line in lines[4:7]] == ["model", "model", "remap"]
    written = json.loads(report.read_text())
    assert written["rows"] == json.loads(json.dumps(compare_rows(three_rows(), "average")["rows"]))
    assert written["first"]["sha256"] == written["second"]["sha256"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), "a.json: give either another report to compare it with or --against ROW, one of model, average, remap"),
        (("a.json", "--against", "model"), "a.json: give either another report"),
        (("--against", "full"), "a.json: no row full beside others; its rows are model, average, remap"),
    ],
)
def test_what_to_compare_with_has_to_be_clear(
    words: tuple[str, ...], error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    write_json(Path("a.json"), three_rows())
    assert evaluate.main(["compare", "a.json", *words]) == 2
    assert error in capsys.readouterr().err


def test_the_seed_draws_the_bootstrap(tmp_path: Path) -> None:
    report = tmp_path / "c.json"
    write_json(tmp_path / "a.json", three_rows())
    intervals = []
    for seed in ("0", "1", "1"):
        words = ["--against", "remap", "--seed", seed, "--report", str(report)]
        assert evaluate.main(["compare", str(tmp_path / "a.json"), *words]) == 0
        intervals.append(json.loads(report.read_text())["rows"]["model"]["psnr"]["interval"])
    assert intervals[0] != intervals[1] == intervals[2]


def test_comparing_changes_neither_report() -> None:
    first, second = rendering(), rendering(psnr=1.0)
    before = copy.deepcopy((first, second))
    compare_reports(first, second)
    assert (first, second) == before
