"""Distillation: which times a student's steps lie between, and that its target leads where the teacher goes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.motion_models import photographs, tiny_model

from models.motion.diffusion import make_scheduler
from models.motion.model import MotionModel
from training.batches.motion import MotionBatch
from training.motion.distillation import DistillationLoss, make_student, student_times
from training.motion.losses import DIFFUSION_PARTS
from training.state import StepSamples


def a_teacher() -> MotionModel:
    teacher = tiny_model()
    teacher.frequency_attention = False
    return teacher


@pytest.mark.parametrize(("steps", "teacher_steps"), [(1, 2), (4, 2), (16, 2), (4, 5)])
def test_a_students_steps_begin_where_ddims_do_and_their_parts_are_those_of_more_steps(
    steps: int, teacher_steps: int
) -> None:
    times = student_times(steps, 1000, teacher_steps=teacher_steps)
    config = tiny_model().config
    for count, expected in ((steps, times[:, 0]), (teacher_steps * steps, times[:, :-1].flatten())):
        scheduler = make_scheduler(config, "ddim")
        scheduler.set_timesteps(count)
        assert scheduler.timesteps.tolist() == expected.tolist()
    assert times[-1, -1] == -1
    assert torch.equal(times[1:, 0], times[:-1, -1])


@pytest.mark.parametrize("teacher_steps", [2, 3])
def test_a_student_that_meets_its_target_samples_what_its_teacher_samples(teacher_steps: int) -> None:
    teacher = a_teacher()
    assert teacher.config.guidance > 0
    student = make_student(teacher, 3, teacher_steps=teacher_steps)
    loss = DistillationLoss(student, teacher, encoded=True, teacher_steps=teacher_steps)
    image, index = photographs(2), torch.arange(4).expand(2, 4)
    batch = MotionBatch(image, torch.zeros(2, 4, 2, 4, 8), index, ["", ""])

    def target(noisy: torch.Tensor, time: torch.Tensor, *_: object) -> torch.Tensor:
        times = student_times(3, 1000, teacher_steps=teacher_steps)
        step = int((times[:, 0] == int(time[0])).nonzero())
        start, *following = (part.expand(2) for part in times[step])
        return loss.target(noisy, start, following, batch)

    student.unet.forward = target
    expected = teacher.sample(image, [4, 5], steps=3 * teacher_steps, sampler="ddim")
    torch.testing.assert_close(student.sample(image, [4, 5]), expected, rtol=1e-3, atol=1e-4)


def test_only_the_student_learns_and_the_loss_has_the_usual_parts() -> None:
    teacher = a_teacher()
    student = make_student(teacher, 4)
    loss = DistillationLoss(student, teacher, encoded=False)
    volume = torch.randn(2, 2, 4, 32, 64, generator=torch.Generator().manual_seed(1))
    batch = MotionBatch(photographs(2), volume, torch.tensor([[0, 1], [2, 3]]), ["", ""])
    value, parts = loss(batch, StepSamples.of(0, 0, stream=0, first=0, count=2, total=2))
    value.backward()
    assert parts.shape == (len(DIFFUSION_PARTS), 2)
    assert float(value.detach()) == pytest.approx(float(parts[0, 0] / parts[0, 1]), rel=1e-5)
    assert value > 0  # the teacher's guidance is no part of the student yet
    assert student.unet.conv_in.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not {id(parameter) for parameter in loss.parameters()} & {
        id(parameter) for parameter in teacher.parameters()
    }


def test_what_can_not_be_distilled_is_refused() -> None:
    noise = a_teacher()
    noise.config = replace(noise.config, prediction="epsilon")
    for teacher, steps, message in (
        (noise, 4, "predicts noise"),
        (tiny_model(), 4, "by itself"),
        (a_teacher(), 501, "student-steps"),
    ):
        with pytest.raises(ValueError, match=message):
            make_student(teacher, steps)
