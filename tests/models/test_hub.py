"""Publishing a pipeline, with the hub replaced by a folder."""

import shutil
from pathlib import Path

import huggingface_hub
import pytest

from models.pipeline import ImageDynamicsPipeline


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for the hub."""

    class Hub:
        def __init__(self, token: str | None = None) -> None:
            self.token = token

        def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> str:
            assert exist_ok
            if self.token == "wrong":
                raise RuntimeError("401 Client Error\nmore lines")
            return f"https://huggingface.co/{repo_id}"

        def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
            shutil.copytree(folder_path, tmp_path / repo_id)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    return tmp_path


def test_what_is_published_is_a_pipeline_with_a_card_that_the_hub_reads(pipeline, hub):
    assert pipeline.push_to_hub("somebody/meadow", license="cc-by-4.0") == "https://huggingface.co/somebody/meadow"
    found = ImageDynamicsPipeline.from_pretrained(hub / "somebody" / "meadow")
    assert found.motion_config == pipeline.motion_config
    card = huggingface_hub.ModelCard.load(hub / "somebody" / "meadow" / "README.md")
    assert (card.data.license, card.data.pipeline_tag) == ("cc-by-4.0", "image-to-video")
    assert 'from_pretrained("somebody/meadow")' in card.text


def test_what_the_hub_refuses_is_one_line(pipeline, hub):
    with pytest.raises(ValueError, match=r"^somebody/meadow: can't be published \(401 Client Error\)$"):
        pipeline.push_to_hub("somebody/meadow", token="wrong")
    with pytest.raises(ValueError, match="expected owner/name"):
        pipeline.push_to_hub("meadow")
    assert list(hub.iterdir()) == []
