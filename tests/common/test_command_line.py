"""What all scripts share on the command line: how they wait, and what they make of errors."""

import argparse
import errno
import io
import logging
import os
import re
import signal
import subprocess
import sys
import time
import warnings

import pytest
from helpers.places import ROOT

from common.command_line import OneLineParser, ended_by_signals, run_script
from common.option_types import whole_number

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
        (OSError(errno.ENOSPC, "No space left on device", "a.mp4"), 1, "error: a.mp4: No space left on device; free"),
        (OSError(errno.EFBIG, "File too large"), 1, "error: File too large; free some space"),
        (ValueError("photo.jpg: " + "x" * 9000 + "; save it again"), 2, "error: photo.jpg: xxx"),
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
    assert len(printed) < 1000


def test_what_the_terminals_encoding_lacks_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="cp1252"))
    assert run_script(lambda arguments: print("\u82b1.mp4: 6 frames"), NOTHING) == 0
    sys.stdout.flush()
    assert printed.getvalue().strip() == rb"\u82b1.mp4: 6 frames"


@pytest.mark.skipif(os.name == "nt", reason="kill ends a program at once there")
def test_kill_ends_what_asks_for_it_as_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def script(arguments: argparse.Namespace) -> None:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)

    assert run_script(script, NOTHING) == 130
    assert signal.getsignal(signal.SIGTERM) is before
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # by nohup
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_libraries_warn_programmers_and_not_users(capfd: pytest.CaptureFixture[str]) -> None:
    def script(arguments: argparse.Namespace) -> None:
        for module in ("diffusers.schedulers", "PIL.Image", "data.flow.cache", "models.photos"):
            warnings.warn_explicit(f"from {module}", RuntimeWarning, f"{module}.py", 1, module)
        logging.getLogger("some.library").warning("a library's word")

    before = list(warnings.filters)
    assert run_script(script, NOTHING) == 0
    assert capfd.readouterr().err == "warning: from data.flow.cache\nwarning: from models.photos\n"
    assert list(warnings.filters) == before


@pytest.mark.parametrize("value", ["--", "\u00b2", "1" + "0" * 23, "1e3", "", "nan", "0x10", "1_000"])
def test_an_options_wrong_value_is_one_line_that_names_it(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = OneLineParser(prog="script")
    parser.add_argument("--steps", type=whole_number(1, 1000))
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([f"--steps={value}"])
    error = capsys.readouterr().err
    assert error.startswith("error: argument --steps: '")
    assert error.count("\n") == 1
    assert len(error) < 150


def test_a_choice_that_is_none_is_told_in_a_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = OneLineParser()
    parser.add_argument("--device", choices=("cpu", "cuda"))
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--device", "9" * 5000])
    error = capsys.readouterr().err
    assert error.startswith("error: argument --device: invalid choice: '999")
    assert "cuda" in error
    assert len(error) < 1000


def test_values_after_two_dashes_are_no_options() -> None:
    parser = OneLineParser()
    parser.add_argument("names", nargs="*")
    assert parser.parse_args(["--", "--steps=--"]).names == ["--steps=--"]


def test_every_parser_tells_the_version_that_is_cited(capsys: pytest.CaptureFixture) -> None:
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    parser = OneLineParser()
    parser.add_subparsers(required=True).add_parser("table")
    for words in (["--version"], ["table", "--version"]):
        with pytest.raises(SystemExit) as end:
            parser.parse_args(words)
        assert end.value.code == 0
        assert cited is not None
        assert capsys.readouterr().out == f"generative-image-dynamics {cited[1]}\n"
