"""DPM-Solver++ and noise schedules of our own against those of diffusers, and sampling where diffusers is missing."""

from __future__ import annotations

import sys

import pytest
import torch
from helpers.motion_models import photographs, tiny_model

from models.motion.config import PRESETS
from models.motion.diffusion import alphas_cumprod, draw_noise, make_scheduler, sample_latents
from models.motion.dpm_solver import DPMSolver, noise_schedule


@pytest.mark.parametrize("preset", ["default", "paper", "reference"])
def test_schedules_are_diffusers_to_the_last_bit(preset: str) -> None:
    config = PRESETS[preset]
    assert torch.equal(alphas_cumprod(config), make_scheduler(config, "ddpm").alphas_cumprod)


def test_linear_schedule_is_diffusers_and_others_are_refused() -> None:
    import diffusers

    expected = diffusers.DDPMScheduler(1000, 1e-4, 0.02, "linear").alphas_cumprod
    assert torch.equal(noise_schedule("linear", 1000, 1e-4, 0.02), expected)
    with pytest.raises(ValueError, match="unknown noise schedule 'sigmoid', expected squaredcos_cap_v2"):
        noise_schedule("sigmoid", 10, 0.1, 0.2)


@pytest.mark.parametrize("preset", ["default", "reference"])  # both predictions and schedules
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 100])
@pytest.mark.parametrize("recurrence", [0, 2])
def test_samples_are_those_of_diffusers(preset: str, steps: int, recurrence: int) -> None:
    config = PRESETS[preset]
    found = []
    for scheduler in (make_scheduler(config, "dpmsolver++"), DPMSolver(alphas_cumprod(config), config.prediction)):
        own = [torch.Generator().manual_seed(3)]
        noise = draw_noise((4000,), own, torch.zeros(1))
        # Far from linear, and another one at each step.
        denoise = lambda noisy, timestep: torch.tanh(2 * noisy) + 0.1 * torch.sin(timestep / 100)  # noqa: E731
        found.append(
            (
                sample_latents(denoise, noise, scheduler=scheduler, steps=steps, generators=own, recurrence=recurrence),
                scheduler.timesteps,
            )
        )
    assert torch.equal(found[0][1], found[1][1])
    torch.testing.assert_close(found[1][0], found[0][0], atol=2e-4, rtol=2e-4)


def test_the_network_samples_the_same_without_diffusers(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = tiny_model(), photographs()
    options = {"steps": 5, "guidance": 1.0, "loop_guidance": 5.0, "recurrence": 1}
    expected = model.sample(image, [2], **options)
    monkeypatch.setitem(sys.modules, "diffusers", None)  # makes `import diffusers` fail
    torch.testing.assert_close(model.sample(image, [2], **options), expected, atol=1e-4, rtol=1e-3)
    with pytest.raises(ValueError, match=r"sampler ddim: needs diffusers, .* use dpmsolver\+\+"):
        model.sample(image, [2], sampler="ddim")
