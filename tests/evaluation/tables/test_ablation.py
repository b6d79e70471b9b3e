import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.places import PRETRAINED
from safetensors.torch import load_file, save_file

import train_unet
from evaluation.options import AblationOptions, MotionOptions
from evaluation.report.ablation_plot import ablation_plot
from evaluation.tables import ablation, ablation_training
from evaluation.tables.ablation import ROWS, evaluate_ablation, given_checkpoints
from evaluation.tables.motion import evaluate_motion
from models.motion.model import PRESETS, MotionModel
from models.spectral_volume import SpectralNormalizer


def ablation_options(data: Path, output: Path, **changes: Any) -> AblationOptions:
    """What `evaluate.py ablation` is asked for, at a size for tests: only the motion is measured."""
    values: dict[str, Any] = {
        "data": data,
        "split": "validation",
        "device": "cpu",
        "output": output,
        "preset": "tiny",
        "max_steps": 2,
        "metrics": ("localisation", "amplitude_ratio"),
        "samples": 1,
        "steps": 2,
        "guidance": 1.0,
        "num_frequencies": 4,
        "intervals": False,
    }
    return AblationOptions(**values | changes)


def tiny_checkpoint(folder: Path, num_frequencies: int = 4) -> Path:
    torch.manual_seed(0)
    MotionModel(PRESETS["tiny"], SpectralNormalizer("adaptive", (1.0,) * 4)).save_pretrained(folder)
    return folder


def train_here(options: list[str], _) -> int:
    """The same training without the seconds that a process takes to start."""
    try:
        return train_unet.main(options)
    except SystemExit as end:  # as the process that trains would end
        return int(end.code or 0)


