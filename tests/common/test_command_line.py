"""What all scripts share on the command line: how they wait, and what they make of errors."""

import argparse
import os
import subprocess
import sys

import pytest

from common.command_line import run_script

NOTHING = argparse.Namespace(report=None)


def test_threads_wait_asleep_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert run_script(lambda arguments: None, NOTHING) == 0
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert run_script(lambda arguments: None, NOTHING) == 0
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.parametrize("script", ["generate", "evaluate", "train_unet", "train_frame_synthesis"])
def test_how_threads_wait_is_said_before_torch_is_loaded(script: str) -> None:
    code = f"import sys, {script}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("photo.jpg:\nno such file"), 2, "error: photo.jpg: no such file\n"),
        (FileNotFoundError(2, "No such file or directory", "photo.jpg"), 2, "error: photo.jpg: No such file"),
        (FloatingPointError("the loss is nan"), 1, "error: the loss is nan\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_status(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def script(arguments: argparse.Namespace) -> None:
        raise error

    assert run_script(script, NOTHING) == status
    printed = capsys.readouterr().err
    assert printed.startswith(line)
    assert printed.count("\n") == 1
