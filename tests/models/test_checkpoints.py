"""Where checkpoints are found: folders of every form and the hub; each configuration is read once."""

import json
from pathlib import Path

import pytest

from common.tensor_files import read_tensors, save_tensors
from models.checkpoints import PRETRAINED, checkpoint_folders
from models.pipeline import ImageDynamicsPipeline


def test_a_bare_checkpoint_is_joined_by_the_one_that_comes_with_the_repository(checkpoint):
    bare = checkpoint_folders(checkpoint / "motion")
    assert bare == {"motion": checkpoint / "motion", "frame_synthesis": PRETRAINED / "frame_synthesis"}
    bare = checkpoint_folders(checkpoint / "frame_synthesis")
    assert bare == {"motion": PRETRAINED / "motion", "frame_synthesis": checkpoint / "frame_synthesis"}


@pytest.mark.parametrize(("folder", "parts"), [(".", ["motion", "frame_synthesis"]), ("motion", ["motion"])])
def test_each_configuration_is_read_once(checkpoint, monkeypatch, folder, parts):
    read, seen = Path.read_bytes, []

    def noted(path: Path, *arguments, **options):
        seen.append(path)
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_bytes", noted)
    ImageDynamicsPipeline.from_pretrained(checkpoint / folder, parts)
    assert sorted(seen) == sorted(checkpoint / part / "config.json" for part in parts)


def test_a_hub_id_is_downloaded(pipeline, tmp_path, monkeypatch):
    pipeline.save_pretrained(tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    asked = []

    def snapshot_download(repo_id, **options):
        asked.append(repo_id)
        if repo_id == "some/where":
            return str(tmp_path / "cache")
        raise OSError("offline\nsecond line")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert checkpoint_folders("some/where")["motion"] == tmp_path / "cache" / "motion"
    with pytest.raises(ValueError, match=r"^some/thing: no such checkpoint folder, nor .*\(offline\)$"):
        checkpoint_folders("some/thing")
    assert asked == ["some/where", "some/thing"]
    with pytest.raises(ValueError, match="no such checkpoint folder"):
        checkpoint_folders(tmp_path / "nowhere")
    assert len(asked) == 2


def test_damaged_checkpoints_are_named(pipeline, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"config\.json is missing"):
        checkpoint_folders(tmp_path / "empty")
    pipeline.save_pretrained(tmp_path / "saved")
    config = tmp_path / "saved" / "motion" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"kind": "frame_synthesis"}))
    with pytest.raises(ValueError, match="where one of kind 'motion' is needed"):
        ImageDynamicsPipeline.from_pretrained(tmp_path / "saved")
    config.write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        checkpoint_folders(tmp_path / "saved" / "motion")


@pytest.mark.parametrize(
    ("part", "place", "value", "expected"),
    [
        ("motion", "model.train_steps", 10**9, "model.train_steps is 1000000000, expected a whole number from 1 to"),
        ("motion", "model.num_frequencies", 10**9, "model.num_frequencies is 1000000000"),
        ("motion", "model.num_frequencies", 5, "model.normalizer.scales: 4 for 5 frequencies"),
        ("motion", "model.num_frames", 5, "model: num_frames 5: too few for num_frequencies 4"),
        ("motion", "model.fps", float("nan"), "model.fps is nan, expected a finite number"),
        ("motion", "model.size", [64], "model.size is a list of 1, expected a list of 2"),
        ("motion", "model.beta_schedule", "x", "unknown beta_schedule 'x'"),
        ("motion", "model.normalizer", None, "model.normalizer is None, expected an object"),
        ("motion", "model.normalizer.scales", [None] * 4, r"model.normalizer.scales\[0\] is None"),
        ("motion", "model.autoencoder", "big", "model.autoencoder is 'big', expected an object"),
        (
            "motion",
            "model.autoencoder.kind",
            "zip",
            "model.autoencoder.kind is 'zip', expected one of spectral, kl, vq",
        ),
        ("motion", "model.unet.channels", -8, "model.unet.channels is -8"),
        ("motion", "model.unet.channels", 8192, "tensors don't fit the configured model"),
        ("motion", "model.unet.head_channels", 7, "its configuration makes no model|don't fit"),
        ("motion", "model.unet.multipliers", [], "model.unet.multipliers is a list of 0, expected items from 1 to 16"),
        ("motion", "model.unet.dropout", "0", "model.unet.dropout is '0', expected a finite number"),
        ("motion", "model", "text", "model is 'text', expected an object"),
        ("motion", "training", [], "training is a list of 0, expected an object"),
        (
            "motion",
            "training.frequency_attention",
            "no",
            "training.frequency_attention is 'no', expected true or false",
        ),
        ("motion", "format_version", 10**400, "format version 1000"),
        ("frame_synthesis", "model.columns", 10**9, "model.columns is 1000000000"),
        ("frame_synthesis", "model.channels", [8, 12, 10**9], r"model.channels\[2\] is 1000000000"),
        ("frame_synthesis", "model.channels", [8, 12, 8192], "tensors don't fit the configured model"),
        ("frame_synthesis", "model.output", None, "model.output is None, expected a text"),
    ],
)
def test_wrong_values_of_a_configuration_are_told_with_file_and_key(
    pipeline, tmp_path, part: str, place: str, value: object, expected: str
):
    pipeline.save_pretrained(tmp_path)
    path = tmp_path / part / "config.json"
    config = json.loads(path.read_text())
    *holders, key = place.split(".")
    holder = config
    for name in holders:
        holder = holder[name]
    holder[key] = value
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=expected) as error:
        ImageDynamicsPipeline.from_pretrained(tmp_path)
    assert str(error.value).startswith(str(tmp_path / part))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("wild", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_told_with_file_and_name(pipeline, tmp_path, wild: float):
    pipeline.save_pretrained(tmp_path)
    path = tmp_path / "motion" / "model.safetensors"
    tensors, _ = read_tensors(path)
    name = next(name for name in sorted(tensors) if name.endswith("weight"))
    tensors[name].view(-1)[3] = wild
    save_tensors(path, tensors)
    with pytest.raises(ValueError, match=f"model.safetensors: {name} holds values that are not finite"):
        ImageDynamicsPipeline.from_pretrained(tmp_path)
