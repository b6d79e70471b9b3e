import math
from types import SimpleNamespace

import pytest
import torch

from common.plain import from_plain
from models.choices import NORMALIZATIONS
from models.precision import widened
from models.spectral_volume import (
    SpectralNormalizer,
    anchor_to_first_frame,
    motion_amplitude,
    motion_at_times,
    motion_strength,
    motion_to_spectral_volume,
    resize_motion,
    shift_in_time,
    spectral_volume_to_motion,
)


def random_motion(num_frames: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, num_frames, 2, 3, 5, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("num_frames", [1, 2, 7, 8, 149, 150])
def test_round_trip_with_all_frequencies_is_exact(num_frames):
    motion = random_motion(num_frames)
    volume = motion_to_spectral_volume(motion, num_frames // 2 + 1)
    torch.testing.assert_close(spectral_volume_to_motion(volume, num_frames), motion, atol=1e-10, rtol=0)


@pytest.mark.parametrize("num_frames", [7, 8])
def test_volume_is_the_explicit_fourier_sum(num_frames):
    motion = random_motion(num_frames)
    volume = motion_to_spectral_volume(motion, 3)
    for k in range(3):
        expected = sum(
            motion[:, t].to(torch.complex128) * complex(math.cos(a), -math.sin(a))
            for t in range(num_frames)
            for a in [2 * math.pi * k * t / num_frames]
        )
        expected = expected / num_frames
        torch.testing.assert_close(volume[:, k, :2], expected.real)
        torch.testing.assert_close(volume[:, k, 2:], expected.imag)


@pytest.mark.parametrize("num_frames", [9, 10])
def test_truncated_inverse_agrees_with_irfft(num_frames):
    volume = motion_to_spectral_volume(random_motion(num_frames), 4)
    expected = torch.fft.irfft(torch.complex(volume[:, :, :2], volume[:, :, 2:]), n=num_frames, dim=1, norm="forward")
    torch.testing.assert_close(spectral_volume_to_motion(volume, num_frames), expected)


def test_coefficients_are_pixels_whatever_the_length():
    for num_frames in (30, 60):
        t = torch.arange(num_frames, dtype=torch.float64)
        motion = (3 * torch.cos(2 * math.pi * t / num_frames))[None, :, None, None, None].expand(1, -1, 2, 2, 2)
        volume = motion_to_spectral_volume(motion, 2)
        assert volume[0, 1, 0, 0, 0].item() == pytest.approx(1.5)
        assert motion_amplitude(volume)[0, 0, 0, 0].item() == pytest.approx(3.0)  # sqrt(3²/2 + 3²/2) over x and y


def test_motion_repeats_after_the_period_and_interpolates_between_frames():
    volume = motion_to_spectral_volume(random_motion(12), 4)
    ends = motion_at_times(volume, [0.0, 12.0, 2.5, 14.5], 12)
    torch.testing.assert_close(ends[:, 0], ends[:, 1])
    torch.testing.assert_close(ends[:, 2], ends[:, 3])


def test_a_loop_can_begin_at_any_of_its_frames():
    volume = motion_to_spectral_volume(random_motion(12), 4)
    later = spectral_volume_to_motion(shift_in_time(volume, 5, 12), 12)
    torch.testing.assert_close(later, spectral_volume_to_motion(volume, 12).roll(-5, dims=1))


def test_anchoring_moves_frame_zero_to_the_photograph_and_keeps_the_oscillation():
    volume = motion_to_spectral_volume(random_motion(12), 4)
    anchored = anchor_to_first_frame(volume, 12)
    motion, before = spectral_volume_to_motion(anchored, 12), spectral_volume_to_motion(volume, 12)
    assert motion[:, 0].abs().max() < 1e-12
    torch.testing.assert_close(motion.diff(dim=1), before.diff(dim=1))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "area"])
def test_resizing_rescales_each_component_by_its_own_axis(mode):
    motion = torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None].expand(1, 2, 4, 8, 16)
    resized = resize_motion(motion, (4, 32), mode)
    assert resized.shape == (1, 2, 4, 4, 32)
    torch.testing.assert_close(resized[0, 0, :, 1, 1], torch.tensor([2.0, 1.0, 6.0, 2.0]))


