"""Codes that the invertible network's stage keeps: which they are, when they are made, and that training goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from baselines.cinn.config import Preset
from baselines.cinn.data.clips import ClipBatch, Clips
from baselines.cinn.data.codes import PlaceBatch
from baselines.cinn.model import StochasticImageToVideo
from baselines.cinn.stages import FlowStage
from baselines.clips import Video
from training.state import StepSamples

KEPT = 6


def test_the_checkpoint_says_how_many_are_kept(run_folder: Path) -> None:
    assert json.loads((run_folder / "flow" / "config.json").read_text())["training"]["kept_codes"] == 0


def flow_stage(preset: Preset, videos: list[Video], *, kept: int, seed: int = 0) -> FlowStage:
    """The stage with so many kept codes, on networks that are the same for all."""
    torch.manual_seed(0)
    preset = replace(preset, training=replace(preset.training, kept_codes=kept))
    named = {"clips": Clips(videos, preset.model.video.size, length=17), "validation": None, "provenance": {}}
    model = StochasticImageToVideo(preset.model)
    return FlowStage(model, preset, first_codes=4, steps=4, epoch=2, seed=seed, **named)


def drawn(stage: FlowStage, step: int, count: int = 2) -> tuple[ClipBatch | PlaceBatch, StepSamples]:
    samples = StepSamples.of(stage.seed, step, stream=stage.plan.stream, first=0, count=count, total=count)
    (batch,) = stage.draw(step, [samples], map)
    return batch, samples


def encoded_clips(stage: FlowStage) -> tuple[Tensor, Tensor, Tensor]:
    """What the stage's networks say of the clips that it keeps, one by one."""
    found = []
    for batch in list(stage.first_batches(KEPT)):
        for frames in batch.frames:
            mean, log_variance = stage.networks.encoder(frames[None, 1:], frames[None, 0])
            found.append((mean, log_variance, stage.networks.embedding(frames[None, 0])))
    mean, log_variance, about = (torch.cat(values) for values in zip(*found, strict=True))
    return mean, log_variance, about


def test_kept_codes_are_those_of_clips(tiny: Preset, moving_squares: list[Video]) -> None:
    stage = flow_stage(tiny, moving_squares, kept=KEPT)
    assert stage.kept is not None
    found = stage.kept.at(PlaceBatch(torch.arange(KEPT), []))
    for values, expected in zip(found, encoded_clips(stage), strict=True):
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5)


def test_the_loss_is_that_of_the_clips_themselves(tiny: Preset, moving_squares: list[Video]) -> None:
    stage = flow_stage(tiny, moving_squares, kept=KEPT)
    batch, samples = drawn(stage, 1)
    assert isinstance(batch, PlaceBatch)
    _, portions = stage.updates[0].loss(batch, samples)
    clips = ClipBatch.joined(list(stage.first_batches(KEPT)))
    chosen = ClipBatch(clips.frames[batch.places], clips.control[batch.places], batch.ids)
    _, again = drawn(stage, 1)  # the same random numbers
    plain = flow_stage(tiny, moving_squares, kept=0)
    plain.networks.load_state_dict(stage.networks.state_dict())
    torch.testing.assert_close(plain.updates[0].loss(chosen, again)[1], portions, rtol=1e-4, atol=1e-4)


def test_the_encoder_is_asked_in_the_first_step_alone(
    tiny: Preset, moving_squares: list[Video], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = flow_stage(tiny, moving_squares, kept=KEPT)
    asked: list[int] = []
    encode = stage.networks.encoder.forward
    monkeypatch.setattr(
        stage.networks.encoder, "forward", lambda clip, photo: asked.append(len(clip)) or encode(clip, photo)
    )
    for step in range(3):
        stage.updates[0].loss(*drawn(stage, step))
        assert sum(asked) == KEPT
    assert isinstance(drawn(flow_stage(tiny, moving_squares, kept=0), 0)[0], ClipBatch)


def test_places_follow_from_the_step_and_reach_all_codes(tiny: Preset, moving_squares: list[Video]) -> None:
    first, second = (flow_stage(tiny, moving_squares, kept=KEPT) for _ in range(2))
    places = [drawn(first, step)[0].places.tolist() for step in range(30)]
    assert places == [drawn(second, step)[0].places.tolist() for step in range(30)]
    assert {place for pair in places for place in pair} == set(range(KEPT))
    other = flow_stage(tiny, moving_squares, kept=KEPT, seed=1)
    assert [drawn(other, step)[0].places.tolist() for step in range(30)] != places
