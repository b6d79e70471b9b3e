"""Which moments a loop shows, and how its end meets its start."""

import math

import pytest
import torch

from models.dynamics.loop import LoopMotion, Playback
from models.dynamics.seam import SeamMeter, motion_seam_ratio
from models.spectral_volume import spectral_volume_to_motion


def random_volume(num_frequencies: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, num_frequencies, 4, 3, 4, generator=torch.Generator().manual_seed(seed))


def loop(num_frames=150, fps=30.0, slow=1.0, period=5.0, num_frequencies=16) -> Playback:
    return Playback.of_loop(num_frames, fps=fps, slow=slow, period=period, num_frequencies=num_frequencies)


def test_the_models_own_length_shows_every_frame_of_the_texture():
    playback = loop()
    assert playback.times == tuple(range(150))
    assert (playback.period, playback.num_frequencies) == (150, 16)
    volume = random_volume()
    motion = LoopMotion(volume, loop(num_frequencies=5))
    texture = spectral_volume_to_motion(volume, 150)
    assert torch.allclose(motion.at(playback.times), texture - texture[:, :1], atol=1e-5)


@pytest.mark.parametrize(
    ("num_frames", "fps", "periods"),
    [(60, 30.0, 1), (150, 60.0, 1), (220, 30.0, 1), (230, 30.0, 2), (300, 30.0, 2), (1000, 30.0, 7)],
)
def test_a_loop_holds_the_whole_number_of_periods_nearest_to_natural_speed(num_frames, fps, periods):
    playback = loop(num_frames, fps)
    assert playback.period == pytest.approx(num_frames / periods)
    volume = random_volume()
    motion = LoopMotion(volume, playback)
    assert torch.allclose(motion.at([num_frames]), motion.at([0.0]), atol=1e-5)  # the frame after the last is the first


def test_slow_motion_shows_the_moments_between():
    volume = random_volume()
    fast, slow = loop(20, num_frequencies=5), loop(20, slow=2.5, num_frequencies=5)
    assert len(slow.times) == 50
    assert slow.period == fast.period
    assert torch.allclose(LoopMotion(volume, slow).at(slow.times[::5]), LoopMotion(volume, fast).at(fast.times[::2]))


def test_frequencies_beyond_a_short_loops_limit_are_left_out():
    assert loop(8).num_frequencies == 5
    assert loop(150, slow=0.1).num_frequencies == 8
    motion = LoopMotion(random_volume(16), loop(8))
    assert motion.volume.shape[1] == 5
    assert motion.at([0.0, 3.0]).isfinite().all()


def test_a_loop_without_frames_or_speed_is_an_error():
    for wrong in ({"num_frames": 1}, {"fps": 0.0}, {"slow": -1.0}, {"period": 0.0}):
        with pytest.raises(ValueError, match="a loop needs"):
            loop(**wrong)


def test_frame_zero_does_not_move():
    assert LoopMotion(random_volume(), loop()).at([0.0]).abs().max() == 0


def test_mean_magnitude_is_the_mean_over_the_loop():
    motion = LoopMotion(random_volume(), loop(num_frequencies=5))
    expected = motion.at(motion.playback.times).square().sum(2).sqrt().mean(1, keepdim=True)
    assert torch.allclose(motion.mean_magnitude(), expected, rtol=0.05)


def test_largest_displacement_bounds_every_frame():
    motion = LoopMotion(random_volume(), loop(num_frequencies=5))
    texture = motion.at(motion.playback.times)
    assert motion.largest_displacement() == pytest.approx(float(texture.norm(dim=2).max()), rel=1e-5)


def test_seam_ratio_agrees_with_the_one_of_the_whole_texture():
    motion = LoopMotion(random_volume(), loop(num_frequencies=5))
    assert motion.seam_ratio() == pytest.approx(motion_seam_ratio(motion.at(motion.playback.times)), rel=1e-4)


def test_seam_meter_tells_a_loop_from_a_jump():
    circle, line = SeamMeter(), SeamMeter()
    for step in range(24):
        angle = torch.tensor(2 * math.pi * step / 24)
        circle.add(torch.stack([angle.cos(), angle.sin()]))
        line.add(torch.tensor([float(step)]))
    assert circle.ratio() == pytest.approx(1.0, abs=0.2)  # mean absolute values depend on direction
    assert line.ratio() == pytest.approx(23.0)
    with pytest.raises(ValueError, match="two frames"):
        SeamMeter().ratio()
