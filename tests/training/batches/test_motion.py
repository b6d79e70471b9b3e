from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from training.batches.augmentation import AugmentationConfig
from training.batches.mixture import Mixture
from training.batches.motion import MotionBatch, MotionBatches, batch_sizes


class Scenes(torch.utils.data.Dataset):
    """Scene n is an image of value n / 10 that moves by n + k pixels at frequency k."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        volume = (index + torch.arange(3.0))[:, None, None, None].expand(3, 4, 40, 64)
        return {"image": torch.full((3, 40, 64), index / 10), "spectral_volume": volume, "id": f"scene{index}"}


def batches(mosaic: float) -> MotionBatches:
    still = AugmentationConfig(0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, mosaic)
    return MotionBatches(Mixture([Scenes()]), (64, 32), 16, still)


def draw(
    source: MotionBatches, count: int, frequencies: int, seed: int, first: int = 0, map_samples=map
) -> MotionBatch:
    samples = [torch.Generator().manual_seed(1000 * seed + first + i) for i in range(count)]
    return source.draw(frequencies, torch.Generator().manual_seed(seed), samples, map_samples)


def test_a_batch_repeats_with_its_generators_and_names_its_sequences():
    first, second = (draw(batches(0.5), 6, 2, 3) for _ in range(2))
    assert torch.equal(first.image, second.image)
    assert first.ids == second.ids
    assert first.frequency_index.shape == (6, 2)
    assert all(len(set(row)) == 2 for row in first.frequency_index.tolist())


def test_parts_of_a_batch_drawn_elsewhere_or_by_threads_are_those_of_the_whole():
    whole = draw(batches(0.5), 6, 2, 3)
    parts = [draw(batches(0.5), 3, 2, 3, first) for first in (0, 3)]
    with ThreadPoolExecutor(3) as pool:
        threaded = draw(batches(0.5), 6, 2, 3, map_samples=pool.map)
    for index in range(3):
        assert torch.equal(whole[index], torch.cat([part[index] for part in parts]))
        assert torch.equal(whole[index], threaded[index])
    assert whole.ids == parts[0].ids + parts[1].ids == threaded.ids


def test_all_frequencies_come_in_order():
    batch = draw(batches(0.0), 2, 0, 0)
    assert batch.frequency_index.tolist() == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize("seed", range(6))
def test_every_panel_of_a_mosaic_moves_like_its_own_scene(seed):
    batch = draw(batches(1.0), 3, 2, seed)
    for image, volume, rows, names in zip(*batch[:3], batch.ids, strict=True):
        assert len(names.split("+")) in (2, 4)
        scene = (image[0] * 10).round()  # which scene a pixel shows
        assert scene.unique().numel() <= len(names.split("+"))
        # A crop is enlarged by the same factor at every frequency: (n + k) pixels at k, up to that factor.
        expected = volume[0, 0] * (scene + rows[1])
        torch.testing.assert_close(volume[1, 0] * (scene + rows[0]), expected, atol=1e-3, rtol=1e-3)


def test_shapes_alternate_between_as_given_square_and_turned():
    assert batch_sizes((256, 160), 32) == [(160, 256), (192, 192), (256, 160)]
    with pytest.raises(ValueError, match="multiples of 32"):
        batch_sizes((250, 160), 32)
