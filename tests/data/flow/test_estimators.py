"""Every estimator behind the one interface, and the messages for those that are not there."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from helpers.flow.coarse2fine_calls import pair_flow

from data.flow.__main__ import main
from data.flow.estimators import (
    ESTIMATORS,
    estimate_flow,
    estimate_flow_pairs,
    estimator_parameters,
)

MOTION = np.array([1.0, -2.0])
PARAMETERS = {  # what datasets were made with
    **{"alpha": 0.012, "ratio": 0.75, "min_width": 20, "num_outer": 7, "num_inner": 1, "num_sor": 30, "color_type": 0}
}


@pytest.fixture(scope="module")
def shifted():
    """A random blurred picture and three shifts of it by multiples of `MOTION`, cropped from one larger picture.

    In smaller ones DeepFlow does not find the largest shift.
    """
    noise = np.random.default_rng(0).random((136, 172, 3)).astype(np.float32)
    canvas = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    crops = [canvas[10 + 2 * i : 122 + 2 * i, 20 - i : 164 - i] for i in range(4)]
    return crops[0], np.stack(crops[1:])


def is_available(name):
    try:
        return bool(estimator_parameters(name))
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def no_raft_weights(monkeypatch, tmp_path):
    """Nothing is downloaded here; tests/test_flow_raft.py has RAFT."""
    monkeypatch.setenv("RAFT_WEIGHTS", str(tmp_path / "raft.pth"))


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_estimators_find_the_same_motion(name, shifted):
    source, targets = shifted
    if not is_available(name):
        for missing in (lambda: estimate_flow(source, targets, estimator=name), lambda: estimator_parameters(name)):
            with pytest.raises(ValueError, match=name) as caught:
                missing()
            assert "\n" not in str(caught.value)
        return
    done = []
    flows = estimate_flow(source, targets, estimator=name, progress=done.append)
    assert flows.shape == (3, 112, 144, 2)
    assert flows.dtype == np.float32
    assert sum(done) == 3
    for index, flow in enumerate(flows):
        assert np.abs(flow[12:-12, 12:-12] - (index + 1) * MOTION).mean() < 0.3
    np.testing.assert_array_equal(estimate_flow(source, targets, estimator=name, num_threads=3), flows)


@pytest.mark.parametrize("name", ["coarse2fine", "dis"])
def test_pairs_that_share_nothing(name, shifted):
    source, targets = shifted
    done = []
    flows = estimate_flow_pairs(targets, np.stack([source, *targets[:2]]), estimator=name, progress=done.append)
    assert sum(done) == 3
    for flow, target, other in zip(flows, targets, [source, *targets[:2]], strict=True):
        np.testing.assert_allclose(flow, estimate_flow(target, other[None], estimator=name)[0], atol=1e-5)
        assert np.abs(flow[12:-12, 12:-12] + MOTION).mean() < 0.3
    np.testing.assert_array_equal(
        estimate_flow_pairs(targets, np.stack([source, *targets[:2]]), estimator=name, num_threads=2), flows
    )


def test_coarse2fine_uses_the_recorded_parameters(shifted):
    source, targets = shifted
    expected = pair_flow(source / np.float32(255), targets[0] / np.float32(255), **PARAMETERS)
    np.testing.assert_array_equal(estimate_flow(source, targets[:1])[0], expected)


def test_no_targets(shifted):
    source, targets = shifted
    assert estimate_flow(source, targets[:0], estimator="dis").shape == (0, 112, 144, 2)
    assert estimate_flow_pairs(targets[:0], targets[:0]).shape == (0, 112, 144, 2)


def test_pyflow_by_pathak22_is_called_as_it_expects(shifted, monkeypatch):
    source, targets = shifted
    calls = []

    def coarse2fine(first, second, *parameters):
        calls.append((first.dtype, first.max() <= 1.0, parameters))
        return second[..., 0], -second[..., 0], second

    module = ModuleType("pyflow")
    module.coarse2fine_flow = coarse2fine
    monkeypatch.setitem(sys.modules, "pyflow", module)
    flows = estimate_flow(source, targets, estimator="pyflow")
    assert calls == [(np.float64, True, (0.012, 0.75, 20, 7, 1, 30, 0))] * 3
    np.testing.assert_allclose(flows[2, ..., 0], targets[2, ..., 0] / 255, rtol=1e-6)
    np.testing.assert_array_equal(flows[..., 1], -flows[..., 0])
    np.testing.assert_array_equal(estimate_flow_pairs(targets[::-1], targets, estimator="pyflow"), flows)
    monkeypatch.setattr("data.flow.pyflow_package.version", lambda name: {"pyflow": "1.0"}[name])
    assert estimator_parameters("pyflow") == {**PARAMETERS, "pyflow": "1.0"}


def test_an_unrelated_pyflow_is_recognised(shifted, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyflow", ModuleType("pyflow"))
    with pytest.raises(ValueError, match="unrelated"):
        estimate_flow(*shifted, estimator="pyflow")
    monkeypatch.setitem(sys.modules, "pyflow", None)
    with pytest.raises(ValueError, match="not installed"):
        estimate_flow(*shifted, estimator="pyflow")


def test_coarse2fine_on_a_gpu_is_called_as_it_expects(shifted, monkeypatch):
    source, targets = shifted
    calls = []

    def estimate(first, second, *, progress):
        calls.append((first.shape, first.dtype, first.max() <= 1.0))
        return np.ones((*second.shape[:3], 2), np.float32)

    module = ModuleType("data.flow.coarse2fine.cuda")
    module.coarse2fine_flow_batch_cuda = module.coarse2fine_flow_pairs_cuda = estimate
    monkeypatch.setitem(sys.modules, "data.flow.coarse2fine.cuda", module)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(__version__="13.0"))
    assert estimate_flow(source, targets, estimator="coarse2fine-cuda").shape == (3, 112, 144, 2)
    assert estimate_flow_pairs(targets, targets, estimator="coarse2fine-cuda").shape == (3, 112, 144, 2)
    assert calls == [(shape, np.float32, True) for shape in ((112, 144, 3), (3, 112, 144, 3))]
    parameters = estimator_parameters("coarse2fine-cuda")
    assert parameters == {**PARAMETERS, "order": "red-black", "cupy": "13.0"}


def test_deepflow_of_contrib_is_called_as_it_expects(shifted, monkeypatch):
    source, targets = shifted
    calls = []

    def calc(first, second, initial):
        calls.append((first.shape, first.dtype, second[0, 0], initial))
        return np.full((*first.shape, 2), len(calls), np.float32)

    create = SimpleNamespace(createOptFlow_DeepFlow=lambda: SimpleNamespace(calc=calc))
    monkeypatch.setattr(cv2, "optflow", create, raising=False)
    flows = estimate_flow(source, targets, estimator="deepflow")
    assert flows[:, 0, 0, 0].tolist() == [1, 2, 3]
    gray = [cv2.cvtColor(target, cv2.COLOR_RGB2GRAY)[0, 0] for target in targets]
    assert calls == [((112, 144), np.uint8, value, None) for value in gray]
    assert estimator_parameters("deepflow") == {"opencv": cv2.__version__}


def test_deepflow_without_contrib_says_which_package(shifted, monkeypatch):
    monkeypatch.setattr(cv2, "optflow", SimpleNamespace(), raising=False)
    with pytest.raises(ValueError, match="pip install 'opencv-contrib-python-headless=="):
        estimate_flow(*shifted, estimator="deepflow")


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_parameters_can_be_written_to_a_manifest(name):
    if not is_available(name):
        pytest.skip(f"{name} is not installed")
    parameters = estimator_parameters(name)
    assert json.loads(json.dumps(parameters)) == parameters
    parameters.clear()
    assert estimator_parameters(name)


def test_bad_input_is_named(shifted):
    source, targets = shifted
    with pytest.raises(ValueError, match=", ".join(ESTIMATORS)):
        estimate_flow(source, targets, estimator="farneback")
    with pytest.raises(ValueError, match="unknown"):
        estimator_parameters("farneback")
    with pytest.raises(ValueError, match="targets"):
        estimate_flow(source, targets[0])
    with pytest.raises(ValueError, match="uint8"):
        estimate_flow(source / 255.0, targets)
    with pytest.raises(ValueError, match="num_threads"):
        estimate_flow(source, targets, num_threads=0)
    with pytest.raises(ValueError, match="16 x 16"):
        estimate_flow(source[:8], targets[:, :8], estimator="dis")
    with pytest.raises(ValueError, match="without pixels"):
        estimate_flow(source[:0], targets[:, :0])
    with pytest.raises(ValueError, match="sources and targets"):
        estimate_flow_pairs(targets[:2], targets)
    with pytest.raises(ValueError, match="sources and targets"):
        estimate_flow_pairs(source, source)


def test_commands_are_passed_on(monkeypatch, capsys):
    calls = []
    for name in ("data.flow.comparison", "data.flow.middlebury"):
        module = ModuleType(name)
        module.main = lambda argv, name=name: calls.append((name, argv)) or 3
        monkeypatch.setitem(sys.modules, name, module)
    assert main(["compare", "clip.mp4", "--pairs", "2"]) == 3
    assert main(["middlebury", "--help"]) == 3
    assert calls == [("data.flow.comparison", ["clip.mp4", "--pairs", "2"]), ("data.flow.middlebury", ["--help"])]
    for words in ([], ["measure"]):
        with pytest.raises(SystemExit, match="2"):
            main(words)
        assert "compare" in capsys.readouterr().err or not words
