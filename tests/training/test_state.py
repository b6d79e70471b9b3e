import os
import signal

import pytest
import torch
from torch import nn

from training import state as training


def test_step_generators_differ_by_seed_step_and_stream_and_repeat():
    draws = {
        key: torch.rand((), generator=training.step_generator(*key[:2], stream=key[2])).item()
        for key in [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (1, 1, 1)]
    }
    assert len(set(draws.values())) == len(draws)
    assert torch.rand((), generator=training.step_generator(0, 1)).item() == draws[0, 1, 0]


def test_samples_of_a_step_are_the_same_however_its_batch_is_divided():
    whole = training.StepSamples.of(3, 7, stream=1, first=0, count=4, total=4)
    parts = [training.StepSamples.of(3, 7, stream=1, first=first, count=2, total=4) for first in (0, 2)]
    assert torch.equal(whole.normal((2, 3)), torch.cat([part.normal((2, 3)) for part in parts]))
    assert torch.equal(whole.uniform(), torch.cat([part.uniform() for part in parts]))
    strata = whole.strata()
    assert torch.equal(strata, torch.cat([part.strata() for part in parts]))
    assert (strata * 4).long().tolist() == [0, 1, 2, 3]
    assert len(set(whole.uniform().tolist())) == 4


def test_strata_stay_below_one(monkeypatch: pytest.MonkeyPatch):
    """Of 96 intervals the last one's end is 1 in float32, which would be a noise level beyond the last."""
    samples = training.StepSamples.of(0, 0, stream=0, first=90, count=6, total=96)
    monkeypatch.setattr(training.StepSamples, "uniform", lambda self: torch.full((6,), 1 - 2**-24))
    assert samples.strata().max() < 1
    assert (samples.strata() * 1000).long().max() == 999


def test_second_signal_stops_at_once_unless_it_repeats_the_first():
    before = signal.getsignal(signal.SIGINT)
    with training.stop_between_steps(repeated_after=3600) as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)  # what launchers send right after
        os.kill(os.getpid(), signal.SIGINT)
    with training.stop_between_steps(repeated_after=0):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_learning_rate_warms_up_and_decays():
    rates = [training.learning_rate_at(step, 1.0, max_steps=110, warmup=10) for step in (0, 9, 10, 60, 110)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.0])
    assert training.learning_rate_at(70, 2.0, max_steps=110, schedule="constant", warmup=10) == 2.0
    with pytest.raises(ValueError, match="schedule"):
        training.learning_rate_at(0, 1.0, max_steps=10, schedule="linear")


def test_moving_average_follows_and_can_be_lent():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    ema = training.ExponentialMovingAverage(model, decay=0.5)
    nn.init.ones_(model.weight)
    ema.update(model)
    assert ema.shadow["weight"].item() == pytest.approx(1 - 2 / 11)  # decay (1 + 1) / (10 + 1) at first
    with ema.applied_to(model):
        assert model.weight.item() == pytest.approx(1 - 2 / 11)
    assert model.weight.item() == 1.0
