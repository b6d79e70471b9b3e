"""Where compiled kernels are kept, when they are compiled again, and what happens where nothing can be written."""

from __future__ import annotations

import importlib.util
import warnings

import numba
import pytest

USED = "from numba import njit\n\n\n@njit\ndef value():\n    return {}\n"
KERNEL = """
from functools import partial
from pathlib import Path

from coarse2fine_used import value
from data.flow.coarse2fine.cache import compile_into, find_folder


@partial(compile_into, folder=find_folder(Path(__file__).parent))
def twice():
    return 2 * value()
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A folder of modules of its own."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "coarse2fine_kernel.py").write_text(KERNEL)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    return folder


def load(folder, monkeypatch, value=None):
    """The kernel, as a new process would import it, after an edit of the other module."""
    if value is not None:
        (folder / "coarse2fine_used.py").write_text(USED.format(value))
    monkeypatch.delitem(__import__("sys").modules, "coarse2fine_used", raising=False)
    spec = importlib.util.spec_from_file_location("coarse2fine_kernel", folder / "coarse2fine_kernel.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.twice


def hits(dispatcher):
    return sum(dispatcher.stats.cache_hits.values())


def test_compiled_code_is_kept_until_any_module_changes(modules, monkeypatch):
    first = load(modules, monkeypatch, 3)
    assert first() == 6
    assert hits(first) == 0
    again = load(modules, monkeypatch)
    assert again() == 6
    assert hits(again) == 1
    assert len(list((modules / "__pycache__").glob("coarse2fine-*"))) == 1
    edited = load(modules, monkeypatch, 5)
    assert edited() == 10
    assert hits(edited) == 0
    assert numba.config.CACHE_DIR == ""


def test_numbas_own_setting_comes_first(modules, monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "chosen"))
    assert load(modules, monkeypatch, 3)() == 6
    assert list((tmp_path / "chosen").rglob("*.nbc"))
    assert not (modules / "__pycache__").exists()


def test_an_install_that_is_read_only_uses_the_users_cache(modules, monkeypatch, tmp_path):
    (modules / "__pycache__").write_text("a file, in which no folder can be made")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(modules, monkeypatch, 3)() == 6
    assert list((tmp_path / "home" / "numba").rglob("*.nbc"))


def test_nowhere_to_write_still_computes(modules, monkeypatch, tmp_path):
    (modules / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "home" / "cache"))
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR"):
        twice = load(modules, monkeypatch, 3)
    assert twice() == 6
    assert not list(tmp_path.rglob("*.nbc"))
