"""Sampling without a trained network: denoisers that are exact for a known distribution."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.motion_models import photographs, tiny_model
from helpers.slow import slow
from torch import Tensor
from torch.nn import functional as F

from models.choices import DEFAULT_SAMPLER, SAMPLERS
from models.motion.diffusion import (
    draw_noise,
    loop_loss,
    make_scheduler,
    noise_again,
    noise_levels,
    sample_latents,
)
from models.motion.model import PRESETS, MotionModel
from models.motion.slice_autoencoder import SliceAutoencoder
from models.spectral_volume import SpectralNormalizer, rms_amplitude, spectral_volume_to_motion

MEAN, STD = 0.7, 0.4  # of the distribution that the exact denoiser knows


def exact_denoiser(scheduler, prediction: str):
    """The network output that minimises the training loss on independent Gaussian values."""

    def denoise(noisy: Tensor, timestep: Tensor) -> Tensor:
        alpha, sigma = noise_levels(scheduler, timestep)
        variance = alpha**2 * STD**2 + sigma**2
        clean = MEAN + alpha * STD**2 / variance * (noisy - alpha * MEAN)
        noise = sigma * (noisy - alpha * MEAN) / variance
        return noise if prediction == "epsilon" else alpha * noise - sigma * clean

    return denoise


def generators(count: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + index) for index in range(count)]


@pytest.mark.parametrize("preset", ["tiny", "reference"])  # both predictions and schedules
@pytest.mark.parametrize("recurrence", [0, 2])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_exact_denoiser_gives_the_distribution_back(sampler: str, recurrence: int, preset: str) -> None:
    config = PRESETS[preset]
    scheduler = make_scheduler(config, sampler)
    own = generators(2)
    noise = draw_noise((20_000,), own, torch.zeros(1))
    denoise = exact_denoiser(scheduler, config.prediction)
    steps = 100 if sampler == "dpmsolver++" else 250  # the others need more to come as close
    samples = sample_latents(denoise, noise, scheduler=scheduler, steps=steps, generators=own, recurrence=recurrence)
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.03)
    assert samples.std().item() == pytest.approx(STD, rel=0.2 if recurrence else 0.1)  # repeated steps are coarser


def test_noise_again_reaches_the_level_of_the_forward_process() -> None:
    scheduler = make_scheduler(PRESETS["tiny"], "ddim")
    later, earlier = torch.tensor(300), torch.tensor(700)
    clean, noise = torch.full((1, 50_000), 1.5), draw_noise((50_000,), generators(1), torch.zeros(1))
    alpha, sigma = noise_levels(scheduler, later)
    for latents, level in ((alpha * clean + sigma * noise, later), (clean, None)):
        noisier = noise_again(scheduler, latents, level, earlier, generators(1, seed=5))
        alpha_earlier, sigma_earlier = noise_levels(scheduler, earlier)
        assert noisier.mean().item() == pytest.approx(1.5 * alpha_earlier, abs=0.02)
        assert noisier.std().item() == pytest.approx(sigma_earlier, rel=0.02)


def test_multistep_solver_extrapolates_along_the_last_trajectory_alone() -> None:
    """DPM-Solver++ (Lu et al. 2022, algorithm 2) by hand: repeated steps are of first order, the rest of second."""
    steps, recurrence, config = 6, 1, PRESETS["tiny"]
    scheduler = make_scheduler(config, "dpmsolver++")
    predict = lambda z: torch.tanh(2 * z)  # noqa: E731  # clean values from noisy ones, far from linear

    def denoise(noisy: Tensor, timestep: Tensor) -> Tensor:
        alpha, sigma = noise_levels(scheduler, timestep)
        return (alpha * noisy - predict(noisy)) / sigma  # as velocity

    own = generators(1)
    noise = draw_noise((50,), own, torch.zeros(1))
    found = sample_latents(denoise, noise, scheduler=scheduler, steps=steps, generators=own, recurrence=recurrence)

    own = generators(1)
    z, levels = draw_noise((50,), own, torch.zeros(1)), [noise_levels(scheduler, t) for t in scheduler.timesteps]
    levels.append((1.0, 0.0))
    log_snr = lambda level: torch.tensor(level[0] / max(level[1], 1e-12)).log().item()  # noqa: E731
    earlier = None
    for index in range(steps):
        (alpha_s, sigma_s), (alpha_t, sigma_t) = levels[index], levels[index + 1]
        h = log_snr(levels[index + 1]) - log_snr(levels[index])
        for repeat in range(recurrence + 1):
            if repeat:
                ratio = alpha_s / alpha_t
                z = ratio * z + (1 - ratio**2) ** 0.5 * draw_noise((50,), own, z)
            clean = predict(z)
            direction = clean
            if earlier is not None and not repeat and index + 1 < steps:
                r = (log_snr(levels[index]) - log_snr(levels[index - 1])) / h
                direction = clean + (clean - earlier) / (2 * r)
            z = sigma_t / sigma_s * z - alpha_t * (torch.tensor(-h).exp() - 1) * direction
        earlier = clean
    torch.testing.assert_close(found, z, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("sampler", [DEFAULT_SAMPLER, *map(slow, sorted({*SAMPLERS} - {DEFAULT_SAMPLER}))])
def test_a_sample_is_the_same_alone_and_in_a_batch_of_three(sampler: str) -> None:
    model, images = tiny_model(), photographs(3)
    options = {"steps": 3, "sampler": sampler, "loop_guidance": 50.0, "recurrence": 2}
    together = model.sample(images, [4, 9, 4], **options)
    for index, seed in enumerate((4, 9, 4)):
        alone = model.sample(images[index : index + 1], [seed], **options)
        torch.testing.assert_close(together[index : index + 1], alone, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(together[0], together[1], rtol=1e-2)


def test_steps_and_repetitions_are_counted() -> None:
    model, image, calls, reports = tiny_model(), photographs(), [], []
    model.unet.register_forward_pre_hook(lambda layer, values: calls.append(values[1].item()))
    model.sample(
        image, [0], steps=4, guidance=0.0, recurrence=2, progress=lambda done, steps: reports.append((done, steps))
    )
    assert calls == [t for t in (999, 749, 499, 249) for _ in range(3)]
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for wrong in ({"steps": 0}, {"recurrence": -1}):
        with pytest.raises(ValueError, match="at least one step"):
            model.sample(image, [0], **wrong)


class EnlargedLatents(SliceAutoencoder):
    """Latents are the slices themselves at an eighth of the size."""

    downsampling = 8

    def encode_slices(self, slices: Tensor) -> Tensor:
        return F.avg_pool2d(slices, 8)

    def decode_latent(self, latent: Tensor, guide: Tensor | None = None) -> Tensor:
        return F.interpolate(latent, scale_factor=8, mode="bilinear", align_corners=False)


def drifting_model() -> MotionModel:
    """An exact diffusion model of motion that does not loop: a slow drift to the right with random deviations.

    Whitened latents are independent standard normal values, for which no velocity at all is the exact prediction. The
    mean is the spectrum of a ramp, which the periodic volume can only follow by jumping back at the end.
    """
    base = PRESETS["tiny"]
    config = replace(base, autoencoder=replace(base.autoencoder, latent_channels=4), guidance=0.0)
    model = MotionModel(config, SpectralNormalizer("std", (1.0,) * config.num_frequencies)).eval()
    model.autoencoder = EnlargedLatents(4, config.num_frequencies)
    torch.nn.init.zeros_(model.unet.conv_out.weight)
    torch.nn.init.zeros_(model.unet.conv_out.bias)
    ramp = torch.linspace(-3, 3, config.num_frames, dtype=torch.float64)
    spectrum = torch.fft.rfft(ramp, norm="forward")[: config.num_frequencies]
    zero = torch.zeros_like(spectrum.real)
    mean = torch.stack([spectrum.real, zero, spectrum.imag, zero], dim=1).float()
    model.autoencoder.set_latent_statistics(mean, 0.15 * mean.abs().amax(dim=1, keepdim=True).expand(-1, 4))
    return model


def jump(volume: Tensor, num_frames: int) -> Tensor:
    """Motion from the last frame to the first over the usual motion from frame to frame, of each photograph."""
    motion = spectral_volume_to_motion(volume, num_frames)
    inside = motion.diff(dim=1).abs().mean(dim=(2, 3, 4)).median(dim=1).values
    return (motion[:, -1] - motion[:, 0]).abs().mean(dim=(1, 2, 3)) / inside


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_loop_guidance_lowers_the_seam_of_a_model_of_motion_that_does_not_loop(sampler: str) -> None:
    model, images, seeds = drifting_model(), photographs(8), list(range(8))
    frames = model.config.num_frames

    def run(**options) -> tuple[Tensor, float, float]:
        volume = model.sample(images, seeds, steps=20, sampler=sampler, **options)
        return jump(volume, frames), loop_loss(volume, frames).mean().item(), rms_amplitude(volume).mean().item()

    plain, plain_loss, amplitude = run()
    _, repeated_alone, _ = run(recurrence=2)
    assert repeated_alone == pytest.approx(plain_loss, rel=0.1)  # repeating as such changes nothing
    for recurrence in (0, 2):
        guided, guided_loss, guided_amplitude = run(loop_guidance=600.0, recurrence=recurrence)
        assert (guided < plain).all()
        assert guided_loss < 0.6 * plain_loss
        assert 0.3 * amplitude < guided_amplitude < amplitude  # slower, but neither still nor blown up


def test_loop_gradient_is_that_of_the_whole_volume_and_each_photographs_own() -> None:
    model, images = tiny_model(), photographs(3)
    model.amplitude_gain.copy_(torch.tensor([1.0, 0.5, 2.0, 3.0]))
    latents = torch.randn(3, 4, 2, 4, 8, generator=torch.Generator().manual_seed(2)).requires_grad_()
    loss = loop_loss(model.decode_latents(latents, images), model.config.num_frames)
    assert loss.shape == (3,)
    (expected,) = torch.autograd.grad(4 * 8 * loss.sum(), latents)
    found = model.loop_gradient(latents.detach(), images)
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-4)
    assert expected.abs().amax(dim=(1, 2, 3, 4)).min() > 1e-3
    torch.testing.assert_close(
        model.loop_gradient(latents[1:2].detach(), images[1:2]), expected[1:2], atol=1e-7, rtol=1e-4
    )


def test_loop_gradient_decodes_a_few_slices_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batches = tiny_model(), []
    decode = model.autoencoder.decode_latent
    monkeypatch.setattr(model.autoencoder, "gradient_slices", 1)
    monkeypatch.setattr(model.autoencoder, "decode_latent", lambda z, guide: batches.append(len(z)) or decode(z, guide))
    model.loop_gradient(torch.randn(2, 4, 2, 4, 8), photographs(2))
    assert batches == [1] * (2 * 4 * 2)  # forwards and again on the way back
