import pytest
import torch
from helpers.motion_models import photographs, tiny_model

from training.batches.motion import MotionBatch
from training.motion.losses import StageLoss, diffusion_parts, loss_parts
from training.state import StepSamples


def inputs(first: int = 0, count: int = 4) -> tuple:
    generator = torch.Generator().manual_seed(1)
    volume = torch.randn(4, 2, 4, 32, 64, generator=generator)
    index = torch.tensor([[0, 1], [2, 3], [1, 2], [3, 0]])
    part = slice(first, first + count)
    samples = StepSamples.of(0, 0, stream=0, first=first, count=count, total=4)
    return MotionBatch(photographs(4)[part], volume[part], index[part], [""] * count), samples


@pytest.mark.parametrize("stage", ["autoencoder", "slice", "decoder"])
def test_parts_of_a_batch_add_up_to_the_whole(stage: str) -> None:
    model = tiny_model()
    model.frequency_attention = False
    loss = StageLoss(model, stage, condition_dropout=0.3, encoded=False)
    whole, parts = loss(*inputs())
    halves = [loss(*inputs(first, 2)) for first in (0, 2)]
    torch.testing.assert_close(sum(half for half, _ in halves) / 2, whole)
    torch.testing.assert_close(sum(half for _, half in halves), parts, rtol=1e-4, atol=1e-5)
    assert parts.shape == (len(loss_parts(stage)), 2)
    assert float(parts[0, 0] / parts[0, 1]) == pytest.approx(float(whole.detach()), rel=1e-5)


def test_loss_is_split_by_frequency_band_and_noise_level() -> None:
    model = tiny_model()  # 4 frequencies: 0 and 1 are low, 2 middle, 3 high
    errors = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    parts = diffusion_parts(model, errors, index=torch.tensor([[0, 1], [2, 3]]), timestep=torch.tensor([0, 999]))
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


def test_latents_given_are_not_encoded_again() -> None:
    model = tiny_model()
    model.frequency_attention = False
    batch, samples = inputs()
    latents = model.encode_volume(batch.slices, batch.frequency_index)
    expected, _ = StageLoss(model, "slice", condition_dropout=0.1, encoded=False)(batch, samples)
    _, samples = inputs()
    loss = StageLoss(model, "slice", condition_dropout=0.1, encoded=True)
    found, _ = loss(batch._replace(slices=latents), samples)
    torch.testing.assert_close(found, expected)


def test_photographs_are_dropped_in_their_share() -> None:
    model, kept = tiny_model(), []
    model.frequency_attention = False
    model.unet.register_forward_pre_hook(lambda unet, given: kept.extend(given[3].flatten(1).any(dim=1).tolist()))
    batch, _ = inputs()
    latents = model.encode_volume(batch.slices, batch.frequency_index)
    loss = StageLoss(model, "slice", condition_dropout=0.25, encoded=True)
    with torch.no_grad():
        for step in range(100):
            samples = StepSamples.of(0, step, stream=0, first=0, count=4, total=4)
            loss(batch._replace(slices=latents), samples)
    assert len(kept) == 400
    assert sum(kept) / 400 == pytest.approx(0.75, abs=0.07)
