import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.motion_models import photographs, tiny_model

from models.choices import SAMPLERS
from models.motion.autoencoder import (
    AutoencoderConfig,
    SpectralAutoencoder,
    autoencoder_loss,
    convex_upsample,
    multiscale_gradient_loss,
)
from models.motion.diffusion import loop_loss, predicted_clean_and_noise
from models.motion.image_encoder import EfficientNetLite0
from models.motion.model import PRESETS, MotionConfig, MotionModel, alphas_cumprod, diffusion_loss
from models.motion.unet import SpectralUNet
from models.spectral_volume import SpectralNormalizer, rms_amplitude
from training.motion.calibration import calibrate_amplitude, limit_amplitude, measure_latent_statistics
from training.motion.model import prepare_stage, slices_a_photo, untrained_model, with_joint_unet
from training.presets import StageConfig


def test_autoencoder_shapes_guidance_and_loss():
    torch.manual_seed(0)
    config = AutoencoderConfig(latent_channels=3, channels=8, deep_channels=16, blocks=1)
    model = SpectralAutoencoder(config, num_frequencies=2)
    volume, image = torch.randn(2, 2, 4, 16, 24), photographs(2, (16, 24))
    latents = model.encode(volume)
    assert latents.shape == (2, 2, 3, 2, 3)
    decoded = model.decode(latents, image)
    assert decoded.shape == volume.shape
    assert not torch.equal(decoded, model.decode(latents, -image))  # the photograph guides the decoder
    losses = autoencoder_loss(model, volume.flatten(0, 1), image, noise=torch.zeros(4, 3, 2, 3))
    losses["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with pytest.raises(ValueError, match="multiples of 8"):
        model.encode(torch.zeros(1, 1, 4, 12, 16))


def test_convex_upsampling_shares_weights_in_a_group_and_stays_in_range():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(4, 2, 3, 5, generator=generator)
    weights = 3 * torch.randn(2, 9 * 4, 3, 5, generator=generator)
    fine = convex_upsample(coarse, weights, 2)
    assert fine.shape == (4, 2, 6, 10)
    assert fine.amax() <= coarse.amax()
    assert fine.amin() >= coarse.amin()
    # Pixel (1, 2) of map 3, its lower right quarter, by the definition.
    shares = weights[1].view(9, 2, 2, 3, 5)[:, 1, 1, 1, 2].softmax(dim=0).view(3, 3)
    torch.testing.assert_close(fine[3, 1, 3, 5], (shares * coarse[3, 1, 0:3, 1:4]).sum())
    centre = torch.full((1, 9 * 4, 3, 5), -50.0)
    centre.view(1, 9, 4, 3, 5)[:, 4] = 50
    torch.testing.assert_close(
        convex_upsample(coarse, centre, 2), coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    )


def test_gradient_loss_ignores_a_constant_and_sees_an_edge():
    target = torch.zeros(1, 4, 16, 16)
    assert multiscale_gradient_loss(target + 3, target) == 0
    edge = target.clone()
    edge[..., 8:] = 1
    assert multiscale_gradient_loss(edge, target) > 0


def test_whitened_latents_have_unit_variance_per_frequency_and_channel():
    model = tiny_model()
    generator = torch.Generator().manual_seed(0)
    volumes = [torch.randn(1, 4, 4, 32, 64, generator=generator) * 3 for _ in range(3)]
    measure_latent_statistics(model, volumes)
    latents = torch.cat([model.encode_volume(v) for v in volumes])
    torch.testing.assert_close(latents.mean(dim=(0, 3, 4)), torch.zeros(4, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std(dim=(0, 3, 4), unbiased=False), torch.ones(4, 2), atol=1e-3, rtol=0)
    index = torch.tensor([[2, 0]])  # chosen slices are normalised and whitened like the same ones of the whole
    torch.testing.assert_close(model.encode_volume(volumes[0][:, [2, 0]], index), latents[:1, [2, 0]])


def test_normalising_chosen_slices_uses_each_ones_own_scale():
    normalizer = SpectralNormalizer("std", (1.0, 2.0, 4.0))
    out = normalizer.normalize(torch.ones(2, 2, 4, 1, 1), torch.tensor([[0, 2], [1, 1]]))
    assert out[..., 0, 0, 0].tolist() == [[1.0, 0.25], [0.5, 0.5]]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_prediction_converts_to_clean_and_noise(prediction):
    clean, noise = torch.randn(2, 5), torch.randn(2, 5)
    alpha, sigma = 0.8, 0.6
    noisy = alpha * clean + sigma * noise
    output = noise if prediction == "epsilon" else alpha * noise - sigma * clean
    found = predicted_clean_and_noise(prediction, output, noisy, alpha, sigma)
    torch.testing.assert_close(found, (clean, noise))


def test_schedule_is_the_cosine_schedule():
    schedule = alphas_cumprod(MotionConfig())
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    expected = (
        torch.cos((t + 0.008) / 1.008 * torch.pi / 2) ** 2 / torch.cos(torch.tensor(0.008 / 1.008 * torch.pi / 2)) ** 2
    )
    torch.testing.assert_close(schedule[:900].double(), expected[:900], atol=1e-4, rtol=1e-3)


def test_perfect_prediction_has_no_loss_and_dropped_condition_hides_the_photograph():
    model = tiny_model()
    model.frequency_attention = True
    latents, noise = torch.randn(2, 4, 2, 4, 8), torch.randn(2, 4, 2, 4, 8)
    index, timestep = torch.arange(4).expand(2, 4), torch.tensor([100, 900])
    schedule = alphas_cumprod(model.config)

    def loss(image, keep):
        return diffusion_loss(
            model,
            latents,
            frequency_index=index,
            image=image,
            keep_condition=keep,
            timestep=timestep,
            noise=noise,
            schedule=schedule,
        )

    image = photographs(2)
    kept, dropped = torch.tensor([True, True]), torch.tensor([False, False])
    assert loss(image, kept).shape == (2, 4)
    assert not torch.equal(loss(image, kept), loss(-image, kept))
    torch.testing.assert_close(loss(image, dropped), loss(-image, dropped))


def test_frequency_attention_starts_as_identity_and_joins_frequencies_of_one_photograph_only():
    model = tiny_model(randomise=False)
    latents, index = torch.randn(2, 4, 2, 4, 8), torch.arange(4).expand(2, 4)
    condition = model.unet.encode_condition(photographs(2))
    run = lambda z, joint: model.unet(z, torch.tensor([5, 5]), index, condition, joint)  # noqa: E731
    with torch.no_grad():
        torch.testing.assert_close(run(latents, True), run(latents, False))
        model = tiny_model()
        condition = model.unet.encode_condition(photographs(2))
        changed = latents.clone()
        changed[0, 3] += 1
        difference = (run(changed, True) - run(latents, True)).abs().amax(dim=(2, 3, 4))
        assert (difference[0] > 0).all()  # every frequency of the first photograph hears of it
        assert difference[1].max() < 1e-6  # the second photograph does not
        alone = (run(changed, False) - run(latents, False)).abs().amax(dim=(2, 3, 4))
        assert alone[0, :3].max() < 1e-6


def test_joint_network_hears_all_frequencies_of_one_photograph_and_has_no_embedding_of_them():
    model = tiny_model(joint=True)
    assert model.unet.frequency_embedding is None
    assert not model.unet.frequency_parameters()
    assert model.unet.conv_in.in_channels == model.unet.conv_out.out_channels == 4 * 2
    latents, index = torch.randn(2, 4, 2, 4, 8), torch.arange(4).expand(2, 4)
    condition = model.unet.encode_condition(photographs(2))
    with torch.no_grad():
        run = lambda z: model.unet(z, torch.tensor([5, 5]), index, condition, model.frequency_attention)  # noqa: E731
        changed = latents.clone()
        changed[0, 3] += 1
        difference = (run(changed) - run(latents)).abs().amax(dim=(2, 3, 4))
    assert run(latents).shape == latents.shape
    assert (difference[0] > 0).all()
    assert difference[1].max() < 1e-6
    with pytest.raises(ValueError, match="a joint network needs all 4 frequencies, got 2"):
        model.unet(latents[:, :2], torch.tensor([5, 5]), index[:, :2], condition)


def test_joint_network_is_the_two_dimensional_network_on_stacked_latents():
    joint = tiny_model(joint=True)
    plain = SpectralUNet(joint.config.unet, 1, latent_channels=4 * 2)  # one "frequency" of K C channels
    for parameter in plain.frequency_embedding.parameters():
        torch.nn.init.zeros_(parameter)
    assert not plain.load_state_dict(joint.unet.state_dict(), strict=False).unexpected_keys
    latents, index = torch.randn(2, 4, 2, 4, 8), torch.zeros(2, 1, dtype=torch.long)
    condition, timestep = joint.unet.encode_condition(photographs(2)), torch.tensor([5, 600])
    expected = plain(latents.reshape(2, 1, 8, 4, 8), timestep, index, condition, False)
    torch.testing.assert_close(joint.unet(latents, timestep, index, condition), expected.reshape(2, 4, 2, 4, 8))


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sample_depends_on_its_own_seed_alone(sampler, joint):
    model, images = tiny_model(joint=joint), photographs(2)
    both = model.sample(images, [4, 9], steps=3, sampler=sampler)
    alone = model.sample(images[1:], [9], steps=3, sampler=sampler)
    assert both.shape == (2, 4, 4, 32, 64)
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(alone, model.sample(images[1:], [10], steps=3, sampler=sampler))


@pytest.mark.parametrize("joint", [False, True])
def test_guidance_and_other_shapes(joint):
    model = tiny_model(joint=joint)
    upright = photographs(1, (64, 32))
    plain = model.sample(upright, [0], steps=2)
    assert plain.shape == (1, 4, 4, 64, 32)
    for guidance in (0.0, 2.0):
        assert not torch.allclose(plain, model.sample(upright, [0], steps=2, guidance=guidance))
    with pytest.raises(ValueError, match="multiples of 16"):
        model.sample(photographs(1, (24, 64)), [0])
    with pytest.raises(ValueError, match="as many seeds"):
        model.sample(upright, [0, 1])
    with pytest.raises(ValueError, match="unknown sampler"):
        model.sample(upright, [0], sampler="euler")


@pytest.mark.parametrize("joint", [False, True])
def test_loop_guidance_slows_the_wrap_around(joint):
    model, image = tiny_model(joint=joint), photographs()
    plain = loop_loss(model.sample(image, [1], steps=8), model.config.num_frames)
    guided = loop_loss(model.sample(image, [1], steps=8, loop_guidance=200.0), model.config.num_frames)
    assert guided < plain


@pytest.mark.parametrize("joint", [False, True])
def test_checkpoint_round_trip_samples_the_same(tmp_path, joint):
    model, image = tiny_model(joint=joint), photographs()
    model.amplitude_gain.fill_(1.5)
    model.save_pretrained(tmp_path / "c")
    again = MotionModel.from_pretrained(tmp_path / "c")
    assert again.config == model.config
    assert again.normalizer == model.normalizer
    assert again.frequency_attention == model.frequency_attention == (not joint)
    torch.testing.assert_close(again.sample(image, [0], steps=2), model.sample(image, [0], steps=2))


def test_checkpoints_from_before_the_ablation_options_load(tmp_path: Path):
    model, image = tiny_model(), photographs()
    model.save_pretrained(tmp_path / "c")
    path = tmp_path / "c" / "config.json"
    config = json.loads(path.read_text())
    assert config["model"].pop("joint") is False
    assert config["model"]["normalizer"].pop("axis_scales") == [1.0, 1.0]
    path.write_text(json.dumps(config))
    again = MotionModel.from_pretrained(tmp_path / "c")
    assert torch.equal(again.sample(image, [0], steps=2), model.sample(image, [0], steps=2))


def test_joint_model_takes_over_the_autoencoder_and_draws_all_slices():
    model = tiny_model()
    joint = with_joint_unet(model, seed=0, image_encoder=Path("no image encoder"))
    volume, image = torch.randn(1, 4, 4, 32, 64), photographs()
    assert joint.config == replace(model.config, joint=True)
    torch.testing.assert_close(joint.encode_volume(volume), model.encode_volume(volume))
    torch.testing.assert_close(joint.reconstruct(volume, image), model.reconstruct(volume, image))
    options = StageConfig(steps=1, batch_size=1, frequencies=2, learning_rate=1e-3)
    drawn = {stage: slices_a_photo(joint, stage, config=options) for stage in ("autoencoder", "slice", "decoder")}
    assert drawn == {"autoencoder": 2, "slice": 0, "decoder": 2}
    assert slices_a_photo(model, "slice", config=options) == 2
    with pytest.raises(ValueError, match="no frequency attention"):
        prepare_stage(joint, "frequency_attention")


def test_frequency_attention_takes_part_from_its_own_stage_on():
    model = tiny_model()
    takes_part = []
    for stage in ("slice", "decoder", "frequency_attention", "decoder"):
        prepare_stage(model, stage)
        takes_part.append(model.frequency_attention)
    assert takes_part == [False, False, True, True]


def test_latents_are_whitened_when_values_are_divided_by_the_size():
    config = replace(PRESETS["tiny"], normalization="size")
    model = untrained_model(config, {"size": [64, 32], "p95": [0.6] * 4}, seed=0, image_encoder=Path("none")).eval()
    volumes = [torch.randn(1, 4, 4, 32, 64) * 0.3 for _ in range(2)]
    measure_latent_statistics(model, volumes)
    latents = torch.cat([model.encode_volume(volume) for volume in volumes])
    torch.testing.assert_close(latents.std(dim=(0, 3, 4), unbiased=False), torch.ones(4, 2), atol=1e-2, rtol=0)


def test_stages_train_what_they_should():
    model = tiny_model()
    frequency = {id(p) for p in model.unet.frequency_parameters()}
    encoder = {id(p) for n, p in model.autoencoder.named_parameters() if n.startswith("encode_")}
    for stage in ("autoencoder", "slice", "frequency_attention", "decoder"):
        module = prepare_stage(model, stage)
        trained = {id(p) for p in model.parameters() if p.requires_grad}
        assert trained
        assert trained <= {id(p) for p in module.parameters()}
        assert (stage == "frequency_attention") == (trained == frequency)
        assert stage == "frequency_attention" or not trained & frequency
        assert (stage == "autoencoder") == bool(trained & encoder)


def test_calibration_brings_the_amplitude_to_the_true_one():
    model, image = tiny_model(), photographs()
    true = model.sample(image, [0]) * 2.5
    assert calibrate_amplitude(model, [(image, true)], samples=1) == pytest.approx(2.5, rel=1e-3)
    torch.testing.assert_close(model.sample(image, [0]), true, rtol=1e-3, atol=1e-4)


def test_samples_are_held_within_the_largest_true_amplitude():
    model, image = tiny_model(), photographs()
    free = model.sample(image, [0])
    assert limit_amplitude(model, [free * 3, free * 0.5]) == pytest.approx(3 * rms_amplitude(free).item())
    torch.testing.assert_close(model.sample(image, [0]), free)
    limit_amplitude(model, [free * 0.5])
    torch.testing.assert_close(model.sample(image, [0]), free * 0.5)


def test_image_encoder_has_the_strides_it_promises_and_takes_odd_sizes():
    encoder = EfficientNetLite0().eval()
    maps = encoder(photographs(1, (64, 96)))
    assert [m.shape[1] for m in maps] == list(encoder.feature_channels)
    assert [64 // m.shape[2] for m in maps] == [4, 8, 16, 16, 32, 32]
    assert encoder(photographs(1, (63, 95)))[0].shape[-2:] == (16, 24)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
