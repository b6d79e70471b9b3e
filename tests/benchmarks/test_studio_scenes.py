"""The benchmark that compares the page's networks with PyTorch's on a dataset's scenes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from helpers.motion_models import tiny_model

from app.studio.networks import export_networks
from benchmarks.studio import scenes
from models.pipeline import ImageDynamicsPipeline

pytestmark = pytest.mark.slow  # the networks are exported first


def test_exact_weights_localise_as_pytorch_does(
    tmp_path: Path, small_dataset: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="needs the packages of requirements-studio.txt")
    model = tiny_model()
    model.save_pretrained(tmp_path / "motion")
    logging.disable(logging.INFO)  # pytest would keep every line of what the exporter traces, for minutes
    try:
        networks = export_networks(ImageDynamicsPipeline.from_pretrained(tmp_path).motion_model, "float32")
    finally:
        logging.disable(logging.NOTSET)
    (tmp_path / "page" / "models").mkdir(parents=True)
    for name, content in networks.items():
        (tmp_path / "page" / "models" / f"{name}.onnx").write_bytes(content)
    options = ["--data", str(small_dataset), "--split", "train", "--checkpoint", str(tmp_path)]
    scenes.main([str(tmp_path / "page"), *options])
    told = capsys.readouterr().out
    assert "first.mp4: " in told
    assert "1 scenes: " in told
    assert "differ by 0.0000 at most" in told
