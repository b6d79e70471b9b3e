import json
import math
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import CLIP_FRAMES, swaying_clip

import evaluate
import train_frame_synthesis
import train_unet
from baselines.cinn import command as cinn
from baselines.lfdm import command as lfdm
from common.command_line import PartFailure, write_json
from common.tensor_files import save_tensors
from data.dataset.manifest import load_manifest, write_manifest
from data.media.write_video import write_video
from evaluation.options import BenchmarkOptions, MotionOptions
from evaluation.sequences import load_sequences
from evaluation.tables.benchmark.folds import Fold, deal_scenes
from evaluation.tables.benchmark.ledger import Ledger
from evaluation.tables.benchmark.networks import MOTION_ROWS, NETWORKS, PRESETS
from evaluation.tables.benchmark.page import markdown, trainings
from evaluation.tables.benchmark.parts import Part, pool
from evaluation.tables.benchmark.run import evaluate_benchmark
from evaluation.tables.benchmark.training import (
    FEWEST_STEPS,
    PILOT_STEPS,
    TIMES,
    WARM_UP_STEPS,
    Trainer,
    TrainingFailure,
    fitting_steps,
    step_costs,
)
from training.task import STEP_TIMES

COMMANDS: Mapping[str, Any] = {
    "train_unet.py": train_unet,
    "train_frame_synthesis.py": train_frame_synthesis,
    "baselines.lfdm": lfdm,
    "baselines.cinn": cinn,
}
VARIANTS = ("repeat", "independent-frequencies", "image-splatting", "full")
METHODS = ("model", "cinn", "repeat", "true-motion")  # the quick tests' rows


def without_networks(*_: object, **__: object) -> tuple[dict, dict]:
    """No feature networks, and no note about them: only the motion is measured."""
    return {}, {}


class Recorder:
    """Trains in this process, without the seconds that one takes to start, and remembers what."""

    def __init__(self, failing: str = "none") -> None:
        self.trained: list[str] = []
        self.failing = failing

    def __call__(self, arguments: list[str], lock: int | None) -> int:
        name, *words = arguments[1:] if arguments[0] == "-m" else arguments
        place = Path(words[words.index("--output") + 1]).parent
        self.trained.append(f"{place.parent.parent.name} {place.name}")
        return 2 if name == self.failing else COMMANDS[name].main(words)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two looping scenes."""
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(2):
        write_video(folder / f"scene_{seed}.mp4", swaying_clip(seed), 30)
    return folder


def benchmark(clips: Path, output: Path, recorder: Recorder, **changes: Any) -> dict[str, dict]:
    """`evaluate.py benchmark` at a size for tests: only the motion is measured."""
    values: dict[str, Any] = {
        **{"clips": (clips,), "output": output, "folds": 2, "max_steps": 2, "preset": "tiny", "size": (64, 32)},
        **{"num_frames": CLIP_FRAMES, "stride": 16, "num_frequencies": 4, "flow": "dis", "sequences": 1},
        **{"metrics": ("localisation", "amplitude_ratio", "seam"), "samples": 1, "steps": 2, "device": "cpu"},
    }
    return evaluate_benchmark(BenchmarkOptions(**values | changes), call=recorder, load=without_networks)


@pytest.fixture(scope="module")
def run(clips: Path, tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> tuple[Path, list[str]]:
    """A benchmark of some rows that went through the first of two folds, and what was trained for it."""
    output, recorder = tmp_path_factory.mktemp("benchmark"), Recorder()
    benchmark(clips, output, recorder, methods=METHODS, only_folds=1)
    return output, recorder.trained


def scenes_of_test_split(fold: Path) -> list[str]:
    """The sequences of a fold's test split."""
    manifest = (fold / "dataset" / "manifest.csv").read_text().splitlines()[1:]
    assert len(manifest) == 2
    return [line.split(",")[0] for line in manifest if ",test," in line]


@pytest.mark.slow
def test_every_row_is_of_a_scene_that_its_networks_have_not_seen(run: tuple[Path, list[str]]) -> None:
    output, trained = run
    report = json.loads((output / "motion.json").read_text())
    tested = scenes_of_test_split(output / "folds" / "1")
    assert len(tested) == 1
    assert {row: list(scores) for row, scores in report["per_sequence"].items()} == dict.fromkeys(METHODS, tested)
    assert [path.stem for path in (output / "folds" / "1" / "rows" / "cinn").glob("*.mp4")] == tested
    assert report["data"]["split"] == "1 of 2 folds"
    assert trained == ["1 motion", "1 renderer", "1 cinn", "1 cinn", "1 cinn"]


