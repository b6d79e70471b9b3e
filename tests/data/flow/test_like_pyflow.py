"""The drop-in for pyflow: its call, its results and its errors."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from helpers.flow.reference_coarse2fine import reference_flow
from helpers.flow.textures import pair

import data.flow.like_pyflow as pyflow

QUICK = (0.012, 0.75, 20, 2, 1, 10, 0)


def test_the_call_is_that_of_pyflow():
    parameters = inspect.signature(pyflow.coarse2fine_flow).parameters
    assert list(parameters)[:2] == ["im1", "im2"]
    assert {name: parameter.default for name, parameter in list(parameters.items())[2:]} == {
        **{"alpha": 1, "ratio": 0.5, "minWidth": 40, "nOuterFPIterations": 3, "nInnerFPIterations": 1},
        **{"nSORIterations": 20, "colType": 0},
    }


def test_results_are_those_of_the_reference():
    im1, im2 = (image.astype(np.float64) for image in pair(48, 32, shift=(1.3, -0.6), sway=0.5))
    u, v, im2_warped = pyflow.coarse2fine_flow(im1, im2, *QUICK)
    assert [array.dtype for array in (u, v, im2_warped)] == [np.float64] * 3
    assert [array.shape for array in (u, v, im2_warped)] == [(32, 48), (32, 48), (32, 48, 3)]
    assert all(array.flags.c_contiguous for array in (u, v, im2_warped))
    expected = reference_flow(im1, im2, num_outer=2, num_sor=10)
    np.testing.assert_allclose(np.stack([u, v], -1), expected, atol=1e-3)
    inner = (slice(4, -4), slice(4, -4))
    assert np.abs(im2_warped - im1)[inner].mean() < 0.1 * np.abs(im2 - im1)[inner].mean()
    assert im2_warped.min() >= 0
    assert im2_warped.max() <= 1


def test_defaults_and_gray():
    im1, im2 = (image.astype(np.float64).mean(axis=2, keepdims=True) for image in pair(48, 32, shift=(0.7, 0.2)))
    u, v, im2_warped = pyflow.coarse2fine_flow(im1, im2, colType=1)
    expected = reference_flow(im1[..., 0][..., None] * np.ones(3), im2 * np.ones(3), 1.0, 0.5, 40, 3, 1, 20, 1)
    np.testing.assert_allclose(np.stack([u, v], -1), expected, atol=1e-3)
    assert im2_warped.shape == (32, 48, 1)


def test_warp_takes_whole_pixels_exactly_and_frame_1_outside():
    rng = np.random.default_rng(0)
    im1, im2 = rng.random((6, 8, 3)), rng.random((6, 8, 3))
    u, v = np.full((6, 8), 2.0), np.full((6, 8), -1.0)
    warped = pyflow.warp_back(im1, im2, u, v)
    np.testing.assert_allclose(warped[1:, :6], im2[:-1, 2:], atol=1e-15)
    np.testing.assert_array_equal(warped[0], im1[0])
    np.testing.assert_array_equal(warped[:, 6:], im1[:, 6:])


def test_warp_is_cubic():
    """Keys' kernel with a = -1/2 reproduces quadratics; the others of its family do not."""
    y, x = np.mgrid[:9, :12].astype(np.float64)

    def surface(x, y):
        return (0.2 + 0.03 * x + 0.002 * x * x + 0.01 * y - 0.001 * y * y + 0.001 * x * y)[..., None]

    warped = pyflow.warp_back(np.zeros((9, 12, 1)), surface(x, y), np.full_like(x, 0.3), np.full_like(x, -0.4))
    inner = (slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(warped[inner], surface(x + 0.3, y - 0.4)[inner], atol=1e-14)
    kernel = np.array([weight for t in (0.0, 0.25, 0.75) for weight in pyflow.cubic_weights(np.array(t))])
    np.testing.assert_allclose(kernel.reshape(3, 4).sum(axis=1), 1)
    np.testing.assert_allclose(kernel[4:8], kernel[:7:-1])


def test_the_warp_is_clipped():
    im2 = np.zeros((8, 8, 1))
    im2[:, 4:] = 1.0
    warped = pyflow.warp_back(np.zeros_like(im2), im2, np.full((8, 8), 0.5), np.zeros((8, 8)))
    assert warped.min() == 0
    assert warped.max() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"im1": np.zeros((12, 16), np.float64)}, r"im1 must be \[H, W, C\]"),
        ({"im2": np.zeros((12, 16, 3), np.uint8)}, "im2 must hold floats.*divide by 255"),
        ({"im2": np.zeros((12, 17, 3))}, "one shape"),
        ({"im1": np.full((12, 16, 3), np.nan)}, "not finite"),
        ({"colType": 2}, "colType must be 0"),
        ({"nSORIterations": 0}, "nSORIterations must be"),
        ({"nOuterFPIterations": -1}, "nOuterFPIterations must be"),
        ({"minWidth": 0}, "minWidth must be"),
    ],
)
def test_errors_use_the_names_of_the_call(change, message):
    with pytest.raises(ValueError, match=message):
        pyflow.coarse2fine_flow(**{"im1": np.zeros((12, 16, 3)), "im2": np.zeros((12, 16, 3)), **change})