@pytest.fixture(scope="module")
def run(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished ablation of two trained rows, one that shares their weights, and the photo."""
    output = tmp_path_factory.mktemp("ablation")
    rows = ("full", "image-splatting", "joint-volume", "repeat", "K=24")
    evaluate_ablation(ablation_options(small_dataset, output, rows=rows), train=train_here)
    return output


class Recorder:
    """Trains and scores as the ablation does, and remembers what."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def train(self, options: list[str], lock: object) -> int:
        self.made.append(f"train {Path(options[options.index('--output') + 1]).parent.name}")
        return train_here(options, lock)

    def score(self, options: MotionOptions) -> dict:
        self.made.append(f"score {options.methods[0]} {Path(options.checkpoint).parent.name}")
        return evaluate_motion(options)

    def __call__(self, data: Path, output: Path, **changes: Any) -> dict:
        return evaluate_ablation(ablation_options(data, output, **changes), train=self.train, score=self.score)


@pytest.fixture
def recorded() -> Recorder:
    """An ablation that remembers what is trained and scored."""
    return Recorder()


@pytest.mark.slow
def test_rows_are_trained_scored_and_written(run: Path, small_dataset: Path) -> None:
    report = json.loads((run / "ablation.json").read_text())
    assert report["kind"] == "ablation"
    assert list(report["table"]) == ["repeat", "K=24", "joint-volume", "image-splatting", "full"]
    for row in ("joint-volume", "full"):
        assert -1 <= report["table"][row]["localisation"] <= 1
        assert report["table"][row]["amplitude_ratio"] > 0
        assert list(report["per_sequence"][row]) == list(report["per_sequence"]["repeat"])
    assert report["table"]["repeat"]["amplitude_ratio"] == 0
    assert report["table"]["K=24"] == {"localisation": None, "amplitude_ratio": None}
    assert report["notes"]["K=24"]["localisation"] == "not computed: the dataset has 4 frequencies"
    # Same weights, same samples; only the frames would differ.
    assert report["table"]["image-splatting"] == report["table"]["full"]
    assert report["protocol"]["rows"]["image-splatting"]["renderer"] == "softmax"
    assert MotionModel.from_pretrained(run / "joint-volume" / "run").config.joint
    assert MotionModel.from_pretrained(run / "full" / "run").frequency_attention
    assert (run / "ablation.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_full_model_is_the_independent_one_with_frequency_attention(run: Path) -> None:
    base, full = (load_file(run / row / "run" / "model.safetensors") for row in ("independent-frequencies", "full"))
    changed = {name for name in base if not torch.equal(base[name], full[name])}
    assert changed
    assert all(".frequency." in name or name.startswith("amplitude") for name in changed)


@pytest.mark.slow
def test_second_call_computes_nothing(run: Path, small_dataset: Path, recorded: Recorder) -> None:
    before = json.loads((run / "ablation.json").read_text())
    again = recorded(small_dataset, run, rows=tuple(before["table"]))
    assert recorded.made == []
    assert json.loads(json.dumps(again)) == before


@pytest.mark.slow
def test_what_a_score_depends_on_is_scored_again(run: Path, small_dataset: Path, recorded: Recorder) -> None:
    path = run / "joint-volume" / "run" / "model.safetensors"
    tensors, content = load_file(path), path.read_bytes()
    try:
        save_file({name: tensor + 0.01 for name, tensor in tensors.items()}, path)
        recorded(small_dataset, run, rows=("joint-volume", "repeat"))
        assert recorded.made == ["score model joint-volume"]
        recorded(small_dataset, run, rows=("joint-volume",), steps=3)
        (run / "joint-volume" / "score.json").write_text("{")
        recorded(small_dataset, run, rows=("joint-volume",), steps=3)
        assert recorded.made[1:] == ["score model joint-volume"] * 2
    finally:
        path.write_bytes(content)


@pytest.mark.slow
def test_a_stopped_ablation_goes_on_with_the_row_it_was_in(
    small_dataset: Path, tmp_path: Path, recorded: Recorder
) -> None:
    rows = ("repeat", "independent-frequencies")
    with pytest.raises(KeyboardInterrupt):
        evaluate_ablation(
            ablation_options(small_dataset, tmp_path, rows=rows),
            train=lambda options, lock: 130,
            score=recorded.score,
        )
    assert list(json.loads((tmp_path / "ablation.json").read_text())["table"]) == ["repeat"]
    report = recorded(small_dataset, tmp_path, rows=rows)
    assert recorded.made[1:] == ["train independent-frequencies", "score model independent-frequencies"]
    assert report["table"]["independent-frequencies"]["localisation"] is not None


@pytest.mark.slow
def test_training_is_a_process_of_its_own_that_resumes(
    small_dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    options = [
        "--preset",
        "tiny",
        "--num-frequencies",
        "4",
        "--max-steps",
        "2",
        "--seed",
        "0",
        "--stage",
        "autoencoder",
    ]
    assert train_unet.main(["--data", str(small_dataset), "--output", str(tmp_path / "K=4" / "run"), *options]) == 0
    report = evaluate_ablation(ablation_options(small_dataset, tmp_path, rows=("K=4",)))
    assert "autoencoder: resuming at step 2 of 2" in capfd.readouterr().out
    assert report["table"]["K=4"]["localisation"] is not None
    assert json.loads((tmp_path / "K=4" / "training.json").read_text())["script"] == "train_unet.py"


def test_given_checkpoints_are_scored_instead_of_trained(
    small_dataset: Path, tmp_path: Path, recorded: Recorder
) -> None:
    given = tiny_checkpoint(tmp_path / "mine")
    values = {"rows": ("full", "image-splatting"), "given": (("full", given),)}
    report = recorded(small_dataset, tmp_path / "out", **values)
    assert recorded.made == ["score model image-splatting", "score model full"]
    assert report["protocol"]["rows"]["full"]["given"] == "mine"
    assert not (tmp_path / "out" / "full" / "run").exists()


def test_given_rows_are_told_from_folders_though_names_hold_an_equals_sign(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "a=b" / "motion")
    expected = {"K=4": folder, "full": folder}
    assert given_checkpoints([("K", Path(f"4={folder}")), ("full", folder.parent)]) == expected
    with pytest.raises(ValueError, match=r"no such row .* K=4, K=8"):
        given_checkpoints([("K", Path(f"5={folder}"))])
    with pytest.raises(ValueError, match="no such row"):
        given_checkpoints([("repeat", folder)])
    with pytest.raises(ValueError, match="is missing"):
        given_checkpoints([("full", tmp_path)])


@pytest.mark.slow
def test_bad_input_is_one_line(run: Path, small_dataset: Path, tmp_path: Path, recorded: Recorder) -> None:
    with pytest.raises(ValueError, match="--rows: K=5 unknown"):
        recorded(small_dataset, tmp_path, rows=("K=5",))
    with pytest.raises(ValueError, match=r"was trained with .*--max-steps 2.*; remove it or name another"):
        recorded(small_dataset, run, rows=("joint-volume",), max_steps=3)
    with pytest.raises(ValueError, match="training ended with exit status 2"):
        recorded(small_dataset, tmp_path, rows=("K=4",), max_steps=-1)


HOLDER = """
import subprocess, sys, time
from pathlib import Path
from evaluation.tables.ablation_training import exclusive
with exclusive(Path(sys.argv[1])) as lock:
    subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], pass_fds=(lock,))
    print("started", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="locks of this kind exist on POSIX systems alone")
def test_two_ablations_do_not_share_a_folder(small_dataset: Path, tmp_path: Path) -> None:
    root = Path(ablation_training.__file__).parents[2]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    first = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], cwd=root, **pipes)
    try:
        assert first.stdout.readline() == b"started\n"
        first.kill()  # what it started holds the lock on
        first.wait()
        with pytest.raises(ValueError, match="is running there"):
            evaluate_ablation(ablation_options(small_dataset, tmp_path))
    finally:
        first.stdin.close()
    assert first.stdout.read() == b""  # until the other one has ended as well
    first.stdout.close()
    with ablation_training.exclusive(tmp_path):
        pass


def test_rows_start_from_rows_that_exist_and_match_the_presets() -> None:
    for row in ROWS.values():
        assert row.base is None or row.base in ROWS
        assert row.weights_of is None or row.weights_of in ROWS
    assert PRESETS["default"].num_frequencies == 16


def test_the_full_model_has_the_papers_frequencies_whatever_the_preset(tmp_path: Path) -> None:
    ablation = ablation_training.Ablation(
        output=tmp_path,
        data=tmp_path,
        preset="tiny",
        max_steps=None,
        seed=0,
        device="cpu",
        given={},
        stored_frequencies=16,
    )
    for name, count in (("full", "16"), ("joint-volume", "16"), ("K=4", "4"), ("K=8", "8")):
        options = ablation.training_options(ROWS[name])
        assert options[options.index("--num-frequencies") + 1] == count
    assert "16 frequencies" in str(ablation.missing_frequencies("K=24"))


def test_plot_takes_rows_without_figures() -> None:
    table = {"full": {"fid": 2.0, "localisation": None}, "K=24": {"fid": None, "localisation": None}}
    picture = ablation_plot({"table": table, "intervals": {"full": {"fid": [1.0, 3.0]}, "K=24": {}}})
    assert picture.startswith(b"\x89PNG")
    assert ablation_plot({"table": {"K=24": {"fid": None}}, "intervals": {"K=24": {}}}).startswith(b"\x89PNG")


def test_pipeline_folders_are_links_that_follow_their_targets(tmp_path: Path) -> None:
    first, second = tiny_checkpoint(tmp_path / "first"), tiny_checkpoint(tmp_path / "second")
    renderer = PRETRAINED / "frame_synthesis"
    for motion in (first, second):
        folder = ablation.join_pipeline(tmp_path / "pipeline", motion, renderer)
        assert (folder / "motion").resolve() == motion.resolve()
        assert (folder / "frame_synthesis" / "config.json").is_file()
    assert (first / "config.json").is_file()


@pytest.mark.slow
def test_warnings_name_the_row(run: Path, small_dataset: Path) -> None:
    evaluate_ablation(ablation_options(small_dataset, run, rows=("joint-volume",)))
    path = run / "joint-volume" / "score.json"
    stored = json.loads(path.read_text())
    stored["report"]["warnings"] = ["fvd of model: 54 samples", "fvd_window16: each point: 6 samples"]
    path.write_text(json.dumps(stored))
    report = evaluate_ablation(ablation_options(small_dataset, run, rows=("joint-volume",)))
    assert report["warnings"] == ["fvd of joint-volume: 54 samples", "fvd_window16: each point: 6 samples"]
    path.unlink()
