"""Distillation: a student that samples in few steps, without guidance, what its teacher samples in many with it.

Progressive distillation (Salimans and Ho 2022): one step of the student learns where two or more DDIM steps of the
teacher lead. The teacher's classifier-free guidance is part of its steps, so the student needs no second pass for it
(Meng et al. 2023). Either each run halves the number of steps, with the last run's student as its teacher (16, 8, 4),
or one run goes all the way, with more of the teacher's steps to each of the student's.
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
    """Squared error of the student's prediction against the one that leads where some steps of the teacher lead.

    Its result is that of :class:`training.motion.losses.StageLoss`.

    Args:
        student: the model that trains; its configuration says in how many steps it samples.
        teacher: a frozen model with the same autoencoder and noise schedule, sampled with its own guidance.
        encoded: whether the slices given are latents already.
        teacher_steps: steps of the teacher in which it goes as far as the student in one.
    """

    def __init__(self, student: MotionModel, teacher: MotionModel, *, encoded: bool, teacher_steps: int = 2) -> None:
        super().__init__()
        self.model = student
        self._teacher = [teacher.eval().requires_grad_(False)]  # in a list: it is no part of what trains
        self.encoded = encoded
        self.teacher_steps = teacher_steps
        self.register_buffer("schedule", alphas_cumprod(student.config), persistent=False)
        self.schedule: Tensor

    def forward(self, batch: MotionBatch, samples: StepSamples) -> tuple[Tensor, Tensor]:
        """Mean loss of a batch, and its parts ``[parts, 2]`` in the order of `loss_parts`."""
        model, image, index = self.model, batch.image, batch.frequency_index
        latents = batch.slices if self.encoded else model.encode_volume(batch.slices, index)
        times = student_times(model.config.steps, model.config.train_steps, teacher_steps=self.teacher_steps)
        step = (samples.strata() * model.config.steps).long()
        start, *following = times[step].to(image.device).unbind(dim=1)
        noise = samples.normal(latents.shape[1:]).to(latents)
        noisy = self._alpha(start) * latents + self._sigma(start) * noise
        target = self.target(noisy, start, following, batch)
        output = model.denoise(noisy, start, index, model.encode_condition(image), strength=batch.strength)
        errors = (output - target).square().mean(dim=(2, 3, 4))
        return errors.mean(), diffusion_parts(model, errors.detach(), index=index, timestep=start)

    @torch.no_grad()
    def target(self, noisy: Tensor, start: Tensor, following: Sequence[Tensor], batch: MotionBatch) -> Tensor:
        """The velocity at ``start`` that one DDIM step needs to arrive where the teacher's steps do."""
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


def student_times(steps: int, train_steps: int, *, teacher_steps: int = 2) -> Tensor:
    """Timesteps at which the teacher's steps within each of a student's begin and end, noisiest first.

    Shape ``[steps, teacher_steps + 1]``: the first column is where the student's steps begin, which is what DDIM takes
    with trailing spacing, the last one where they end; -1 stands for no noise.
    """
    count = teacher_steps * steps
    grid = torch.arange(count, -1, -1, dtype=torch.float64) * (train_steps / count)
    return (grid.round().long() - 1).unfold(0, teacher_steps + 1, teacher_steps)


def make_student(teacher: MotionModel, steps: int, *, teacher_steps: int = 2) -> MotionModel:
    """A model with the teacher's weights that is meant to sample in so many steps of DDIM without guidance.

    Raises:
        ValueError: a teacher that predicts noise, a joint one, or too many steps of the student or the teacher.
    """
    if teacher.config.prediction != "v_prediction":
        raise ValueError(
            "--distill: the teacher predicts noise, which says nothing at the noisiest step; give one of v"
        )
    if teacher.config.joint or teacher.frequency_attention:
        raise ValueError("--distill: only a teacher that samples each frequency by itself can be distilled")
    if teacher_steps < 2:
        raise ValueError(f"--teacher-steps {teacher_steps}: expected 2 or more to each step of the student")
    if not 1 <= teacher_steps * steps <= teacher.config.train_steps:
        raise ValueError(f"--student-steps {steps}: expected 1 to {teacher.config.train_steps // teacher_steps}")
    student = MotionModel(replace(teacher.config, guidance=0.0, steps=steps, sampler=SAMPLER), teacher.normalizer)
    student.load_state_dict(teacher.state_dict())
    student.frequency_attention = teacher.frequency_attention
    return student
