"""The flicker metric: on frames whose change along their motion is known, on hidden points and at batch borders."""

import pytest
import torch

from evaluation.metrics.flicker import Flicker, visible

HEIGHT, WIDTH = 24, 40


def moving(shifts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A texture shifted sideways by whole pixels, ``[N, 3, H, W]``, and its flows from the unshifted one."""
    wide = torch.rand(3, HEIGHT, WIDTH + 20, generator=torch.Generator().manual_seed(0)) - 0.5
    frames = torch.stack([wide[:, :, 10 - shift : 10 - shift + WIDTH] for shift in shifts])
    flows = torch.zeros(len(shifts), 2, HEIGHT, WIDTH)
    flows[:, 0] = torch.tensor(shifts).view(-1, 1, 1).float()
    return frames, flows


def test_what_follows_its_flow_does_not_change_and_what_blinks_does() -> None:
    frames, flows = moving([0, 2, 3, -4, 1])
    blinking = frames + 0.1 * torch.tensor([0, 1, 0, 1, 0.0]).view(-1, 1, 1, 1)
    flicker = Flicker(torch.ones(1, 1, HEIGHT, WIDTH))
    flicker.add({"steady": frames, "blinking": blinking, "twice": frames + 2 * (blinking - frames)}, flows)
    changes = flicker.changes()
    assert changes["steady"] == pytest.approx(0, abs=1e-3)
    assert changes["blinking"] == pytest.approx(12.75, rel=1e-3)  # 0.1 of [-1, 1] in levels of 255
    assert flicker.ratios("blinking") == {"steady": pytest.approx(0, abs=1e-4), "twice": pytest.approx(2, rel=1e-3)}
    assert flicker.ratios("steady") == {"blinking": None, "twice": None}


def test_a_video_that_stands_still_changes_along_the_motion() -> None:
    frames, flows = moving([0, 1, 2, 3])
    flicker = Flicker(torch.ones(1, 1, HEIGHT, WIDTH))
    flicker.add({"moving": frames, "still": frames[:1].expand_as(frames)}, flows)
    changes = flicker.changes()
    # Two unlike pixels, uniform over a unit, are a third apart on average.
    assert changes["still"] == pytest.approx(127.5 / 3, rel=0.1)
    assert changes["moving"] == pytest.approx(0, abs=1e-3)


def test_batches_do_not_change_the_figure() -> None:
    frames, flows = moving([0, 2, 3, -4, 1, 2, 0])
    noisy = frames + 0.05 * torch.rand(frames.shape, generator=torch.Generator().manual_seed(1))
    whole, parts = (Flicker(torch.ones(1, 1, HEIGHT, WIDTH)) for _ in range(2))
    whole.add({"a": frames, "b": noisy}, flows)
    for start, stop in ((0, 1), (1, 4), (4, 7)):
        parts.add({"a": frames[start:stop], "b": noisy[start:stop]}, flows[start:stop])
    assert parts.changes() == pytest.approx(whole.changes(), abs=1e-6)
    assert parts.changes()["b"] > 0.5


def test_points_that_are_hidden_or_outside_do_not_count() -> None:
    """A square in front moves over a ground that stands still."""
    square = (slice(8, 16), slice(4, 12))
    flows, importance = torch.zeros(1, 2, HEIGHT, WIDTH), torch.zeros(1, 1, HEIGHT, WIDTH)
    flows[0, 0][square] = 20
    importance[0, 0][square] = 10
    expected = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    expected[8:16, 24:32] = False  # what the square lands on
    assert torch.equal(visible(flows, importance)[0, 0], expected)
    flows[0, 0][square] = 30
    expected[8:16, 24:32] = True
    expected[8:16, 34:40] = False
    expected[8:16, 10:12] = False  # beyond the right border
    assert torch.equal(visible(flows, importance)[0, 0], expected)


def test_one_frame_or_none_has_no_figure() -> None:
    frames, flows = moving([1])
    flicker = Flicker(torch.ones(1, 1, HEIGHT, WIDTH))
    assert flicker.ratios("real") == {}
    flicker.add({"real": frames, "row": frames}, flows)
    assert flicker.ratios("real") == {"row": None}
