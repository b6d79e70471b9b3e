"""Where checkpoints are found: folders of every form and the hub; each configuration is read once."""

import json
from pathlib import Path

import pytest

from models.checkpoints import PRETRAINED, checkpoint_folders
from models.pipeline import ImageDynamicsPipeline


def test_a_bare_checkpoint_is_joined_by_the_one_that_comes_with_the_repository(checkpoint):
    bare = checkpoint_folders(checkpoint / "motion")
    assert bare == {"motion": checkpoint / "motion", "frame_synthesis": PRETRAINED / "frame_synthesis"}
    bare = checkpoint_folders(checkpoint / "frame_synthesis")
    assert bare == {"motion": PRETRAINED / "motion", "frame_synthesis": checkpoint / "frame_synthesis"}


@pytest.mark.parametrize(("folder", "parts"), [(".", ["motion", "frame_synthesis"]), ("motion", ["motion"])])
def test_each_configuration_is_read_once(checkpoint, monkeypatch, folder, parts):
    read, seen = Path.read_text, []

    def noted(path: Path, *arguments, **options):
        seen.append(path)
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", noted)
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
