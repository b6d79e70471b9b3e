from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from models.spectral_volume import motion_strength
from training.batches.augmentation import AugmentationConfig
from training.batches.mixture import Mixture
from training.batches.motion import MotionBatch, MotionBatches, batch_sizes, nearest_size


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


class Winds(torch.utils.data.Dataset):
    """Scene 0 stands still, scene n moves by 2^n pixels in its left half and by half as much in the right one."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        volume = torch.zeros(3, 4, 40, 64)
        if index:
            volume[1, 0, :, :32], volume[1, 0, :, 32:] = 2.0**index, 2.0 ** (index - 1)
        return {"image": torch.full((3, 40, 64), index / 10), "spectral_volume": volume, "id": f"scene{index}"}


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_relative_motion_is_alike_in_any_wind_and_nothing_stays_nothing(mosaic: float) -> None:
    source = MotionBatches(Mixture([Winds()]), (64, 32), 16, AugmentationConfig(mosaic=mosaic), relative=True)
    batch = draw(source, 24, 0, 5)
    assert batch.strength is not None
    assert (batch.strength > 0).all()
    panels = [sequence for ids in batch.ids for sequence in ids.split("+")]
    assert "scene0" in panels
    for slices, ids, strength in zip(batch.slices, batch.ids, batch.strength.tolist(), strict=True):
        moving = [int(name[-1]) for name in ids.split("+") if name != "scene0"]
        if not moving:
            assert not slices.any()
            continue
        amplitude = (2 * slices[1:].square().sum(dim=(0, 1))).sqrt()
        assert 0.3 < amplitude.max() < 1.3  # at least the weaker half of a scene shows
        # A crop enlarges by at least 0.5 (a panel of a mosaic) and at most 1.7 times 1.15 of the picture.
        assert 0.3 * 2.0 ** min(moving) < strength < 4 * 2.0 ** max(moving)


def test_volumes_that_statistics_are_taken_of_are_relative_too() -> None:
    source = MotionBatches(Mixture([Winds()]), (64, 32), 16, AugmentationConfig(), relative=True)
    still, *others = source.volumes()
    assert not still.any()
    for volume in others[1:]:
        torch.testing.assert_close(volume, others[0])
    nothing, *strengths = (strength for _, strength in source.volumes_with_strengths())
    assert nothing is None
    assert sorted(strengths) == pytest.approx([2.0**n * others_strength() for n in (0, 1, 2)])


def others_strength() -> float:
    """Strength of the scene that moves by 2 pixels: sqrt(2) sqrt((2^4 + 1) / (2^2 + 1))."""
    return (2 * 17 / 5) ** 0.5


class Stronger(Scenes):
    """The same scenes, moving three times as far."""

    def __getitem__(self, index: int) -> dict:
        item = super().__getitem__(index)
        return item | {"spectral_volume": 3 * item["spectral_volume"]}


def test_two_folders_with_the_same_ids_have_strengths_of_their_own():
    still = AugmentationConfig(0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    source = MotionBatches(Mixture([Scenes(), Stronger()]), (64, 32), 8, still, relative=True)
    strengths = [strength for _, strength in source.volumes_with_strengths()]
    assert strengths[4:] == pytest.approx([3 * strength for strength in strengths[:4]])


def test_relative_volumes_have_a_strength_of_one_at_any_size():
    class Uneven(Scenes):
        def __getitem__(self, index: int) -> dict:
            volume = torch.randn(3, 4, 40, 70, generator=torch.Generator().manual_seed(index))
            return {"image": torch.zeros(3, 40, 70), "spectral_volume": volume, "id": f"scene{index}"}

    still = AugmentationConfig(0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    source = MotionBatches(Mixture([Uneven()]), (64, 32), 16, still, relative=True)
    assert [float(motion_strength(volume)) for volume in source.volumes()] == pytest.approx([1.0] * 4, rel=1e-5)


def test_volumes_have_sides_that_the_network_takes():
    (volume, *_) = batches(0.0).volumes()  # of 64x40 pixels, for a network that takes multiples of 16
    assert volume.shape == (1, 3, 4, 32, 64)
    assert volume[0, 2, 1].mean() == pytest.approx(2 * 32 / 40)  # in its own pixels
    assert volume[0, 2, 0].mean() == pytest.approx(2)
    assert [nearest_size(size, 16) for size in ((40, 64), (41, 65), (5, 8))] == [(32, 64), (48, 64), (16, 16)]
