"""RAFT as an estimator, with weights that are random: what goes in and comes out, and where weights come from."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.models._api
from safetensors.torch import save_file
from torchvision.models.optical_flow import Raft_Large_Weights, raft_large

from data.flow import raft as flow_raft
from data.flow.estimators import ESTIMATORS, Estimator, estimate_flow, estimate_flow_pairs, estimator_parameters


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return raft_large(weights=None).eval()


@pytest.fixture(scope="module")
def weights_file(network, tmp_path_factory):
    """A file as torchvision's: a state dict written by torch.save."""
    path = tmp_path_factory.mktemp("raft") / "raft.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def weights(weights_file, monkeypatch):
    monkeypatch.setenv("RAFT_WEIGHTS", str(weights_file))
    use_raft(monkeypatch, updates=2)  # for the sake of time
    return weights_file


def use_raft(monkeypatch, *, updates=flow_raft.UPDATES, **options):
    """Let the estimator compute on the CPU, with these options of `solve_raft`."""
    chosen = {"device": torch.device("cpu"), "updates": updates}
    solve, parameters = (partial(function, **chosen) for function in (flow_raft.solve_raft, flow_raft.raft_parameters))
    monkeypatch.setitem(ESTIMATORS, "raft", Estimator(partial(solve, **options), parameters))


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    """torchvision's folder of downloads, empty."""
    monkeypatch.delenv("RAFT_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints" / "raft_large_C_T_SKHT_V2-ff5fadd5.pth"


@pytest.fixture(scope="module")
def images():
    """A source and two targets with an odd side, below the network's least one."""
    return np.random.default_rng(1).integers(0, 256, (3, 45, 70, 3), np.uint8)


def torchvision_flow(network, source, target):
    """Flow [H, W, 2] by torchvision's own preparation of the images."""
    height, width = source.shape[:2]
    padding = ((0, 128 - height), (0, 136 - width), (0, 0))
    planes = [torch.from_numpy(np.pad(image, padding, "edge")).permute(2, 0, 1)[None] for image in (source, target)]
    with torch.no_grad():
        flow = network(*Raft_Large_Weights.C_T_SKHT_V2.transforms()(*planes), num_flow_updates=2)[-1]
    return flow[0].permute(1, 2, 0).numpy()[:height, :width]


def test_flow_is_that_of_torchvisions_network(weights, network):
    source, target = np.random.default_rng(2).integers(0, 256, (2, 50, 130, 3), np.uint8)
    flow = estimate_flow(source, target[None], estimator="raft")
    assert flow.shape == (1, 50, 130, 2)
    assert flow.dtype == np.float32
    assert np.abs(flow).max() > 0.1
    np.testing.assert_allclose(flow[0], torchvision_flow(network, source, target), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_threads_pairs_and_progress_change_nothing(weights, images):
    source, targets = images[0], images[1:]
    done = []
    before = torch.get_num_threads()
    flows = estimate_flow(source, targets, estimator="raft", progress=done.append)
    assert done == [1, 1]
    np.testing.assert_array_equal(estimate_flow(source, targets, estimator="raft", num_threads=2), flows)
    np.testing.assert_array_equal(estimate_flow_pairs(np.stack([source] * 2), targets, estimator="raft"), flows)
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_batches_are_bounded_and_complete(weights, images, monkeypatch):
    source, targets = images[0], images[[1, 2, 1]]
    flows = estimate_flow(source, targets, estimator="raft")
    done = []
    use_raft(monkeypatch, updates=2, most_pairs=2)
    batched = estimate_flow(source, targets, estimator="raft", progress=done.append)
    assert done == [2, 1]
    np.testing.assert_allclose(batched, flows, rtol=1e-3, atol=1e-3)


def test_batch_size_falls_with_the_square_of_the_area():
    assert flow_raft.batch_size(160, 256, "cuda") == flow_raft.CUDA_BATCH
    assert flow_raft.batch_size(720, 1280, "cuda") == 2**28 // (90 * 160) ** 2
    assert flow_raft.batch_size(2160, 3840, "cuda") == 1
    assert flow_raft.batch_size(160, 256, "cpu") == 1


def test_too_little_memory_is_one_line(weights, images, monkeypatch):
    def fail(first, second, **options):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 70 GiB")

    use_raft(monkeypatch, network=lambda weights: fail)
    with pytest.raises(ValueError, match=r"does not hold 1 pair.* of 70 x 45; choose a smaller size"):
        estimate_flow(images[0], images[1:], estimator="raft")


@pytest.mark.gpu
def test_gpu_agrees_with_cpu(weights_file, images, monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    monkeypatch.setenv("RAFT_WEIGHTS", str(weights_file))
    flows = estimate_flow(images[0], images[1:], estimator="raft")
    assert estimator_parameters("raft")["device"] == "cuda"
    use_raft(monkeypatch)
    np.testing.assert_allclose(flows, estimate_flow(images[0], images[1:], estimator="raft"), atol=0.05)


def test_safetensors_hold_the_same_weights(weights, images, network, tmp_path, monkeypatch):
    flow = estimate_flow(images[0], images[1:2], estimator="raft")
    parameters = estimator_parameters("raft")
    save_file(network.state_dict(), tmp_path / "raft.safetensors")
    monkeypatch.setenv("RAFT_WEIGHTS", str(tmp_path / "raft.safetensors"))
    assert estimator_parameters("raft") == parameters == json.loads(json.dumps(parameters))
    np.testing.assert_array_equal(estimate_flow(images[0], images[1:2], estimator="raft"), flow)


def test_parameters_tell_weights_apart(weights, network, tmp_path, monkeypatch):
    parameters = estimator_parameters("raft")
    assert parameters["torchvision"] == torchvision.__version__
    changed = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    changed["mask_predictor.conv.bias"][0] += 1
    path = tmp_path / "raft.safetensors"
    save_file(changed, path)
    monkeypatch.setenv("RAFT_WEIGHTS", str(path))
    assert estimator_parameters("raft")["weights_sha256"] != parameters["weights_sha256"]
    # The same path with another content is noticed.
    save_file(network.state_dict(), path, {"note": "another size"})
    assert estimator_parameters("raft") == parameters


def test_missing_weights_say_where_they_have_to_lie(no_weights, images, monkeypatch):
    def fail(url, **options):
        raise URLError("no network")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", fail)
    for call in (lambda: estimate_flow(images[0], images[1:], estimator="raft"), lambda: estimator_parameters("raft")):
        with pytest.raises(ValueError, match="no network") as caught:
            call()
        message = str(caught.value)
        assert str(no_weights) in message
        assert Raft_Large_Weights.C_T_SKHT_V2.url in message
        assert "RAFT_WEIGHTS" in message
        assert "\n" not in message


def test_weights_are_downloaded_by_torchvision_once(no_weights, weights_file, monkeypatch):
    use_raft(monkeypatch)
    calls = []

    def download(url, **options):
        calls.append((url, options))
        no_weights.parent.mkdir()
        no_weights.write_bytes(Path(weights_file).read_bytes())

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", download)
    with pytest.raises(ValueError, match="not been downloaded"):
        flow_raft.raft_parameters(download=False)
    assert calls == []
    first = estimator_parameters("raft")
    assert estimator_parameters("raft") == first
    ((url, options),) = calls
    assert url.endswith("raft_large_C_T_SKHT_V2-ff5fadd5.pth")
    assert options["check_hash"] is True
    assert options["weights_only"] is True


def test_unusable_files_are_named(tmp_path, monkeypatch):
    def message(path):
        monkeypatch.setenv("RAFT_WEIGHTS", str(path))
        with pytest.raises(ValueError, match=path.name) as caught:
            estimator_parameters("raft")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such file" in message(tmp_path / "absent.pth")
    for name, content in (("a.pth", b"no weights"), ("b.pth", b""), ("c.safetensors", b"no weights"), ("d.pth", None)):
        path = tmp_path / name
        if content is None:
            torch.save([1, 2], path)
        else:
            path.write_bytes(content)
        assert "not weights of raft_large" in message(path)
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    assert "Missing key" in message(tmp_path / "other.pth")
    torch.save({"call": print}, tmp_path / "code.pth")  # pickled code is not run
    assert "not weights of raft_large" in message(tmp_path / "code.pth")
