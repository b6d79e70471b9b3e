"""`python -m baselines.lfdm` from training to clips, on small clips made here."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from helpers.clips.small_clips import QUICK, make_clip
from helpers.places import ROOT
from safetensors.torch import load_file, save_file

from baselines.lfdm.command import main
from baselines.lfdm.config import TINY
from baselines.lfdm.diffusion import LatentFlowDiffusion
from baselines.lfdm.networks.autoencoder import FlowAutoencoder
from baselines.lfdm.networks.geometry import identity_grid
from baselines.lfdm.networks.motion import moved_regions
from baselines.lfdm.pipeline import LFDM, displacement, latent_channels
from baselines.registry import METHODS
from common.images import from_8_bits
from data.media.images import write_image
from data.media.read_video import read_video
from data.prepare import main as prepare
from evaluation.metrics.motion_scores import motion_scores
from evaluation.prediction import Setting
from evaluation.sequences import load_sequences
from models.pipeline import ImageDynamicsPipeline
from training.log import read_csv

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS = (
    *("--preset", "tiny", "--max-steps", "3", "--device", "cpu", "--evaluate-every", "3"),
    *("--precision", "float32"),  # two processes round alike, on any machine
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips in two folders named by what happens in them."""
    folder = tmp_path_factory.mktemp("lfdm")
    for seed, label in enumerate(("wave", "nod", "wave", "nod")):
        (folder / "clips" / label).mkdir(parents=True, exist_ok=True)
        make_clip(folder / "clips" / label / f"clip_{seed}.mp4", num_frames=20, seed=seed)
    splits = ("--validation", "clip_2.mp4", "--test", "clip_3.mp4", "--split", "1,0,0")
    assert prepare([str(folder / "clips"), "--output", str(folder / "dataset"), *QUICK, *splits]) == 0
    return folder / "dataset"


@pytest.fixture(scope="module")
def no_vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache without weights, so that training compares gradients, as it does where there is no VGG."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(autouse=True)
def _nothing_in_caches(no_vgg: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_vgg))
    monkeypatch.setenv("TORCH_HOME", str(no_vgg))


def train(dataset: Path, output: Path, *more: str) -> int:
    return main(["train", "--data", str(dataset), "--output", str(output), *STEPS, *more])


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory, no_vgg: Path) -> Path:
    """Both stages, with labels."""
    output = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(no_vgg))
        patch.setenv("TORCH_HOME", str(no_vgg))
        assert train(dataset, output, "--condition", "label") == 0
    return output


def test_training_leaves_logs_pictures_and_checkpoints(run: Path) -> None:
    for stage, figure in (("autoencoder", "l1_repeat"), ("diffusion", "localisation")):
        rows = read_csv(run / stage / "log.csv")
        assert [row["step"] for row in rows] == ["1", "2", "3"]
        assert rows[-1][figure]
        assert (run / stage / "samples" / "step_000003.png").is_file()
    model = LFDM.from_pretrained(run)
    assert model.diffusion is not None
    assert model.diffusion.config.labels == ("nod", "wave")
    assert model.diffusion.config.flow_scale > 1


@pytest.mark.slow
def test_a_resumed_run_is_the_same_run(run: Path, dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "autoencoder", tmp_path / "autoencoder")
    for steps in ("2", "3"):
        assert train(dataset, tmp_path, "--condition", "label", "--stage", "diffusion", "--max-steps", steps) == 0
    for steps in ("2", "3"):
        assert train(dataset, tmp_path / "first", "--stage", "autoencoder", "--max-steps", steps) == 0
    for stage, output in (("diffusion", tmp_path), ("autoencoder", tmp_path / "first")):
        whole, resumed = (load_file(place / stage / "model.safetensors") for place in (run, output))
        assert whole.keys() == resumed.keys()
        assert all(torch.equal(whole[name], resumed[name]) for name in whole), stage


