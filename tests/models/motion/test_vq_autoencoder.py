"""The VQ autoencoder on networks saved here: small ones, and one of ldm-celebahq-256's shape with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from models.motion.autoencoder import autoencoder_loss
from models.motion.vq_autoencoder import VQAutoencoder, VQAutoencoderConfig, load_vq_model

SMALL = VQAutoencoderConfig(block_channels=(8, 8, 16), layers_per_block=1, codes=16, norm_groups=4)
# vqvae/config.json of CompVis/ldm-celebahq-256, from before diffusers knew most of today's options.
PUBLISHED = {
    "_class_name": "VQModel",
    "_diffusers_version": "0.1.2",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "in_channels": 3,
    "latent_channels": 3,
    "layers_per_block": 2,
    "num_vq_embeddings": 8192,
    "out_channels": 3,
    "sample_size": 256,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
}


def save_network(folder: Path, config: VQAutoencoderConfig = SMALL) -> Path:
    torch.manual_seed(0)
    network = config.build_network()
    with torch.no_grad():
        network.quantize.embedding.weight.normal_()  # the codes start so close together that all are alike
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_network(tmp_path_factory.mktemp("vq") / "vqvae")


def load(folder: Path, **changes) -> VQAutoencoder:
    config = VQAutoencoderConfig.from_source(folder)
    config = VQAutoencoderConfig(**(config.to_dict() | changes))
    autoencoder = VQAutoencoder(config, num_frequencies=2)
    autoencoder.load_frozen_weights()
    return autoencoder


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_each_channel_is_a_gray_picture_and_decoding_averages_rgb(folder: Path) -> None:
    autoencoder, network, volume = load(folder), load_vq_model(folder), pictures(2, 2, 4, 16, 24)
    with torch.no_grad():
        latents, decoded = (
            autoencoder.encode(volume),
            autoencoder.decode(autoencoder.encode(volume), pictures(2, 3, 16, 24)),
        )
        assert latents.shape == (2, 2, 12, 4, 6)
        assert decoded.shape == volume.shape
        for photo, frequency, channel in ((0, 0, 0), (0, 1, 3), (1, 0, 2)):
            gray = volume[photo, frequency, channel].expand(1, 3, -1, -1)
            latent = network.encode(gray).latents
            own = latents[photo, frequency, 3 * channel : 3 * channel + 3]
            torch.testing.assert_close(own, latent[0])
            expected = network.decode(latent).sample[0].mean(dim=0)
            torch.testing.assert_close(decoded[photo, frequency, channel], expected, atol=1e-5, rtol=1e-4)


def test_latents_are_not_codes_and_decoding_quantises_unless_told_not_to(folder: Path) -> None:
    plain, smooth, volume = load(folder), load(folder, quantize=False), pictures(1, 2, 4, 16, 24)
    with torch.no_grad():
        latents = plain.encode(volume)
        vectors = latents.reshape(-1, 3, 24).transpose(1, 2).reshape(-1, 3)
        codes = plain.network.quantize.embedding.weight
        distances = torch.cdist(vectors, codes)
        assert (distances.amin(dim=1) > 1e-3).all()
        nearest = codes[distances.argmin(dim=1)].reshape(-1, 24, 3).transpose(1, 2).reshape(latents.shape)
        torch.testing.assert_close(plain.decode(latents), smooth.decode(nearest))
        assert not torch.allclose(plain.decode(latents), smooth.decode(latents))


def test_photographs_are_encoded_to_three_channels(folder: Path) -> None:
    autoencoder, image = load(folder), pictures(9, 3, 16, 24)
    with torch.no_grad():
        encoded = autoencoder.encode_image(image)
        assert encoded.shape == (9, 3, 4, 6)
        torch.testing.assert_close(encoded, autoencoder.network.encode(image).latents)
    with pytest.raises(ValueError, match="pictures of 24x18 can't be encoded: both sides must be multiples of 4"):
        autoencoder.encode_image(pictures(1, 3, 18, 24))


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_pictures_at_once_than_asked_for(folder: Path, at_once: int) -> None:
    autoencoder, batches = load(folder, slices_at_once=at_once), []
    record = lambda layer, values: batches.append(len(values[0]))  # noqa: E731
    autoencoder.network.encoder.register_forward_pre_hook(record)
    autoencoder.network.decoder.register_forward_pre_hook(record)
    with torch.no_grad():
        latents = autoencoder.encode(pictures(3, 2, 4, 16, 16))
        autoencoder.decode(latents)
        autoencoder.encode_image(pictures(9, 3, 16, 16))
    assert max(batches) == 4 * at_once
    assert sum(batches) == 3 * 2 * 4 * 2 + 9


def test_gradients_pass_the_quantisation_one_slice_at_a_time(folder: Path) -> None:
    autoencoder = load(folder)
    latents = autoencoder.encode(pictures(1, 2, 4, 16, 16)).requires_grad_()
    weights = pictures(1, 2, 4, 16, 16)
    (whole,) = torch.autograd.grad((autoencoder.decode(latents) * weights).sum(), latents)
    batches: list[int] = []
    autoencoder.network.decoder.register_forward_pre_hook(lambda layer, values: batches.append(len(values[0])))
    (parts,) = torch.autograd.grad((autoencoder.decode_for_gradient(latents) * weights).sum(), latents)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-4)
    assert whole.abs().amin() > 0
    assert batches == [4] * 4  # two slices, decoded forwards and again on the way back


def test_it_is_frozen_and_stays_in_evaluation_mode(folder: Path) -> None:
    autoencoder = load(folder).train()
    assert not autoencoder.trainable
    assert autoencoder.stages == ()
    assert not any(module.training for module in autoencoder.modules())
    assert not any(parameter.requires_grad for parameter in autoencoder.parameters())
    with pytest.raises(ValueError, match="VQAutoencoder is pretrained and frozen"):
        autoencoder_loss(autoencoder, pictures(1, 4, 16, 16), pictures(1, 3, 16, 16), noise=torch.zeros(1, 12, 4, 4))


def test_random_weights_are_never_used() -> None:
    autoencoder = VQAutoencoder(SMALL, 2)
    for use in (
        lambda: autoencoder.encode(pictures(1, 2, 4, 16, 16)),
        lambda: autoencoder.decode(torch.zeros(1, 2, 12, 4, 4)),
    ):
        with pytest.raises(ValueError, match="no weights yet"):
            use()
    with pytest.raises(ValueError, match="no weights yet"):
        autoencoder.encode_image(pictures(1, 3, 16, 16))


def test_the_folder_around_the_subfolder_serves_too(folder: Path) -> None:
    assert VQAutoencoderConfig.from_source(folder.parent) == VQAutoencoderConfig(
        **(SMALL.to_dict() | {"source": str(folder.parent)})
    )


def test_weights_in_the_hubs_older_format_load_by_the_tensors_old_names(folder: Path, tmp_path: Path) -> None:
    """The hub has a .bin whose attention layers have names from before diffusers' Attention class."""
    names = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}
    state = load_vq_model(folder).state_dict()
    old = {}
    for name, tensor in state.items():
        for new, before in names.items():
            name = name.replace(new, before)
        old[name] = tensor
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "diffusion_pytorch_model.bin")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    loaded = load_vq_model(tmp_path).state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("missing", ["config.json", "diffusion_pytorch_model.safetensors"])
def test_an_incomplete_folder_is_named_in_one_line(tmp_path: Path, missing: str) -> None:
    folder = save_network(tmp_path / "vqvae")
    (folder / missing).unlink()
    with pytest.raises(ValueError, match=rf"vqvae: not a VQModel, {missing}.* missing; give a local copy") as caught:
        load_vq_model(folder)
    assert "\n" not in str(caught.value)


