"""The registry of methods: what an entry says is what the table, the help and the documentation show."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.places import ROOT

from baselines.registry import METHODS, Method
from evaluation.prediction import Prediction, Setting
from evaluation.tables.motion import method_checkpoints
from models.choices import resolve
from models.pipeline import PARTS, ImageDynamicsPipeline

LEARNED = Method(
    name="learned",
    summary="a made-up learned baseline",
    build=lambda setting, *, checkpoint, scale: lambda _, sequence: Prediction(note=f"{checkpoint.name} {scale}"),
    options={"scale": 3},
    checkpoint="python -m learned train writes one",
)


def test_entries_are_whole() -> None:
    for name, method in METHODS.items():
        assert method.name == name
        assert callable(resolve(method.build))
        assert set(method.parts) <= set(PARTS)
        assert "\n" not in method.summary
    colors = [method.color for method in METHODS.values() if method.color]
    assert len(set(colors)) == len(colors)


def test_a_learned_method_is_built_with_its_checkpoint_and_options(tmp_path: Path) -> None:
    setting = Setting([], ImageDynamicsPipeline())
    with pytest.raises(ValueError, match=r"--method-checkpoint learned=DIR \(python -m learned train writes one\)"):
        LEARNED.make(setting)
    assert LEARNED.make(setting, checkpoint=tmp_path)(0, None).note == f"{tmp_path.name} 3"
    with pytest.raises(ValueError, match="repeat takes no checkpoint"):
        METHODS["repeat"].make(setting, checkpoint=tmp_path)


def test_checkpoints_that_no_row_takes_are_refused(tmp_path: Path) -> None:
    chosen = {"repeat": METHODS["repeat"], "learned": LEARNED}
    assert method_checkpoints([("learned", tmp_path)], chosen) == {"learned": tmp_path}
    with pytest.raises(ValueError, match=r"repeat is no method .*those that do: learned"):
        method_checkpoints([("repeat", tmp_path)], chosen)
    with pytest.raises(ValueError, match="no method chosen takes one"):
        method_checkpoints([("learned", tmp_path)], {"repeat": METHODS["repeat"]})
    with pytest.raises(ValueError, match="no such folder"):
        method_checkpoints([("learned", tmp_path / "nowhere")], chosen)
    with pytest.raises(ValueError, match="has a checkpoint already"):
        method_checkpoints([("learned", tmp_path)] * 2, chosen)
    with pytest.raises(ValueError, match="learned: needs a checkpoint"):
        method_checkpoints([], chosen)


def test_the_documentation_lists_every_method_in_the_registrys_words() -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for method in METHODS.values():
        assert f"| `{method.name}` | {method.summary}" in text