def test_one_clip_for_each_label(run: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    write_image(photo, torch.randint(256, (48, 64, 3), dtype=torch.uint8).numpy())
    common = ["sample", str(photo), "--checkpoint", str(run), "--output", str(tmp_path), "--device", "cpu"]
    assert main([*common, "--format", "webp", "--num-frames", "6"]) == 0
    assert {path.name for path in tmp_path.glob("photo_*")} == {"photo_nod.webp", "photo_wave.webp", "photo_sheet.png"}
    assert main([*common, "--condition", "wave", "--sampler", "ddpm", "--steps", "2", "--guidance", "2"]) == 0
    frames, rate = read_video(tmp_path / "photo_wave.mp4")
    assert frames.shape == (4, 32, 32, 3)
    assert rate == 30


def test_a_clip_longer_than_a_volume_goes_on_from_its_last_frame(run: Path) -> None:
    model, photo = LFDM.from_pretrained(run), torch.rand(1, 3, 32, 32)
    longer = model.animate(photo, 9, generator=torch.Generator().manual_seed(1), condition="nod")
    shorter = model.animate(photo, 4, generator=torch.Generator().manual_seed(1), condition="nod")
    assert torch.equal(longer.frames[0], photo[0])
    assert torch.equal(longer.frames[:4], shorter.frames)
    again = model.reconstruct(torch.cat([longer.frames[3:4]] * 2))
    assert again.frames.shape == (2, 3, 32, 32)
    assert longer.displacement.shape == (9, 2, 8, 8)
    assert longer.displacement[0].abs().max() == 0


def test_transfer(run: Path, dataset: Path, tmp_path: Path) -> None:
    photo, clip = tmp_path / "photo.png", dataset.parent / "clips" / "wave" / "clip_0.mp4"
    write_image(photo, torch.randint(256, (48, 64, 3), dtype=torch.uint8).numpy())
    for more in ((), ("--absolute",)):
        output = tmp_path / "moved.gif"
        given = ["transfer", str(photo), str(clip), "--checkpoint", str(run), "-o", str(output), "--device", "cpu"]
        assert main([*given, *more]) == 0
        assert len(read_video(output)[0]) == 20


def test_transfer_takes_over_motion_or_places() -> None:
    torch.manual_seed(0)
    model = LFDM(FlowAutoencoder(TINY.autoencoder))
    photo, driving = torch.rand(1, 3, 32, 32), torch.rand(3, 3, 32, 32)
    still = model.transfer(photo, driving[:1].expand(3, -1, -1, -1))
    assert still.displacement.abs().max() < 1e-3  # a clip without motion
    own = torch.cat([photo, driving])
    absolute, reconstructed = model.transfer(photo, own, relative=False), model.reconstruct(own)
    torch.testing.assert_close(absolute.frames, reconstructed.frames, atol=1e-5, rtol=1e-5)
    predictor = model.autoencoder.region_predictor
    with torch.no_grad():
        source, start, now = predictor(photo), predictor(driving[:1]), predictor(driving[1:2])
    moved = moved_regions(source, start=start, now=now)
    torch.testing.assert_close(moved.mean - source.mean, now.mean - start.mean)
    torch.testing.assert_close(moved_regions(source, start=start, now=start).covariance, source.covariance)


def shifting_waves(count: int) -> torch.Tensor:
    """Frames ``[count, 3, 32, 32]`` of soft waves that move half a pixel to the right each time."""
    x = torch.arange(32.0) - 0.5 * torch.arange(count)[:, None]
    wave = (0.4 * x).sin()[:, None, None].expand(-1, 3, 32, -1)
    return 0.5 + 0.3 * wave * torch.linspace(0.5, 1, 32)[:, None]


def test_dense_motion_needs_no_training_to_follow_and_to_transfer() -> None:
    torch.manual_seed(0)
    model = LFDM(FlowAutoencoder(replace(TINY.autoencoder, motion="dense", start="source", padding="border")))
    frames = shifting_waves(4)
    again = model.reconstruct(frames)
    repeated = (frames - frames[:1]).abs().mean()
    assert (again.frames - frames).abs().mean() < 0.4 * repeated
    assert again.displacement[0].abs().max() < 1e-4
    middle = again.displacement[3, :, 2:-2, 2:-2]
    torch.testing.assert_close(middle[0], torch.full_like(middle[0], 1.5), atol=0.25, rtol=0)
    assert middle[1].abs().max() < 0.25
    photo = shifting_waves(1).flip(-2)
    moved = model.transfer(photo, frames)
    torch.testing.assert_close(moved.displacement, again.displacement, atol=1e-5, rtol=1e-5)
    assert (model.transfer(photo, frames, relative=False).displacement - again.displacement).abs().max() > 0.01


@pytest.mark.slow
def test_both_stages_train_on_dense_motion(dataset: Path, tmp_path: Path) -> None:
    assert train(dataset, tmp_path, "--motion", "dense") == 0
    model = LFDM.from_pretrained(tmp_path)
    assert model.autoencoder.config.motion == "dense"
    clip = model.animate(torch.rand(1, 3, 32, 32), 6, generator=torch.Generator().manual_seed(0))
    assert clip.frames.shape == (6, 3, 32, 32)
    rows = read_csv(tmp_path / "autoencoder" / "log.csv")
    assert all(float(row["shift"]) == float(row["affine"]) == 0 for row in rows)  # of regions, which there are none of


def test_displacement_is_forward_and_in_pixels() -> None:
    grid = identity_grid(8, 16, torch.zeros(1))[None].clone()
    grid[..., 0] -= 2 * 3 / 63  # content came from three of 64 pixels further left
    moved = displacement(grid, (64, 32))
    torch.testing.assert_close(moved[0, 0], torch.full((8, 16), 3.0))
    assert moved[0, 1].abs().max() < 1e-5


def test_reconstruction_is_measured(run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    given = ["reconstruct", str(dataset), "--checkpoint", str(run), "--split", "test", "--num-frames", "5"]
    report = tmp_path / "report.json"
    more = ["--sheet", str(tmp_path / "sheet.png"), "--report", str(report), "--device", "cpu"]
    assert main([*given, *more]) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    (sequence,) = load_sequences(dataset, "test")
    assert lines["clips"] == "1"
    frames = sequence.frames()[torch.tensor([0, 4, 9, 14, 19])].float() / 255
    cropped = torch.nn.functional.interpolate(frames[..., 8:56], (32, 32), mode="area")
    expected = (cropped[1:] - cropped[:1]).abs().mean().item()
    assert float(lines["l1_repeat"]) == pytest.approx(expected, abs=0.01)
    assert 0 < float(lines["l1"]) < 1
    assert float(lines["l1_gain"]) == pytest.approx(float(lines["l1_repeat"]) - float(lines["l1"]), abs=1e-4)
    (figures,) = json.loads(report.read_text())["each"].values()
    assert figures["l1"] == pytest.approx(float(lines["l1"]), abs=1e-4)
    assert lines["lpips"].startswith("not computed: no LPIPS AlexNet weights")
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.slow
def test_row_of_the_motion_table(run: Path, dataset: Path) -> None:
    sequences = load_sequences(dataset, "test")
    setting = Setting(sequences, ImageDynamicsPipeline(), num_frequencies=4, steps=2, samples=2)
    assert METHODS["lfdm"].checkpoint
    prediction = METHODS["lfdm"].make(setting, checkpoint=run)(0, sequences[0])
    assert [volume.shape for volume in prediction.motion] == [(1, 4, 4, 48, 64)] * 2
    assert not torch.equal(*prediction.motion)
    assert prediction.render is not None
    frames = prediction.render(1, 20)
    assert frames.shape == (20, 3, 48, 64)
    assert frames.dtype == torch.uint8
    scores = motion_scores(prediction, setting.true_volume(sequences[0]))
    assert -1 <= scores["localisation"] <= 1
    start = torch.nn.functional.interpolate(from_8_bits(frames[:1]), (32, 32), mode="area")
    assert (
        start - torch.nn.functional.interpolate(sequences[0].first_frame(), (32, 32), mode="area")
    ).abs().mean() < 0.1


def test_decoder_alone_adapts(run: Path, dataset: Path, tmp_path: Path) -> None:
    more = ("--stage", "autoencoder", "--trainable", "decoder", "--init", str(run))
    assert train(dataset, tmp_path, *more) == 0
    before, after = (load_file(place / "autoencoder" / "model.safetensors") for place in (run, tmp_path))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder"}


def test_wrong_input_is_one_line(run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    photo = tmp_path / "photo.png"
    write_image(photo, torch.zeros(32, 32, 3, dtype=torch.uint8).numpy())
    sample = ["sample", str(photo), "--device", "cpu", "--checkpoint"]
    mixed = tmp_path / "mixed"
    shutil.copytree(run, mixed)
    weights = load_file(mixed / "autoencoder" / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, mixed / "autoencoder" / "model.safetensors")
    train_here = ["train", *STEPS, "--output", str(tmp_path / "out"), "--data"]
    cases = [
        ([*sample, str(run), "--condition", "jump"], "condition 'jump': the model knows nod, wave"),
        ([*sample, str(mixed)], "was trained on another autoencoder"),
        ([*sample, str(tmp_path)], "no checkpoint there"),
        ([*train_here, str(tmp_path / "none")], "no such folder"),
        ([*train_here, str(dataset), "--layout", "mug"], "no train clips of the layout mug"),
        ([*train_here, str(dataset), "--stage", "diffusion"], "no autoencoder there yet"),
        ([*train_here, str(dataset), "--trainable", "decoder"], "give --init"),
        ([*train_here, str(dataset), "--size", "36x36"], "hourglass blocks need multiples"),
        (
            ["train", *STEPS, "--output", str(run), "--data", str(dataset), "--size", "64x32"],
            "size is [32, 32], [64, 32] was asked for; choose another --output",
        ),
    ]
    for arguments, message in cases:
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err.strip().splitlines()
        assert message in error[-1], error


def test_videos_that_have_moved_stop_a_run_before_its_first_stage(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(dataset, tmp_path / "dataset")
    sources = tmp_path / "dataset" / "sources.json"
    sources.write_text(sources.read_text().replace("/clips/", "/gone/"))
    assert train(tmp_path / "dataset", tmp_path / "run") == 2
    assert "is missing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_text_conditions_need_a_package_that_is_not_required(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="free text needs transformers, which is optional")
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "wave", "nod"]))
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    encoder = transformers.BertModel(transformers.BertConfig(vocab_size=7, **size)).eval()
    encoder.save_pretrained(tmp_path)
    config = replace(TINY.diffusion, condition="text", text_encoder=str(tmp_path))
    model = LatentFlowDiffusion(config, latent_channels(TINY.autoencoder))
    vectors = model.embed(["wave", None])
    assert vectors is not None
    with torch.no_grad():
        states = encoder(input_ids=torch.tensor([[2, 5, 3]])).last_hidden_state[0]
    torch.testing.assert_close(vectors[0], states[1:].mean(dim=0))
    assert vectors[1].abs().max() == 0


@pytest.mark.skipif(find_spec("transformers") is not None, reason="transformers is installed")
def test_free_text_without_its_package_is_one_line(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert train(dataset, tmp_path / "run", "--condition", "text") == 2
    assert "pip install transformers" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()  # found out before the first stage


@pytest.mark.slow
def test_two_processes_train_as_one_does(run: Path, dataset: Path, tmp_path: Path, no_vgg: Path) -> None:
    shutil.copytree(run / "autoencoder", tmp_path / "autoencoder")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []
    given = ["train", "--data", str(dataset), "--output", str(tmp_path), *STEPS, "--condition", "label"]
    for rank in ("0", "1"):
        launched = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        code = [sys.executable, "-m", "baselines.lfdm", *given, "--stage", "diffusion"]
        started.append(
            subprocess.Popen(
                code, cwd=ROOT, env={**os.environ, **launched, **address}, stderr=subprocess.PIPE, text=True
            )
        )
    errors = [process.communicate(timeout=300)[1][-2000:] for process in started]
    assert [process.returncode for process in started] == [0, 0], errors
    one, two = (read_csv(place / "diffusion" / "log.csv") for place in (run, tmp_path))
    for expected, found in zip(one, two, strict=True):
        for column in ("loss", "flow", "occlusion", "gradient_norm"):
            assert float(found[column]) == pytest.approx(float(expected[column]), rel=2e-3), column
