"""What a run writes never replaces what it reads; the scripts that use the check are tried with real command lines."""

from __future__ import annotations

import argparse
import json
import os
import socket
from pathlib import Path

import pytest

import evaluate
import train_frame_synthesis
import train_unet
from baselines.lfdm.command import main as lfdm
from common.command_line import write_report
from common.output_paths import check_paths
from data.prepare import main as prepare
from data.synthetic.command import main as synthetic


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A folder with the files that make it a dataset."""
    folder = tmp_path / "dataset"
    (folder / "sequences").mkdir(parents=True)
    (folder / "manifest.csv").write_text("id\n")
    (folder / "stats.json").write_text("{}")
    (folder / "sequences" / "a.safetensors").write_bytes(b"tensors")
    return folder


def state_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_may_lie_beside_inputs_but_replace_none(dataset: Path, tmp_path: Path) -> None:
    for name in ("manifest.csv", "stats.json", "sequences/a.safetensors"):
        with pytest.raises(ValueError, match=r"is, or may become, a part of .*dataset; choose another path"):
            check_paths(inputs=[dataset], files=[dataset / name])
    report = dataset / "motion.json"
    check_paths(inputs=[dataset], files=[report, dataset / "page.html"])
    write_report(report, "evaluate.py motion", argparse.Namespace(), {"table": {}})
    check_paths(inputs=[dataset], files=[report])  # an earlier report is replaced
    report.write_text(json.dumps({"somebody": "else's"}))
    with pytest.raises(ValueError, match="choose another path"):
        check_paths(inputs=[dataset], files=[report])
    check_paths(inputs=[dataset, None], files=[None, tmp_path / "new" / "r.json"], folders=[None, tmp_path / "out"])
    assert not (tmp_path / "new").exists()


def test_no_path_is_written_twice_or_over_an_input(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    path.write_text("page")
    same = tmp_path / "link.html"
    same.symlink_to(path)
    for inputs, files, folders in (([], [path, path], []), ([path], [same], []), ([], [path], [path])):
        with pytest.raises(ValueError, match=r"written twice, or over an input|is a file, not a folder"):
            check_paths(inputs=inputs, files=files, folders=folders)


def test_folders_of_other_kinds_are_not_written_to(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is an input of this run"):
        check_paths(inputs=[dataset], folders=[dataset])
    with pytest.raises(ValueError, match="is a dataset"):
        check_paths(inputs=[], folders=[dataset])
    check_paths(inputs=[], datasets=[dataset])  # which is continued
    (tmp_path / "pipeline" / "motion").mkdir(parents=True)
    (tmp_path / "pipeline" / "motion" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds the checkpoints of a pipeline"):
        check_paths(inputs=[], folders=[tmp_path / "pipeline"])
    check_paths(inputs=[], folders=[tmp_path / "pipeline" / "motion"])


def test_reports_stay_clear_of_what_the_run_writes_itself(tmp_path: Path) -> None:
    run = tmp_path / "run"
    check_paths(inputs=[], files=[run / "report.json"], folders=[run])
    for name in ("config.json", "log.csv", "model.safetensors"):
        with pytest.raises(ValueError, match="may become, a part of"):
            check_paths(inputs=[], files=[run / name], folders=[run])
    with pytest.raises(ValueError, match="may become, a part of"):
        check_paths(inputs=[], files=[run / "manifest.csv"], datasets=[run])


def test_outputs_never_meet_each_other_or_an_input(tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    check_paths(inputs=[photo, None], files=[tmp_path / "b.png", None, tmp_path / "deep" / "er" / "c.png"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="over an input"):
        check_paths(inputs=[photo], files=[tmp_path / "x" / ".." / "a.png"])
    with pytest.raises(ValueError, match="twice"):
        check_paths(inputs=[], files=[photo, photo])
    photo.write_bytes(b"")
    with pytest.raises(ValueError, match="is a file, not a folder"):
        check_paths(inputs=[], files=[photo / "under_a_file.mp4"])
    (tmp_path / "link.mp4").symlink_to(photo)
    with pytest.raises(ValueError, match="over an input"):
        check_paths(inputs=[photo], files=[tmp_path / "link.mp4"])


def test_targets_that_no_file_may_replace_are_refused(tmp_path: Path) -> None:
    (tmp_path / "here").symlink_to(tmp_path / "there")
    (tmp_path / "there").symlink_to(tmp_path / "here")
    with socket.socket(socket.AF_UNIX) as listening:
        before = Path.cwd()
        os.chdir(tmp_path)  # a socket's address is shorter than many a temporary folder's name
        listening.bind("socket")
        os.chdir(before)
        for name, expected in (
            ("socket", "a socket"),
            ("here", "in a circle"),
            ("x" * 256, "too long"),
            (".", "folder"),
        ):
            with pytest.raises(ValueError, match=expected):
                check_paths(inputs=[], files=[tmp_path / name])
    check_paths(inputs=[], files=[Path(os.devnull), Path(os.devnull)])


SCRIPTS = {
    "evaluate motion": lambda d, *more: evaluate.main(["motion", "--data", str(d), *more]),
    "evaluate rendering": lambda d, *more: evaluate.main(["rendering", "--data", str(d), *more]),
    "train_unet": lambda d, *more: train_unet.main(["--data", str(d), "--output", str(d.parent / "run"), *more]),
    "train_frame_synthesis": lambda d, *more: train_frame_synthesis.main(
        ["--data", str(d), "--output", str(d.parent / "run"), *more]
    ),
    "prepare": lambda d, *more: prepare([str(d.parent / "clips"), "--output", str(d), *more]),
    "synthetic": lambda d, *more: synthetic([str(d.parent / "clips"), "--output", str(d), *more]),
    "lfdm train": lambda d, *more: lfdm(["train", "--data", str(d), "--output", str(d.parent / "run"), *more]),
    "lfdm reconstruct": lambda d, *more: lfdm(["reconstruct", str(d), "--checkpoint", str(d.parent / "run"), *more]),
    "report": lambda d, *more: prepare(["report", str(d), *more]),
    "merge": lambda d, *more: prepare(["merge", str(d), *more]),
}
OVERWRITING = [
    *((script, ["--report", "manifest.csv"]) for script in SCRIPTS),
    ("evaluate motion", ["--html", "stats.json"]),
    ("evaluate motion", ["--html", "../x.html", "--report", "../x.html"]),
    ("evaluate motion", ["--output", "."]),
    ("evaluate rendering", ["--output", "."]),
    ("train_unet", ["--output", "."]),
    ("train_frame_synthesis", ["--output", "."]),
    ("lfdm train", ["--output", "."]),
    ("lfdm reconstruct", ["--sheet", "stats.json"]),
    ("report", ["--output", "stats.json"]),
    ("report", ["--output", "../x.html", "--report", "../x.html"]),
]


@pytest.mark.parametrize(("script", "options"), OVERWRITING)
def test_scripts_refuse_to_overwrite_their_inputs(
    script: str, options: list[str], dataset: Path, capsys: pytest.CaptureFixture
) -> None:
    (dataset.parent / "clips").mkdir()
    before = state_of(dataset.parent)
    more = [option if option.startswith("--") else str(dataset / option) for option in options]
    assert SCRIPTS[script](dataset, *more) == 2
    error = capsys.readouterr().err
    assert "choose another" in error
    assert len(error.strip().splitlines()) == 1
    assert state_of(dataset.parent) == before
