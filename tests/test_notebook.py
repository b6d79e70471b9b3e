"""The notebook runs from top to bottom, without a network, as a person would run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.places import ROOT
from PIL import Image

# Jupyter need not be installed: what the cells show is thrown away.
RUN = """
import json, socket, sys, types

def refused(*_):
    raise OSError("no network here")

socket.socket.connect = refused
import matplotlib
matplotlib.use("Agg")
shown = types.ModuleType("IPython.display")
shown.Image = lambda path: open(path, "rb").read()
shown.display = lambda picture: None
shell = types.ModuleType("IPython")
shell.version_info, shell.get_ipython, shell.display = (9, 0), lambda: None, shown  # matplotlib asks
sys.modules["IPython"], sys.modules["IPython.display"] = shell, shown
names = {}
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), "cell", "exec"), names)
"""


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPOSITORY", str(ROOT))
    notebook = ROOT / "docs" / "notebook.ipynb"
    done = subprocess.run([sys.executable, "-c", RUN, str(notebook)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, frames in (("loop.webp", 30), ("head.webp", 60)):
        with Image.open(tmp_path / name) as loop:
            assert (loop.size, loop.n_frames) == ((256, 170), frames)
    assert "<canvas" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_notebook_holds_no_outputs() -> None:
    cells = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")
