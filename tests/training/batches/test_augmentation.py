import math

import pytest
import torch
import torch.nn.functional as F

from training.batches.augmentation import AugmentationConfig, augment_motion_sample, warp_motion_sample

IDENTITY = torch.eye(2)


def smooth(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise[None], scale_factor=8, mode="bicubic")[0]


def test_identity_changes_nothing():
    image, volume = smooth((3, 4, 6)), smooth((8, 4, 6), 1).view(2, 4, 32, 48)
    out_image, out_volume = warp_motion_sample(image, volume, (32, 48), IDENTITY, torch.tensor([23.5, 15.5]))
    torch.testing.assert_close(out_image, image, atol=1e-5, rtol=0)
    torch.testing.assert_close(out_volume, volume, atol=1e-5, rtol=0)


def test_flip_mirrors_the_picture_and_negates_x():
    image, volume = smooth((3, 4, 6)), smooth((8, 4, 6), 1).view(2, 4, 32, 48)
    flip = torch.diag(torch.tensor([-1.0, 1.0]))
    out_image, out_volume = warp_motion_sample(image, volume, (32, 48), flip, torch.tensor([23.5, 15.5]))
    torch.testing.assert_close(out_image, image.flip(-1), atol=1e-5, rtol=0)
    signs = torch.tensor([-1.0, 1.0, -1.0, 1.0])[None, :, None, None]
    torch.testing.assert_close(out_volume, volume.flip(-1) * signs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("degrees", [0.0, 20.0, -5.0])
def test_a_moved_point_is_still_where_its_displacement_says(degrees):
    """The defining property: mapping p and p + F(p) to the output gives q and q + F'(q)."""
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = turn @ torch.diag(torch.tensor([-0.5, 0.8]))
    displacement = torch.tensor([3.0, -2.0])
    volume = displacement[None, :, None, None].repeat(1, 2, 32, 48)  # the same for real and imaginary part
    _, out = warp_motion_sample(torch.zeros(3, 32, 48), volume, (16, 24), matrix, torch.tensor([20.0, 14.0]))
    torch.testing.assert_close(matrix @ out[0, :2, 8, 12], displacement)
    torch.testing.assert_close(matrix @ out[0, 2:, 8, 12], displacement)


def test_augmented_sample_has_the_size_asked_for_and_repeats_with_its_generator():
    image, volume = smooth((3, 5, 8)).clamp(-1, 1), smooth((8, 5, 8), 1).view(2, 4, 40, 64)
    runs = [
        augment_motion_sample(image, volume, (48, 32), AugmentationConfig(), torch.Generator().manual_seed(seed))
        for seed in (7, 7, 8)
    ]
    assert runs[0][0].shape == (3, 48, 32)
    assert runs[0][1].shape == (2, 4, 48, 32)
    assert runs[0][0].abs().max() <= 1
    torch.testing.assert_close(runs[0], runs[1])
    assert not torch.equal(runs[0][0], runs[2][0])


def test_no_augmentation_range_reproduces_the_input():
    image, volume = smooth((3, 5, 8)).clamp(-1, 1), smooth((4, 5, 8), 1).view(1, 4, 40, 64)
    none = AugmentationConfig(0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    out_image, out_volume, _ = augment_motion_sample(image, volume, (40, 64), none, torch.Generator().manual_seed(0))
    torch.testing.assert_close(out_image, image, atol=1e-4, rtol=0)
    torch.testing.assert_close(out_volume, volume, atol=1e-4, rtol=1e-4)
