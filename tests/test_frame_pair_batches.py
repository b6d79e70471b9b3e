"""Crops and flips of frame pairs: flow stays consistent with the images, and what a cut hides is marked."""

import pytest
import torch

from data.frame_pair_batches import CUT_MARGIN, draw_frame_pairs, whole_frame_pair

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
            "source": source, "target": target, "flow": flow, "importance_motion": x[None], "id": f"s{index}",
            "frame_index": index,
        }  # fmt: skip


def draw(seed: int, count: int = 16, crop: tuple[int, int] = (24, 20)):
    return draw_frame_pairs(Pairs(), count, crop, torch.Generator().manual_seed(seed))


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


def test_a_batch_is_a_function_of_the_generator() -> None:
    first, again, other = draw(4), draw(4), draw(5)
    assert first.ids == again.ids
    assert all(torch.equal(a, b) for a, b in zip(first[:5], again[:5], strict=True))
    assert first.ids != other.ids
    assert set(first.ids) <= {"s0:0", "s1:1", "s2:2"}


def test_whole_pairs_are_unchanged_and_large_crops_refused() -> None:
    item = Pairs()[1]
    batch = whole_frame_pair(item)
    assert torch.equal(batch.target[0], item["target"])
    assert batch.known.all()
    with pytest.raises(ValueError, match="a crop of 61x40 is larger than the frames, 60x40"):
        draw(0, crop=(WIDTH + 1, HEIGHT))
