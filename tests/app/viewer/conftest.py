"""The viewer's page in a browser, for the tests of its folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.browser import OpenPage
from helpers.viewer_pages import HEIGHT, WIDTH, motion, photo

from app.viewer.page import viewer_page


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(viewer_page(photo(), motion(), title="bells"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def opened(browser, file: Path) -> Iterator[OpenPage]:
    page = OpenPage(browser, file, has_touch=True, offline=True)
    # One canvas pixel a photo pixel.
    page.run("document.getElementById('stage').style.setProperty('width', '512px')")
    page.wait(f"viewer.canvas.width === {WIDTH} && viewer.canvas.height === {HEIGHT}")
    yield page
    page.close()


@pytest.fixture
def page(opened: OpenPage) -> OpenPage:
    """The page at rest without wind; time passes only when a test says so."""
    opened.run("""() => {
        viewer.pointers.releaseAll();
        document.querySelector('input[value=pull]').click();
        for (const name of ['amplitude', 'speed', 'damping']) setSlider(name, 1);
        setSlider('wind', 0);
        viewer.showMode(null);
        viewer.freeAll(1);
        viewer.loopTime = null;
        viewer.rig = new ModalRig(viewer.basis, viewer.header.damping);
        viewer.paused = true;
        viewer.tell('');
        viewer.warp.putMesh(1);
        viewer.draw();
    }""")
    return opened
