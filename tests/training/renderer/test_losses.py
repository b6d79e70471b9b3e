"""The renderer's losses: what is not known costs nothing, and errors that flicker cost more than those that stay."""

from types import SimpleNamespace

import pytest
import torch

from models.rendering.config import PRESETS, FrameSynthesisConfig
from models.rendering.model import FrameSynthesisModel
from training.presets import RendererConfig
from training.renderer.losses import (
    LossWeights,
    RendererLoss,
    follow,
    rendering_losses,
    sharpness_loss,
    temporal_loss,
    visible,
)
from training.renderer.perceptual_loss import StructureLoss

pytestmark = pytest.mark.usefixtures("one_thread")
HEIGHT, WIDTH = 24, 32


def shift(x: float, y: float = 0.0) -> torch.Tensor:
    return torch.tensor([x, y]).view(1, 2, 1, 1).expand(1, 2, HEIGHT, WIDTH)


def make_batch(frames: int = 2, seed: int = 0) -> SimpleNamespace:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 8, generator=generator) - 0.5
    source = torch.nn.functional.interpolate(coarse, size=(HEIGHT, WIDTH), mode="bilinear").expand(frames, -1, -1, -1)
    motion = torch.cat([shift(2.0 + i) for i in range(frames)])
    target = torch.cat([source[:1].roll(2 + i, dims=3) for i in range(frames)])
    ones = torch.ones(frames, 1, HEIGHT, WIDTH)
    names = [f"s:{i}" for i in range(frames)]
    return SimpleNamespace(
        source=source, target=target, flow=motion, motion=motion, importance=ones, known=ones, ids=names
    )


def test_following_a_motion_undoes_it() -> None:
    image = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    moved = image.roll((2, 3), dims=(2, 3))
    torch.testing.assert_close(follow(moved, shift(3.0, 2.0))[..., :-2, :-3], image[..., :-2, :-3])
    assert not follow(image, shift(float(WIDTH + 1))).any()
    halves = follow(image, shift(0.5))
    torch.testing.assert_close(halves[..., :-1], (image[..., 1:] + image[..., :-1]) / 2)


def test_errors_that_move_along_cost_nothing_and_errors_that_flicker_their_size() -> None:
    motion = torch.cat([shift(2.0), shift(5.0)])
    importance, known = torch.ones(2, 1, HEIGHT, WIDTH), torch.ones(2, 1, HEIGHT, WIDTH)
    error = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    along = torch.cat([error.roll(2, 3), error.roll(5, 3)])
    assert float(temporal_loss(along, motion, importance=importance, known=known)) == pytest.approx(0, abs=1e-5)
    still = torch.cat([error, error])
    assert float(temporal_loss(still, motion, importance=importance, known=known)) > 0.2
    flicker = torch.cat([torch.zeros_like(error), torch.full_like(error, 0.3)])
    assert float(temporal_loss(flicker, motion, importance=importance, known=known)) == pytest.approx(0.3, abs=1e-5)
    with pytest.raises(ValueError, match="3 frames are no pairs"):
        temporal_loss(flicker[[0, 0, 1]], motion, importance=importance, known=known)


def test_pixels_that_are_hidden_outside_or_unknown_take_no_part() -> None:
    motion = torch.zeros(2, 2, HEIGHT, WIDTH)
    motion[1, 0, :, 4:10] = 10.0  # a bar hides what is 10 pixels to its right
    importance = motion.abs().amax((0, 1), keepdim=True).expand(2, 1, -1, -1)
    seen = visible(motion, importance)
    assert seen[0].all()
    assert not seen[1, 0, :, 14:20].any()
    assert seen[1, 0, :, 4:10].all()
    assert seen[1, 0, :, 22:].all()
    errors = torch.zeros(2, 3, HEIGHT, WIDTH)
    errors[1, :, :, 14:20] = 1.0  # at the bar's landing place: the bar's own error, 6 columns of it
    known = torch.ones(2, 1, HEIGHT, WIDTH)
    assert float(temporal_loss(errors, motion, importance=importance, known=known)) == pytest.approx(6 / (WIDTH - 6))
    known[1, :, :, 14:20] = 0
    assert float(temporal_loss(errors, motion, importance=importance, known=known)) == 0
    assert float(temporal_loss(errors, torch.full_like(motion, 99.0), importance=importance, known=known)) == 0


