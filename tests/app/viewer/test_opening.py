"""The page when it is opened: in a browser of any kind, and in one that lacks something."""

from pathlib import Path

import pytest
from helpers.browser import OpenPage
from helpers.viewer_pages import HEIGHT, WIDTH, motion, page_with_loop, photo

from app.viewer.page import viewer_page


def test_page_opens_without_a_complaint_or_a_request(browser, file: Path):
    page = OpenPage(browser, file, offline=True)
    page.wait("viewer.rig.time > 0.1")  # it moves by itself
    assert page.state == "ready"
    assert page.complaints == []
    assert page.network_requests == []
    assert page.run("viewer.settings.wind") > 0
    page.close()


@pytest.mark.slow
def test_sharp_screens_and_narrow_windows(browser, file: Path):
    page = OpenPage(browser, file, viewport={"width": 360, "height": 640}, device_scale_factor=2.0)
    page.wait("viewer.canvas.width !== 300")
    size = page.run("[viewer.canvas.width, viewer.canvas.height, viewer.canvas.getBoundingClientRect().width]")
    assert size[0] == pytest.approx(2 * size[2], abs=2)
    assert size[0] / size[1] == pytest.approx(WIDTH / HEIGHT, rel=0.02)
    assert page.run("document.documentElement.scrollWidth") <= 360
    page.page.set_viewport_size({"width": 300, "height": 500})
    page.wait(f"viewer.canvas.width < {size[0]}")
    assert page.run("document.documentElement.scrollWidth") <= 300
    page.close()


def test_hostile_names_stay_text(browser, tmp_path: Path):
    title = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=2">\'"&amp;<!--'
    (tmp_path / "page.html").write_text(viewer_page(photo(), motion(), title=title), encoding="utf-8")
    page = OpenPage(browser, tmp_path / "page.html", offline=True)
    assert page.run("document.querySelector('h1').textContent") == title
    assert page.run("document.title") == title
    assert page.run("viewer.header.title") == title
    assert page.run("typeof window.hacked") == "undefined"
    assert page.complaints == []
    page.close()


NO_WEBGL = """
const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
    return kind.startsWith('webgl') ? null : get.call(this, kind, ...rest);
};"""


@pytest.mark.slow
def test_without_webgl2_the_page_says_so_and_shows_photo_or_loop(browser, file: Path, tmp_path: Path):
    page = OpenPage(browser, file, script=NO_WEBGL)
    assert page.state == "fallback"
    status = page.page.inner_text("#status")
    assert "no WebGL2" in status
    assert "photo instead" in status
    assert page.page.is_visible("#photo")
    assert not page.page.is_visible("#controls")
    assert page.complaints == []
    page.close()
    with_loop = OpenPage(browser, page_with_loop(tmp_path, "gif"), script=NO_WEBGL)
    assert "rendered loop instead" in with_loop.page.inner_text("#status")
    assert with_loop.page.is_visible("#loop")
    with_loop.close()


@pytest.mark.slow
def test_less_motion_where_the_system_asks_for_it(browser, file: Path):
    page = OpenPage(browser, file, reduced_motion="reduce")
    assert page.run("viewer.settings.wind") == 0
    page.wait("viewer.request === null")  # no frame is drawn while nothing moves
    assert page.run("viewer.moving()") is False
    page.close()
