"""Colour wheel, heat map, X-t slices, contact sheets and the motion figure."""

import math

import numpy as np
import pytest
import torch

from data.media.pictures import (
    HEAT_ANCHORS,
    color_wheel,
    contact_sheet,
    flow_to_color,
    magnitude_map,
    mode_displacement,
    motion_figure,
    xt_slice,
)


def one_vector(x: float, y: float, max_magnitude: float = 1.0) -> tuple[int, ...]:
    return tuple(int(c) for c in flow_to_color(np.array([[[x, y]]]), max_magnitude)[0, 0])


def test_wheel_has_middleburys_55_colours_and_starts_at_red():
    wheel = color_wheel()
    assert wheel.shape == (55, 3)
    assert tuple(wheel[0]) == (255, 0, 0)
    assert tuple(wheel[15]) == (255, 255, 0)
    assert tuple(wheel[21]) == (0, 255, 0)


def test_direction_is_hue_and_magnitude_is_saturation():
    assert one_vector(0, 0) == (255, 255, 255)
    assert one_vector(1, 0) == (255, 0, 0)  # right is red on the Middlebury wheel
    left, down, up = one_vector(-1, 0), one_vector(0, 1), one_vector(0, -1)
    assert left[0] == 0  # cyan to blue
    assert left[2] > 200
    assert down[2] == 0  # yellow to green: y runs down
    assert up[2] > 200
    assert one_vector(0.5, 0) == (255, 127, 127)
    assert one_vector(2, 0) == (191, 0, 0)  # beyond the maximum: darker
    assert one_vector(math.nan, 0) == (0, 0, 0)


def test_default_maximum_is_the_fields_own():
    flow = np.zeros((2, 2, 2))
    flow[0, 0] = (7, 0)
    assert tuple(flow_to_color(flow)[0, 0]) == (255, 0, 0)
    assert np.array_equal(flow_to_color(np.zeros((2, 3, 2))), np.full((2, 3, 3), 255))


def test_heat_map_runs_from_dark_to_light():
    ramp = magnitude_map(np.linspace(0, 1, 64)[None])
    assert tuple(ramp[0, 0]) == HEAT_ANCHORS[0]
    assert tuple(ramp[0, -1]) == HEAT_ANCHORS[-1]
    lightness = ramp[0] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) > -1).all()
    assert (np.diff(lightness[::4]) > 0).all()
    assert tuple(magnitude_map(np.array([[1.0, 4.0]]), 2.0)[0, 1]) == HEAT_ANCHORS[-1]


def test_xt_slice_takes_the_row_of_every_frame():
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    assert np.array_equal(xt_slice(frames, 2), frames[:, 2])
    with pytest.raises(ValueError, match="rows are 0 to 3"):
        xt_slice(frames, 4)


def test_contact_sheet_places_pictures_by_rows():
    pictures = [np.full((3, 5, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = contact_sheet(pictures, columns=2, gap=1)
    assert sheet.shape == (7, 11, 3)
    assert (sheet[:3, 6:] == 20).all()
    assert (sheet[4:, :5] == 30).all()
    assert (sheet[4:, 6:] == 255).all()  # the empty place
    with pytest.raises(ValueError, match="one size"):
        contact_sheet([pictures[0], pictures[1][:2]], columns=2)


def test_mode_displacement_is_the_largest_along_the_ellipse():
    mode = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(1))
    coefficient = (mode[:2] + 1j * mode[2:]).numpy()
    energies = [
        np.square(2 * (coefficient * np.exp(1j * phase)).real).sum() for phase in np.linspace(0, 2 * math.pi, 720)
    ]
    assert np.square(mode_displacement(mode)).sum() == pytest.approx(max(energies), rel=1e-4)


def test_motion_figure_is_a_picture_that_depends_on_the_motion():
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    volume = torch.zeros(4, 4, 24, 32)
    still = motion_figure(image, volume, 150, 30)
    volume[2, 0, 8:16, 8:16] = 1.0
    moving = motion_figure(image, volume, 150, 30)
    assert still.dtype == np.uint8
    assert still.ndim == 3
    assert still.shape[2] == 3
    assert still.shape != moving.shape or (still != moving).any()