def test_losses_add_up_and_ignore_what_is_not_known() -> None:
    torch.manual_seed(0)
    model = FrameSynthesisModel(PRESETS["tiny"])
    model.precision = "float32"
    batch = make_batch()
    weights = LossWeights(perceptual=0.3, temporal=0.7)
    losses = rendering_losses(model, batch, distance=StructureLoss(), weights=weights)
    total = losses["l1"] + 0.3 * losses["perceptual"] + 0.7 * losses["temporal"]
    torch.testing.assert_close(losses["loss"], total)
    assert "temporal" not in rendering_losses(model, batch, distance=StructureLoss(), weights=LossWeights())
    batch.known = torch.ones_like(batch.known)
    batch.known[..., 20:] = 0
    batch.target = batch.target.clone()
    before = rendering_losses(model, batch, distance=StructureLoss(), weights=weights)
    batch.target[..., 20:] = 9.0
    after = rendering_losses(model, batch, distance=StructureLoss(), weights=weights)
    assert float(before["loss"].detach()) > 0
    assert torch.equal(before["loss"], after["loss"])


def test_the_perceptual_distance_looks_at_a_share_of_the_batch() -> None:
    torch.manual_seed(0)
    model = FrameSynthesisModel(PRESETS["tiny"])
    batch, seen = make_batch(), []

    class Distance(torch.nn.Module):
        def forward(self, frame: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            seen.append((len(frame), len(target)))
            return (frame - target).abs().mean()

    for share in (1.0, 0.5, 0.01):
        rendering_losses(model, batch, distance=Distance(), weights=LossWeights(perceptual_share=share))
    assert seen == [(2, 2), (1, 1), (1, 1)]
    with pytest.raises(ValueError, match="perceptual_share 0"):
        RendererConfig(perceptual_share=0.0)


def test_what_is_not_known_is_not_shaped_to_suit_the_pixels_beside_it() -> None:
    """A loss that looks at neighbourhoods sees pixels that nothing holds; it must not move them."""
    batch = make_batch()
    batch.known = torch.ones_like(batch.known)
    batch.known[..., 20:] = 0
    frame = (batch.target + 0.1).clone().requires_grad_()
    losses = rendering_losses(lambda *inputs: frame, batch, distance=StructureLoss(), weights=LossWeights(1.0, 1.0))  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(losses["loss"], frame)
    assert gradient[..., 18:20].any()
    assert not gradient[..., 20:].any()


def test_the_temporal_loss_reaches_the_weights() -> None:
    torch.manual_seed(0)
    model = FrameSynthesisModel(PRESETS["tiny"]).train()
    weights = LossWeights(perceptual=0.0, temporal=1.0)
    batch = make_batch()
    batch.target[1] += 0.1  # the real frame flickers, so one that does not is wrong
    losses = rendering_losses(model, batch, distance=StructureLoss(), weights=weights)
    gradient = torch.autograd.grad(losses["temporal"], model.head.weight)[0]
    assert gradient.isfinite().all()
    assert gradient.any()


def test_a_painting_model_learns_to_return_a_still_photo() -> None:
    """What the share of pairs without motion is for: `direct` output has no way past the network."""
    torch.manual_seed(0)
    model = FrameSynthesisModel(FrameSynthesisConfig(channels=(8,), columns=2, output="direct"))
    model.precision = "float32"
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    batch = make_batch(1)
    batch.flow = batch.motion = torch.zeros_like(batch.motion)
    batch.target = batch.source
    loss, errors = RendererLoss(model, StructureLoss(), LossWeights(perceptual=0.0)), []
    for _ in range(31):
        total, parts = loss(batch)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        errors.append(float(parts[loss.parts.index("l1"), 0]))
    assert errors[-1] < 0.6 * errors[0]


def test_sharpness_is_how_much_detail_there_is_and_not_where() -> None:
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert float(sharpness_loss(image, image)) == 0
    inside = [images[..., 9:-9, 9:-9] for images in (image, image.roll(1, dims=3))]
    blurred = torch.nn.functional.avg_pool2d(image, 3, stride=1, padding=1)
    assert float(sharpness_loss(*inside)) < 0.1 * float(sharpness_loss(blurred, image))
    assert float(sharpness_loss(blurred, image)) == pytest.approx(float(sharpness_loss(image, blurred)))


def test_the_sharpness_loss_counts_by_its_weight_and_reaches_the_model() -> None:
    torch.manual_seed(0)
    model, batch = FrameSynthesisModel(PRESETS["tiny"]).train(), make_batch()
    plain, sharp = (
        rendering_losses(model, batch, distance=StructureLoss(), weights=LossWeights(sharpness=weight))
        for weight in (0.0, 2.0)
    )
    assert "sharpness" not in plain
    torch.testing.assert_close(sharp["loss"], plain["loss"] + 2 * sharp["sharpness"])
    sharp["sharpness"].backward()
    assert float(model.head.weight.grad.abs().sum()) > 0
