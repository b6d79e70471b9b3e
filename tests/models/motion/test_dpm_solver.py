"""Our DPM-Solver++, DDIM and noise schedules against those of diffusers, and sampling where diffusers is missing."""

from __future__ import annotations

import sys

import pytest
import torch
from helpers.motion_models import photographs, tiny_model

from models.motion.config import PRESETS, MotionConfig
from models.motion.diffusion import alphas_cumprod, draw_noise, make_scheduler, sample_latents
from models.motion.dpm_solver import DPMSolver, noise_schedule

KINDS = {  # the same schedulers of diffusers
    "dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "final_sigmas_type": "zero"}),
    "ddim": ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": True}),
}


class OfDiffusers(DPMSolver):
    """A scheduler of diffusers that is called as ours is."""

    def __init__(self, config: MotionConfig, sampler: str) -> None:
        import diffusers

        kind, arguments = KINDS[sampler]
        self.inner = getattr(diffusers, kind)(
            num_train_timesteps=config.train_steps,
            beta_schedule=config.beta_schedule,
            beta_start=config.beta_start,
            beta_end=config.beta_end,
            prediction_type=config.prediction,
            timestep_spacing="trailing",
            **arguments,
        )
        self.alphas_cumprod = self.inner.alphas_cumprod

    def set_timesteps(self, steps: int) -> None:
        self.inner.set_timesteps(steps)
        self.timesteps = self.inner.timesteps

    def begin_at(self, index: int) -> None:
        self.inner.set_timesteps(len(self.timesteps))
        if hasattr(self.inner, "set_begin_index"):  # diffusers' DDIM remembers nothing
            self.inner.set_begin_index(index)

    def step(self, output: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor):
        return self.inner.step(output, timestep, sample)


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
@pytest.mark.parametrize(
    ("sampler", "steps"),
    [*(("dpmsolver++", steps) for steps in (1, 2, 7, 20, 100)), *(("ddim", steps) for steps in (1, 2, 4, 20, 100))],
)
@pytest.mark.parametrize("recurrence", [0, 2])
def test_samples_are_those_of_diffusers(preset: str, sampler: str, steps: int, recurrence: int) -> None:
    config = PRESETS[preset]
    found = []
    for scheduler in (OfDiffusers(config, sampler), make_scheduler(config, sampler)):
        own = [torch.Generator().manual_seed(3)]
        noise = draw_noise((4000,), own, torch.zeros(1))
        options = {"steps": steps, "generators": own, "recurrence": recurrence}
        samples = sample_latents(far_from_linear, noise, scheduler=scheduler, **options)
        found.append((samples, scheduler.timesteps))
    assert torch.equal(found[0][1], found[1][1])
    torch.testing.assert_close(found[1][0], found[0][0], atol=2e-4, rtol=2e-4)


def far_from_linear(noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """Another function at each step."""
    return torch.tanh(2 * noisy) + 0.1 * torch.sin(timestep / 100)


def test_the_network_samples_the_same_without_diffusers(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = tiny_model(), photographs()
    options = {"steps": 5, "guidance": 1.0, "loop_guidance": 5.0, "recurrence": 1}
    expected = [model.sample(image, [2], sampler=sampler, **options) for sampler in KINDS]
    monkeypatch.setitem(sys.modules, "diffusers", None)  # makes `import diffusers` fail
    for sampler, samples in zip(KINDS, expected, strict=True):
        assert torch.equal(model.sample(image, [2], sampler=sampler, **options), samples)
    with pytest.raises(ValueError, match=r"sampler ddpm: needs diffusers, .* use dpmsolver\+\+ or ddim"):
        model.sample(image, [2], sampler="ddpm")
