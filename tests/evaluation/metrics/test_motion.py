import math

import pytest
import torch

from evaluation.metrics import motion as metrics
from evaluation.metrics.image import psnr, sharpness_of_rows
from models.dynamics.seam import motion_seam_ratio, seam_ratio
from models.spectral_volume import spectral_volume_to_motion


def volume_from_amplitude(amplitude: torch.Tensor) -> torch.Tensor:
    """A volume [1, 3, 4, H, W] whose first frequency carries the map, with a mean that must not matter."""
    volume = torch.zeros(1, 3, 4, *amplitude.shape)
    volume[0, 1, 0] = amplitude / math.sqrt(2)
    volume[0, 0, 0] = 100 * torch.rand(amplitude.shape, generator=torch.Generator().manual_seed(1))
    return volume


def ramp(height=40, width=64):
    return torch.linspace(0, 1, width).expand(height, width) + torch.linspace(0, 0.01, height)[:, None]


def test_localisation_is_a_rank_correlation_of_amplitude():
    true = volume_from_amplitude(ramp())
    assert metrics.localisation(volume_from_amplitude(ramp() ** 3), true) == pytest.approx(1, abs=0.01)
    assert metrics.localisation(volume_from_amplitude(1.1 - ramp()), true) == pytest.approx(-1, abs=0.01)
    noise = torch.rand(40, 64, generator=torch.Generator().manual_seed(0))
    assert abs(metrics.localisation(volume_from_amplitude(noise), true)) < 0.1


def test_spearman_agrees_with_scipy_with_ties():
    from scipy.stats import spearmanr

    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, 5, (50,), generator=generator).float() for _ in range(2))
    assert metrics.spearman(a, b) == pytest.approx(spearmanr(a.numpy(), b.numpy()).statistic)
    assert metrics.spearman(torch.ones(5), b[:5]) == 0


def test_amplitude_ratio_ignores_the_mean_frequency():
    true = volume_from_amplitude(ramp())
    half = true * 0.5
    half[:, 0] = 7
    assert metrics.amplitude_ratio(half, true) == pytest.approx(0.5)


def test_gradient_is_found_at_edges_and_spread_by_blur():
    image = torch.zeros(1, 3, 32, 32)
    image[..., 16:] = 1
    sharp, blurred = metrics.gradient_magnitude(image), metrics.gradient_magnitude(image, 3.0)
    assert sharp[0, 0, 16, 15] == pytest.approx(0.5)
    assert sharp[0, 0, 16, 5] == 0
    assert blurred[0, 0, 16, 10] > 0
    assert blurred.sum() == pytest.approx(sharp.sum().item(), rel=1e-3)


def test_seam_ratio_of_a_loop_and_of_a_jump():
    steps = torch.tensor([1.0, 1.0, 1.0, 1.0])
    assert seam_ratio(steps) == 1
    assert seam_ratio(torch.tensor([1.0, 1.0, 1.0, 5.0])) == 5
    assert seam_ratio(torch.zeros(4)) == 1
    volume = torch.zeros(1, 3, 4, 4, 4)
    volume[0, 1, 0] = 1
    assert motion_seam_ratio(spectral_volume_to_motion(volume, 48)) < 1.5
    drift = torch.arange(48.0)[None, :, None, None, None].expand(1, 48, 2, 4, 4)
    assert motion_seam_ratio(drift) == pytest.approx(47)


def test_coherence_tells_jelly_from_noise():
    generator = torch.Generator().manual_seed(0)
    jelly = torch.randn(1, 4, 4, 1, 1, generator=generator).expand(1, 4, 4, 32, 32)
    noise = torch.randn(1, 4, 4, 32, 32, generator=generator)
    assert metrics.spatial_coherence(jelly) == pytest.approx(1)
    assert abs(metrics.spatial_coherence(noise)) < 0.1


def test_sharpness_falls_with_blur_and_does_not_care_for_brightness():
    frames = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    soft = torch.nn.functional.avg_pool2d(frames, 3, stride=1, padding=1)
    same, brighter, softer = sharpness_of_rows([frames, frames + 0.2, soft], frames)
    assert same.tolist() == [1, 1]
    torch.testing.assert_close(brighter, same, rtol=0.01, atol=0)
    assert (softer < 0.5).all()
    assert not sharpness_of_rows([torch.zeros_like(frames)], frames)[0].any()


def test_psnr_is_of_each_frame_after_rounding_to_8_bits():
    target = torch.zeros(3, 3, 4, 5) - 1
    frames = target.clone()
    frames[1] += 2 / 255 * 0.4  # rounds to no error at all
    frames[2] += 2 / 255 * 10
    perfect = 10 * math.log10(255**2 / 1e-3)
    expected = torch.tensor([perfect, perfect, 20 * math.log10(255 / 10)])
    torch.testing.assert_close(psnr(frames, target), expected, atol=1e-4, rtol=0)
    assert psnr(frames + 5, frames + 7).tolist() == pytest.approx([perfect] * 3)  # clamped
