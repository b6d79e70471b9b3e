"""Presets and configurations of the motion model, built without memory for their weights."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from helpers.motion_models import photographs

from models.motion.config import PRESETS, MotionConfig
from models.motion.kl_autoencoder import KLAutoencoder, KLAutoencoderConfig
from models.motion.model import MotionModel, alphas_cumprod
from models.motion.reference_unet import ReferenceUNetConfig
from models.motion.unet import ResNetCondition, UNetConfig
from models.spectral_volume import SpectralNormalizer
from training.presets import TRAINING_PRESETS

SMALL_PAPER = replace(
    PRESETS["paper"],
    num_frequencies=3,
    autoencoder=replace(PRESETS["paper"].autoencoder, channels=8, head_channels=8),
    unet=replace(PRESETS["paper"].unet, channels=8, head_channels=8),
)


def build(config: MotionConfig) -> MotionModel:
    return MotionModel(config, SpectralNormalizer(config.normalization, (1.0,) * config.num_frequencies)).eval()


def meta(name: str) -> MotionModel:
    with torch.device("meta"):
        return build(PRESETS[name])


def test_each_preset_survives_json() -> None:
    assert set(PRESETS) >= {"default", "tiny", "reference", "paper"}
    assert set(PRESETS) == set(TRAINING_PRESETS), "a preset needs a network and a training"
    for config in PRESETS.values():
        assert MotionConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.slow
def test_each_preset_has_the_stages_of_its_networks() -> None:
    full = ("autoencoder", "slice", "frequency_attention", "decoder")
    stages = {"default": full, "tiny": full, "reference": ("slice",), "paper": full[:3]}
    for name, expected in stages.items():
        model = meta(name)
        assert model.stages == expected
        assert model.autoencoder.trainable == ("autoencoder" in expected)
        assert model.frequency_attention == model.has_frequency_attention == ("frequency_attention" in expected)
        assert (model.image_encoder is not None) == (name == "default")
    with torch.device("meta"):
        assert build(replace(PRESETS["tiny"], joint=True)).stages == ("autoencoder", "slice", "decoder")


def test_reference_has_the_published_networks_and_schedule() -> None:
    model = meta("reference")
    assert round(sum(parameter.numel() for parameter in model.unet.parameters()) / 1e5) == 2751
    assert round(sum(parameter.numel() for parameter in model.autoencoder.parameters()) / 1e5) == 553
    assert (model.autoencoder.downsampling, model.autoencoder.latent_channels) == (4, 12)
    betas = torch.linspace(0.0015**0.5, 0.0195**0.5, 1000, dtype=torch.float64) ** 2
    schedule = alphas_cumprod(model.config).double()
    torch.testing.assert_close(schedule, (1 - betas).cumprod(0), rtol=1e-4, atol=0)
    assert model.config.prediction == "epsilon"
    assert model.config.normalization == "std"


def test_paper_has_the_papers_networks_and_schedule() -> None:
    model = meta("paper")
    autoencoder, unet = model.autoencoder, model.unet
    assert isinstance(autoencoder, KLAutoencoder)
    assert (autoencoder.downsampling, autoencoder.latent_channels) == (4, 4)
    assert isinstance(unet.condition, ResNetCondition)
    assert unet.conv_in.in_channels == 4 + 16  # the photograph is concatenated
    widths = [blocks[0].residual.conv1.out_channels for blocks in unet.down]
    assert widths == [128, 512, 1024]
    attends = [blocks[0].spatial is not None for blocks in unet.down]
    assert attends == [False, True, True]  # at 32 and 16 of a latent map 64 wide
    assert all(block.frequency is not None for blocks in unet.down for block in blocks)
    assert (model.config.prediction, model.config.beta_schedule) == ("epsilon", "scaled_linear")
    assert model.config.normalization == "adaptive"


def test_papers_networks_in_small_sample_and_look_at_the_photograph() -> None:
    torch.manual_seed(0)
    model, images = build(SMALL_PAPER), photographs(2)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    assert model.encode_condition(images).shape == (2, 16, 8, 16)
    both = model.sample(images, [1, 2], steps=2)
    assert both.shape == (2, 3, 4, 32, 64)
    torch.testing.assert_close(both[1:], model.sample(images[1:], [2], steps=2), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(both[1:], model.sample(images[:1], [2], steps=2), rtol=1e-2)


def test_guidance_is_the_configurations_unless_given() -> None:
    torch.manual_seed(0)
    model, image = build(replace(PRESETS["tiny"], guidance=3.0)), photographs()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    own = model.sample(image, [0], steps=2)
    assert torch.equal(own, model.sample(image, [0], steps=2, guidance=3.0))
    assert not torch.allclose(own, model.sample(image, [0], steps=2, guidance=1.0))


def test_impossible_configurations_are_refused() -> None:
    reference = PRESETS["reference"]
    for changes, problem in (
        ({"joint": True}, "denoises single frequencies"),
        ({"autoencoder": KLAutoencoderConfig()}, "sees the photo as VQ latents"),
        ({"unet": ReferenceUNetConfig(condition_channels=4)}, "4 condition channels, the autoencoder gives 3"),
        ({"beta_start": 0.5, "beta_end": 0.1}, "betas from 0.5 to 0.1"),
        ({"prediction": "sample"}, "unknown prediction"),
    ):
        with pytest.raises(ValueError, match=problem):
            replace(reference, **changes)
    with pytest.raises(ValueError, match="unknown condition entry 'top', expected one of levels, input"):
        UNetConfig(condition_entry="top")
