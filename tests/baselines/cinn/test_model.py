"""The whole model: rollouts, transfer, control, checkpoints, and the baseline as a row of the motion table."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines.cinn.config import STAGES, FlowConfig, Preset
from baselines.cinn.make import sampled, transferred
from baselines.cinn.model import StochasticImageToVideo, control_code
from baselines.cinn.predict import predict
from evaluation.prediction import Setting
from evaluation.report.report import folder_provenance
from evaluation.sequences import load_sequences
from models.pipeline import ImageDynamicsPipeline


@pytest.fixture
def model(tiny: Preset) -> StochasticImageToVideo:
    """An untrained model whose normalisations have seen a batch."""
    torch.manual_seed(0)
    model = StochasticImageToVideo(tiny.model)
    with torch.no_grad():
        model.flow(torch.randn(32, 8), torch.randn(32, 8))
    return model.eval()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("num_frames", [1, 16, 17, 33])
def test_rollouts_are_cut_in_time(model: StochasticImageToVideo, num_frames: int) -> None:
    photos = torch.rand(3, 3, 32, 48) * 2 - 1
    long = model.sample(photos, 33, generator=generator())
    frames = model.sample(photos, num_frames, generator=generator())
    assert frames.shape == (3, num_frames, 3, 32, 48)
    torch.testing.assert_close(frames, long[:, :num_frames])


def test_a_rollout_goes_on_from_its_last_frame(model: StochasticImageToVideo) -> None:
    photo = torch.rand(1, 3, 32, 48) * 2 - 1
    same, new = (model.sample(photo, 32, generator=generator(), rollout=way) for way in ("same_code", "new_code"))
    torch.testing.assert_close(same[:, :16], new[:, :16])
    assert not torch.allclose(same[:, 16:], new[:, 16:])
    noise = torch.randn(1, 8, generator=generator())
    code = model.flow.inverse(noise, model.embedding(photo))
    torch.testing.assert_close(same[:, 16:], model.decoder(same[:, 15], code))


def test_more_photos_than_frames_are_all_kept(model: StochasticImageToVideo) -> None:
    assert model.sample(torch.zeros(5, 3, 32, 48), 2, generator=generator()).shape[:2] == (5, 2)


def test_a_sample_depends_on_its_number_alone(model: StochasticImageToVideo) -> None:
    photos = torch.rand(2, 3, 32, 48) * 2 - 1
    few, many = (sampled(model, photos, samples=n, num_frames=4, seed=1) for n in (1, 3))
    assert many.shape == (2, 3, 5, 3, 32, 48)
    torch.testing.assert_close(few[:, 0], many[:, 0])
    assert not torch.allclose(many[:, 0, 1:], many[:, 1, 1:])
    torch.testing.assert_close(many[:, 2, 0], photos)  # the photo comes first


def test_transfer_to_the_clips_own_photo_is_its_reconstruction(model: StochasticImageToVideo) -> None:
    clip = torch.rand(1, 17, 3, 32, 48) * 2 - 1
    torch.testing.assert_close(model.transfer(clip, clip[:, 0]), model.reconstruct(clip), atol=1e-4, rtol=1e-3)
    photos = torch.rand(2, 3, 32, 48) * 2 - 1
    assert model.transfer(clip, photos, num_frames=20).shape == (2, 20, 3, 32, 48)
    assert transferred(model, clip, photos, num_frames=20).shape == (3, 1, 21, 3, 32, 48)


def test_positions_fall_into_bins_and_the_largest_into_the_last() -> None:
    config = FlowConfig(control=2, control_bins=10, control_minimum=(0.0, -1.0), control_maximum=(1.0, 1.0))
    code = control_code(torch.tensor([[1.0, -1.0], [0.05, 0.0], [9.0, -9.0]]), config).view(3, 2, 10)
    assert code.argmax(2).tolist() == [[9, 0], [0, 5], [9, 0]]
    assert code.sum(2).eq(1).all()


def test_control_is_asked_for_where_it_belongs(model: StochasticImageToVideo, tiny: Preset) -> None:
    photo, position = torch.zeros(1, 3, 32, 48), torch.tensor([[0.5, 0.5, 0.5]])
    with pytest.raises(ValueError, match="controlled by 0 numbers, got 3"):
        model.sample(photo, 4, generator=generator(), control=position)
    limits = {"control_minimum": (0.0,) * 3, "control_maximum": (1.0,) * 3}
    flow = replace(tiny.model.flow, control=3, **limits)
    controlled = StochasticImageToVideo(replace(tiny.model, flow=flow)).eval()
    with pytest.raises(ValueError, match="controlled by 3 numbers, got 0"):
        controlled.sample(photo, 4, generator=generator())
    there, elsewhere = (
        controlled.sample(photo, 4, generator=generator(), control=where) for where in (position, position + 0.3)
    )
    assert not torch.allclose(there, elsewhere)


@pytest.mark.slow
def test_a_run_folder_is_the_models_checkpoint(run_folder: Path, tmp_path: Path) -> None:
    model = StochasticImageToVideo.from_pretrained(run_folder)
    assert not model.training
    assert model.config.fps == 30
    assert all(block.norm.initialized for block in model.flow.blocks)
    broken = tmp_path / "run"
    shutil.copytree(run_folder, broken)
    config = json.loads((broken / "flow" / "best" / "config.json").read_text())
    config["training"]["vae_sha256"] = "0" * 64
    (broken / "flow" / "best" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="trained on another vae than the one beside it"):
        StochasticImageToVideo.from_pretrained(broken)
    shutil.rmtree(broken / "condition")
    with pytest.raises(ValueError, match=r"no checkpoint of the stage condition; train it: .* --stage condition"):
        StochasticImageToVideo.from_pretrained(broken)


def test_a_report_names_the_files_of_all_stages(run_folder: Path) -> None:
    files = folder_provenance(run_folder)["files"]
    assert {f"{stage}/model.safetensors" for stage in STAGES} <= files.keys()
    assert not [name for name in files if "state" in name]


@pytest.mark.slow
def test_the_row_of_the_motion_table(run_folder: Path, small_dataset: Path) -> None:
    (sequence,) = load_sequences(small_dataset, "validation")[:1]
    setting = Setting([sequence], ImageDynamicsPipeline(), num_frequencies=4, samples=2)
    prediction = predict(setting, checkpoint=run_folder)(0, sequence)
    assert prediction.render is not None
    first, second = (prediction.render(number, 32) for number in range(2))
    assert first.shape == (32, 3, 32, 64)
    assert torch.equal(first[0], sequence.frames()[0])  # frame t stands beside frame t
    assert not torch.equal(first[1:], second[1:])
    assert torch.equal(prediction.render(0, 5), first[:5])
    assert [volume.shape for volume in prediction.motion] == [(1, 4, 4, 32, 64)] * 2