def test_other_folders_and_shapes_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    other = save_network(tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    for change, problem in (
        ({"_class_name": "UNet2DModel"}, "holds a UNet2DModel"),
        ({"block_out_channels": [8, 8, 32]}, "give a local copy"),
        ({"layers_per_block": 2}, "tensors missing or of another shape"),
    ):
        (other / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ValueError, match=problem) as caught:
            load_vq_model(other)
        assert "\n" not in str(caught.value)
    (other / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not a VQModel's configuration"):
        load_vq_model(other)
    with pytest.raises(ValueError, match="tensors don't fit the configured model"):
        load(folder, codes=17)


def test_an_unreachable_hub_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"^nobody/nothing: .*; give a local copy") as caught:
        load_vq_model("nobody/nothing")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_published_configuration_works(tmp_path: Path) -> None:
    folder = save_network(tmp_path / "vqvae", VQAutoencoderConfig())
    (folder / "config.json").write_text(json.dumps(PUBLISHED))
    autoencoder = load(folder)
    assert autoencoder.config == VQAutoencoderConfig(source=str(folder))
    assert round(sum(parameter.numel() for parameter in autoencoder.parameters()) / 1e5) == 553  # 55.3 M
    with torch.no_grad():
        volume = pictures(1, 2, 4, 32, 64)
        latents = autoencoder.encode(volume)
        assert latents.shape == (1, 2, 12, 8, 16)
        assert autoencoder.encode_image(pictures(1, 3, 32, 64)).shape == (1, 3, 8, 16)
        decoded = autoencoder.decode(latents)
    assert decoded.shape == volume.shape
    assert decoded.isfinite().all()