@pytest.mark.slow
def test_table_and_page_say_what_was_tested_and_trained(run: tuple[Path, list[str]]) -> None:
    text, page = ((run[0] / name).read_text() for name in ("tables.md", "report.html"))
    for shown in (
        "Table 1: motion",
        "1 sequence of 1 clip (1 of 2 folds)",
        "trained: folds/1, cinn: 2 vae, 2 condition",
    ):
        assert shown in text
    assert "Table 1: motion, beside the paper" in page
    assert page.count("<video") == 1


@pytest.mark.slow
def test_what_is_done_is_not_done_again(clips: Path, run: tuple[Path, list[str]]) -> None:
    output, _ = run
    before = {path: path.stat().st_mtime_ns for path in output.rglob("step.json")}
    report = (output / "motion.json").read_bytes()
    recorder = Recorder()
    benchmark(clips, output, recorder, methods=METHODS, only_folds=1)
    assert recorder.trained == []
    assert {path: path.stat().st_mtime_ns for path in output.rglob("step.json")} == before
    assert (output / "motion.json").read_bytes() == report


@pytest.mark.slow
def test_a_rerun_gives_the_same_figures_to_the_last_digit(
    clips: Path, run: tuple[Path, list[str]], tmp_path: Path
) -> None:
    again = benchmark(clips, tmp_path, Recorder(), methods=("model",), only_folds=1)
    before = json.loads((run[0] / "motion.json").read_text())
    assert again["motion"]["per_sequence"]["model"] == before["per_sequence"]["model"]


@pytest.mark.slow
def test_a_network_that_cannot_be_trained_leaves_the_others_their_rows(clips: Path, tmp_path: Path) -> None:
    changed: dict[str, Any] = {"methods": ("lfdm", "jelly"), "max_steps": 1, "only_folds": 1}
    with pytest.raises(PartFailure, match="training of lfdm ended with exit status 2"):
        benchmark(clips, tmp_path, Recorder("baselines.lfdm"), **changed)
    report = json.loads((tmp_path / "motion.json").read_text())
    assert list(report["table"]) == ["jelly"]
    assert "training of lfdm" in report["warnings"][-1]
    with pytest.raises(ValueError, match=r"renderer: was made with other values \(steps\); remove it or name another"):
        benchmark(clips, tmp_path, Recorder(), **changed | {"max_steps": 2, "methods": ("jelly",)})


@pytest.mark.slow
def test_a_renderer_that_cannot_be_trained_leaves_the_other_tables(clips: Path, tmp_path: Path) -> None:
    call, tables = Recorder("train_frame_synthesis.py"), ("motion", "rendering")
    with pytest.raises(PartFailure, match="training of renderer ended with exit status 2"):
        benchmark(clips, tmp_path, call, tables=tables, methods=("repeat",), only_folds=1)
    assert {path.stem for path in tmp_path.glob("*.json")} == {"motion"}


@pytest.mark.slow
def test_all_tables_of_all_folds(clips: Path, tmp_path: Path) -> None:
    variants = ("repeat", "independent-frequencies", "image-splatting", "full")
    tables = ("motion", "ablation", "rendering")
    reports = benchmark(clips, tmp_path, Recorder(), tables=tables, variants=variants)
    assert list(reports["motion"]["table"]) == list(MOTION_ROWS)
    assert sorted(scenes_of_test_split(tmp_path / "folds/1") + scenes_of_test_split(tmp_path / "folds/2")) == sorted(
        reports["motion"]["per_sequence"]["model"]
    )
    ablation, rendering = reports["ablation"], reports["rendering"]
    assert list(ablation["table"]) == list(variants)
    # The same weights and samples: only the frames differ.
    same = [{key: ablation["table"][row][key] for key in ("localisation", "amplitude_ratio")} for row in variants[2:]]
    assert same[0] == same[1]
    assert rendering["data"]["sources"] == 2
    assert rendering["table"]["model"]["psnr"] > 10
    assert rendering["data"]["split"] == "2 of 2 folds"
    assert rendering["protocol"]["rendered_frames"] == 2 * (CLIP_FRAMES - 1)
    assert list(rendering["checkpoints"]) == ["folds/1", "folds/2"]
    assert len({str(checkpoint) for checkpoint in rendering["checkpoints"].values()}) == 2
    assert "not the published protocol" in rendering["warnings"][0]
    assert list(rendering["protocol"]["trainings"]) == ["folds/1, renderer", "folds/2, renderer"]
    for shown in ("36.31", "Table 2: ablation"):
        assert shown in (tmp_path / "tables.md").read_text()
        assert shown in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_film_is_tested_on_and_never_trained_on(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "film").mkdir()
    write_video(tmp_path / "film" / "flag.mp4", [*swaying_clip(7), *swaying_clip(8)], 30)
    recorder = Recorder()
    changed: dict[str, Any] = {"methods": ("repeat",), "tables": ("motion", "rendering"), "real": tmp_path / "film"}
    reports = benchmark(clips, tmp_path / "out", recorder, sequences=2, **changed)
    assert recorder.trained == ["1 renderer"]
    prepared = load_manifest(tmp_path / "out" / "film" / "dataset", "test")
    assert [row["source"] for row in prepared] == ["flag.mp4"], "one sequence of a clip is tested on by default"
    reports |= {"again": benchmark(clips, tmp_path / "out", recorder, sequences=2, test_sequences=2, **changed)["film"]}
    assert reports["again"]["data"]["sequences"] == 2
    assert recorder.trained == ["1 renderer"]
    assert [identity["source"] for identity in reports["film"]["data"]["identities"].values()] == ["flag.mp4"]
    assert list(reports["rendering"]["data"]["identities"]) == list(reports["film"]["data"]["identities"])


