"""evaluate.py sampling end to end with a tiny model, and what its columns measure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import evaluate
from evaluation.metrics.distances import frechet_distance
from evaluation.metrics.motion_features import feature_names, motion_features, octaves
from evaluation.metrics.motion_scores import motion_difference, motion_diversity
from evaluation.metrics.registry import of_table
from evaluation.options import SamplingOptions
from evaluation.report.cost_plot import cost_plot
from evaluation.sequences import load_sequences
from evaluation.tables.sampling import evaluate_sampling
from evaluation.tables.sampling_cost import (
    Cost,
    Row,
    check_steps,
    counted_calls,
    estimate,
    format_duration,
    format_estimate,
    make_rows,
)
from evaluation.tables.sampling_judge import BASELINES
from models.motion.model import PRESETS
from models.pipeline import ImageDynamicsPipeline
from models.spectral_volume import motion_to_spectral_volume, spectral_volume_to_motion

METRICS = tuple(of_table("sampling"))


@pytest.fixture(scope="module")
def true_volumes(small_dataset: Path) -> list[torch.Tensor]:
    return [s.volume(4) for split in ("train", "validation") for s in load_sequences(small_dataset, split)]


def run(dataset: Path, checkpoint: Path, report: Path, *options: str) -> dict:
    arguments = ["sampling", "--data", str(dataset), "--checkpoint", str(checkpoint), "--report", str(report)]
    assert evaluate.main([*arguments, *options]) == 0
    return json.loads(report.read_text())


# The table ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sampling")


@pytest.fixture(scope="module")
def report(small_dataset: Path, checkpoint: Path, outputs: Path) -> dict:
    options = ["--samplers", "dpmsolver++:2,4", "ddpm:3", "--loop-guidance", "0,5", "--samples", "2"]
    media = ["--output", str(outputs / "figures"), "--html", str(outputs / "page.html")]
    return run(small_dataset, checkpoint, outputs / "report.json", *options, *media)


@pytest.mark.slow
def test_table_has_a_row_for_every_way_to_sample_and_the_baselines(report: dict, outputs: Path) -> None:
    table = report["table"]
    steps = ("dpmsolver++ 2", "dpmsolver++ 4", "ddpm 3")
    assert list(table) == [name for row in steps for name in (row, f"{row} u=5")] + list(BASELINES)
    assert all(list(row) == list(METRICS) for row in table.values())
    assert report["data"]["split"] == "validation"
    assert report["protocol"]["guidance"] == PRESETS["tiny"].guidance  # the model's own
    for name in report["rows"]:
        assert all(value is not None for value in table[name].values()), name
        assert 0 < table[name]["diversity_motion"] <= 1
        assert table[name]["seconds"] > 0
    assert len({table[name]["localisation"] for name in report["rows"]}) == 6  # all of them sample otherwise
    assert set(report["per_sequence"]["ddpm 3"]) == set(report["data"]["identities"])
    assert {path.name for path in (outputs / "figures").iterdir()} == {"per_sequence.csv", "cost.svg"}
    assert "U-Net calls" in (outputs / "page.html").read_text()


@pytest.mark.slow
def test_unet_calls_are_counted_with_guidance(report: dict) -> None:
    calls = {name: row["network_calls"] for name, row in report["table"].items() if row["network_calls"]}
    assert calls["dpmsolver++ 2"] == calls["dpmsolver++ 2 u=5"] == 2 * 2  # with and without the photo
    assert calls["dpmsolver++ 4"] == 4 * 2
    assert calls["ddpm 3"] == 3 * 2


@pytest.mark.slow
def test_the_measured_motion_is_at_no_distance_from_itself(report: dict) -> None:
    table = report["table"]
    assert table["true-motion"]["motion_frechet"] == pytest.approx(0, abs=1e-6)
    assert table["jelly"]["motion_frechet"] > 1
    assert table["true-motion"]["localisation"] == pytest.approx(1)
    assert report["counts"]["real"]["motion_frechet"] == 2 * 8 * 4  # windows of two sequences at 64x32
    assert report["counts"]["ddpm 3"]["motion_frechet"] == 2 * report["counts"]["real"]["motion_frechet"]  # samples
    assert any("of 1 videos" in warning or "of 1 video" in warning for warning in report["warnings"])
    assert "needs several samples" in report["notes"]["jelly"]["diversity_motion"]
    assert "no sampling" in report["notes"]["true-motion"]["seconds"]
    assert "one video" in report["notes"]["shuffled"]["motion_frechet"]


def test_figures_depend_on_the_seed_alone(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    options = ("--samplers", "ddpm:2", "--samples", "1", "--metrics", "localisation,motion_frechet,motion_seam")
    tables = [
        run(small_dataset, checkpoint, tmp_path / f"{number}.json", *options, "--seed", seed)["table"]["ddpm 2"]
        for number, seed in enumerate(("3", "3", "4"))
    ]
    assert tables[0] == tables[1]
    assert all(tables[0][metric] != tables[2][metric] for metric in tables[0])


@pytest.mark.slow
def test_recurrence_costs_further_calls(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    options = ("--samplers", "ddim:2", "--loop-guidance", "0,5", "--recurrence", "0,2", "--samples", "1")
    table = run(small_dataset, checkpoint, tmp_path / "r.json", *options, "--metrics", "network_calls,motion_seam")[
        "table"
    ]
    assert list(table)[:3] == ["ddim 2", "ddim 2 u=5", "ddim 2 u=5 r=2"]
    assert table["ddim 2 u=5 r=2"]["network_calls"] > table["ddim 2 u=5"]["network_calls"] == 4
    assert table["ddim 2 u=5 r=2"]["motion_seam"] != table["ddim 2 u=5"]["motion_seam"]


class InterruptedPipeline(ImageDynamicsPipeline):
    """Somebody presses Ctrl-C at the second sample of four steps."""

    def predict_motion(self, image: torch.Tensor, seed: int = 0, **options: Any) -> torch.Tensor:
        if options["steps"] == 4 and seed == 1:
            raise KeyboardInterrupt
        return super().predict_motion(image, seed=seed, **options)


def test_ctrl_c_keeps_the_rows_that_are_done(small_dataset: Path, checkpoint: Path) -> None:
    def sampled(*steps: int) -> dict:
        options = SamplingOptions(
            data=small_dataset,
            split="validation",
            checkpoint=checkpoint,
            samplers=tuple(("ddim", count) for count in steps),
        )
        return evaluate_sampling(options, load=InterruptedPipeline.from_pretrained)

    report = sampled(2, 4, 5)
    assert list(report["table"]) == ["ddim 2", *BASELINES]
    assert list(report["rows"]) == ["ddim 2"]
    assert "interrupted before ddim 4, ddim 5" in report["warnings"]
    with pytest.raises(KeyboardInterrupt):  # nothing was done
        sampled(4)


@pytest.mark.slow
def test_two_reports_compare(
    small_dataset: Path, checkpoint: Path, tmp_path: Path, report: dict, outputs: Path, capsys: pytest.CaptureFixture
) -> None:
    run(small_dataset, checkpoint, tmp_path / "r.json", "--samplers", "ddpm:3", "--seed", "9")
    assert evaluate.main(["compare", str(outputs / "report.json"), str(tmp_path / "r.json")]) == 0
    assert "motion_frechet" in capsys.readouterr().out


# Cost -----------------------------------------------------------------------------------------------------------------


def test_the_cost_is_said_before_anything_is_sampled(
    small_dataset: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run(small_dataset, checkpoint, tmp_path / "r.json", "--samplers", "ddim:2", "--samples", "3", "--guidance", "0")
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("ddim 2")
    assert "2 U-Net calls" in first
    assert first.endswith("for 6")  # three samples of two sequences
    assert second.endswith("in all")


def test_estimates_count_calls_as_the_rows_then_need_them(small_dataset: Path, checkpoint: Path) -> None:
    from evaluation.prediction import Setting

    pipeline = ImageDynamicsPipeline.from_pretrained(checkpoint, ["motion"])
    setting = Setting(load_sequences(small_dataset, "validation"), pipeline, samples=7)
    row = Row("ddim", 50, loop_guidance=3.0)
    costs = estimate([row, replace(row, steps=9)], setting)
    assert costs[row].calls_a_step == 2
    assert costs[row] is costs[replace(row, steps=9)]  # one kind, timed once
    assert costs[row].seconds(50) >= costs[row].seconds(9) > 0  # a step of so small a model may be too short to time
    with counted_calls(pipeline) as calls:
        pipeline.predict_motion(setting.sequences[0].first_frame(), steps=3)
    pipeline.predict_motion(setting.sequences[0].first_frame(), steps=1)  # no longer counted
    assert calls.count == 6


def test_estimate_as_text() -> None:
    text = format_estimate({Row("ddpm", 1000): Cost(1.0, 0.25, 2)}, samples=12)
    assert "2000 U-Net calls, about 251.0 s a sample, 50 min for 12" in text
    assert [format_duration(seconds) for seconds in (7.4, 120, 7200)] == ["7 s", "2 min", "2.0 h"]


@pytest.mark.slow
def test_cost_plot_needs_two_rows(report: dict) -> None:
    plot = cost_plot(report)
    assert plot is not None
    assert plot.count("<svg") == 1
    alone = {**report, "rows": {"ddpm 3": report["rows"]["ddpm 3"]}}
    assert cost_plot(alone) is None


# Rows and errors ------------------------------------------------------------------------------------------------------


def test_rows_are_combinations_once_and_repeat_no_step_without_loop_guidance() -> None:
    rows = make_rows([("ddim", 5), ("ddim", 5)], [0.0, 200.0], [0, 2])
    assert list(map(str, rows)) == ["ddim 5", "ddim 5 u=200", "ddim 5 u=200 r=2"]
    assert rows[0].recurrence == 0
    with pytest.raises(ValueError, match="give --loop-guidance too"):
        make_rows([("ddim", 5)], [0.0], [0, 2])


def test_more_steps_than_the_schedule_has_are_an_error(
    small_dataset: Path, checkpoint: Path, capsys: pytest.CaptureFixture
) -> None:
    check_steps([Row("ddpm", 1000)], 1000)
    with pytest.raises(ValueError, match="at most 1000"):
        check_steps([Row("ddim", 20), Row("ddpm", 1001)], 1000)
    given = ["--data", str(small_dataset), "--checkpoint", str(checkpoint), "--samplers", "ddpm:2000"]
    assert evaluate.main(["sampling", *given]) == 2
    error = capsys.readouterr().err
    assert "ddpm:2000: the model's noise schedule has 1000 steps" in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--samplers", "euler:20"],
        ["--samplers", "ddim"],
        ["--samplers", "ddim:0"],
        ["--samplers", "ddim:x"],
        ["--loop-guidance", "-1"],
        ["--loop-guidance", "nan"],
        ["--recurrence", "0.5"],
    ],
)
def test_bad_options_are_refused(options: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_:
        evaluate.main(["sampling", "--data", "x", *options])
    assert exit_.value.code == 2
    assert options[1] in capsys.readouterr().err


# Features of motion ---------------------------------------------------------------------------------------------------


def windows(volumes: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([motion_features(volume) for volume in volumes])


def test_distance_of_motion_is_zero_to_itself_and_grows_with_what_is_wrong(true_volumes: list[torch.Tensor]) -> None:
    true = windows(true_volumes)
    assert true.shape == (len(true_volumes) * 8 * 4, len(feature_names(4)))
    assert frechet_distance(true, true) == pytest.approx(0, abs=1e-8)
    random = torch.Generator().manual_seed(0)
    order = torch.randperm(32, generator=random)
    wrong = {
        "shuffled in time": [
            motion_to_spectral_volume(spectral_volume_to_motion(volume, 32)[:, order], 4) for volume in true_volumes
        ],
        "one jelly": [volume.mean((3, 4), keepdim=True).expand_as(volume) for volume in true_volumes],
        "noise": [
            volume.flatten(3)[..., torch.randperm(volume[0, 0, 0].numel(), generator=random)].view_as(volume)
            for volume in true_volumes
        ],
        "four times as far": [4 * volume for volume in true_volumes],
        "turned by 90 degrees": [volume[:, :, [1, 0, 3, 2]] for volume in true_volumes],
    }
    mirrored = frechet_distance(true, windows([volume.flip(4) * flip_signs() for volume in true_volumes]))
    for name, volumes in wrong.items():
        assert frechet_distance(true, windows(volumes)) > max(0.5, 2 * mirrored), name


def flip_signs() -> torch.Tensor:
    """Of a picture mirrored left to right: x turns round."""
    return torch.tensor([-1.0, 1.0, -1.0, 1.0])[:, None, None]


def test_features_of_known_motion() -> None:
    names = feature_names(3)
    octaves_of = [f"{kind} {octave}" for kind in ("power", "coherence") for octave in ("1-1", "2-2")]
    assert names == [*octaves_of, "horizontal", "diagonal", "rotation", "gradient", "evenness"]
    volume = torch.zeros(1, 3, 4, 32, 64)
    volume[:, 0] = 5.0  # the mean position, which takes no part
    volume[:, 1, 0] = 0.5**0.5  # x alone; 2 |S|^2 = 1 px^2
    features = dict(zip(names, motion_features(volume).T, strict=True))
    assert features["power 1-1"].numel() == 8 * 4
    expected = {"power 1-1": 0, "power 2-2": -6 / 1.5, "coherence 1-1": 1 / 0.2, "coherence 2-2": 0}
    expected |= {"horizontal": 1 / 0.5, "diagonal": 0, "rotation": 0, "gradient": -6 / 1.5, "evenness": 1 / 0.25}
    for name, value in expected.items():
        assert features[name].tolist() == pytest.approx([value] * 32, abs=1e-4), name


def test_direction_features_tell_diagonals_circles_and_verticals_apart() -> None:
    def stokes(**channels: float) -> list[float]:
        volume = torch.zeros(1, 2, 4, 16, 16)
        for name, value in channels.items():
            volume[:, 1, ("re_x", "re_y", "im_x", "im_y").index(name)] = value
        return [round(value, 3) for value in (motion_features(volume)[0, 2:5] * 0.5).tolist()]

    assert stokes(re_y=1) == [-1, 0, 0]
    assert stokes(im_x=1, im_y=1) == [0, 1, 0]
    assert stokes(re_x=1, re_y=-1) == [0, -1, 0]
    assert stokes(re_x=1, im_y=1) == [0, 0, -1]
    assert stokes(re_x=1, im_y=-1) == [0, 0, 1]


def test_octaves_cover_every_frequency_once() -> None:
    for count in (2, 3, 4, 8, 16, 24):
        assert [k for band in octaves(count) for k in band] == list(range(1, count))
    assert [len(feature_names(count)) for count in (2, 16, 24)] == [7, 13, 15]


def test_motion_too_small_to_be_described_is_an_error() -> None:
    with pytest.raises(ValueError, match="too small to be described"):
        motion_features(torch.zeros(1, 1, 4, 32, 64))
    with pytest.raises(ValueError, match="too small to be described"):
        motion_features(torch.zeros(1, 4, 4, 4, 4))


# Diversity ------------------------------------------------------------------------------------------------------------


def test_the_same_motion_from_another_moment_is_no_diversity(true_volumes: list[torch.Tensor]) -> None:
    volume = true_volumes[0]
    later = motion_to_spectral_volume(spectral_volume_to_motion(volume, 32).roll(8, dims=1), 4)
    assert motion_difference(volume, volume) == pytest.approx(0, abs=1e-6)
    assert motion_difference(volume, later) == pytest.approx(0, abs=1e-4)
    assert motion_difference(later, volume) == pytest.approx(0, abs=1e-4)
    moved = volume.clone()
    moved[:, 0] += 3  # another mean position
    assert motion_difference(volume, moved) == pytest.approx(0, abs=1e-6)


def test_unrelated_motion_is_diverse(true_volumes: list[torch.Tensor]) -> None:
    random = torch.Generator().manual_seed(0)
    first, second = (torch.randn(1, 4, 4, 32, 64, generator=random) for _ in range(2))
    assert motion_difference(first, second) == pytest.approx(1, abs=0.05)
    left, right = torch.zeros(2, 1, 4, 4, 32, 64)
    left[..., :32], right[..., 32:] = 1.0, 1.0
    assert motion_difference(left, right) == 1
    assert motion_diversity([left, right, left]) == pytest.approx(2 / 3)
    assert motion_diversity([left]) is None
    assert motion_diversity([left, torch.zeros_like(left)]) is None
