"""Schedule, samplers (beside diffusers'), flow volumes, conditions and guidance."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from baselines.lfdm.config import TINY
from baselines.lfdm.diffusion import (
    FlowCodec,
    LatentFlowDiffusion,
    add_noise,
    cosine_alphas,
    sample,
    sampling_times,
    threshold,
)
from baselines.lfdm.networks.geometry import identity_grid
from baselines.lfdm.networks.motion import LatentFlow


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in range(count)]


def labelled(**changes) -> LatentFlowDiffusion:
    torch.manual_seed(0)
    config = replace(TINY.diffusion, condition="label", labels=("wave", "nod"), **changes)
    return LatentFlowDiffusion(config, 4).eval()


def test_schedule_is_the_published_cosine() -> None:
    alphas = cosine_alphas(1000)
    times = torch.arange(1, 1001, dtype=torch.float64) / 1000
    expected = (
        torch.cos((times + 0.008) / 1.008 * torch.pi / 2) ** 2
        / torch.cos(torch.tensor(0.008 / 1.008 * torch.pi / 2)) ** 2
    )
    torch.testing.assert_close(alphas[:-1], expected[:-1].double(), rtol=1e-6, atol=0)
    assert alphas[-1] / alphas[-2] == pytest.approx(1e-4)  # the last step's noise is cut


def test_times_go_from_the_noisiest_step_to_none() -> None:
    assert sampling_times(1000, 1000) == list(range(999, -2, -1))
    few = sampling_times(1000, 10)
    assert (few[0], few[-1], len(few)) == (999, -1, 11)
    with pytest.raises(ValueError, match="21 sampling steps: between 1 and the 20"):
        sampling_times(20, 21)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_samplers_agree_with_diffusers(sampler: str) -> None:
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    steps, alphas = 12, cosine_alphas(12)
    options = {
        "num_train_timesteps": steps,
        "trained_betas": (1 - alphas / torch.cat([torch.ones(1, dtype=torch.float64), alphas[:-1]])).tolist(),
        "prediction_type": "epsilon",
        "clip_sample": False,
        "thresholding": True,
        "dynamic_thresholding_ratio": 0.9,
        "sample_max_value": 1e9,
    }
    if sampler == "ddim":
        scheduler = DDIMScheduler(**options, set_alpha_to_one=True)
    else:
        scheduler = DDPMScheduler(**options, variance_type="fixed_small")
    scheduler.set_timesteps(steps)

    def denoise(x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return 0.3 * x + 0.1 * times.view(-1, 1, 1).float().cos()

    noise = torch.randn(1, 3, 16, generator=torch.Generator().manual_seed(5))
    own = {"alphas": alphas, "count": steps, "sampler": sampler, "eta": 0.7, "quantile": 0.9}
    found = sample(denoise, noise, **own, generators=generators(1))
    x, generator = noise, generators(1)[0]
    for time in scheduler.timesteps:
        more = {"eta": 0.7} if sampler == "ddim" else {}
        x = scheduler.step(denoise(x, time.view(1)), time, x, generator=generator, **more).prev_sample
    torch.testing.assert_close(found, x, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", 1.0), ("ddim", 0.0), ("ddim", 1.0)])
def test_a_perfect_denoiser_finds_the_clean_volume(sampler: str, eta: float) -> None:
    clean, alphas = torch.rand(2, 3, 5) * 1.8 - 0.9, cosine_alphas(50)

    def denoise(x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        share = alphas[times].view(-1, 1, 1).float()
        return (x - share.sqrt() * clean) / (1 - share).sqrt()

    settings = {"alphas": alphas, "count": 10, "sampler": sampler, "eta": eta, "quantile": 1.0}
    found = sample(denoise, torch.randn(2, 3, 5), **settings, generators=generators(2))
    torch.testing.assert_close(found, clean, atol=1e-4, rtol=1e-4)


def test_noise_keeps_the_variance() -> None:
    clean, noise = torch.ones(2, 1, 1), torch.full((2, 1, 1), 2.0)
    found = add_noise(clean, noise, torch.tensor([1.0, 0.36], dtype=torch.float64))
    torch.testing.assert_close(found.flatten(), torch.tensor([1.0, 0.6 + 0.8 * 2]))


def test_threshold_leaves_small_volumes_alone() -> None:
    small = torch.rand(1, 10) - 0.5
    torch.testing.assert_close(threshold(small, 0.9), small)
    large = torch.linspace(-4, 4, 101)[None]
    limited = threshold(large, 0.9)
    assert limited.abs().max() == 1
    assert limited[0, 51].item() == pytest.approx(0.08 / 3.6, rel=1e-3)


@pytest.mark.parametrize("target", ["absolute", "residual"])
def test_volumes_hold_the_flow(target: str) -> None:
    codec = FlowCodec(replace(TINY.diffusion, flow_target=target, flow_scale=7.0))
    grid = identity_grid(4, 6, torch.zeros(1)) + 0.1 * torch.randn(6, 4, 6, 2)
    flow = LatentFlow(grid, torch.rand(6, 1, 4, 6))
    volume = codec.encode(flow, frames=3)
    assert volume.shape == (2, 3, 3, 4, 6)
    back = codec.decode(volume)
    torch.testing.assert_close(back.grid, flow.grid, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(back.occlusion, flow.occlusion, atol=1e-6, rtol=1e-5)
    expected = grid[4, ..., 1] - (identity_grid(4, 6, grid)[..., 1] if target == "residual" else 0)
    torch.testing.assert_close(volume[1, 1, 1], expected * (7.0 if target == "residual" else 1.0))


def test_a_sample_does_not_depend_on_those_beside_it() -> None:
    model, latent = labelled(), torch.randn(2, 4, 8, 8)
    both = model.sample(latent, generators=generators(2), conditions=["wave", "nod"])
    again = model.sample(latent, generators=generators(2), conditions=["wave", "nod"])
    alone = model.sample(latent[:1], generators=generators(1), conditions=["wave"])
    assert torch.equal(both.grid, again.grid)
    torch.testing.assert_close(both.grid[:4], alone.grid, atol=1e-5, rtol=1e-5)
    assert both.occlusion.min() >= 0
    assert both.occlusion.max() <= 1


def test_guidance_mixes_predictions() -> None:
    model = labelled(learn_null=True)
    x, times, latent = torch.randn(1, 3, 4, 8, 8), torch.tensor([5]), torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        without, conditional, strong = (model.denoiser(latent, ["nod"], weight)(x, times) for weight in (0.0, 1.0, 3.0))
        null = model.denoiser(latent, [None], 1.0)(x, times)
    torch.testing.assert_close(without, null)
    torch.testing.assert_close(strong, without + 3 * (conditional - without))
    assert (conditional - without).abs().max() > 1e-4


def test_null_conditions_are_zeros_or_learned() -> None:
    assert torch.equal(labelled().embed([None]), torch.zeros(1, 8))
    learned = labelled(learn_null=True)
    vectors = learned.embed(["wave", None])
    assert vectors is not None
    assert torch.equal(vectors[1], learned.no_condition)
    vectors.sum().backward()
    assert learned.no_condition.grad is not None
    assert not labelled().no_condition.requires_grad


def test_wrong_conditions_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="condition 'jump': the model knows wave, nod"):
        labelled().embed(["jump"])
    with pytest.raises(ValueError, match="condition 'wave': this model was trained without conditions"):
        LatentFlowDiffusion(TINY.diffusion, 4).embed(["wave"])
    with pytest.raises(ValueError, match="needs labels"):
        LatentFlowDiffusion(replace(TINY.diffusion, condition="label"), 4)
