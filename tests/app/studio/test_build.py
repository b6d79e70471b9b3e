"""Building the studio: what is exported computes what PyTorch does, and what is written can be served."""

from __future__ import annotations

import hashlib
import json
import threading
import urllib.request
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
import pytest
import torch
from helpers.motion_models import photographs, tiny_model

from app.studio import weights
from app.studio.__main__ import STORAGES, main
from app.studio.export import exportable
from app.studio.folder import build_folder
from app.studio.runtime import INTEGRITY, RUNTIMES, check_integrity, runtime_files
from app.studio.schedule import sampler_steps
from app.studio.serve import studio_server
from app.studio.source import VIEWER_SCRIPTS, page_files, poke_page_parts
from app.viewer.page import FOLDER as VIEWER
from app.viewer.page import viewer_page
from models.motion.config import PRESETS
from models.motion.diffusion import ORDERS, make_scheduler, sample_latents
from models.motion.image_encoder import EfficientNetLite0

MOST_LINES = 250


@pytest.mark.parametrize("sampler", ORDERS)
@pytest.mark.parametrize("steps", [1, 2, 4, 7])
def test_steps_as_numbers_sample_what_the_scheduler_does(sampler: str, steps: int) -> None:
    config = replace(PRESETS["tiny"], sampler=sampler, steps=steps)
    noise = torch.randn(1, 40, generator=torch.Generator().manual_seed(1))

    def predict(noisy: torch.Tensor, timestep: int) -> torch.Tensor:
        return (noisy * (1 + timestep / 1000)).sin()

    expected = sample_latents(
        lambda noisy, timestep: predict(noisy, int(timestep)),
        noise,
        scheduler=make_scheduler(config, sampler),
        steps=steps,
        generators=[],
    )
    noisy, past = noise, (torch.zeros_like(noise), torch.zeros_like(noise))
    for step in sampler_steps(config):
        output = predict(noisy, step["timestep"])
        before = step["before"][0] * past[0] + step["before"][1] * past[1]
        noisy, past = step["noisy"] * noisy + step["prediction"] * output + before, (noisy, output)
    assert torch.allclose(noisy, expected, atol=1e-5)


def test_a_sampler_that_draws_noise_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sampler ddpm: the page has dpmsolver\+\+ and ddim"):
        sampler_steps(replace(PRESETS["tiny"], sampler="ddpm"))


def test_constant_padding_is_the_encoders_own() -> None:
    class Encoding(torch.nn.Module):
        size_multiple = 32

        def __init__(self) -> None:
            super().__init__()
            self.encoder = EfficientNetLite0()

    torch.manual_seed(0)
    model = Encoding()
    image = photographs(1, (64, 96))
    expected = model.encoder(image)
    assert all(torch.equal(a, b) for a, b in zip(exportable(model).encoder(image), expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(model.encoder(image), expected, strict=True))  # the model is as it was


def test_the_page_comes_whole_with_hashes_that_fit(tmp_path: Path) -> None:
    runtimes = dict.fromkeys(RUNTIMES["wasm"], b"runtime")
    manifest = build_folder(tmp_path / "page", tiny_model(), networks={"denoise": b"network"}, runtimes=runtimes)
    assert list(manifest["runtimes"]) == ["wasm"]  # a kind that is not whole is not offered
    assert json.loads((tmp_path / "page" / "manifest.json").read_text()) == manifest
    for name, told in manifest["files"].items():
        content = (tmp_path / "page" / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (told["bytes"], told["sha256"])
    written = {str(path.relative_to(tmp_path / "page")) for path in (tmp_path / "page").rglob("*") if path.is_file()}
    assert written == {*manifest["files"], "manifest.json", "sw.js"}
    again = build_folder(tmp_path / "page", tiny_model(), networks={"denoise": b"other"}, runtimes=runtimes)
    assert again["build"] != manifest["build"]  # browsers let the earlier one go
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_what_is_no_earlier_build_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for path, words in (
        (tmp_path / "mine", "a folder of something else"),
        (tmp_path / "mine" / "thesis.txt", "a file"),
    ):
        with pytest.raises(ValueError, match=words):
            build_folder(path, tiny_model(), networks={}, runtimes={})
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"
    build_folder(tmp_path / "page", tiny_model(), networks={}, runtimes={})
    (tmp_path / "page" / "CNAME").write_text("example.org")
    with pytest.raises(ValueError, match="holds CNAME, which is not of the page"):
        build_folder(tmp_path / "page", tiny_model(), networks={}, runtimes={})
    with pytest.raises(ValueError, match="a folder of its own"):
        build_folder(Path(), tiny_model(), networks={}, runtimes={})


def test_sources_of_the_page_name_no_other_place_and_are_short() -> None:
    for name, content in page_files().items():
        if not name.endswith((".js", ".html", ".css")):
            continue
        text = content.decode()
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), name
        assert "https://" not in text, name
        assert "innerHTML" not in text, name
        assert "eval(" not in text, name
        if not name.startswith("viewer/"):
            assert len(text.splitlines()) <= MOST_LINES, name


def test_the_poke_page_has_the_same_parts_as_pythons() -> None:
    from helpers.viewer_pages import motion, photo

    parts = poke_page_parts()
    assert parts[1::2] == ["title", "title", "width", "height", "photo", "loop", "header", "modes"]
    page = viewer_page(photo(), motion(), title="bells")
    start = 0
    for text in parts[::2]:
        start = page.index(text, start) + len(text)
    assert set(VIEWER_SCRIPTS) < {path.name for path in VIEWER.glob("*.js")}


def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "other.tgz").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"other\.tgz: not onnxruntime-web .* as it was published"):
        runtime_files(tmp_path / "other.tgz")
    with pytest.raises(ValueError, match=r"none\.tgz: no such package; npm pack"):
        check_integrity(tmp_path / "none.tgz")
    assert INTEGRITY.startswith("sha512-")
    assert set(STORAGES) == set(weights.STORAGES)
    assert main(["serve", str(tmp_path)]) == 2
    assert "no studio there" in capsys.readouterr().err


def test_the_server_gives_files_of_its_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "page"
    build_folder(folder, tiny_model(), networks={}, runtimes={})
    with studio_server(folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        with urllib.request.urlopen(address) as answer:
            assert b"Make a photo sway" in answer.read()
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        for path, host in (("viewer/", ""), ("../secret.txt", ""), ("%2e%2e/secret.txt", ""), ("", "evil.example")):
            request = urllib.request.Request(address + path, headers={"Host": host} if host else {})
            with pytest.raises(HTTPError):
                urllib.request.urlopen(request)
        server.shutdown()


@pytest.mark.slow
def test_stored_weights_come_back_to_within_their_step(networks: dict[str, bytes]) -> None:
    import onnx
    from onnx import numpy_helper

    from app.studio.weights import FEWEST, store_weights

    whole = onnx.load_from_string(networks["denoise"])
    before = {tensor.name: numpy_helper.to_array(tensor) for tensor in whole.graph.initializer}
    stored = store_weights(whole, "int8")
    levels = {tensor.name: numpy_helper.to_array(tensor) for tensor in stored.graph.initializer}
    shrunk = [name for name, values in before.items() if values.dtype == np.float32 and values.size >= FEWEST]
    assert shrunk
    for name in shrunk:
        scales = levels[f"{name}_scales"]
        assert np.abs(levels[f"{name}_levels"] * scales - before[name]).max() <= scales.max() * 0.5001
    assert stored.ByteSize() < 0.7 * whole.ByteSize()
    assert ".py" not in stored.SerializeToString().decode("latin-1")  # nothing tells of where it was made
