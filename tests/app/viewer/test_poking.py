"""What the page's pixels do when it is pulled by mouse, finger or keys."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.browser import OpenPage
from helpers.viewer_pages import COLUMNS, DOT, HEIGHT, WIDTH, basis, place, red_dot

from models.dynamics.regions import Regions


def test_dragging_moves_the_right_pixels_the_right_way_and_back_to_rest(page: OpenPage):
    rest = page.picture()
    mouse = page.page.mouse
    mouse.move(*place(page, DOT))
    mouse.down()
    for share in (0.3, 0.6, 1):
        x, y = place(page, DOT)
        mouse.move(x + 20 * share, y - 8 * share)
    page.run("viewer.advance(1)")
    held = page.picture()
    shift = red_dot(held) - red_dot(rest)
    assert shift == pytest.approx([20, -8], abs=1.5)  # it follows the pointer
    assert np.abs(held - rest)[:, :16].max() < 3  # where nothing moves
    time.sleep(0.1)  # rest, so that it is not flung
    mouse.up()
    page.run("viewer.draw()")
    released = red_dot(page.picture()) - red_dot(rest)
    assert released == pytest.approx(shift, abs=0.6)  # nothing jumps
    offsets = []
    for _ in range(24):
        page.run("viewer.advance(0.1)")
        offsets.append(red_dot(page.picture())[0] - red_dot(rest)[0])
    assert min(offsets) < -2  # it swings beyond
    assert max(map(abs, offsets[-6:])) < max(map(abs, offsets[:6]))
    page.run("viewer.advance(60)")
    assert np.array_equal(page.picture(), rest)
    assert page.run("viewer.rig.atRest(REST)")


@pytest.mark.slow
def test_still_places_can_not_be_pulled_and_it_says_so(page: OpenPage):
    page.page.mouse.move(*place(page, (1, 1)))
    page.page.mouse.down()
    assert page.run("viewer.rig.held.size") == 0
    assert "Nothing moves here" in page.page.inner_text("#status")
    page.page.mouse.up()


@pytest.mark.slow
def test_pulls_stop_at_the_limit(page: OpenPage):
    page.page.mouse.move(*place(page, DOT))
    page.page.mouse.down()
    x, y = place(page, DOT)
    page.page.mouse.move(x + 300, y)
    largest = page.run("largestLength(viewer.displace())")
    assert 0.5 * basis().limit < largest <= basis().limit * 1.001
    page.page.mouse.up()
    worst = 0.0
    for _ in range(30):
        page.run("viewer.advance(0.05)")
        worst = max(worst, page.run("largestLength(viewer.displace())"))
    assert worst <= basis().limit * 1.001


@pytest.mark.slow
def test_touch(page: OpenPage):
    rest = page.picture()
    touch = page.context.new_cdp_session(page.page)
    x, y = place(page, DOT)
    points = [(x, y), (x + 6, y + 3), (x + 14, y + 7)]
    for k, (px, py) in enumerate(points):
        kind = "touchMove" if k else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": px, "y": py}]})
    page.wait("[...viewer.pointers.pulls.values()].some((pull) => pull.at[0] - pull.start[0] > 1)")
    assert red_dot(page.picture()) - red_dot(rest) == pytest.approx([14, 7], abs=1.5)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait("viewer.rig.held.size === 0")


def test_keys_pull_and_let_go(page: OpenPage):
    rest = page.picture()
    keyboard = page.page.keyboard
    page.page.focus("#canvas")
    page.run("(cell) => { viewer.pointers.cursor = cell; }", list(DOT))
    keyboard.press(" ")
    for _ in range(2):
        keyboard.press("ArrowRight")
    page.run("viewer.advance(1)")
    shift = red_dot(page.picture()) - red_dot(rest)
    assert shift == pytest.approx([0.04 * WIDTH, 0], abs=1.5)
    keyboard.press("Escape")
    assert page.run("viewer.rig.held.size") == 0
    keyboard.press("ArrowDown")
    assert page.run("viewer.pointers.cursor[1]") > DOT[1]
    page.run("document.activeElement.blur()")


@pytest.mark.slow
def test_every_control_is_reached_by_tab(page: OpenPage):
    page.run("document.activeElement.blur()")
    reached = set()
    for _ in range(16):
        page.page.keyboard.press("Tab")
        reached.add(
            page.run("document.activeElement.id || document.activeElement.name || document.activeElement.tagName")
        )
    wanted = {"canvas", "tool", "wind", "amplitude", "speed", "damping", "mode", "pause", "rest", "play", "record"}
    assert wanted | {"SUMMARY"} <= reached


@pytest.mark.slow
def test_parts_painted_to_stay_do_and_move_again_when_all_moves(page: OpenPage):
    page.page.check("input[value=stays]", force=True)
    page.page.mouse.move(*place(page, (44, 18)))
    page.page.mouse.down()
    page.page.mouse.up()
    assert page.run("(p) => viewer.basis.free[p]", 18 * COLUMNS + 44) == 0
    assert page.run("(p) => viewer.basis.free[p]", 18 * COLUMNS + 20) == 1
    page.page.check("input[value=pull]", force=True)
    rest = page.picture()
    page.run("setSlider('wind', 0.2); viewer.rig.advance(3.3)")
    moved = np.abs(page.picture() - rest).max(axis=2)
    around = slice(140, 156), slice(348, 364)  # between the centres of cells that stay wholly
    assert moved[around].max() < 3
    assert moved[16 * 8 : 20 * 8, 18 * 8 : 22 * 8].max() > 20
    page.run("viewer.freeAll(1)")
    assert np.abs(page.picture() - rest)[around].max() > 10


@pytest.mark.slow
def test_brushes_by_keys_alone_give_the_mask_that_the_command_line_takes(page: OpenPage, tmp_path: Path):
    keyboard = page.page.keyboard
    page.page.focus("input[value=pull]")
    for tool in ("stays", "moves"):
        keyboard.press("ArrowRight")
        assert page.run("viewer.pointers.tool") == tool
    page.page.focus("#all-stays")
    keyboard.press("Enter")
    page.run("document.getElementById('canvas').focus(); viewer.pointers.cursor = [44, 18]")
    keyboard.press(" ")
    page.page.focus("#save-mask")
    with page.page.expect_download() as waiting:
        keyboard.press("Enter")
    assert waiting.value.suggested_filename == "bells_mask.png"
    waiting.value.save_as(tmp_path / "mask.png")
    grid = page.run("viewer.basis.width"), page.run("viewer.basis.height")
    weights = Regions(tmp_path / "mask.png").weights((WIDTH, HEIGHT), grid)
    assert weights[18, 44] == 1
    assert weights[18, 20] == 0
    painted = torch.tensor(page.run("[...viewer.basis.free]")).reshape(weights.shape)
    assert (weights - painted).abs().max() < 0.15  # of 0.5 a cell at the border, blurred by two changes of size
    assert 0.002 < float(weights.mean()) < 0.1
