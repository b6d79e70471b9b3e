"""The reference implementation's U-Net: its shape, its weights from elsewhere, and whole models made of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.motion_models import photographs
from safetensors.torch import save_file

from models.motion.model import REFERENCE_STD, MotionModel
from models.motion.reference_unet import ReferenceUNet, ReferenceUNetConfig
from models.motion.vq_autoencoder import VQAutoencoderConfig

SMALL = ReferenceUNetConfig(block_channels=(8, 8, 16, 16), layers_per_block=1, norm_groups=4, slices_at_once=3)
STD = REFERENCE_STD[:4]


def trained_elsewhere() -> Any:
    """A small network of the reference implementation's class and channels."""
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    return UNet2DModel(
        in_channels=15,
        out_channels=12,
        class_embed_type="timestep",
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        norm_num_groups=4,
    ).eval()


@pytest.fixture(scope="module")
def vqvae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("vq") / "vqvae"
    config = VQAutoencoderConfig(block_channels=(8, 8, 16), layers_per_block=1, codes=16, norm_groups=4)
    config.build_network().save_pretrained(folder)
    return folder


def small_model(vqvae: Path, unet: object = None) -> MotionModel:
    source = trained_elsewhere().state_dict() if unet is None else unet
    return MotionModel.from_reference(source, vqvae, std=STD, unet_config=SMALL)


def test_the_default_is_diffusers_default_with_15_and_12_channels_and_275_million_parameters() -> None:
    from diffusers import UNet2DModel

    with torch.device("meta"):
        ours = ReferenceUNet(ReferenceUNetConfig(), 12)
        theirs = UNet2DModel(in_channels=15, out_channels=12, class_embed_type="timestep")
    unwritten = {"_use_default_values"}  # which arguments were given, not what they are
    configs = [{k: v for k, v in n.config.items() if k not in unwritten} for n in (ours.network, theirs)]
    assert configs[0] == configs[1]
    shapes = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.shape for name, tensor in ours.network.state_dict().items()} == shapes
    assert round(sum(parameter.numel() for parameter in ours.parameters()) / 1e5) == 2751
    assert ours.downsampling == 8
    assert ours.frequency_parameters() == []


@pytest.mark.parametrize("layout", ["folder", "file", "state dict"])
def test_weights_trained_elsewhere_give_what_their_own_network_gives(tmp_path: Path, layout: str) -> None:
    """One frequency after the other: slice, then photograph, along the channels; the index as class label."""
    network = trained_elsewhere()
    if layout == "folder":
        network.save_pretrained(tmp_path / "unet")
    else:
        save_file(network.state_dict(), tmp_path / "unet.safetensors")
    sources = {"folder": tmp_path / "unet", "file": tmp_path / "unet.safetensors", "state dict": network.state_dict()}
    unet = ReferenceUNet(SMALL, 12).eval()
    unet.load_reference(sources[layout])
    latents, condition = torch.randn(2, 4, 12, 8, 16), torch.randn(2, 3, 8, 16)
    timestep, index, batches = torch.tensor([7, 600]), torch.arange(4).expand(2, 4), []
    unet.network.register_forward_pre_hook(lambda layer, values: batches.append(len(values[0])))
    with torch.no_grad():
        output = unet(latents, timestep, index, condition)
        for photo in range(2):
            for k in range(4):
                alone = torch.cat([latents[photo, k], condition[photo]])[None]
                expected = network(alone, timestep[photo], class_labels=torch.tensor([k])).sample[0]
                torch.testing.assert_close(output[photo, k], expected, atol=1e-5, rtol=1e-4)
    assert batches == [3, 3, 2]  # all slices of the batch, three at a time


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    unet, state = ReferenceUNet(SMALL, 12), dict(trained_elsewhere().state_dict())
    for name in ("conv_in.weight", "class_embedding.linear_1.weight"):
        with pytest.raises(ValueError, match=f"1 tensors don't fit the configured model: {name} missing"):
            unet.load_reference({key: value for key, value in state.items() if key != name})
    with pytest.raises(ValueError, match="1 tensors don't fit the configured model: extra"):
        unet.load_reference(state | {"extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"give a folder with diffusion_pytorch_model.safetensors"):
        unet.load_reference(tmp_path)
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"can't be read as safetensors"):
        unet.load_reference(tmp_path / "broken.safetensors")


def test_bfloat16_weights_work_and_say_about_the_same() -> None:
    unet = ReferenceUNet(SMALL, 12).eval()
    inputs = (torch.randn(1, 4, 12, 8, 16), torch.tensor([300]), torch.arange(4)[None], torch.randn(1, 3, 8, 16))
    with torch.no_grad():
        exact = unet(*inputs)
        rough = unet.to(torch.bfloat16, memory_format=torch.channels_last)(*inputs)
    assert rough.dtype == torch.float32
    assert (rough - exact).square().mean().sqrt() < 0.03 * exact.square().mean().sqrt()


def test_normalisation_is_by_2_82_standard_deviations_in_the_units_of_the_weights(vqvae: Path) -> None:
    """Their coefficients are not divided by the number of frames, ours are: the normalised values are the same."""
    model = small_model(vqvae)
    motion = torch.randn(149, 2, 8, 8)
    theirs = torch.fft.rfft(motion, dim=0)[:4]
    ours = torch.view_as_real(theirs / 149).permute(0, 4, 1, 2, 3).flatten(1, 2)[None]
    normalized = model.normalizer.normalize(ours)
    for k, std in enumerate(STD):
        torch.testing.assert_close(normalized[0, k, :2], theirs[k].real / (2.82 * std))
        torch.testing.assert_close(normalized[0, k, 2:], theirs[k].imag / (2.82 * std))


@pytest.mark.slow
def test_a_photographs_frequencies_are_sampled_together_and_conditions_are_its_latents(vqvae: Path) -> None:
    model, images, calls = small_model(vqvae), photographs(2), []
    assert (model.size_multiple, model.stages, model.frequency_attention) == (32, ("slice",), False)
    torch.testing.assert_close(model.encode_condition(images), model.autoencoder.encode_image(images))
    model.unet.register_forward_pre_hook(lambda layer, values: calls.append(tuple(values[0].shape)))
    both = model.sample(images, [3, 4], steps=2)
    assert calls == [(2, 4, 12, 8, 16)] * 2  # no second call: without guidance
    assert both.shape == (2, 4, 4, 32, 64)
    torch.testing.assert_close(both[1:], model.sample(images[1:], [4], steps=2), atol=1e-4, rtol=1e-3)
    guided = model.sample(images[:1], [3], steps=2, loop_guidance=100.0, recurrence=1)
    assert guided.isfinite().all()
    assert not torch.allclose(guided, both[:1])


@pytest.mark.slow
def test_a_checkpoint_holds_all_weights_and_needs_no_source(vqvae: Path, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere"
    shutil.copytree(vqvae, source)
    model, image = small_model(source), photographs()
    expected = model.sample(image, [0], steps=2)
    model.save_pretrained(tmp_path / "checkpoint")
    shutil.rmtree(source)
    again = MotionModel.from_pretrained(tmp_path / "checkpoint")
    assert again.config == model.config
    assert again.config.autoencoder.source == str(source)
    assert torch.equal(again.sample(image, [0], steps=2), expected)
    path = tmp_path / "checkpoint" / "config.json"
    config = json.loads(path.read_text())
    config["model"]["unet"]["kind"] = "other"
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"model.unet.kind is 'other', expected one of spectral, reference"):
        MotionModel.from_pretrained(tmp_path / "checkpoint")
