"""Augmented frame pairs: flow stays consistent with the images, neighbours share a source, shares are kept."""

import pytest
import torch

from training.batches.pairs import CUT_MARGIN, FramePairBatches, PairAugmentation, add_flow_noise

HEIGHT, WIDTH = 40, 60


class Pairs(torch.utils.data.Dataset):
    """Images that hold their own coordinates, so that a pixel of a crop says where it came from."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict:
        y, x = torch.meshgrid(torch.arange(HEIGHT).float(), torch.arange(WIDTH).float(), indexing="ij")
        flow = torch.stack([torch.full_like(x, 2.0), torch.full_like(x, -3.0)])
        source = torch.stack([x, y, torch.full_like(x, float(index))])
        target = torch.stack([x - 2, y + 3, source[2]])  # what was at p - F is at p now
        return {
            "source": source,
            "target": target,
            "flow": flow,
            "importance_motion": x[None],
            "id": f"s{index}",
            "frame_index": index,
        }


PLAIN = PairAugmentation(color=0)


def draw(seed: int, count: int = 16, crop: tuple[int, int] = (24, 20)):
    batches = FramePairBatches([Pairs()], crop, augmentation=PLAIN)
    return batches.draw(count, torch.Generator().manual_seed(seed))


def test_flow_still_leads_from_source_to_target() -> None:
    batch = draw(0)
    assert batch.source.shape == (16, 3, 20, 24)
    mirrored = set()
    for source, target, flow, importance in zip(*batch[:4], strict=True):
        dx, dy = (int(c) for c in flow[:, 0, 0])
        mirrored.add((dx, dy))
        moved = source.roll((dy, dx), dims=(1, 2))
        inner = (slice(None), slice(3, -3), slice(3, -3))
        assert torch.equal(moved[inner], target[inner])
        assert torch.equal(importance[0], source[0])
    assert mirrored == {(2, -3), (-2, -3), (2, 3), (-2, 3)}


def test_pixels_near_a_cut_are_not_known_and_those_at_the_border_are() -> None:
    for source, known in zip(*(draw(1)[i] for i in (0, 4)), strict=True):
        x, y = source[0], source[1]
        left, right, top, bottom = x.min(), x.max(), y.min(), y.max()
        expected = (x >= left + CUT_MARGIN) | (left == 0)
        expected &= (x <= right - CUT_MARGIN) | (right == WIDTH - 1)
        expected &= (y >= top + CUT_MARGIN) | (top == 0)
        expected &= (y <= bottom - CUT_MARGIN) | (bottom == HEIGHT - 1)
        assert torch.equal(known[0] > 0, expected)
    assert draw(0, crop=(WIDTH, HEIGHT)).known.all()


def test_every_border_is_seen_by_a_quarter_of_the_crops_at_least() -> None:
    sources = draw(2, count=400).source
    borders = [sources[:, 0].amin((1, 2)) == 0, sources[:, 0].amax((1, 2)) == WIDTH - 1]
    borders += [sources[:, 1].amin((1, 2)) == 0, sources[:, 1].amax((1, 2)) == HEIGHT - 1]
    for at_border in borders:
        assert 0.2 < float(at_border.float().mean()) < 0.4
    assert len(sources[:, 0].amin((1, 2)).unique()) > 20  # and all places between are


def test_a_batch_is_a_function_of_the_generator() -> None:
    first, again, other = draw(4), draw(4), draw(5)
    assert first.ids == again.ids
    assert all(torch.equal(a, b) for a, b in zip(first[:-1], again[:-1], strict=True))
    assert first.ids != other.ids
    assert set(first.ids) <= {"s0:0", "s1:1", "s2:2"}


def test_large_crops_are_refused() -> None:
    with pytest.raises(ValueError, match="a crop of 61x40 is larger than the frames, 60x40"):
        draw(0, crop=(WIDTH + 1, HEIGHT))


class Sequences(torch.utils.data.Dataset):
    """Two sequences of three frames, 1, 9 and 10, then 4, 5 and 20; a target shows its time, the flow is it in x."""

    times = (1, 9, 10, 4, 5, 20)

    def __init__(self, name: str = "s") -> None:
        self.name = name

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: int) -> dict:
        time = self.times[index] / 32
        y, x = torch.meshgrid(torch.linspace(-0.5, 0.5, HEIGHT), torch.linspace(-0.5, 0.5, WIDTH), indexing="ij")
        return {
            "source": torch.stack([x, y, x]),
            "target": torch.full((3, HEIGHT, WIDTH), time),
            "flow": torch.full((2, HEIGHT, WIDTH), time),
            "importance_motion": x[None],
            "id": f"{self.name}{index // 3}",
            "frame_index": self.times[index],
        }


def test_neighbours_are_the_closest_frames_of_a_sequence_under_one_augmentation() -> None:
    closest = {"s0:1": "s0:9", "s0:9": "s0:10", "s0:10": "s0:9", "s1:4": "s1:5", "s1:5": "s1:4", "s1:20": "s1:5"}
    batches = FramePairBatches([Sequences()], (24, 20), augmentation=PLAIN, neighbours=True)
    batch = batches.draw(40, torch.Generator().manual_seed(0))
    drawn = list(zip(batch.ids[0::2], batch.ids[1::2], strict=True))
    assert all(closest[one] == other for one, other in drawn)
    assert len(set(drawn)) == 6
    for shared in (batch.source, batch.importance, batch.known, batch.flow.sign()):
        assert torch.equal(shared[0::2], shared[1::2])
    times = torch.tensor([int(name.split(":")[1]) for name in batch.ids]) / 32
    assert torch.equal(batch.target[:, 0, 0, 0], times)
    assert torch.equal(batch.flow.abs().amax((1, 2, 3)), times)
    with pytest.raises(ValueError, match="a batch of 3 pairs holds no neighbours"):
        batches.draw(3, torch.Generator())


def test_datasets_take_part_by_their_shares() -> None:
    batches = FramePairBatches(
        [Sequences("a"), Sequences("b"), Sequences("c")], (8, 8), shares=[3, 1, 0], augmentation=PLAIN
    )
    names = [name[0] for name in batches.draw(400, torch.Generator().manual_seed(0)).ids]
    assert 0.67 < names.count("a") / 400 < 0.83
    assert names.count("c") == 0
    equal = FramePairBatches([Sequences("a"), Sequences("b")], (8, 8), augmentation=PLAIN)
    names = [name[0] for name in equal.draw(400, torch.Generator().manual_seed(0)).ids]
    assert 0.42 < names.count("a") / 400 < 0.58


@pytest.mark.parametrize("shares", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, float("nan")]])
def test_wrong_shares_are_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="share"):
        FramePairBatches([Sequences(), Sequences()], (8, 8), shares=shares)


def test_color_changes_source_and_targets_alike_and_the_motion_not_at_all() -> None:
    class Still(Sequences):
        def __getitem__(self, index: int) -> dict:
            item = super().__getitem__(index)
            return {**item, "target": item["source"]}

    def batch(color: float):
        batches = FramePairBatches([Still()], (24, 20), augmentation=PairAugmentation(color), neighbours=True)
        return batches.draw(8, torch.Generator().manual_seed(3))

    jittered, plain = batch(1.0), batch(0.0)
    assert torch.equal(jittered.source, jittered.target)
    assert not torch.equal(jittered.source[:2], plain.source[:2])
    assert torch.equal(jittered.flow[:2], plain.flow[:2])
    assert jittered.source.abs().max() <= 1


def test_identity_pairs_do_not_move() -> None:
    def batch(share: float):
        augmentation = PairAugmentation(identity=share, flow_noise=1.0)
        return FramePairBatches([Sequences()], (24, 20), augmentation=augmentation).draw(
            64, torch.Generator().manual_seed(0)
        )

    still = (batch(0.25).flow == 0).flatten(1).all(1)
    assert 0.1 < still.float().mean() < 0.4
    everything = batch(1.0)
    assert torch.equal(everything.source, everything.target)
    assert not everything.flow.any()
    assert not (batch(0.0).flow == 0).flatten(1).all(1).any()


def test_noise_disturbs_what_moves_smoothly_and_leaves_the_motion_known() -> None:
    flow = torch.full((2, 64, 96), 3.0)
    flow[:, :, :48] = 0
    noisy = add_flow_noise(flow, 0.2, torch.Generator().manual_seed(0))
    error = noisy - flow
    assert not error[..., :48].any()
    assert 0.1 < error[..., 48:].std() < 0.3
    assert error[..., 48:].diff(dim=1).std() < 0.2 * error[..., 48:].std()
    augmentation = PairAugmentation(color=0, flow_noise=0.2)
    batch = FramePairBatches([Pairs()], (24, 20), augmentation=augmentation).draw(4, torch.Generator().manual_seed(0))
    assert torch.equal(batch.motion.abs().amax((2, 3)), torch.tensor([2.0, 3.0]).expand(4, 2))
    assert not torch.equal(batch.flow, batch.motion)


def test_parts_of_a_batch_are_its_samples() -> None:
    whole = FramePairBatches([Pairs()], (24, 20), augmentation=PLAIN).draw(4, torch.Generator().manual_seed(0))
    halves = [whole.part(first, 2) for first in (0, 2)]
    assert [*halves[0].ids, *halves[1].ids] == whole.ids
    for name in ("source", "target", "flow", "importance", "known", "motion"):
        assert torch.equal(torch.cat([getattr(half, name) for half in halves]), getattr(whole, name))
