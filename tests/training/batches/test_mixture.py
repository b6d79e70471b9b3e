import pytest
import torch

from training.batches.mixture import Mixture

FIRST, SECOND = range(3), range(100, 105)


def test_datasets_are_drawn_in_their_shares_and_their_items_alike() -> None:
    mixture = Mixture([FIRST, SECOND], [1, 3])
    generator = torch.Generator().manual_seed(0)
    drawn = [dataset[index] for dataset, index in (mixture.draw(generator) for _ in range(2000))]
    assert sum(item >= 100 for item in drawn) / 2000 == pytest.approx(0.75, abs=0.04)
    for item in SECOND:
        assert drawn.count(item) == pytest.approx(300, abs=70)
    assert set(drawn) == {*FIRST, *SECOND}


def test_shares_that_make_no_sense_are_refused() -> None:
    assert Mixture([FIRST, SECOND]).shares == [1.0, 1.0]
    for shares, message in (
        ([1], "1 shares for 2"),
        ([-1, 2], "negative"),
        ([0, 0], "zero"),
        ([float("nan"), 1], "nan"),
    ):
        with pytest.raises(ValueError, match=message):
            Mixture([FIRST, SECOND], shares)
