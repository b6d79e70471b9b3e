"""Every estimator behind the one interface, and the messages for those that are not there."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

from data.coarse2fine import coarse2fine_flow
from data.optical_flow import COARSE2FINE_PARAMETERS, ESTIMATORS, estimate_flow, estimator_parameters

MOTION = np.array([1.0, -2.0])


@pytest.fixture(scope="module")
def shifted():
    """A random blurred picture and three shifts of it by multiples of `MOTION`, cropped from one larger picture."""
    noise = np.random.default_rng(0).random((80, 100, 3)).astype(np.float32)
    canvas = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    crops = [canvas[10 + 2 * i : 66 + 2 * i, 20 - i : 92 - i] for i in range(4)]
    return crops[0], np.stack(crops[1:])


def is_available(name):
    if name == "deepflow":
        return hasattr(getattr(cv2, "optflow", None), "createOptFlow_DeepFlow")
    if name == "pyflow":
        try:
            import pyflow
        except ImportError:
            return False
        return hasattr(pyflow, "coarse2fine_flow")
    return True


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_estimators_find_the_same_motion(name, shifted):
    source, targets = shifted
    if not is_available(name):
        with pytest.raises(ValueError, match=name):
            estimate_flow(source, targets, name)
        return
    done = []
    flows = estimate_flow(source, targets, name, progress=done.append)
    assert flows.shape == (3, 56, 72, 2)
    assert flows.dtype == np.float32
    assert sum(done) == 3
    for index, flow in enumerate(flows):
        assert np.abs(flow[12:-12, 12:-12] - (index + 1) * MOTION).mean() < 0.3
    np.testing.assert_array_equal(estimate_flow(source, targets, name, num_threads=3), flows)


def test_coarse2fine_uses_the_recorded_parameters(shifted):
    source, targets = shifted
    expected = coarse2fine_flow(source / np.float32(255), targets[0] / np.float32(255), **COARSE2FINE_PARAMETERS)
    np.testing.assert_array_equal(estimate_flow(source, targets[:1])[0], expected)


def test_no_targets(shifted):
    source, targets = shifted
    assert estimate_flow(source, targets[:0], "dis").shape == (0, 56, 72, 2)


def test_pyflow_by_pathak22_is_called_as_it_expects(shifted, monkeypatch):
    source, targets = shifted
    calls = []

    def coarse2fine(first, second, *parameters):
        calls.append((first.dtype, first.max() <= 1.0, parameters))
        return second[..., 0], -second[..., 0], second

    module = ModuleType("pyflow")
    module.coarse2fine_flow = coarse2fine
    monkeypatch.setitem(sys.modules, "pyflow", module)
    flows = estimate_flow(source, targets, "pyflow")
    assert calls == [(np.float64, True, (0.012, 0.75, 20, 7, 1, 30, 0))] * 3
    np.testing.assert_allclose(flows[2, ..., 0], targets[2, ..., 0] / 255, rtol=1e-6)
    np.testing.assert_array_equal(flows[..., 1], -flows[..., 0])


def test_an_unrelated_pyflow_is_recognised(shifted, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyflow", ModuleType("pyflow"))
    with pytest.raises(ValueError, match="unrelated"):
        estimate_flow(*shifted, "pyflow")
    monkeypatch.setitem(sys.modules, "pyflow", None)
    with pytest.raises(ValueError, match="not installed"):
        estimate_flow(*shifted, "pyflow")


def test_deepflow_without_contrib_says_which_package(shifted, monkeypatch):
    monkeypatch.setattr(cv2, "optflow", SimpleNamespace(), raising=False)
    with pytest.raises(ValueError, match="opencv-contrib-python-headless"):
        estimate_flow(*shifted, "deepflow")


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_parameters_can_be_written_to_a_manifest(name):
    parameters = estimator_parameters(name)
    assert parameters
    assert json.loads(json.dumps(parameters)) == parameters
    parameters.clear()
    assert estimator_parameters(name)


def test_bad_input_is_named(shifted):
    source, targets = shifted
    with pytest.raises(ValueError, match="coarse2fine, dis, deepflow, pyflow"):
        estimate_flow(source, targets, "raft")
    with pytest.raises(ValueError, match="unknown"):
        estimator_parameters("raft")
    with pytest.raises(ValueError, match="targets"):
        estimate_flow(source, targets[0])
    with pytest.raises(ValueError, match="uint8"):
        estimate_flow(source / 255.0, targets)
    with pytest.raises(ValueError, match="num_threads"):
        estimate_flow(source, targets, num_threads=0)
    with pytest.raises(ValueError, match="16 x 16"):
        estimate_flow(source[:8], targets[:, :8], "dis")
