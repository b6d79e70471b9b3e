"""Autoencoders of spectral slices: what they share, their loss, and the paper's own."""

from __future__ import annotations

import pytest
import torch
from helpers.motion_models import photographs
from torch.distributions import Normal, kl_divergence

from models.motion.autoencoder import AutoencoderConfig, SpectralAutoencoder, autoencoder_loss, multiscale_gradient_loss
from models.motion.kl_autoencoder import KLAutoencoder, KLAutoencoderConfig

SMALL = KLAutoencoderConfig(latent_channels=3, channels=8, blocks=1, head_channels=8)


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.fixture(params=["spectral", "kl"])
def autoencoder(request: pytest.FixtureRequest) -> SpectralAutoencoder | KLAutoencoder:
    if request.param == "kl":
        return randomised(KLAutoencoder(SMALL, num_frequencies=3))
    config = AutoencoderConfig(latent_channels=3, channels=8, deep_channels=8, blocks=1)
    return randomised(SpectralAutoencoder(config, num_frequencies=3))


def test_the_loss_is_the_papers(autoencoder) -> None:
    slices, image = torch.randn(2, 4, 16, 24), photographs(1, (16, 24))
    mean, log_variance = autoencoder.encode_distribution(slices)
    noise = torch.randn(mean.shape)
    latent = mean + (log_variance / 2).exp() * noise
    decoded = autoencoder.decode_latent(latent, autoencoder.guide_features(image))
    kl = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).mean()
    expected = (decoded - slices).abs().mean() + 0.2 * multiscale_gradient_loss(decoded, slices) + 1e-6 * kl
    losses = autoencoder_loss(autoencoder, slices, image, noise=noise)
    torch.testing.assert_close(losses["loss"], expected)
    torch.testing.assert_close(losses["kl"], kl)
    losses["loss"].backward()
    assert all(parameter.grad is not None for parameter in autoencoder.parameters())


def test_gradients_of_the_decoder_are_the_same_in_parts(autoencoder) -> None:
    autoencoder.set_latent_statistics(torch.randn(3, 3), torch.rand(3, 3) + 0.5)
    factor, image = autoencoder.downsampling, photographs(2, (16, 24))
    latents = torch.randn(2, 3, 3, 16 // factor, 24 // factor, requires_grad=True)
    weights = torch.randn(2, 3, 4, 16, 24)
    whole = autoencoder.decode(latents, image)
    parts = autoencoder.decode_for_gradient(latents, image)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-4)
    (expected,) = torch.autograd.grad((whole * weights).sum(), latents)
    (found,) = torch.autograd.grad((parts * weights).sum(), latents)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_latents_are_whitened_continuous_means(autoencoder) -> None:
    volume = torch.randn(2, 3, 4, 16, 24)
    with torch.no_grad():
        plain = autoencoder.encode(volume)
        torch.testing.assert_close(plain[1, 2], autoencoder.encode_distribution(volume[1, 2:])[0][0])
        mean, std = torch.randn(3, 3), torch.rand(3, 3) + 0.5
        decoded = autoencoder.decode(plain)
        autoencoder.set_latent_statistics(mean, std)
        whitened = autoencoder.encode(volume)
        torch.testing.assert_close(whitened, (plain - mean[:, :, None, None]) / std[:, :, None, None])
        torch.testing.assert_close(autoencoder.decode(whitened), decoded, atol=1e-4, rtol=1e-4)
        chosen = autoencoder.encode(volume[:, [2, 0]], torch.tensor([[2, 0], [2, 0]]))
        torch.testing.assert_close(chosen, whitened[:, [2, 0]])


def test_papers_autoencoder_has_a_quarter_of_the_size_and_bounded_batches() -> None:
    model, batches = randomised(KLAutoencoder(SMALL, num_frequencies=3)), []
    for layers in (model.encode_layers, model.decode_layers):
        layers.register_forward_pre_hook(lambda layer, values: batches.append(len(values[0])))
    with torch.no_grad():
        latents = model.encode(torch.randn(2, 3, 4, 16, 24))
        decoded = model.decode(latents, photographs(2, (16, 24)))
    assert latents.shape == (2, 3, 3, 4, 6)
    assert decoded.shape == (2, 3, 4, 16, 24)
    assert max(batches) <= model.slices_at_once == 4
    with pytest.raises(ValueError, match="slices of 24x18 can't be encoded: both sides must be multiples of 4"):
        model.encode(torch.zeros(1, 1, 4, 18, 24))
    with pytest.raises(ValueError, match="a KLAutoencoder encodes spectral slices, not pictures"):
        model.encode_image(photographs())
