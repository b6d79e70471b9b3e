"""The video autoencoder, the discriminators and the conditioning encoder: sizes, shapes and what depends on what."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from baselines.cinn.config import DiscriminatorConfig, FlowConfig, ModelConfig, VideoConfig
from baselines.cinn.networks.condition import ConditionDecoder, ConditionEncoder
from baselines.cinn.networks.decoder import SpatialNorm, VideoDecoder
from baselines.cinn.networks.flow import ConditionalFlow
from baselines.cinn.networks.patches import PatchDiscriminator, frame_choice
from baselines.cinn.networks.resnet import TemporalDiscriminator, VideoEncoder
from baselines.cinn.presets import PRESETS
from common.plain import from_plain

TINY = PRESETS["tiny"]
NARROW = (4, 4, 4, 4, 4)


def millions(network: nn.Module) -> float:
    """Parameters in millions, to two decimals as they are published."""
    return round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), [("bair", 152.79), ("landscape", 40.87)])
def test_published_decoders_have_the_published_parameters(name: str, expected: float) -> None:
    with torch.device("meta"):
        assert millions(VideoDecoder(PRESETS[name].model.video)) == expected


@pytest.mark.parametrize(
    ("name", "encoder", "condition", "flow"),
    [("bair", 73.64, 23.72, 47.31), ("landscape", 40.46, 24.03, 49.94), ("fire", 38.80, 23.98, 49.94)],
)
def test_published_encoders_and_flows_have_the_published_parameters(
    name: str, encoder: float, condition: float, flow: float
) -> None:
    model = PRESETS[name].model
    with torch.device("meta"):
        assert millions(VideoEncoder(model.video)) == encoder
        assert millions(ConditionEncoder(model.condition)) == condition
        assert millions(ConditionalFlow(model.flow)) == flow


@pytest.mark.slow
def test_discriminators_and_the_controlled_flow_have_the_published_parameters() -> None:
    with torch.device("meta"):
        assert millions(TemporalDiscriminator(PRESETS["bair"].discriminators)) == 37.75
        assert millions(PatchDiscriminator()) == 2.77
        assert millions(ConditionalFlow(FlowConfig(condition=64, control=3))) == 47.56


def narrow(name: str) -> tuple[VideoConfig, DiscriminatorConfig]:
    """A published configuration with few channels."""
    preset = PRESETS[name]
    video = replace(preset.model.video, encoder_channels=NARROW, width=1, code=4)
    return video, replace(preset.discriminators, temporal_channels=NARROW, spatial_width=1)


@pytest.mark.parametrize("name", ["bair", "landscape"])
def test_published_sizes_pass_all_networks(name: str) -> None:
    video, discriminators = narrow(name)
    width, height = video.size
    clip = torch.rand(1, 16, 3, height, width)
    with torch.no_grad():
        mean, log_variance = VideoEncoder(video)(clip)
        assert mean.shape == log_variance.shape == (1, 4)
        frames = VideoDecoder(video)(clip[:, 0], mean)
        assert frames.shape == clip.shape
        assert frames.abs().max() <= 1
        logits, features = TemporalDiscriminator(discriminators)(clip[:, :12])
        assert logits.shape == (1,)
        assert features[-1].shape[2:] == (1, 4, 4)
        side = 6 if name == "bair" else 14
        assert PatchDiscriminator(1)(clip[0, :2]).shape == (2, 1, side, side)


def test_sizes_need_not_be_square() -> None:
    video = narrow("fire")[0]
    assert replace(video, size=(256, 160)).base == (5, 8)
    video = replace(video, size=(256, 128))
    assert video.base == (4, 8)
    clip = torch.rand(1, 16, 3, 128, 256)
    with torch.no_grad():
        mean, _ = VideoEncoder(video)(clip)
        assert VideoDecoder(video)(clip[:, 0], mean).shape == clip.shape


def test_configurations_that_do_not_fit_are_refused() -> None:
    video = TINY.model.video
    with pytest.raises(ValueError, match="multiples of 16"):
        replace(video, size=(50, 32))
    with pytest.raises(ValueError, match="32 frames, but the encoder's strides lead from 16"):
        replace(video, frames=32)
    with pytest.raises(ValueError, match="shrinks pictures by 16, the decoder enlarges 32"):
        replace(video, decoder_space=(2, 2, 2, 2, 2))
    with pytest.raises(ValueError, match="an even number"):
        replace(video, code=7)
    with pytest.raises(ValueError, match="embeddings of 8"):
        replace(TINY.model, condition=replace(TINY.model.condition, size=4))


def test_configurations_survive_being_plain_values() -> None:
    for preset in PRESETS.values():
        assert from_plain(ModelConfig, preset.model.to_plain()) == preset.model
    with pytest.raises(ValueError, match="unknown key 'colour'"):
        from_plain(ModelConfig, {**TINY.model.to_plain(), "colour": 1})


def test_clips_and_photos_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"takes clips \[B, 16, 3, 32, 48\], got \[1, 15, 3, 32, 48\]"):
        VideoEncoder(TINY.model.video)(torch.zeros(1, 15, 3, 32, 48))
    with pytest.raises(ValueError, match="photos of 48x32, got 64x32"):
        VideoDecoder(TINY.model.video)(torch.zeros(1, 3, 32, 64), torch.zeros(1, 8))


def test_the_decoder_listens_to_photo_and_code() -> None:
    torch.manual_seed(0)
    decoder = VideoDecoder(TINY.model.video).eval()
    photo, code = torch.rand(1, 3, 32, 48, requires_grad=True), torch.randn(1, 8, requires_grad=True)
    gradients = torch.autograd.grad(decoder(photo, code).square().sum(), (photo, code))
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_a_decoder_that_starts_as_the_photo_repeats_it_before_training_and_stays_in_range() -> None:
    torch.manual_seed(0)
    decoder = VideoDecoder(replace(TINY.model.video, start="photo")).eval()
    photo, code = 2 * torch.rand(1, 3, 32, 48) - 1, torch.randn(1, 8)
    with torch.no_grad():
        torch.testing.assert_close(decoder(photo, code), photo[:, None].expand(-1, 16, -1, -1, -1))
        nn.init.constant_(decoder.out.bias, 30.0)
        assert decoder(photo, code).max() == 1
    with pytest.raises(ValueError, match="start 'still': expected noise or photo"):
        replace(TINY.model.video, start="still")


def test_an_encoder_that_sees_flow_tells_directions_apart() -> None:
    torch.manual_seed(0)
    encoder = VideoEncoder(replace(TINY.model.video, encoder_sees="flow")).eval()
    photo = 0.5 * torch.rand(1, 3, 4, 6).repeat_interleave(8, 2).repeat_interleave(8, 3)
    still = photo[:, None].expand(-1, 16, -1, -1, -1)
    right, left = (torch.cat([still[:, :8], still[:, 8:].roll(sign, dims=-1)], dim=1) for sign in (1, -1))
    with torch.no_grad():
        (one, log_variance), (other, _) = (encoder(clip, photo) for clip in (right, left))
        brighter, _ = encoder(right + 0.3, photo + 0.3)
    assert (one - other).abs().max() > 0.1
    torch.testing.assert_close(brighter, one, atol=1e-2, rtol=1e-2)  # of the picture itself nothing is seen
    assert log_variance.max() < -7
    with pytest.raises(ValueError, match="sees flow and needs the photo"):
        encoder(still)
    with pytest.raises(ValueError, match="encoder_sees 'sound': expected frames or flow"):
        replace(TINY.model.video, encoder_sees="sound")


def test_the_photo_normalises_each_place_the_same_at_all_times() -> None:
    torch.manual_seed(0)
    norm = SpatialNorm(8)
    nn.init.normal_(norm.gamma.weight)
    x = torch.randn(1, 8, 1, 4, 6).expand(-1, -1, 3, -1, -1)
    first, second = norm(x, torch.rand(1, 3, 32, 48)), norm(x, torch.rand(1, 3, 32, 48))
    torch.testing.assert_close(first[:, :, 0], first[:, :, 2])
    assert not torch.allclose(first, second)


@pytest.mark.parametrize(("spectral", "count"), [("all", 21), ("first_blocks", 12)])
def test_spectral_normalisation_of_the_temporal_discriminator(spectral, count: int) -> None:
    network = TemporalDiscriminator(replace(TINY.discriminators, spectral=spectral))
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
    assert len(convolutions) == 21
    assert sum(map(parametrize.is_parametrized, convolutions)) == count


def test_the_photos_embedding_is_the_mode_and_its_decoder_gives_the_photos_size() -> None:
    torch.manual_seed(0)
    encoder, photo = ConditionEncoder(TINY.model.condition).eval(), torch.rand(2, 3, 40, 56)
    mean, log_variance = encoder.distribution(photo)
    assert torch.equal(encoder(photo), mean)
    assert mean.shape == log_variance.shape == (2, 8)
    assert ConditionDecoder(TINY.model.condition, (56, 40))(mean).shape == photo.shape


def test_frames_are_chosen_once_each() -> None:
    chosen = frame_choice(7, 5, torch.Generator().manual_seed(0))
    assert len(set(chosen.tolist())) == 5
    assert len(frame_choice(3, 5, torch.Generator())) == 3
