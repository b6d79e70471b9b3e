"""evaluate.py rendering: rows and metrics, how figures are averaged, CSV and videos, and what is said of bad input."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.motion_models import tiny_renderer
from safetensors import safe_open
from safetensors.torch import save_file

from common.command_line import write_json
from data.media.read_video import read_video
from data.media.sheets import LABEL_HEIGHT
from evaluation.metrics.metric import Metric
from evaluation.metrics.registry import METRICS as ALL_METRICS
from evaluation.metrics.registry import of_table
from evaluation.options import RenderingOptions
from evaluation.report.comparison_video import extremes
from evaluation.sequences import EvaluationSequence
from evaluation.tables.rendering import evaluate_rendering, summary
from evaluation.tables.rendering_rows import ROWS
from evaluation.tables.rendering_scores import RenderingTable, SequenceFrames, frame_measures
from models.rendering.config import PRESETS
from models.rendering.model import FrameSynthesisModel

METRICS = tuple(of_table("rendering"))
PERFECT = 10 * np.log10(255**2 / 1e-3)


def absolute_error(frames: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Stands in for LPIPS."""
    return (frames - targets).abs().mean(dim=(1, 2, 3))


def options(dataset: Path, checkpoint: Path, **changed: Any) -> RenderingOptions:
    """What the command line would give, with the split that the small dataset has."""
    given: dict[str, Any] = {"data": dataset, "split": "validation", "checkpoint": checkpoint, "device": "cpu"}
    return RenderingOptions(**given | changed)


def table_of(options: RenderingOptions) -> dict:
    """The report, with something simple in place of LPIPS."""
    return evaluate_rendering(options, distance=absolute_error)


def made_frames(targets: list[int], source: int = 100) -> SequenceFrames:
    """Frames of one gray value each, none of which moves."""
    frames = torch.tensor(targets, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 24)
    still = torch.zeros(len(targets), 2, 16, 24)
    return SequenceFrames(torch.full((3, 16, 24), source, dtype=torch.uint8), frames, still, torch.zeros(1, 1, 16, 24))


def scored(made: dict[str, SequenceFrames], rows: tuple[str, ...], *, batch: int | None = None) -> RenderingTable:
    """The table of sequences that are made here."""
    table = RenderingTable(
        rows,
        model=tiny_renderer(),
        measures=frame_measures(absolute_error),
        device=torch.device("cpu"),
        stored=False,
        batch=batch,
        read=lambda sequence, stored: made[sequence.id],
    )
    table.run([EvaluationSequence(Path(), {"id": name}) for name in made])
    return table


