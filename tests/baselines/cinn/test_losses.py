"""The losses against their formulas, and what each update of a step sees and changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from baselines.cinn.config import LossConfig, Preset
from baselines.cinn.data.clips import ClipBatch, Clips
from baselines.cinn.losses import (
    AutoencoderLoss,
    VideoAutoencoder,
    feature_distance,
    gradient_penalty,
    hinge,
    kl_divergence,
)
from baselines.cinn.model import StochasticImageToVideo
from baselines.cinn.stages import VideoStage
from baselines.clips import Video
from training.state import StepSamples


def test_hinge_and_divergence_have_their_closed_forms() -> None:
    assert hinge(torch.tensor([2.0, 0.0]), torch.tensor([-3.0, 1.0])).item() == pytest.approx(0.5 * (0.5 + 1.0))
    mean, log_variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, -1.0]])
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, (0.5 * log_variance).exp()), normal(0.0, 1.0)).sum()
    assert kl_divergence(mean, log_variance).item() == pytest.approx(expected.item(), rel=1e-5)


def test_feature_distance_is_the_mean_over_stages() -> None:
    found = [torch.zeros(2, 3), torch.zeros(4)]
    assert feature_distance(found, [torch.ones(2, 3), torch.full((4,), 3.0)]).item() == 2


def test_the_penalty_of_the_batchs_mean_is_weaker_by_the_batchs_square() -> None:
    real = torch.randn(4, 16, 3, 2, 2, requires_grad=True)
    weight = torch.randn(16 * 3 * 2 * 2)
    own, of_mean = (gradient_penalty(real.flatten(1) @ weight, real, of=of) for of in ("samples", "batch_mean"))
    assert own.item() == pytest.approx(weight.square().sum().item(), rel=1e-5)
    assert of_mean.item() == pytest.approx(own.item() / 16, rel=1e-5)


@pytest.fixture
def stage(tiny: Preset, moving_squares: list[Video]) -> VideoStage:
    """The first stage against both discriminators."""
    torch.manual_seed(0)
    clips = Clips(moving_squares, tiny.model.video.size, length=17)
    named = {"clips": clips, "steps": 4, "epoch": 2, "seed": 0, "validation": None, "provenance": {}}
    return VideoStage(StochasticImageToVideo(tiny.model), tiny, perceptual=None, **named)


@pytest.mark.parametrize("error", ["absolute", "squared"])
def test_reconstruction_is_the_mean_error_that_was_asked_for(tiny: Preset, moving_squares: list[Video], error) -> None:
    torch.manual_seed(0)
    config = LossConfig(perceptual=0, reconstruction=100, divergence=0, error=error)
    networks = StochasticImageToVideo(tiny.model)
    loss = AutoencoderLoss(
        None, None, None, VideoAutoencoder(networks.encoder, networks.decoder), config, tiny.discriminators, {}
    )
    loss.eval()  # spectral norms stay as they are
    batch = Clips(moving_squares, tiny.model.video.size, length=17).fixed(1)[0]
    samples = StepSamples.of(0, 0, stream=0, first=0, count=1, total=1)
    value, portions = loss(batch, samples)
    with torch.no_grad():
        difference = loss.reconstruct(batch, loss.draws(batch, samples))[0] - batch.clip
    expected = difference.abs().mean() if error == "absolute" else difference.square().mean()
    assert value.item() == pytest.approx(100 * expected.item(), rel=1e-5)
    assert (portions[2, 0] / portions[2, 1]).item() == pytest.approx(difference.abs().mean().item(), rel=1e-5)  # l1


def batch_and_samples(stage: VideoStage, step: int) -> tuple[ClipBatch, StepSamples]:
    samples = StepSamples.of(0, step, stream=0, first=0, count=2, total=2)
    return stage.draw(step, [samples], map)[0], samples


def gradients(module: nn.Module) -> bool:
    return any(parameter.grad is not None for parameter in module.parameters())


def test_a_step_changes_the_temporal_discriminator_the_spatial_one_then_the_autoencoder(stage: VideoStage) -> None:
    batch, samples = batch_and_samples(stage, 2)
    players = [stage.model["temporal"], stage.model["spatial"], stage.averaged]
    for update, own in zip(stage.updates, players, strict=True):
        assert {id(p) for p in update.parameters} == {id(p) for p in own.parameters()}
    for update, own in zip(stage.updates[:2], players[:2], strict=True):
        loss, portions = update.loss(batch, samples)
        assert portions[0, 0].item() == pytest.approx(2 * loss.item(), rel=1e-5)
        loss.backward()
        assert gradients(own)
        assert not gradients(stage.averaged)
        own.zero_grad()
    stage.updates[2].loss(batch, samples)[0].backward()
    assert gradients(stage.averaged)


def test_all_updates_of_a_step_share_noise_window_and_frames(stage: VideoStage) -> None:
    batch, samples = batch_and_samples(stage, 2)
    draws = [update.loss.draws(batch, samples) for update in stage.updates]
    assert draws[0] is draws[1] is draws[2]
    assert stage.updates[0].loss.fake(batch, draws[0]) is stage.updates[1].loss.fake(batch, draws[1])
    _, later = batch_and_samples(stage, 3)
    other = stage.updates[0].loss.draws(batch, later)
    assert not torch.equal(other.noise, draws[0].noise)
    assert other.fake is None


def test_the_penalty_looks_at_real_clips_alone(stage: VideoStage, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, samples = batch_and_samples(stage, 2)
    loss = stage.updates[0].loss
    monkeypatch.setattr(loss, "fake", lambda batch, draws: torch.full_like(batch.clip, 0.5))
    _, first = loss(batch, samples)
    monkeypatch.setattr(loss, "fake", lambda batch, draws: -torch.ones_like(batch.clip))
    loss.eval()  # spectral normalisation stays as it is
    again, repeated = loss(batch, samples), loss(batch, samples)
    assert first[1, 0] > 0
    assert again[1][1, 0] == repeated[1][1, 0]


def test_the_autoencoder_hears_of_the_discriminators_from_the_given_epoch_on(stage: VideoStage) -> None:
    names = stage.updates[2].parts
    for step, heard in ((1, False), (2, True)):  # two steps an epoch, from epoch 1 on
        batch, samples = batch_and_samples(stage, step)
        values = dict(zip(names, stage.updates[2].loss(batch, samples)[1][:, 0].tolist(), strict=True))
        assert (values["features"] != 0) == heard
        assert (values["adversarial"] != 0) == heard


def test_learning_rates_fall_by_epoch_those_of_discriminators_later(stage: VideoStage) -> None:
    rates = [[update.learning_rate(step) for step in (0, 2, 4)] for update in stage.updates]
    base, decay = stage.config.learning_rate, stage.config.decay
    assert rates[2] == pytest.approx([base, base * decay, base * decay**2])
    assert rates[0] == rates[1] == pytest.approx([base, base, base * decay])
