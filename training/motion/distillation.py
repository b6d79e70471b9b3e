"""Distillation: a student that samples in few steps, without guidance, what its teacher samples in many with it.

Progressive distillation (Salimans and Ho 2022): one step of the student learns where two DDIM steps of the teacher
lead. The teacher's classifier-free guidance is part of its steps, so the student needs no second pass for it (Meng et
al. 2023). Each run halves the number of steps, with the last run's student as its teacher: 16, 8, 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from models.motion.diffusion import predicted_clean_and_noise
from models.motion.model import MotionModel, alphas_cumprod
from training.motion.losses import MotionBatch, diffusion_parts
from training.state import StepSamples

SAMPLER = "ddim"  # what the student's steps are steps of


class DistillationLoss(nn.Module):
    """Squared error of the student's prediction against the one that leads where two steps of the teacher lead.

    Its result is that of :class:`training.motion.losses.StageLoss`.

    Args:
        student: the model that trains; its configuration says in how many steps it samples.
        teacher: a frozen model with the same autoencoder and noise schedule, sampled with its own guidance.
        encoded: whether the slices given are latents already.
    """

    def __init__(self, student: MotionModel, teacher: MotionModel, *, encoded: bool) -> None:
        super().__init__()
        self.model = student
        self._teacher = [teacher.eval().requires_grad_(False)]  # in a list: it is no part of what trains
        self.encoded = encoded
        self.register_buffer("schedule", alphas_cumprod(student.config), persistent=False)
        self.schedule: Tensor

    def forward(self, batch: MotionBatch, samples: StepSamples) -> tuple[Tensor, Tensor]:
        """Mean loss of a batch, and its parts ``[parts, 2]`` in the order of `loss_parts`."""
        model, image, index = self.model, batch.image, batch.frequency_index
        latents = batch.slices if self.encoded else model.encode_volume(batch.slices, index)
        times = student_times(model.config.steps, model.config.train_steps).to(image.device)
        step = (samples.strata() * model.config.steps).long().to(image.device)
        start, middle, end = (times[step, part] for part in range(3))
        noise = samples.normal(latents.shape[1:]).to(latents)
        noisy = self._alpha(start) * latents + self._sigma(start) * noise
        target = self.target(noisy, start, (middle, end), batch)
        output = model.denoise(noisy, start, index, model.encode_condition(image), strength=batch.strength)
        errors = (output - target).square().mean(dim=(2, 3, 4))
        return errors.mean(), diffusion_parts(model, errors.detach(), index=index, timestep=start)

    @torch.no_grad()
    def target(self, noisy: Tensor, start: Tensor, following: Sequence[Tensor], batch: MotionBatch) -> Tensor:
        """The velocity at ``start`` that one DDIM step needs to arrive where the teacher's two do."""
        teacher = self._teacher[0]
        condition = teacher.encode_condition(batch.image)
        reached, time = noisy, start
        for then in following:
            output = teacher.guided(
                reached,
                time,
                batch.frequency_index,
                condition,
                guidance=teacher.config.guidance,
                strength=batch.strength,
            )
            clean, unit = predicted_clean_and_noise(
                teacher.config.prediction, output, reached, self._alpha(time), self._sigma(time)
            )
            reached, time = self._alpha(then) * clean + self._sigma(then) * unit, then
        ratio = self._sigma(time) / self._sigma(start)
        clean = (reached - ratio * noisy) / (self._alpha(time) - ratio * self._alpha(start))
        return (self._alpha(start) * noisy - clean) / self._sigma(start)

    def _alpha(self, time: Tensor) -> Tensor:
        return _levels(self.schedule, time).sqrt()

    def _sigma(self, time: Tensor) -> Tensor:
        return (1 - _levels(self.schedule, time)).sqrt()


def _levels(schedule: Tensor, time: Tensor) -> Tensor:
    """Cumulative products ``[B, 1, 1, 1, 1]`` at timesteps ``[B]``; -1 is without noise."""
    levels = torch.cat([schedule.new_ones(1), schedule])[time + 1]
    return levels[:, None, None, None, None].float()


def student_times(steps: int, train_steps: int) -> Tensor:
    """Timestep at which each step of a student begins, of its middle and of its end: ``[steps, 3]``, noisiest first.

    The first column is what DDIM takes with trailing spacing; -1 stands for no noise.
    """
    grid = torch.arange(2 * steps, -1, -1, dtype=torch.float64) * (train_steps / (2 * steps))
    times = grid.round().long() - 1
    return torch.stack([times[0:-1:2], times[1::2], times[2::2]], dim=1)


def make_student(teacher: MotionModel, steps: int) -> MotionModel:
    """A model with the teacher's weights that is meant to sample in so many steps of DDIM without guidance.

    Raises:
        ValueError: a teacher that predicts noise, a joint one, or too many steps.
    """
    if teacher.config.prediction != "v_prediction":
        raise ValueError(
            "--distill: the teacher predicts noise, which says nothing at the noisiest step; give one of v"
        )
    if teacher.config.joint or teacher.frequency_attention:
        raise ValueError("--distill: only a teacher that samples each frequency by itself can be distilled")
    if not 1 <= 2 * steps <= teacher.config.train_steps:
        raise ValueError(f"--student-steps {steps}: expected 1 to {teacher.config.train_steps // 2}")
    student = MotionModel(replace(teacher.config, guidance=0.0, steps=steps, sampler=SAMPLER), teacher.normalizer)
    student.load_state_dict(teacher.state_dict())
    student.frequency_attention = teacher.frequency_attention
    return student
