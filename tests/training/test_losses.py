import pytest
import torch
from helpers.motion_models import photographs, tiny_model

from training import losses as motion_losses
from training.losses import StageLoss, diffusion_parts, loss_parts
from training.state import StepSamples


def inputs(first: int = 0, count: int = 4) -> tuple:
    generator = torch.Generator().manual_seed(1)
    volume = torch.randn(4, 2, 4, 32, 64, generator=generator)
    index = torch.tensor([[0, 1], [2, 3], [1, 2], [3, 0]])
    part = slice(first, first + count)
    return photographs(4)[part], volume[part], index[part], StepSamples.of(0, 0, 0, first, count, 4)


@pytest.mark.parametrize("stage", ["autoencoder", "slice", "decoder"])
def test_parts_of_a_batch_add_up_to_the_whole(stage: str) -> None:
    model = tiny_model()
    model.coordinate = False
    loss = StageLoss(model, stage, 0.3, "float32", encoded=False)
    whole, parts = loss(*inputs())
    halves = [loss(*inputs(first, 2)) for first in (0, 2)]
    torch.testing.assert_close(sum(half for half, _ in halves) / 2, whole)
    torch.testing.assert_close(sum(half for _, half in halves), parts, rtol=1e-4, atol=1e-5)
    assert parts.shape == (len(loss_parts(stage)), 2)
    assert float(parts[0, 0] / parts[0, 1]) == pytest.approx(float(whole.detach()), rel=1e-5)


def test_loss_is_split_by_frequency_band_and_noise_level() -> None:
    model = tiny_model()  # 4 frequencies: 0 and 1 are low, 2 middle, 3 high
    errors = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    parts = diffusion_parts(model, errors, torch.tensor([[0, 1], [2, 3]]), torch.tensor([0, 999]))
    expected = {
        "loss": (15.0, 4.0),
        "band_low": (3.0, 2.0),
        "band_middle": (4.0, 1.0),
        "band_high": (8.0, 1.0),
        "noise_low": (3.0, 2.0),
        "noise_middle": (0.0, 0.0),
        "noise_high": (12.0, 2.0),
    }
    assert dict(zip(loss_parts("slice"), map(tuple, parts.tolist()), strict=True)) == expected


def test_latents_given_are_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    model.coordinate = False
    image, volume, index, samples = inputs()
    latents = model.encode_volume(volume, index)
    expected, _ = StageLoss(model, "slice", 0.1, "float32", encoded=False)(image, volume, index, samples)
    monkeypatch.setattr(model, "encode_volume", None)
    samples = StepSamples.of(0, 0, 0, 0, 4, 4)
    found, _ = StageLoss(model, "slice", 0.1, "float32", encoded=True)(image, latents, index, samples)
    torch.testing.assert_close(found, expected)


def test_photographs_are_dropped_in_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []

    def record(model, latents, index, image, keep, *rest):
        kept.extend(keep.tolist())
        return torch.zeros(index.shape)

    monkeypatch.setattr(motion_losses, "diffusion_loss", record)
    image, volume, index, _ = inputs()
    loss = StageLoss(tiny_model(), "slice", 0.25, "float32", encoded=True)
    for step in range(100):
        loss(image, volume, index, StepSamples.of(0, step, 0, 0, 4, 4))
    assert sum(kept) / 400 == pytest.approx(0.75, abs=0.07)
