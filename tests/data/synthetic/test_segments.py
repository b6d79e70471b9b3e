"""Filling in what is not known from the nearest that is."""

import numpy as np

from data.synthetic.segments import fill_nearest


def test_the_unknown_takes_the_nearest_known_value_and_nothing_known_changes_nothing() -> None:
    values = np.array([[1, 0, 0, 7]])
    assert fill_nearest(values, values > 0).tolist() == [[1, 1, 7, 7]]
    assert fill_nearest(values, values > 9).tolist() == values.tolist()
    assert fill_nearest(values, values >= 0).tolist() == values.tolist()
