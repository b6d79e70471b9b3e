"""A motion model that is told how far things move: strength, sampling, and what the others answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.motion_models import photographs, tiny_model

from models.motion.model import MotionModel
from models.pipeline import ImageDynamicsPipeline, wind_factor
from models.spectral_volume import even_out, keep_strength, motion_amplitude, motion_strength
from training.motion.model import with_wind


def told_model(usual: float = 2.0) -> MotionModel:
    model = with_wind(tiny_model()).eval()
    model.usual_strength.fill_(usual)
    return model


def test_strength_does_not_depend_on_how_much_of_the_picture_moves() -> None:
    everywhere = torch.zeros(1, 3, 4, 20, 30)
    everywhere[:, 1, 0] = 1.5
    flame = torch.zeros_like(everywhere)
    flame[..., 8:11, 14:16] = everywhere[..., 8:11, 14:16]
    assert motion_strength(flame).item() == pytest.approx(motion_strength(everywhere).item())
    assert motion_strength(torch.zeros(2, 3, 4, 5, 5)).tolist() == [0, 0]
    everywhere[:, 0] = 7.0  # the mean position is no motion
    assert motion_strength(everywhere).item() == pytest.approx(1.5 * 2**0.5)


def test_a_sample_gets_the_strength_that_was_asked_for_or_stands_still() -> None:
    volume = torch.zeros(5, 3, 4, 20, 30)
    shares = torch.tensor([0.0, 0.1, 0.3, 1.0, 3.0])
    volume[:, 1, 0, 5:9, 5:9] = shares[:, None, None] / 2**0.5
    kept = keep_strength(volume, still_below=0.3)
    torch.testing.assert_close(motion_strength(kept), torch.tensor([0.0, 1 / 82, 0.5, 1 / 1.0081, 1 / 1.0001]))
    torch.testing.assert_close(kept[3] / kept[3].abs().max(), volume[3] / volume[3].abs().max())


def test_evening_out_keeps_the_strength_and_the_order_and_lets_faint_motion_fade() -> None:
    volume = torch.zeros(2, 3, 4, 20, 30)
    ramp = torch.linspace(0, 1, 30).expand(20, 30)
    volume[0, 1, 0] = ramp
    volume[0, 0, 1] = 3 * ramp  # the mean position goes along
    even = even_out(volume, exponent=0.5)
    torch.testing.assert_close(motion_strength(even), motion_strength(volume))
    amplitude = motion_amplitude(even)[0, 0]
    assert (amplitude.diff(dim=1) > 0).all()
    torch.testing.assert_close(even[0, 0, 1], 3 * even[0, 1, 0])
    strength = motion_strength(volume)[0]
    a = motion_amplitude(volume)[0, 0] / strength
    shape = a * a.square() * (a.square() + 0.01) ** -1.25
    torch.testing.assert_close(amplitude / amplitude[0, -1], shape / shape[0, -1])
    # Half of the largest amplitude becomes 0.7 of it, a fortieth becomes less than a fortieth.
    assert amplitude[0, 15] / amplitude[0, -1] == pytest.approx(0.5**0.5, abs=0.05)
    assert amplitude[0, 1] / amplitude[0, -1] < (a[0, 1] / a[0, -1])
    assert (even[1] == 0).all()


def test_a_model_that_keeps_the_wind_moves_as_far_as_it_is_told(tmp_path) -> None:
    model, photos = told_model(), photographs(2)
    before = model.sample(photos, [1, 2], steps=2, wind=3.0)
    model.config = replace(model.config, still_below=0.01)
    model.save_pretrained(tmp_path)
    after = MotionModel.from_pretrained(tmp_path).sample(photos, [1, 2], steps=2, wind=3.0)
    torch.testing.assert_close(motion_strength(after), torch.full((2,), 3.0))
    torch.testing.assert_close(after, before * (3 / motion_strength(before))[:, None, None, None, None])
    with pytest.raises(ValueError, match="still_below"):
        replace(tiny_model().config, still_below=0.3)


def test_wind_enlarges_the_motion_of_a_network_that_has_not_learned_otherwise() -> None:
    model, photos = told_model(), photographs(2)
    calm, strong = (model.sample(photos, [1, 2], steps=2, wind=wind) for wind in (1.0, 3.0))
    torch.testing.assert_close(strong, 3 * calm)
    torch.testing.assert_close(model.sample(photos, [1, 2], steps=2), 2 * calm)
    each = model.sample(photos, [1, 2], steps=2, wind=[1.0, 3.0])
    torch.testing.assert_close(each, torch.cat([calm[:1], strong[1:]]))


def test_a_trained_network_hears_the_wind() -> None:
    model, photo = told_model(), photographs()
    with torch.no_grad():
        model.unet.strength_embedding[-1].weight.normal_(std=3, generator=torch.Generator().manual_seed(0))
    one, two = (model.sample(photo, [1], steps=2, wind=wind) / wind for wind in (1.0, 3.0))
    assert (one - two).abs().max() > 1e-3 * one.abs().max()


def test_a_model_without_wind_refuses_one_and_a_wind_has_to_be_above_0() -> None:
    with pytest.raises(ValueError, match="trained without wind"):
        tiny_model().sample(photographs(), [0], steps=1, wind=1.0)
    with pytest.raises(ValueError, match="above 0"):
        told_model().sample(photographs(), [0], steps=1, wind=0.0)
    with pytest.raises(ValueError, match="trained without wind"):
        _ = ImageDynamicsPipeline(tiny_model()).usual_wind


def test_the_pipeline_takes_names_and_factors() -> None:
    pipeline = ImageDynamicsPipeline(told_model(usual=0.5))
    photo = (photographs()[0] + 1) / 2
    usual = pipeline.predict_motion(2 * photo - 1, steps=2)
    for wind, factor in (("calm", 0.5), ("breeze", 1.0), ("strong", 2.0), (4, 4.0)):
        told = pipeline.predict_motion(2 * photo - 1, steps=2, wind=wind)
        torch.testing.assert_close(told, factor * usual, rtol=2e-3, atol=1e-3)
    for wrong in ("storm", -1.0, float("nan")):
        with pytest.raises(ValueError, match="wind"):
            wind_factor(wrong)


def test_networks_without_wind_keep_their_weights(tmp_path) -> None:
    model = tiny_model()
    told = with_wind(model)
    told.usual_strength.fill_(2.0)
    for name, value in model.unet.state_dict().items():
        assert torch.equal(told.unet.state_dict()[name], value), name
    told.save_pretrained(tmp_path)
    again = MotionModel.from_pretrained(tmp_path)
    assert again.config.wind
    photo = photographs()
    assert torch.equal(again.sample(photo, [0], steps=1), told.eval().sample(photo, [0], steps=1))
