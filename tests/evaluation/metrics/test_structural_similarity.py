"""SSIM against torchmetrics, the readable reference."""

import pytest
import torch

from evaluation.metrics.structural_similarity import StructuralSimilarity


def pictures(count: int, height: int = 40, width: int = 57, seed: int = 0) -> torch.Tensor:
    """Smooth pictures in [-1, 1], as dark and as bright as they may be in places."""
    coarse = torch.randn(count, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(-1, 1)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.3])
def test_equals_torchmetrics(noise: float) -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    targets = pictures(3)
    frames = (targets + noise * torch.randn(targets.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    expected = structural_similarity_index_measure(
        (frames.double() + 1) / 2, (targets.double() + 1) / 2, data_range=1.0, reduction="none"
    )
    torch.testing.assert_close(StructuralSimilarity(targets)(frames).double(), expected, atol=2e-6, rtol=0)


def test_is_1_for_equal_frames_and_the_same_in_a_batch_or_alone() -> None:
    targets, frames = pictures(4), pictures(4, seed=1)
    assert StructuralSimilarity(targets)(targets).tolist() == pytest.approx([1.0] * 4, abs=1e-7)
    alone = [StructuralSimilarity(targets[i : i + 1])(frames[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(torch.cat(alone), StructuralSimilarity(targets)(frames), atol=1e-6, rtol=0)


def test_pictures_smaller_than_the_window_are_refused() -> None:
    with pytest.raises(ValueError, match="sides of more than 5 pixels"):
        StructuralSimilarity(torch.zeros(1, 3, 5, 20))