def test_report_table_csv_and_videos(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    report = table_of(options(small_dataset, checkpoint, output=tmp_path / "made" / "here"))
    assert list(report["table"]) == list(ROWS)
    assert all(list(row) == list(METRICS) for row in report["table"].values())
    table = report["table"]
    for metric, sign in (("psnr", 1), ("ssim", 1), ("lpips", -1)):
        assert sign * table["softmax-splatting"][metric] > sign * table["repeat"][metric]
    assert table["softmax-splatting"]["flicker"] < table["repeat"]["flicker"]
    assert len({row["psnr"] for row in table.values()}) == len(ROWS)  # six renderers, not one under six names
    for row in ROWS:
        assert report["counts"][row] == dict.fromkeys(METRICS, 2)
        values = [scores["psnr"] for scores in report["per_sequence"][row].values()]
        assert table[row]["psnr"] == pytest.approx(sum(values) / 2)
        assert report["intervals"][row]["psnr"] is None  # of one video, whatever its sequences
    assert report["protocol"]["rendered_frames"] == 2 * 31
    assert report["protocol"]["as_published"] == {"size": False, "fps": True, "num_frames": False}
    assert "come from 1 videos" in report["warnings"][0]
    assert set(report["checkpoint"]["files"]) == {"frame_synthesis/config.json", "frame_synthesis/model.safetensors"}
    assert {*ROWS, "reading", *METRICS} <= report["timings"]["seconds_per_sequence"].keys()
    write_json(tmp_path / "report.json", report)  # finite values that JSON can hold

    written = tmp_path / "made" / "here"
    expected_files = {"best.mp4", "median.mp4", "per_sequence.csv", "worst.mp4"}
    assert {path.name for path in written.iterdir()} == expected_files
    with (written / "per_sequence.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["sequence", "source", "row", *METRICS]
    assert len(lines) == 2 * len(ROWS)
    for line in lines:
        assert line["source"] == "second.mp4"
        expected = report["per_sequence"][line["row"]][line["sequence"]]
        assert {metric: float(line[metric]) for metric in METRICS} == pytest.approx(expected)
    frames, fps = read_video(written / "worst.mp4")
    assert frames.shape == (32, 32 + LABEL_HEIGHT, 5 * 64, 3)
    assert fps == pytest.approx(30)
    original, model, source = (frames[:, LABEL_HEIGHT:, i * 64 : (i + 1) * 64].astype(float) for i in (0, 1, 4))
    assert np.abs(model - original).mean() < np.abs(source - original).mean()
    assert np.abs(np.diff(source, axis=0)).mean() < 1  # stands still, but for compression


def test_stored_frames_and_chosen_rows(small_dataset: Path, checkpoint: Path) -> None:
    chosen = options(small_dataset, "nowhere", frames="stored", rows=("repeat", "remap"), max_sequences=1)
    report = table_of(chosen)
    assert list(report["table"]) == ["remap", "repeat"]
    assert report["checkpoint"] is None
    assert report["protocol"]["frames"] == "stored"
    assert report["protocol"]["rendered_frames"] == 10
    assert report["intervals"]["remap"]["psnr"] is None  # of one sequence there is none
    assert any("frames" in line for line in report["warnings"])
    for row in ("remap", "repeat"):
        assert report["table"][row]["flicker"] is None
        assert "--frames all" in report["notes"][row]["flicker"]


def test_the_same_frames_are_perfect_in_every_row() -> None:
    table = scored({"a": made_frames([100, 100, 100])}, tuple(ROWS))
    for row in ROWS:
        assert table.scores[row]["a"]["psnr"] == pytest.approx(PERFECT)
        assert table.scores[row]["a"]["ssim"] == pytest.approx(1, abs=1e-6)
        assert table.scores[row]["a"]["lpips"] == 0


def test_each_sequence_counts_once_however_long_it_is() -> None:
    table = scored({"long": made_frames([110] * 40), "short": made_frames([101])}, ("repeat",))
    far, near = 20 * np.log10(255 / 10), 20 * np.log10(255)
    assert table.scores["repeat"]["long"]["psnr"] == pytest.approx(far, abs=1e-4)
    assert table.scores["repeat"]["short"]["psnr"] == pytest.approx(near, abs=1e-4)
    report = summary(table.scores, METRICS, sources={"long": "any", "short": "other"}, notes={}, seed=0)
    assert report["table"]["repeat"]["psnr"] == pytest.approx((far + near) / 2, abs=1e-4)
    assert report["intervals"]["repeat"]["psnr"] == pytest.approx([far, near], abs=1e-4)
    assert table.rendered_frames == 41


def test_a_sequences_figure_is_the_mean_of_its_frames_figures() -> None:
    table = scored({"a": made_frames([110, 101])}, ("repeat",))
    assert table.scores["repeat"]["a"]["psnr"] == pytest.approx(20 * np.log10(255) - 10, abs=1e-4)


def test_all_later_frames_are_compared_with_their_own_flow() -> None:
    """More frames than one batch holds, each shifted by its own whole number of pixels."""
    wide = torch.randint(0, 255, (3, 32, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shifts = [1, -2, 3, 0, -4, 5, 2]
    targets = torch.stack([wide[:, :, 10 - shift : 50 - shift] for shift in shifts])
    flows = torch.zeros(len(shifts), 2, 32, 40)
    flows[:, 0] = torch.tensor(shifts).view(-1, 1, 1)
    frames = SequenceFrames(wide[:, :, 10:50], targets, flows, torch.ones(1, 1, 32, 40))
    table = scored({"a": frames}, ("average-splatting", "remap", "repeat"), batch=3)
    psnr = {row: scores["a"]["psnr"] for row, scores in table.scores.items()}
    assert psnr["average-splatting"] > psnr["repeat"] + 8
    assert psnr["remap"] > psnr["repeat"] + 8


def test_without_weights_lpips_is_a_note_and_videos_go_by_psnr(
    small_dataset: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))
    chosen = options(small_dataset, checkpoint, frames="stored", rows=("model", "repeat"), output=tmp_path / "out")
    report = evaluate_rendering(chosen)
    for row in ("model", "repeat"):
        assert report["table"][row]["lpips"] is None
        assert report["notes"][row]["lpips"] == "not computed: no LPIPS AlexNet weights (see docs/evaluation.md)"
        assert report["intervals"][row]["lpips"] is None
        assert report["table"][row]["psnr"] is not None
    assert report["weights"] == {"lpips_alexnet": None}
    assert (tmp_path / "out" / "worst.mp4").is_file()


def broken(part: str) -> Callable[[dict[str, torch.Tensor]], None]:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors[part][1, 0, 3, 4] = torch.nan

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (broken("flows"), r"sequences/second.*safetensors: the flow to frame \d+ is not finite"),
        (broken("spectral_volume"), "sequences/second.*safetensors: its spectral volume is not finite"),
    ],
)
def test_motion_that_is_not_finite_is_one_line(
    small_dataset: Path, checkpoint: Path, tmp_path: Path, spoil: Callable, message: str
) -> None:
    shutil.copytree(small_dataset, tmp_path / "copy")
    path = sorted((tmp_path / "copy" / "sequences").glob("second*"))[0]
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    spoil(tensors)
    save_file(tensors, path, metadata)
    with pytest.raises(ValueError, match=message) as error:
        table_of(options(tmp_path / "copy", checkpoint, frames="stored"))
    assert "\n" not in str(error.value)


def test_bad_input_is_one_line(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    for changed, message in (
        ({"split": "test"}, "no sequences in the split 'test'"),
        ({"rows": ("model", "flow")}, "--rows: flow unknown, expected some of model, average-splatting"),
        ({"checkpoint": tmp_path / "nowhere"}, "nowhere: no such checkpoint folder"),
    ):
        with pytest.raises(ValueError, match=message):
            table_of(options(small_dataset, **{"checkpoint": checkpoint, "frames": "stored", **changed}))


def test_a_checkpoint_that_renders_nan_is_named(small_dataset: Path, tmp_path: Path) -> None:
    model = FrameSynthesisModel(PRESETS["tiny"])
    with torch.no_grad():
        model.head.bias.fill_(torch.nan)
    model.save_pretrained(tmp_path / "frame_synthesis")
    with pytest.raises(ValueError, match=r"head\.bias holds values that are not finite"):
        table_of(options(small_dataset, tmp_path, frames="stored"))
    with torch.no_grad():  # finite weights whose results are not
        for parameter in model.parameters():
            parameter.fill_(3e38)
    model.save_pretrained(tmp_path / "frame_synthesis")
    with pytest.raises(FloatingPointError, match="frames of model are not finite"):
        table_of(options(small_dataset, tmp_path, frames="stored"))


def test_one_entry_adds_a_metric_of_frames(small_dataset: Path, checkpoint: Path) -> None:
    brightness = Metric(
        label="Brightness",
        kind="frames",
        tables=("rendering",),
        compute=lambda rows, targets: [(frames - targets).mean(dim=(1, 2, 3)).abs() for frames in rows],
    )
    chosen = options(small_dataset, checkpoint, frames="stored", rows=("remap", "repeat"))
    report = evaluate_rendering(chosen, metrics={"brightness": brightness, **ALL_METRICS}, distance=absolute_error)
    for row in ("remap", "repeat"):
        assert list(report["table"][row]) == ["brightness", *METRICS]
        values = [scores["brightness"] for scores in report["per_sequence"][row].values()]
        assert report["table"][row]["brightness"] == pytest.approx(sum(values) / 2)
        assert min(values) > 0


def test_worst_median_and_best() -> None:
    assert extremes({"a": 3.0, "b": 1.0, "c": 2.0}) == {"worst": "b", "median": "c", "best": "a"}
    assert extremes({"only": -1.0}) == {"worst": "only", "median": "only", "best": "only"}
