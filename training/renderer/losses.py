"""The losses of rendered frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.images import laplacian
from models.rendering.model import FrameSynthesisModel
from models.rendering.warping import magnitude
from models.splatting import plan_splat

DETAIL_WINDOW = 9  # pixels
VISIBLE = 1.0  # pixels; a pixel is hidden where what landed on it moves by more than so much differently


class FramePairs(Protocol):
    """What is used of a `training.batches.pairs.FramePairBatch`, which describes it."""

    @property
    def source(self) -> Tensor: ...
    @property
    def target(self) -> Tensor: ...
    @property
    def flow(self) -> Tensor: ...
    @property
    def importance(self) -> Tensor: ...
    @property
    def known(self) -> Tensor: ...
    @property
    def motion(self) -> Tensor: ...


@dataclass(frozen=True)
class LossWeights:
    """Factors of the losses beside L1."""

    perceptual: float = 0.05
    perceptual_share: float = 1.0  # of the batch that the perceptual distance looks at
    sharpness: float = 0.0
    temporal: float = 0.0  # above 0, samples 2i and 2i + 1 of a batch are two frames from one source


class RendererLoss(nn.Module):
    """The loss of the renderer as a module, which is what several processes average the gradients of.

    Args:
        distance: perceptual distance of two images, a scalar.
    """

    def __init__(self, model: FrameSynthesisModel, distance: nn.Module, weights: LossWeights) -> None:
        super().__init__()
        self.model, self.distance, self.weights = model, distance, weights
        self.parts = loss_names(weights)

    def forward(self, batch: FramePairs, samples: object = None) -> tuple[Tensor, Tensor]:
        """The loss, a scalar, and ``[parts, 2]``: each of ``parts`` and a count of 1; parts of a batch count alike."""
        losses = rendering_losses(self.model, batch, distance=self.distance, weights=self.weights)
        means = torch.stack([losses[name].detach().float() for name in self.parts])
        return losses["loss"], torch.stack([means, torch.ones_like(means)], dim=1)


def rendering_losses(
    model: FrameSynthesisModel,
    batch: FramePairs,
    *,
    distance: nn.Module,  # perceptual distance of two images, a scalar
    weights: LossWeights,
) -> dict[str, Tensor]:
    """``loss``, the weighted sum, and its parts: :func:`loss_names`."""
    frame = model(batch.source, batch.flow, batch.importance)
    # Near a cut the prediction stands in for the target: no loss, whatever receptive field the loss has. And no
    # gradient: else the perceptual loss would shape what nothing holds so as to suit the pixels beside it.
    known = batch.known > 0
    frame = torch.where(known, frame, frame.detach())
    target = torch.where(known, batch.target, frame.detach())
    looked_at = max(1, round(weights.perceptual_share * len(frame)))
    losses = {"l1": (frame - target).abs().mean(), "perceptual": distance(frame[:looked_at], target[:looked_at])}
    if weights.sharpness:
        losses["sharpness"] = sharpness_loss(frame, target)
    if weights.temporal:
        losses["temporal"] = temporal_loss(frame - target, batch.motion, importance=batch.importance, known=batch.known)
    total = losses["l1"] + sum(getattr(weights, name) * losses[name] for name in losses if name != "l1")
    return {"loss": total, **losses}


def loss_names(weights: LossWeights) -> tuple[str, ...]:
    """The loss and its parts: those beside L1 and the perceptual distance only where they have a weight."""
    return ("loss", "l1", "perceptual", *(name for name in ("sharpness", "temporal") if getattr(weights, name)))


def sharpness_loss(frame: Tensor, target: Tensor) -> Tensor:
    """How far the strength of the finest detail is from the real one: the mean of ``|s(frame) - s(target)|``.

    s is the root mean square, over :data:`DETAIL_WINDOW` pixels square, of the Laplacian of the grey frame. What is
    compared is how much detail there is and not where it lies, so that detail a pixel beside its place, which L1
    has blurred away, costs nothing here.

    ``[N, 3, H, W]`` twice, in [-1, 1], to a scalar.
    """
    return (detail_strength(frame) - detail_strength(target)).abs().mean()


def detail_strength(images: Tensor) -> Tensor:
    """``[N, 3, H, W] -> [N, 1, H - w - 1, W - w - 1]`` with w of :data:`DETAIL_WINDOW`; see :func:`sharpness_loss`."""
    square = laplacian(images.mean(dim=1, keepdim=True)).square()
    window = min(DETAIL_WINDOW, *square.shape[2:])
    return (F.avg_pool2d(square, window, stride=1) + 1e-6).sqrt()


def temporal_loss(errors: Tensor, motion: Tensor, *, importance: Tensor, known: Tensor) -> Tensor:
    """How much the error of rendering changes from one frame to another at the same point of the scene.

    With r and y the rendered and the real frames t and s, and p a pixel of the source that is seen in both, the mean of
    ``|(r_t(p + F_t(p)) - r_s(p + F_s(p))) - (y_t(p + F_t(p)) - y_s(p + F_s(p)))|``. Only r - y enters it. What is wrong
    in both frames alike costs nothing here, what flickers does.

    Args:
        errors: r - y, ``[B, 3, H, W]``; frames 2i and 2i + 1 are of one source.
        motion: F, ``[B, 2, H, W]`` in pixels.
        importance: ``[B, 1, H, W]``, which decides what hides what.
        known: ``[B, 1, H, W]``; pixels that land where it is 0 take no part.

    Returns:
        A scalar, 0 where no pixel is seen in both frames.
    """
    if len(errors) % 2:
        raise ValueError(f"{len(errors)} frames are no pairs of neighbours")
    followed = follow(errors, motion)
    seen = follow(known, motion) > 0.999  # beyond the border it is 0
    seen &= visible(motion, importance)
    both = seen[0::2] & seen[1::2]
    change = (followed[0::2] - followed[1::2]).abs().where(both, 0)
    return change.sum() / (errors.shape[1] * both.sum()).clamp_min(1)


def visible(motion: Tensor, importance: Tensor) -> Tensor:
    """Which pixels of the source are seen in the frame: bool ``[B, 1, H, W]``.

    A pixel is if, where it lands, the motion that shows there by softmax splatting is its own.
    """
    with torch.no_grad():
        arrived = follow(plan_splat(motion, importance)(motion), motion)
        return magnitude(arrived - motion) < VISIBLE


def follow(image: Tensor, motion: Tensor) -> Tensor:
    """Bilinear lookup of ``[B, C, H, W]`` at ``p + motion(p)`` for every p; 0 beyond the border."""
    height, width = motion.shape[2:]
    x = torch.arange(width, device=motion.device, dtype=motion.dtype) + motion[:, 0]
    y = torch.arange(height, device=motion.device, dtype=motion.dtype)[:, None] + motion[:, 1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
