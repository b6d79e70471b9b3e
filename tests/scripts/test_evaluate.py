"""evaluate.py end to end: small real data, tiny networks, no metric weights unless a test brings its own."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import evaluate
from baselines.registry import METHODS, Method
from common.command_line import package_versions
from common.hashing import file_sha256
from data.media.images import write_image
from data.synthetic.maps.files import expected_metadata, maps_path, write_maps
from data.synthetic.maps.networks import CLASS_NAMES
from evaluation.metrics.metric import Metric
from evaluation.metrics.registry import METRICS, of_table
from evaluation.prediction import Predict, Prediction, Setting
from evaluation.report.report import read_report
from evaluation.sequences import EvaluationSequence, load_sequences
from evaluation.tables import command_line
from evaluation.tables.cells import ratios
from evaluation.tables.command_line import motion_options
from evaluation.tables.motion import evaluate_motion
from evaluation.tables.rendering_rows import ROWS
from models.choices import RENDERERS
from models.motion.model import PRESETS

NO_WEIGHTS = "not computed: no FID Inception weights (see docs/evaluation.md)"


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(table: str, dataset: Path, checkpoint: Path, report: Path, *options: str) -> dict:
    arguments = ["--data", str(dataset), "--split", "validation", "--checkpoint", str(checkpoint)]
    assert evaluate.main([table, *arguments, "--report", str(report), *options]) == 0
    return json.loads(report.read_text())


class FakeNetwork:
    """Brightness of four columns of the picture, of clips also how much it changes: features without weights."""

    def __init__(self, name: str, dimension: int) -> None:
        self.name, self.dimension, self.sha256 = name, dimension, name * 8
        self.least_frames = 1

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        columns = torch.nn.functional.adaptive_avg_pool2d(values.float().mean(dim=-3), (1, 4)).squeeze(-2)
        if values.ndim == 4:
            return columns
        return torch.cat([columns.mean(dim=1), columns.std(dim=1)], dim=1)


def fake_networks(metrics: Mapping[str, Metric], **_: Any) -> tuple[dict, dict[str, str]]:
    """Stands in for :func:`evaluation.metrics.collection.load_networks` where there are no weights of DTI3D."""
    networks = {"inception": FakeNetwork("inception", 4), "i3d": FakeNetwork("i3d", 8)}
    missing = dict.fromkeys(("dtfvd", "dtfvd32"), "not computed: no DTI3D weights (see docs/evaluation.md)")
    return networks, missing


def motion_table(dataset: Path, checkpoint: Path, *options: str, **registries: Any) -> dict:
    """The motion table of a command line, with fake networks and other registries."""
    given = ["--data", str(dataset), "--split", "validation", "--checkpoint", str(checkpoint), "--device", "cpu"]
    arguments = evaluate.build_parser().parse_args(["motion", *given, *options])
    return evaluate_motion(motion_options(arguments), load=fake_networks, **registries)


# Motion ---------------------------------------------------------------------------------------------------------------


def test_motion_table_has_every_method_and_metric(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    output, page = tmp_path / "figures", tmp_path / "page.html"
    options = ("--samples", "2", "--steps", "2", "--output", str(output), "--html", str(page), "--renderer", "softmax")
    report = motion_table(small_dataset, checkpoint, *options)
    table = report["table"]
    assert list(table) == ["model", "repeat", "true-motion", "shuffled", "jelly", "other-start"]
    assert all(list(row) == list(of_table("motion")) for row in table.values())
    for method in ("model", "repeat", "true-motion", "jelly"):
        assert table[method]["fid"] > 0
        assert report["counts"][method]["fvd"] == report["counts"]["real"]["fvd"] == 2 * 2  # windows of two sequences
        assert table[method]["dtfvd"] is None
        assert "DTI3D" in report["notes"][method]["dtfvd"]
    assert "one video" in report["notes"]["shuffled"]["fid"]
    assert table["true-motion"]["fid"] < table["jelly"]["fid"]
    assert table["true-motion"]["fvd"] < table["model"]["fvd"]  # untrained
    assert report["ratios"]["repeat"]["fid"] == 1
    assert report["ratios"]["true-motion"]["fvd"] == table["true-motion"]["fvd"] / table["repeat"]["fvd"]
    assert table["true-motion"]["localisation"] == pytest.approx(1)
    assert table["repeat"]["amplitude_ratio"] == 0
    assert 0 < table["model"]["diversity_motion"] <= 1
    assert "several samples" in report["notes"]["jelly"]["diversity_motion"]
    assert set(report["per_sequence"]["model"]) == set(report["data"]["identities"])
    assert report["curves"]["fvd_window16"]["repeat"]
    assert {path.suffix for path in output.iterdir()} == {".csv", ".mp4", ".svg"}
    assert page.stat().st_size > 10_000


@pytest.mark.slow
def test_motion_figures_depend_on_the_seed_alone(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    options = ("--samples", "2", "--steps", "2", "--methods", "model,jelly", "--metrics", "localisation,seam")
    tables = [
        run("motion", small_dataset, checkpoint, tmp_path / f"{number}.json", *options, "--seed", seed)["table"]
        for number, seed in enumerate(("0", "0", "5"))
    ]
    assert tables[0] == tables[1]
    assert tables[0]["model"] != tables[2]["model"]


def test_missing_weights_leave_cells_empty_with_the_reason(
    small_dataset: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ("--methods", "repeat", "--metrics", "fid,fvd,seam", "--weights", str(tmp_path))
    report = run("motion", small_dataset, checkpoint, tmp_path / "r.json", *options)
    assert report["table"]["repeat"] == {"fid": None, "fvd": None, "seam": 1.0}
    assert report["notes"]["repeat"]["fid"] == NO_WEIGHTS
    assert report["versions"] == package_versions()
    assert NO_WEIGHTS in capsys.readouterr().out


def test_a_report_names_the_weights_that_its_metrics_rest_on(
    small_dataset: Path, checkpoint: Path, tmp_path: Path
) -> None:
    options = ("--methods", "repeat", "--metrics", "fid,fvd32,diversity_vgg16,seam", "--weights", str(tmp_path))
    report = run("motion", small_dataset, checkpoint, tmp_path / "r.json", *options)
    # As the registry and `compare` call them; null where there are none.
    assert report["weights"] == dict.fromkeys(("fid_inception", "i3d_kinetics400", "lpips_vgg16"))


def test_frequencies_that_are_not_stored_are_not_claimed(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    options = ("--methods", "repeat", "--metrics", "localisation", "--num-frequencies", "9")
    report = run("motion", small_dataset, checkpoint, tmp_path / "r.json", *options)
    assert report["protocol"]["num_frequencies"] == 4
    assert "4 frequencies, not the 9" in report["warnings"][0]
    assert report["protocol"]["crop"] == [64, 32]


def test_sequences_without_motion_are_left_out_and_named(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(small_dataset, tmp_path / "copy")
    still, *_ = load_sequences(tmp_path / "copy", "validation")
    with safe_open(still.path, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["spectral_volume"].zero_()
    save_file(tensors, still.path, metadata)
    options = ("--methods", "jelly,shuffled", "--metrics", "amplitude_ratio,spectrum_distance")
    report = run("motion", tmp_path / "copy", checkpoint, tmp_path / "r.json", *options)
    assert report["counts"]["jelly"] == {"amplitude_ratio": 1, "spectrum_distance": 2}
    assert f"nothing moves in sequence {still.id}" in report["warnings"][-1]


def test_there_is_no_ratio_to_a_kernel_distance_about_zero() -> None:
    table = {"repeat": {"kid": 0.1, "fvd": 200.0}, "model": {"kid": -0.02, "fvd": 50.0}}
    clear, unclear = ({"repeat": {"kid": [low, 0.3], "fvd": [-10.0, 410.0]}} for low in (0.05, -0.1))
    assert ratios(table, clear)["model"] == {"kid": pytest.approx(-0.2), "fvd": 0.25}
    assert ratios(table, unclear)["model"] == {"fvd": 0.25}
    assert ratios({"repeat": {"kid": -0.1}, "model": {"kid": 1.0}}, {}) == {}


def test_maps_of_where_things_move_need_no_checkpoint(small_dataset: Path, tmp_path: Path) -> None:
    options = ("--methods", "gradient,gradient-8,other-start", "--metrics", "localisation,fid")
    report = run("motion", small_dataset, tmp_path / "nowhere", tmp_path / "r.json", *options)
    assert report["table"]["other-start"]["localisation"] > 0.9
    assert report["table"]["gradient"]["localisation"] != report["table"]["gradient-8"]["localisation"]
    assert report["checkpoint"] is None


def test_videos_of_others_make_a_row(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    from data.media.write_video import write_video

    folder = tmp_path / "theirs"
    folder.mkdir()
    for sequence in load_sequences(small_dataset, "validation"):
        frames = sequence.frames().permute(0, 2, 3, 1).contiguous().numpy()
        write_video(folder / f"{sequence.id}.gif", frames, 30)
    report = motion_table(small_dataset, checkpoint, "--methods", "repeat", "--videos", f"theirs={folder}")
    assert report["table"]["theirs"]["fid"] < 0.1 * report["table"]["repeat"]["fid"]
    assert report["table"]["theirs"]["localisation"] > 0.7


def still_frames(setting: Setting, *, checkpoint: Path, brightness: int) -> Predict:
    """A made-up learned baseline whose frames are as bright as its checkpoint says."""
    offset = int((checkpoint / "config.json").read_text()) + brightness

    def predict(_: int, sequence: EvaluationSequence) -> Prediction:
        width, height = sequence.size
        frames = torch.full((sequence.num_frames, 3, height, width), offset, dtype=torch.uint8)
        return Prediction(render=lambda _, count: frames[:count], note="not computed: it has frames alone")

    return predict


@pytest.mark.slow
def test_one_entry_adds_a_learned_baseline(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    """Its row, its checkpoint in the report and its colour in the plots come from the registry."""
    (tmp_path / "learned").mkdir()
    (tmp_path / "learned" / "config.json").write_text("90")
    learned = Method(
        name="learned",
        summary="made up",
        build=still_frames,
        options={"brightness": 10},
        checkpoint="python -m learned train writes one",
        color="#123456",
    )
    options = ("--metrics", "fid,seam", "--html", str(tmp_path / "page.html"), "--output", str(tmp_path / "out"))
    arguments = evaluate.build_parser().parse_args(
        ["motion", "--data", str(small_dataset), "--split", "validation", *options, "--checkpoint", str(checkpoint)]
    )
    asked = replace(motion_options(arguments), methods=("repeat", "learned"))
    methods = METHODS | {"learned": learned}
    with pytest.raises(ValueError, match=r"--methods learned: needs a checkpoint, give --method-checkpoint learned="):
        evaluate_motion(asked, methods=methods, load=fake_networks)
    given = replace(asked, method_checkpoints=(("learned", tmp_path / "learned"),))
    report = evaluate_motion(given, methods=methods, load=fake_networks)
    assert list(report["table"]) == ["repeat", "learned"]
    assert report["table"]["learned"]["fid"] > report["table"]["repeat"]["fid"]
    assert report["method_checkpoints"]["learned"]["name"] == "learned"
    assert list(report["method_checkpoints"]["learned"]["files"]) == ["config.json"]
    plots = [path.read_text() for path in (tmp_path / "out").glob("*.svg")]
    assert plots
    assert all("#123456" in plot for plot in plots)


def test_one_entry_adds_a_metric(small_dataset: Path, checkpoint: Path) -> None:
    """In the middle of the others, of the motion and of the video."""
    speed = Metric(
        label="Speed",
        kind="motion",
        tables=("motion",),
        compute=lambda predicted, true: float(predicted.abs().mean()),
    )
    first = Metric(
        label="First pixel", kind="video", tables=("motion",), compute=lambda frames: float(frames[0, 0, 0, 0])
    )
    metrics = {"first": first, "localisation": METRICS["localisation"], "speed": speed, **METRICS}
    report = motion_table(small_dataset, checkpoint, "--methods", "repeat,jelly", metrics=metrics)
    assert list(report["table"]["jelly"])[:3] == ["first", "localisation", "speed"]
    assert report["table"]["repeat"]["speed"] == 0 < report["table"]["jelly"]["speed"]
    assert report["table"]["repeat"]["first"] == report["table"]["jelly"]["first"] > 0
    assert set(report["table"]["jelly"]) == {*of_table("motion"), "first", "speed"}


# Rendering ------------------------------------------------------------------------------------------------------------


def test_rendering_table_by_the_command_line(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    report = run("rendering", small_dataset, checkpoint, tmp_path / "r.json", "--rows", "softmax-splatting,repeat")
    assert list(report["table"]) == ["softmax-splatting", "repeat"]
    assert report["table"]["softmax-splatting"]["lpips"] is None
    assert report["table"]["softmax-splatting"]["psnr"] > report["table"]["repeat"]["psnr"]


# Command line ---------------------------------------------------------------------------------------------------------


def test_compare_two_reports(
    small_dataset: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ("--methods", "repeat", "--metrics", "seam,localisation")
    run("motion", small_dataset, checkpoint, tmp_path / "r.json", *options)
    assert evaluate.main(["compare", str(tmp_path / "r.json"), str(tmp_path / "r.json")]) == 0
    assert "localisation" in capsys.readouterr().out.lower()


def test_repeated_names_are_those_of_the_packages() -> None:
    assert set(command_line.PRESETS) <= set(PRESETS)
    assert {row.renderer for row in ROWS.values()} == {"repeat", *RENDERERS}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "nowhere"], "data.prepare"),
        (["--checkpoint", "nowhere"], "no such checkpoint folder"),
        (["--metrics", "psnr"], "unknown"),
        (["--split", "test"], "no sequences in the split 'test'"),
        (["--videos", "theirs=nowhere"], "no such folder of videos"),
        (["--method-checkpoint", "jelly=."], "no method chosen takes one"),
        (["--videos", "repeat=nowhere"], "there is a method of that name"),
        (["--report", "."], "is a folder"),
        (["--html", "pyproject.toml/page.html"], "is a file, not a folder"),
        (["--output", "pyproject.toml"], "is a file, not a folder"),
    ],
)
def test_bad_input_is_one_line(
    small_dataset: Path, checkpoint: Path, capsys: pytest.CaptureFixture, options: list[str], message: str
) -> None:
    given = ["--data", str(small_dataset), "--split", "validation", "--checkpoint", str(checkpoint), *options]
    assert evaluate.main(["motion", *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "options", [["--methods", "guess"], ["--samples", "0"], ["--seed", "-1"], ["--videos", "folder"], []]
)
def test_bad_options_are_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        evaluate.main(["motion", *(["--data", "x", *options] if options else [])])
    assert exit_.value.code == 2


def test_weights_with_other_tensors_are_refused(
    small_dataset: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    save_file({"Conv3d_1a_7x7.w": torch.zeros(3)}, tmp_path / "i3d_kinetics400.safetensors")
    given = ["--data", str(small_dataset), "--split", "validation", "--weights", str(tmp_path), "--metrics", "fvd"]
    assert evaluate.main(["motion", *given, "--methods", "repeat"]) == 2
    error = capsys.readouterr().err
    assert "i3d_kinetics400.safetensors" in error
    assert len(error.strip().splitlines()) == 1


# Groups and stillness ------------------------------------------------------------------------------------------------


def test_groups_stand_below_the_table_and_on_the_page(
    small_dataset: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "things.csv").write_text("file,thing\nsecond.mp4,patch & ground\n")
    options = ["--methods", "true-motion,gradient", "--metrics", "localisation", "--html", str(tmp_path / "page.html")]
    options += ["--group", f"{tmp_path / 'things.csv'}:thing", "--group", "estimator"]
    report = run("motion", small_dataset, checkpoint, tmp_path / "report.json", *options)
    assert report["groups"]["thing"]["patch & ground"]["table"] == report["table"]
    assert list(report["groups"]["estimator"]) == ["dis"]
    assert "thing = patch & ground (2 sequences of 1 video)" in capsys.readouterr().out
    assert "thing = patch &amp; ground" in (tmp_path / "page.html").read_text()


def test_stillness_weighs_still_photos_and_regions_against_plants(checkpoint: Path, tmp_path: Path) -> None:
    photos, maps = photos_with_maps(tmp_path)
    report_path = tmp_path / "report.json"
    options = ["--photos", str(photos), "--maps", str(maps), "--still-photos", "house*", "--samples", "1"]
    options += ["--steps", "2", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "figures")]
    assert evaluate.main(["stillness", *options, "--report", str(report_path)]) == 0
    report = read_report(report_path)
    row = report["table"]["model"]
    values = report["per_sequence"]["model"]
    assert set(values["house.png"]) == {"still_photos"}
    assert set(values["garden.png"]) == {"still_regions", "plants"}
    assert row["photos_ratio"] == pytest.approx(row["still_photos"] / row["plants"])
    assert row["regions_ratio"] == pytest.approx(values["garden.png"]["still_regions"] / row["plants"])
    assert (tmp_path / "figures" / "stillness.png").is_file()
    assert compare_main(report_path) == 0


def photos_with_maps(folder: Path) -> tuple[Path, Path]:
    """Photos of a house and of a garden: half of the latter is a tree, half of it wall."""
    photos, maps = folder / "photos", folder / "maps"
    photos.mkdir()
    maps.mkdir()
    random = np.random.default_rng(0)
    logits = np.full((16, 24, len(CLASS_NAMES)), -100, np.int8)
    logits[:, :12, CLASS_NAMES.index("tree")] = logits[:, 12:, CLASS_NAMES.index("wall")] = 100
    scaling = {"class_logits_scale": "0.2", "class_logits_zero_point": "0"}
    for name in ("house", "garden"):
        path = photos / f"{name}.png"
        write_image(path, random.integers(0, 255, (64, 96, 3), np.uint8))
        metadata = expected_metadata(path, file_sha256(path), {})
        write_maps(maps_path(maps, path), {"class_logits": logits}, metadata | scaling)
    return photos, maps


def test_a_damaged_photo_does_not_stop_the_others(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, _ = photos_with_maps(tmp_path)
    (photos / "cut.png").write_bytes((photos / "house.png").read_bytes()[:300])
    options = ["--photos", str(photos), "--samples", "1", "--steps", "1", "--checkpoint", str(checkpoint)]
    report_path = tmp_path / "report.json"
    assert evaluate.main(["stillness", *options, "--still-photos", "house*", "--report", str(report_path)]) == 0
    assert "left out: " in capsys.readouterr().out
    report = read_report(report_path)
    assert set(report["per_sequence"]["model"]) == {"house.png", "garden.png"}
    assert "cut.png: damaged image" in report["warnings"][0]


def test_a_grouping_that_does_not_exist_is_told_before_the_work(
    small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for table in ("motion", "rendering", "sampling"):
        data = ["--data", str(small_dataset), "--split", "validation", "--checkpoint", str(tmp_path / "nowhere")]
        assert evaluate.main([table, *data, "--group", "nothing"]) == 2
        assert "has no such column" in capsys.readouterr().err  # and not that there is no checkpoint


def compare_main(report: Path) -> int:
    return evaluate.main(["compare", str(report), str(report)])


def test_stillness_without_maps_or_still_photos_says_what_is_missing(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, _ = photos_with_maps(tmp_path)
    options = ["--photos", str(photos), "--samples", "1", "--steps", "1", "--checkpoint", str(checkpoint)]
    assert evaluate.main(["stillness", *options]) == 0
    assert "no such photos (--still-photos)" in capsys.readouterr().out
    assert evaluate.main(["stillness", *options, "--still-photos", "castle*"]) == 2
    assert "no photo below" in capsys.readouterr().err