def test_unknown_metrics_are_told_before_the_clips_are_prepared(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--metrics"):
        benchmark(clips, tmp_path, Recorder(), metrics=("fvid",))
    assert not (tmp_path / "dataset").exists()


def test_without_metric_weights_the_table_says_so(small_dataset: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "scores.json", {"scores": {}, "note": None, "diversity_notes": {}, "still": [], "frames": {}})
    save_tensors(tmp_path / "features.safetensors", {})
    sequences = load_sequences(small_dataset, "validation")
    parts = [Part(row, tmp_path, sequences) for row in ("real", "repeat")]
    note = "not computed: no weights (see docs/evaluation.md)"
    pooled = pool(
        parts,
        MotionOptions(data=small_dataset, methods=(), metrics=("fid",), device="cpu"),
        load=lambda metrics, **_: ({}, dict.fromkeys(metrics, note)),
    )
    assert pooled["notes"]["repeat"] == {"fid": note}


def test_a_pilot_without_steps_stops_no_other_network(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,seconds\n" + "1,2\n" * WARM_UP_STEPS)
    with pytest.raises(TrainingFailure, match="no steps to time"):
        step_costs(tmp_path / "log.csv", "seconds")


# Steps of a budget ----------------------------------------------------------------------------------------------------


def test_a_budget_is_divided_by_what_a_step_takes(tmp_path: Path) -> None:
    def pilot(arguments: list[str], lock: int | None) -> int:
        """Steps of two seconds of the processor each, after a first one of thirty and slow ones that follow it."""
        assert arguments[arguments.index("--max-steps") + 1] == str(PILOT_STEPS)
        stage = Path(arguments[arguments.index("--output") + 1]) / arguments[arguments.index("--stage") + 1]
        stage.mkdir(parents=True)
        taken = [30, *[5] * (WARM_UP_STEPS - 1), *[1, 3] * ((PILOT_STEPS - WARM_UP_STEPS) // 2)]
        rows = [f"{number},77,{seconds}" for number, seconds in enumerate(taken, start=1)]
        (stage / "log.csv").write_text("\n".join(["step,seconds,processor_seconds", *rows]))
        return 0

    options = BenchmarkOptions(clips=(), output=tmp_path, budget=10, device="cpu")
    steps = Trainer(options, Ledger(tmp_path), call=pilot).steps("lfdm", tmp_path)
    shares = {stage.name: stage.share for stage in NETWORKS["lfdm"].stages}
    # The slow steps and the others together take what the stage's share of ten minutes is.
    slow = 30 + 5 * (WARM_UP_STEPS - 1)
    assert steps == {name: WARM_UP_STEPS + int((600 * share - slow) / 2) for name, share in shares.items()}
    for network in NETWORKS.values():
        assert math.isclose(sum(stage.share for stage in network.stages), 1)


def test_all_pilots_run_before_anything_is_trained(clips: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    def call(arguments: list[str], lock: int | None) -> int:
        """A pilot of cINN's fails, others take a second a step; no training succeeds."""
        output = Path(arguments[arguments.index("--output") + 1])
        name = f"{output.parent.parent.name} {output.parent.name}"
        asked.extend([name] if asked[-1:] != [name] else [])
        if name != "pilot lfdm":
            return 2
        stage = output / arguments[arguments.index("--stage") + 1]
        stage.mkdir(parents=True)
        (stage / "log.csv").write_text("step,seconds,processor_seconds\n" + "1,1,1\n" * PILOT_STEPS)
        return 0

    with pytest.raises(PartFailure):
        evaluate_benchmark(
            BenchmarkOptions(
                clips=(clips,),
                output=tmp_path / "out",
                folds=2,
                only_folds=1,
                budget=1,
                preset="tiny",
                size=(64, 32),
                num_frames=CLIP_FRAMES,
                flow="dis",
                methods=("cinn", "lfdm"),
                metrics=("seam",),
                device="cpu",
            ),
            call=call,
            load=without_networks,
        )
    assert asked == ["pilot lfdm", "pilot cinn", "networks lfdm", "pilot cinn"]


def test_a_budget_that_the_warm_up_exceeds_is_for_a_part_of_it() -> None:
    assert fitting_steps(30, warm_up=60, each=1) == WARM_UP_STEPS // 2
    assert fitting_steps(0.1, warm_up=60, each=1) == FEWEST_STEPS
    assert fitting_steps(60, warm_up=60, each=1) == WARM_UP_STEPS


def test_the_times_of_steps_are_the_columns_that_trainings_log() -> None:
    assert set(TIMES) == set(STEP_TIMES)


@pytest.mark.parametrize("told", [True, False])
def test_a_training_claims_the_time_of_its_steps(told: bool, tmp_path: Path) -> None:
    statuses = iter([130, 0])  # stopped, then resumed

    def call(arguments: list[str], lock: int | None) -> int:
        folder = Path(arguments[arguments.index("--output") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        rows = ["step,seconds,processor_seconds", "1,60,30.2", "2,3,2", "3,3,2"]
        (folder / "log.csv").write_text("\n".join(rows) if told else "step,seconds\n1,60\n2,3\n3,3")
        return next(statuses)

    trainer = Trainer(BenchmarkOptions(clips=(), output=tmp_path, max_steps=3), Ledger(tmp_path), call=call)
    fold = Fold("folds/1", tmp_path, "")
    with pytest.raises(KeyboardInterrupt):
        trainer.train("renderer", fold)
    trainer.train("renderer", fold)
    (line,) = trainings({"protocol": {"trainings": {"renderer": trainer.timing("renderer", fold)}}})
    assert line.startswith("trained: renderer: 3 renderer steps; ")
    assert line.endswith("34 s of the processor in 66 s" if told else "their time is not known")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_trainings_understand_their_options(name: str, preset: str, tmp_path: Path) -> None:
    told: list[list[str]] = []
    trainer = Trainer(
        BenchmarkOptions(
            clips=(),
            output=tmp_path,
            max_steps=3,
            preset=preset,
            weights=tmp_path,
        ),
        Ledger(tmp_path),
        call=lambda arguments, lock: told.append(arguments) or 0,
    )
    trainer.train(name, Fold("folds/1", tmp_path, ""))
    for arguments in told:
        module, *words = arguments[1:] if arguments[0] == "-m" else arguments
        build: Callable[[], ArgumentParser] = COMMANDS[module].build_parser
        assert build().parse_args(words).output == trainer.ledger.output / "folds/1/networks" / name / "run"


def test_scenes_are_dealt_once(tmp_path: Path) -> None:
    rows = [
        {
            "id": name,
            "source": name,
            "source_sha256": name * 8,
            "start": 0,
            "fps": 30,
            "num_frames": 32,
            "split": "train",
        }
        for name in "abcdefg"
    ]
    write_manifest(tmp_path / "manifest.csv", [row | {"status": "kept"} for row in rows])
    folds = deal_scenes(tmp_path, 3, seed=0)
    assert sorted(scene for scenes in folds for scene in scenes.test) == list("abcdefg")
    for scenes in folds:
        assert len(scenes.validation) == 1
        assert not set(scenes.validation) & set(scenes.test)
    assert folds != deal_scenes(tmp_path, 3, seed=1)
    with pytest.raises(ValueError, match="--folds 8: 7 clips"):
        deal_scenes(tmp_path, 8, seed=0)


def test_ratios_of_the_paper_are_over_its_own_repeated_photo() -> None:
    table = {"model": {"fvd": 30.0}, "repeat": {"fvd": 60.0}}
    report = {
        "table": table,
        "ratios": {"model": {"fvd": 0.5}, "repeat": {"fvd": 1.0}},
        "data": {"sequences": 1, "sources": 1, "split": ""},
    }
    lines = markdown("motion", report).splitlines()
    assert "| model | 30.0 | 0.500 |" in lines
    assert "| paper: LFDM | 187.5 | 0.789 |" in lines


def test_options_of_a_training_with_an_open_quote_are_refused_at_once(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        evaluate.main(["benchmark", "clips", "--output", "out", "--train", "lfdm='--size 64x32"])
    assert "No closing quotation" in capsys.readouterr().err
