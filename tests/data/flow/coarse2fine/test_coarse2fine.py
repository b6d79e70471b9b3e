"""The fast coarse-to-fine flow against its float64 reference, and what a batch promises."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.flow.coarse2fine_calls import pair_flow
from helpers.flow.reference_coarse2fine import pyramid, reference_flow, relax
from helpers.flow.textures import endpoint_difference, pair
from helpers.places import SAMPLES
from helpers.slow import slow

from data.flow.coarse2fine.cpu import coarse2fine_flow_batch, coarse2fine_flow_pairs
from data.flow.coarse2fine.parameters import Parameters, pyramid_sizes


@pytest.mark.parametrize(
    ("size", "motion", "parameters"),
    [
        slow((48, 32), {"sway": 0.8}, {}),
        ((37, 53), {"sway": 0.8, "shift": (0.6, -0.3)}, {"num_sor": 12}),
        slow((96, 24), {"sway": 1.0, "shift": (7.0, 2.0)}, {"num_outer": 2, "num_sor": 8}),
        ((30, 21), {"sway": 0.6}, {"num_inner": 3, "num_outer": 3}),
        ((33, 26), {"sway": 0.6}, {"color_type": 1, "num_outer": 3}),
        ((40, 30), {"sway": 0.6}, {"ratio": 0.5, "min_width": 8, "alpha": 0.05, "num_outer": 2}),
        ((49, 7), {"sway": 0.5}, {"num_outer": 3}),  # 48 columns are linearised at once: 1, 2 and 3 more,
        slow((98, 9), {"sway": 0.5}, {"num_outer": 1}),  # and the two beside a strip that its derivatives see
        slow((99, 9), {"sway": 0.5}, {"num_outer": 1}),
        ((50, 6), {"sway": 0.5}, {"ratio": 0.5, "min_width": 6, "num_outer": 1}),  # a level one pixel high
        ((5, 40), {"sway": 0.5}, {"num_outer": 3}),
        ((3, 2), {"sway": 0.5}, {}),
        ((1, 1), {"sway": 0.5}, {}),
    ],
)
def test_agrees_with_the_reference(size, motion, parameters):
    source, target = pair(*size, **motion)
    expected = reference_flow(source, target, **parameters)
    flow = pair_flow(source, target, **parameters)
    assert flow.dtype == np.float32
    assert flow.shape == (size[1], size[0], 2)
    assert endpoint_difference(flow, expected).max() < 1e-3
    assert endpoint_difference(flow, expected).mean() < 2e-5


def test_agrees_with_the_reference_where_motion_leaves_the_picture():
    source, target = pair(48, 32, shift=(10.0, -5.0), sway=1.0, seed=3)
    expected = reference_flow(source, target, num_outer=3)
    columns = np.arange(48) + expected[..., 0]
    assert ((columns < 0) | (columns > 47)).mean() > 0.1
    flow = pair_flow(source, target, num_outer=3)
    assert endpoint_difference(flow, expected).mean() < 1e-3


def test_reference_relaxation_is_raster_order():
    rng = np.random.default_rng(0)
    a11, a22, b1, b2, phi = (rng.random((4, 5)) for _ in range(5))
    a12 = 0.3 * np.sqrt(a11 * a22)
    du, dv = np.zeros((4, 5)), np.zeros((4, 5))
    for _ in range(3):
        for y in range(4):
            for x in range(5):
                neighbours = [(y, x - 1, phi[y, x - 1])] * (x > 0) + [(y - 1, x, phi[y - 1, x])] * (y > 0)
                neighbours += [(y, x + 1, phi[y, x])] * (x < 4) + [(y + 1, x, phi[y, x])] * (y < 3)
                floor = 0.005 + 0.1 * sum(w for _, _, w in neighbours)
                around = 0.1 * sum(w * du[i, j] for i, j, w in neighbours)
                du[y, x] += 1.8 * ((b1[y, x] + around - a12[y, x] * dv[y, x]) / (a11[y, x] + floor) - du[y, x])
                around = 0.1 * sum(w * dv[i, j] for i, j, w in neighbours)
                dv[y, x] += 1.8 * ((b2[y, x] + around - a12[y, x] * du[y, x]) / (a22[y, x] + floor) - dv[y, x])
    for expected, got in zip((du, dv), relax(a11, a22, a12, b1, b2, phi, 0.1, 3), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_finds_a_known_motion():
    source, target = pair(96, 64, shift=(2.5, -1.25))
    flow = pair_flow(source, target)
    inner = flow[8:-8, 8:-8]
    assert np.abs(inner - [2.5, -1.25]).mean() < 0.05


def test_no_motion():
    source, _ = pair(40, 30)
    assert np.abs(pair_flow(source, source)).max() < 1e-6


def test_a_batch_is_its_pairs_whatever_the_grouping_and_threads():
    source = pair(45, 31)[0]
    targets = np.stack([pair(45, 31, shift=(0.2 * i, -0.1 * i))[1] for i in range(35)])
    quick = {"num_outer": 1, "num_sor": 11}
    done = []
    flows = coarse2fine_flow_batch(source, targets, parameters=Parameters(**quick), progress=done.append)
    assert done == [16, 16, 3]
    np.testing.assert_array_equal(
        coarse2fine_flow_batch(source, targets, parameters=Parameters(**quick), num_threads=3), flows
    )
    np.testing.assert_array_equal(
        coarse2fine_flow_batch(source, targets[::-1], parameters=Parameters(**quick)), flows[::-1]
    )
    for index in (0, 18, 34):
        np.testing.assert_array_equal(pair_flow(source, targets[index], **quick), flows[index])
    assert coarse2fine_flow_batch(source, targets[:0], parameters=Parameters(**quick)).shape == (0, 31, 45, 2)


@pytest.mark.parametrize(
    "parameters",
    [
        {"num_outer": 1, "num_sor": 11},
        {"num_outer": 2, "num_inner": 2, "num_sor": 3},
        {"color_type": 1, "num_outer": 1},
    ],
)
def test_pairs_that_share_nothing_are_their_pairs_to_the_last_bit(parameters):
    made = [pair(45, 31, shift=(0.2 * i, -0.1 * i), sway=0.3, seed=i) for i in range(19)]
    sources, targets = (np.stack(images) for images in zip(*made, strict=True))
    done = []
    flows = coarse2fine_flow_pairs(sources, targets, parameters=Parameters(**parameters), progress=done.append)
    assert done == [16, 3]
    assert flows.dtype == np.float32
    np.testing.assert_array_equal(
        coarse2fine_flow_pairs(sources, targets, parameters=Parameters(**parameters), num_threads=2), flows
    )
    for index in (0, 7, 18):
        single = pair_flow(sources[index], targets[index], **parameters)
        np.testing.assert_array_equal(flows[index], single)
        assert np.abs(single).max() > 0.05
    np.testing.assert_array_equal(
        coarse2fine_flow_pairs(sources[3:4], targets[3:4], parameters=Parameters(**parameters))[0], flows[3]
    )
    assert coarse2fine_flow_pairs(sources[:0], targets[:0], parameters=Parameters(**parameters)).shape == (0, 31, 45, 2)


def test_pyramid_sizes():
    finest_first = [(256, 160), (192, 120), (144, 90), (108, 67), (81, 50), (60, 37), (45, 28), (34, 21)]
    assert pyramid_sizes(256, 160) == finest_first
    for width, height in ((20, 20), (3, 200), (400, 2), (1, 1), (500, 333)):
        expected = [level.shape[1::-1] for level in pyramid(np.zeros((height, width, 1)), 0.75, 20)]
        assert pyramid_sizes(width, height) == expected


def test_gray_pictures():
    source, target = pair(32, 24, sway=0.5)
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    from_color = pair_flow(source, target, color_type=1)
    np.testing.assert_array_equal(pair_flow(source @ weights, target @ weights, color_type=1), from_color)
    assert not np.array_equal(pair_flow(source, target), from_color)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": np.zeros((12, 17, 3))}, r"targets must be \[N"),
        ({"source": np.zeros((12, 16, 4)), "target": np.zeros((12, 16, 4))}, "channels"),
        ({"source": np.zeros((12, 16)), "target": np.zeros((12, 16))}, "channels"),
        ({"source": np.zeros((0, 16, 3)), "target": np.zeros((0, 16, 3))}, r"\(0, 16, 3\)"),
        ({"target": np.full((12, 16, 3), np.nan)}, "not finite"),
        ({"source": np.full((12, 16, 3), np.inf)}, "not finite"),
        ({"ratio": 1.0}, "ratio"),
        ({"alpha": 0.0}, "alpha"),
        ({"num_sor": 0}, "num_sor"),
        ({"num_outer": 2.5}, "num_outer must be a whole number"),
        ({"color_type": 2}, "color_type"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"source": np.zeros((12, 16, 3)), "target": np.zeros((12, 16, 3)), **change}
    with pytest.raises(ValueError, match=message):
        pair_flow(arguments.pop("source"), arguments.pop("target"), **arguments)


def test_a_batch_of_another_size_is_named():
    with pytest.raises(ValueError, match=r"targets must be \[N"):
        coarse2fine_flow_batch(np.zeros((12, 16, 3)), np.zeros((2, 16, 12, 3)))


@pytest.mark.parametrize(
    ("sources", "targets", "message"),
    [
        (np.zeros((2, 12, 16, 3)), np.zeros((3, 12, 16, 3)), r"both be \[N, H, W, 3\]"),
        (np.zeros((12, 16)), np.zeros((12, 16)), r"both be \[N, H, W, 3\]"),
        (np.zeros((2, 12, 16, 4)), np.zeros((2, 12, 16, 4)), "channels"),
        (np.full((2, 12, 16, 3), np.nan), np.zeros((2, 12, 16, 3)), "not finite"),
        (np.zeros((2, 12, 16, 3)), np.full((2, 12, 16, 3), np.inf), "not finite"),
    ],
)
def test_bad_pairs_are_named(sources, targets, message):
    with pytest.raises(ValueError, match=message):
        coarse2fine_flow_pairs(sources, targets)


def test_agrees_with_the_reference_on_a_photo():
    """Two crops of a sample photo, one shifted and brighter: real texture, noise and edges."""
    import cv2

    photo = cv2.imread(str(SAMPLES / "dandelion.jpg"))[..., ::-1] / 255.0
    small = cv2.resize(photo, (200, 140), interpolation=cv2.INTER_AREA)
    shifted = cv2.warpAffine(small, np.array([[1.01, 0.01, -2.4], [0.0, 0.99, 1.3]]), (200, 140), flags=cv2.INTER_CUBIC)
    source, target = small[40:88, 60:132], np.clip(1.03 * shifted[40:88, 60:132], 0, 1)
    expected = reference_flow(source, target, num_outer=3)
    assert np.hypot(*np.moveaxis(expected, -1, 0)).mean() > 0.5
    difference = endpoint_difference(pair_flow(source, target, num_outer=3), expected)
    assert difference.mean() < 2e-5
    assert difference.max() < 1e-3
