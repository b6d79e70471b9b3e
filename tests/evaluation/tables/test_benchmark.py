import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CLIP_FRAMES, swaying_clip

import train_frame_synthesis
import train_unet
from baselines.cinn.command import main as cinn
from baselines.lfdm.command import main as lfdm
from data.media.write_video import write_video
from evaluation.options import BenchmarkOptions
from evaluation.tables.benchmark.networks import MOTION_ROWS
from evaluation.tables.benchmark.run import evaluate_benchmark

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train_unet.py": train_unet.main,
    "train_frame_synthesis.py": train_frame_synthesis.main,
    "baselines.lfdm": lfdm,
    "baselines.cinn": cinn,
}


def without_networks(*_: object, **__: object) -> tuple[dict, dict]:
    """No feature networks, and no note about them: only the motion is measured."""
    return {}, {}


class Recorder:
    """Trains in this process, without the seconds that one takes to start, and remembers what."""

    def __init__(self, failing: str = "") -> None:
        self.trained: list[str] = []
        self.failing = failing

    def __call__(self, arguments: list[str], lock: int | None) -> int:
        name, *words = arguments[1:] if arguments[0] == "-m" else arguments
        self.trained.append(f"{Path(words[words.index('--output') + 1]).parent.name}")
        if self.failing in arguments:
            return 2
        return COMMANDS[name](words)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(2):
        write_video(folder / f"scene_{seed}.mp4", swaying_clip(seed), 30)
    return folder


def options(clips: Path, output: Path, **changes: Any) -> BenchmarkOptions:
    values: dict[str, Any] = {
        "clips": (clips,),
        "output": output,
        "folds": 2,
        "max_steps": 2,
        "preset": "tiny",
        "size": (64, 32),
        "num_frames": CLIP_FRAMES,
        "stride": 16,
        "num_frequencies": 4,
        "flow": "dis",
        "sequences": 1,
        "metrics": ("localisation", "amplitude_ratio", "seam"),
        "samples": 1,
        "steps": 2,
        "device": "cpu",
    }
    return BenchmarkOptions(**values | changes)


@pytest.fixture(scope="module")
def run(clips: Path, tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> tuple[Path, list[str]]:
    """A finished benchmark of all rows, and what was trained for it."""
    output, recorder = tmp_path_factory.mktemp("benchmark"), Recorder()
    evaluate_benchmark(options(clips, output), call=recorder, load=without_networks)
    return output, recorder.trained


def test_every_scene_is_tested_by_networks_that_have_not_seen_it(run: tuple[Path, list[str]]) -> None:
    output, trained = run
    report = json.loads((output / "motion.json").read_text())
    assert list(report["table"]) == list(MOTION_ROWS)
    assert report["data"]["sources"] == 2
    assert {row: len(scores) for row, scores in report["per_sequence"].items()} == dict.fromkeys(MOTION_ROWS, 2)
    assert sorted(set(trained)) == ["cinn", "lfdm", "motion", "renderer"]
    for fold in ("1", "2"):
        rows = (output / "folds" / fold / "dataset" / "manifest.csv").read_text().splitlines()[1:]
        tested = [
            name for name in report["data"]["identities"] if (output / f"folds/{fold}/rows/model/{name}.mp4").is_file()
        ]
        assert len(rows) == 2
        assert [row.split(",")[0] for row in rows if ",test," in row] == tested