@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_normalisation_round_trip(kind):
    statistics = {"p95": [4.0, 2.0], "rms": [3.0, 1.0], "size": [256, 160]}
    normalizer = SpectralNormalizer.from_statistics(kind, statistics, 2)
    volume = torch.randn(2, 2, 4, 3, 3, generator=torch.Generator().manual_seed(0)) * 5
    torch.testing.assert_close(normalizer.denormalize(normalizer.normalize(volume)), volume, atol=1e-5, rtol=1e-5)
    assert from_plain(SpectralNormalizer, normalizer.to_dict()) == normalizer


def test_normalisation_follows_its_formulas():
    volume = torch.full((1, 1, 4, 1, 1), -8.0)
    adaptive = SpectralNormalizer.from_statistics("adaptive", {"p95": [2.0]}, 1)
    assert adaptive.normalize(volume)[0, 0, 0, 0, 0].item() == pytest.approx(-2.0)  # -sqrt(8 / 2)
    standard = SpectralNormalizer.from_statistics("std", {"rms": [2.0]}, 1)
    assert standard.normalize(volume)[0, 0, 0, 0, 0].item() == pytest.approx(-8 / (2 * 2.82))


def test_normalisation_by_size_divides_x_by_the_width_and_y_by_the_height():
    normalizer = SpectralNormalizer.from_statistics("size", {"size": [256, 64], "p95": [3.0, 0.5, 0.1]}, 3)
    volume = torch.full((2, 3, 4, 5, 6), 8.0)
    constant = 128 / 3  # the same for all coefficients: geometric mean of the sides over the largest percentile
    expected = constant * torch.tensor([8 / 256, 8 / 64] * 2)  # Re x, Re y, Im x, Im y
    torch.testing.assert_close(normalizer.normalize(volume)[1, 2, :, 3, 4], expected)
    chosen = normalizer.normalize(volume[:, [2, 0]], torch.tensor([[2, 0], [0, 1]]))
    torch.testing.assert_close(chosen[0, 1, :, 0, 0], expected)


def test_checkpoints_from_before_axis_scales_load():
    old = from_plain(SpectralNormalizer, {"kind": "adaptive", "scales": [2.0, 1.0]})
    assert old == SpectralNormalizer("adaptive", (2.0, 1.0))
    assert old.axis_scales == (1.0, 1.0)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="5 frequencies"):
        motion_to_spectral_volume(random_motion(8), 6)
    with pytest.raises(ValueError, match="motion texture"):
        motion_to_spectral_volume(torch.zeros(1, 2, 3, 4, 4), 1)
    with pytest.raises(ValueError, match="at least 6 frames"):
        spectral_volume_to_motion(torch.zeros(1, 4, 4, 2, 2), 5)
    with pytest.raises(ValueError, match="2 or 4 channels"):
        resize_motion(torch.zeros(1, 3, 4, 4), (2, 2))
    with pytest.raises(ValueError, match="normalisation"):
        SpectralNormalizer("median", (1.0,))
    with pytest.raises(ValueError, match="positive and finite"):
        SpectralNormalizer("size", (1.0,), (0.0, 1.0))
    with pytest.raises(ValueError, match="the model needs 2"):
        SpectralNormalizer.from_statistics("std", {"rms": [1.0]}, 2)
    with pytest.raises(ValueError, match="has 1 frequencies"):
        SpectralNormalizer("std", (1.0,)).normalize(torch.zeros(1, 2, 4, 2, 2))


def test_amplitudes_are_summed_without_float64_where_there_is_none() -> None:
    """Apple's GPUs, on which the weights of this repository have to sample."""

    class OnApple:
        device = SimpleNamespace(type="mps")
        float, double = (lambda self: "float32"), (lambda self: "float64")

    assert widened(OnApple()) == "float32"  # type: ignore[arg-type]
    assert widened(torch.ones(1)).dtype == torch.float64
    volume = torch.rand(1, 4, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    exact = motion_strength(volume)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.spectral_volume.widened", lambda values: values.float())
        assert torch.allclose(motion_strength(volume), exact, rtol=1e-5)
