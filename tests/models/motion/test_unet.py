"""The U-Net by itself: shapes, what is the identity before training, what hears of what, and the presets' sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from helpers.motion_models import photographs, tiny_model
from torch import Tensor, nn

from models.motion import config as motion_config
from models.motion.config import PRESETS, MotionConfig
from models.motion.denoiser import AutoencoderConfiguration, Denoiser
from models.motion.model import MotionModel
from models.motion.unet import FrequencyAttention, SpectralUNet, UNetBlock, UNetConfig
from models.spectral_volume import SpectralNormalizer

SMALL = PRESETS["tiny"].unet
K, C, HEIGHT, WIDTH = 4, 3, 4, 8


def make_unet(config: UNetConfig = SMALL, joint: bool = False, randomise: bool = True) -> SpectralUNet:
    torch.manual_seed(0)
    unet = SpectralUNet(config, K, latent_channels=C, joint=joint).eval()
    if randomise:
        for parameter in unet.parameters():
            nn.init.normal_(parameter, std=0.1)
    return unet


def inputs(photos: int = 2, frequencies: int = K) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(photos, frequencies, C, HEIGHT, WIDTH, generator=generator)
    return latents, torch.full((photos,), 300), torch.arange(frequencies).expand(photos, frequencies)


def condition_of(unet: SpectralUNet, photos: int = 2) -> Tensor:
    return unet.encode_condition(photographs(photos, (8 * HEIGHT, 8 * WIDTH)))


@pytest.mark.parametrize("entry", ["levels", "input"])
@pytest.mark.parametrize("joint", [False, True])
@torch.no_grad()
def test_the_prediction_has_the_latents_shape_at_any_size(entry: str, joint: bool) -> None:
    unet = make_unet(replace(SMALL, condition_entry=entry), joint=joint)
    latents, timestep, index = inputs()
    assert unet(latents, timestep, index, condition_of(unet)).shape == latents.shape
    upright = latents.transpose(-1, -2)
    condition = condition_of(unet).transpose(-1, -2)
    assert unet(upright, timestep, index, condition).shape == upright.shape
    if not joint:
        some = unet(latents[:, :2], timestep, index[:, 2:], condition_of(unet), False)
        assert some.shape == latents[:, :2].shape


@torch.no_grad()
def test_blocks_and_frequency_attention_are_the_identity_before_training() -> None:
    torch.manual_seed(0)
    shape = {"num_frequencies": K, "in_channels": 16, "level": 1, "embedding_channels": 12}
    block = UNetBlock(SMALL, **shape, joint=False).eval()
    assert block.spatial is not None
    x, embedding = torch.randn(2 * K, 16, HEIGHT, WIDTH), torch.randn(2 * K, 12)
    assert torch.equal(block(x, embedding, False), x)
    assert torch.equal(block(x, embedding, True), x)
    unet = make_unet(randomise=False)
    given = (*inputs(), condition_of(unet))
    assert torch.equal(unet(*given, True), unet(*given, False))


@torch.no_grad()
def test_frequency_attention_is_attention_over_the_frequencies_of_one_position() -> None:
    """By the definition, for one head: softmax(q k / sqrt(c)) v over the K tokens of a photo at a position."""
    torch.manual_seed(0)
    layer = FrequencyAttention(8, K, 8)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2 * K, 8, HEIGHT, WIDTH)
    out = layer(x)
    photo, row, column = 1, 2, 5
    tokens = layer.norm(x)[photo * K : (photo + 1) * K, :, row, column] + layer.position
    query, key, value = layer.attention.to_qkv(tokens).chunk(3, dim=1)
    weights = (query @ key.T / 8**0.5).softmax(dim=1)
    expected = x[photo * K : (photo + 1) * K, :, row, column] + layer.attention.to_out(weights @ value)
    torch.testing.assert_close(out[photo * K : (photo + 1) * K, :, row, column], expected)


@torch.no_grad()
def test_frequencies_of_a_photo_hear_of_each_other_through_frequency_attention_alone() -> None:
    unet = make_unet()
    latents, timestep, index = inputs()
    changed = latents.clone()
    changed[0, 3] += 1
    condition = condition_of(unet)
    for attention in (True, False):
        outputs = [unet(z, timestep, index, condition, attention) for z in (latents, changed)]
        difference = (outputs[1] - outputs[0]).abs().amax(dim=(2, 3, 4))
        assert (difference[0, :3] > 1e-6).all() == attention
        assert difference[0, 3] > 0
        assert difference[1].max() < 1e-6  # the other photo
    with pytest.raises(ValueError, match="frequency attention needs all 4 frequencies, got 2"):
        unet(latents[:, :2], timestep, index[:, :2], condition, True)


@pytest.mark.parametrize("entry", ["levels", "input"])
@torch.no_grad()
def test_photo_timestep_and_frequency_reach_the_output(entry: str) -> None:
    unet = make_unet(replace(SMALL, condition_entry=entry))
    latents, timestep, index = inputs()
    condition = condition_of(unet)
    plain = unet(latents, timestep, index, condition, False)
    other_photo = condition.clone()
    other_photo[1] = 0
    difference = (unet(latents, timestep, index, other_photo, False) - plain).abs().amax(dim=(2, 3, 4))
    assert (difference[1] > 1e-6).all()
    assert not difference[0].any()  # its own photo alone
    assert not torch.allclose(unet(latents, timestep + 300, index, condition, False), plain)
    assert not torch.allclose(unet(latents, timestep, index.flip(1), condition, False), plain)


def test_only_its_own_layers_are_frequency_parameters() -> None:
    unet = make_unet()
    own = {id(parameter) for parameter in unet.frequency_parameters()}
    named = {name for name, parameter in unet.named_parameters() if id(parameter) in own}
    assert named == {name for name, _ in unet.named_parameters() if ".frequency." in name}
    assert named
    assert make_unet(joint=True).frequency_parameters() == []


@pytest.mark.parametrize(
    ("name", "count"), [("default", 9_513_108), ("tiny", 48_446), ("paper", 242_483_092), ("reference", 275_103_820)]
)
def test_presets_have_the_parameters_of_the_weights_that_were_trained_with_them(name: str, count: int) -> None:
    config = PRESETS[name]
    with torch.device("meta"):
        autoencoder = config.autoencoder.build(config.num_frequencies)
        unet = config.unet.build(
            num_frequencies=config.num_frequencies,
            latent_channels=config.autoencoder.latent_channels,
            joint=config.joint,
            image_downsampling=autoencoder.downsampling,
        )
    assert sum(parameter.numel() for parameter in unet.parameters()) == count


@dataclass(frozen=True)
class FlatConfig:
    """The smallest denoiser that there could be."""

    gain: float = 0.5

    def check(self, *, joint: bool, autoencoder: AutoencoderConfiguration) -> None:
        if joint:
            raise ValueError("no joint model")

    def build(self, *, num_frequencies: int, latent_channels: int, joint: bool, image_downsampling: int) -> Denoiser:
        return FlatDenoiser(self.gain)


class FlatDenoiser(Denoiser):
    downsampling = 1

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, latents, timestep, frequency_index, condition, frequency_attention):
        return self.gain * latents + condition.mean()

    def encode_condition(self, image, *, encode_image=None):
        return image[:, :1]


def test_a_new_denoiser_is_one_entry_in_the_registry(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(motion_config.UNETS, "flat", FlatConfig)
    config = replace(PRESETS["tiny"], unet=FlatConfig(gain=0.25))
    model = MotionModel(config, SpectralNormalizer("adaptive", (1.0,) * config.num_frequencies)).eval()
    assert model.stages == ("autoencoder", "slice", "decoder")
    assert (model.size_multiple, model.image_encoder, model.frequency_attention) == (8, None, False)
    model.save_pretrained(tmp_path / "c")
    again = MotionModel.from_pretrained(tmp_path / "c")
    assert again.config == config == MotionConfig.from_dict(config.to_dict())
    sample = again.sample(photographs(), [0], steps=2)
    assert torch.equal(sample, model.sample(photographs(), [0], steps=2))
    with pytest.raises(ValueError, match="no joint model"):
        replace(config, joint=True)
    with pytest.raises(ValueError, match="a FlatDenoiser takes no weights that were trained elsewhere"):
        model.unet.load_reference({})


def test_the_image_encoder_of_another_checkpoint_is_taken_over(tmp_path) -> None:
    config = replace(PRESETS["tiny"], unet=replace(SMALL, image_encoder="efficientnet_lite0"))
    first, second = (MotionModel(config, SpectralNormalizer("adaptive", (1.0,) * K)) for _ in range(2))
    first.save_pretrained(tmp_path / "first")
    second.load_image_encoder(tmp_path / "first")
    for name, value in first.image_encoder.state_dict().items():
        assert torch.equal(value, second.image_encoder.state_dict()[name])
    assert not torch.equal(first.unet.conv_in.weight, second.unet.conv_in.weight)
    tiny_model().save_pretrained(tmp_path / "without")
    with pytest.raises(ValueError, match=r"without: its model has no image encoder"):
        second.load_image_encoder(tmp_path / "without")
    with pytest.raises(ValueError, match="no image encoder weights there"):
        second.load_image_encoder(tmp_path / "nowhere")
