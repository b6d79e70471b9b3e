"""The page to poke inside another page: bare, and told what to do by messages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.browser import OpenPage

HOST = """<!doctype html><html><body>
<iframe id="sway" src="page.html#bare" width="512" height="288" style="border: 0" sandbox="allow-scripts"></iframe>
<script>
const sway = document.getElementById("sway").contentWindow;
addEventListener("message", ({ source, data }) => {
  if (source === sway && data.imageDynamics === "ready") document.documentElement.dataset.state = "ready";
});
const tell = (message) => sway.postMessage(message, "*");
</script></body></html>"""


@pytest.fixture(scope="module")
def host(browser, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    folder = tmp_path_factory.mktemp("host")
    (folder / "page.html").write_bytes(file.read_bytes())
    (folder / "host.html").write_text(HOST)
    page = OpenPage(browser, folder / "host.html", offline=True)
    yield page
    page.close()


def wait(host: OpenPage, condition: str):
    """Until it is true in the page inside."""
    inside = host.page.frames[1]
    for _ in range(500):
        if inside.evaluate(condition):
            return
        host.page.wait_for_timeout(20)
    raise AssertionError(f"never true: {condition}")


@pytest.mark.slow
def test_bare_is_the_photo_alone_as_large_as_the_frame(host: OpenPage):
    inside = host.page.frames[1]
    shown = "(id) => document.getElementById(id).getBoundingClientRect().height"
    assert [inside.evaluate(shown, name) for name in ("controls", "status")] == [0, 0]
    assert inside.evaluate("document.querySelector('header').getBoundingClientRect().height") == 0
    assert inside.evaluate("document.getElementById('canvas').getBoundingClientRect().width") == pytest.approx(
        512, abs=1
    )


def test_messages_of_the_page_around_start_stop_and_poke(host: OpenPage):
    host.run("tell({ imageDynamics: 'stop' })")
    wait(host, "viewer.paused")
    host.run("tell({ imageDynamics: 'amplitude', value: 2 })")
    host.run("tell({ imageDynamics: 'start', wind: 0 })")
    wait(host, "!viewer.paused && viewer.settings.wind === 0 && viewer.settings.amplitude === 2")
    host.run("tell({ imageDynamics: 'poke', x: 20.5 / 64, y: 18.5 / 36, dx: 0.05, dy: 0 })")
    wait(host, "viewer.pointers.pulls.has('host')")
    wait(host, "viewer.pointers.pulls.size === 0")
    assert not host.page.frames[1].evaluate("viewer.rig.atRest(1e-6)")


@pytest.mark.slow
def test_nonsense_and_messages_of_others_are_ignored(host: OpenPage):
    host.run("tell({ imageDynamics: 'stop' })")
    wait(host, "viewer.paused")
    for nonsense in ("null", "'start'", "{ imageDynamics: 'amplitude', value: 'x' }", "{ imageDynamics: 'poke' }"):
        host.run(f"tell({nonsense})")
    host.run("tell({ imageDynamics: 'toString' })")
    host.page.frames[1].evaluate("postMessage({ imageDynamics: 'start' }, '*')")  # from the page itself
    host.page.wait_for_timeout(200)
    assert host.page.frames[1].evaluate("viewer.paused")
    assert host.complaints == []
