"""The conditional invertible network tau: codes of videos to normal residuals and back, with exact likelihood.

Each block is ActNorm, an invertible leaky rectifier, a double affine coupling and a fixed permutation (supplement of
the paper). The published code counts the rectifier's determinant as 1; here it is what it is.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.cinn.config import FlowConfig

Transformed = tuple[Tensor, Tensor]  # values and the log-determinant of each sample, [B]


class ActNorm(nn.Module):
    """``scale * (x + shift)`` for each channel; the first batch in training mode sets both (Kingma, Dhariwal 2018)."""

    initialized: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.scale = nn.Parameter(torch.ones(channels))
        self.register_buffer("initialized", torch.tensor(False))

    @torch.no_grad()
    def _initialize(self, x: Tensor) -> None:
        values = x.transpose(0, 1).flatten(1)
        self.shift.copy_(-values.mean(1))
        # A single value has no spread: scale 1 then.
        deviation = values.std(1, correction=0) if values.shape[1] > 1 else torch.ones_like(self.scale)
        self.scale.copy_(1 / (deviation + 1e-6))
        self.initialized.fill_(True)

    def _shaped(self, values: Tensor, x: Tensor) -> Tensor:
        return values.view(1, -1, *[1] * (x.ndim - 2))

    def forward(self, x: Tensor) -> Transformed:
        """``[B, C, ...]`` -> the same shape, and the log-determinant ``[B]``."""
        if self.training and not self.initialized:
            self._initialize(x)
        places = math.prod(x.shape[2:])
        determinant = places * self.scale.abs().log().sum()
        return self._shaped(self.scale, x) * (x + self._shaped(self.shift, x)), determinant.expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Inverse of :meth:`forward`."""
        return y / self._shaped(self.scale, y) - self._shaped(self.shift, y)


class LeakyRectifier(nn.Module):
    """x where it is positive, else ``slope * x``: invertible, with the determinant slope^(number of negatives)."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Transformed:
        """``[B, D]`` -> ``[B, D]`` and the log-determinant ``[B]``."""
        return F.leaky_relu(x, self.slope), math.log(self.slope) * (x < 0).sum(1).to(x.dtype)

    def inverse(self, y: Tensor) -> Tensor:
        """Inverse of :meth:`forward`."""
        return F.leaky_relu(y, 1 / self.slope)


def perceptron(before: int, after: int, *, hidden: int, depth: int) -> nn.Sequential:
    """Linear layers with leaky rectifiers between them; ``depth`` of them lead from the hidden width to itself."""
    layers: list[nn.Module] = [nn.Linear(before, hidden), nn.LeakyReLU(0.01)]
    for _ in range(depth):
        layers += [nn.Linear(hidden, hidden), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers, nn.Linear(hidden, after))


class DoubleCoupling(nn.Module):
    """``x1 <- x1 exp(s(x2, e)) + t(x2, e)``, then the same with the halves exchanged.

    Each s and t is a network of its own.

    Args:
        condition_only: s and t see the condition e alone: an affine map that carries the control of the endpoint.
    """

    def __init__(self, config: FlowConfig, *, condition_only: bool) -> None:
        super().__init__()
        self.condition_only = condition_only
        half = config.code // 2
        before = config.condition + config.control_size + (0 if condition_only else half)
        sizes = {"hidden": config.hidden, "depth": config.depth}
        self.s = nn.ModuleList(perceptron(before, half, **sizes) for _ in range(2))
        self.t = nn.ModuleList(perceptron(before, half, **sizes) for _ in range(2))

    def _scale_and_shift(self, step: int, kept: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        seen = condition if self.condition_only else torch.cat([kept, condition], dim=1)
        return self.s[step](seen), self.t[step](seen)

    def forward(self, x: Tensor, condition: Tensor) -> Transformed:
        """``[B, D]`` -> ``[B, D]`` and the log-determinant ``[B]``."""
        changed, kept = x.chunk(2, dim=1)
        determinant = x.new_zeros(len(x))
        for step in range(2):
            s, t = self._scale_and_shift(step, kept, condition)
            changed, kept = kept, changed * s.exp() + t
            determinant = determinant + s.sum(1)
        return torch.cat([kept, changed], dim=1), determinant

    def inverse(self, y: Tensor, condition: Tensor) -> Tensor:
        """Inverse of :meth:`forward`."""
        kept, changed = y.chunk(2, dim=1)
        for step in (1, 0):
            s, t = self._scale_and_shift(step, changed, condition)
            changed, kept = (kept - t) * (-s).exp(), changed
        return torch.cat([changed, kept], dim=1)


class FlowBlock(nn.Module):
    """ActNorm, leaky rectifier, double coupling and a fixed permutation of the dimensions."""

    permutation: Tensor

    def __init__(self, config: FlowConfig, number: int) -> None:
        super().__init__()
        self.norm = ActNorm(config.code)
        self.activation = LeakyRectifier(config.slope)
        condition_only = config.control_size > 0 and number % 4 != 0
        self.coupling = DoubleCoupling(config, condition_only=condition_only)
        generator = torch.Generator().manual_seed(number)
        self.register_buffer("permutation", torch.randperm(config.code, generator=generator, device="cpu"))

    def forward(self, x: Tensor, condition: Tensor) -> Transformed:
        """``[B, D]`` -> ``[B, D]`` and the log-determinant ``[B]``."""
        x, first = self.norm(x)
        x, second = self.activation(x)
        x, third = self.coupling(x, condition)
        return x[:, self.permutation], first + second + third

    def inverse(self, y: Tensor, condition: Tensor) -> Tensor:
        """Inverse of :meth:`forward`."""
        x = torch.empty_like(y)
        x[:, self.permutation] = y
        return self.norm.inverse(self.activation.inverse(self.coupling.inverse(x, condition)))


class ConditionalFlow(nn.Module):
    """tau^-1: a video's code z to the residual nu that is normally distributed given the photo; inverse: tau."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(FlowBlock(config, number) for number in range(config.blocks))

    def _checked(self, condition: Tensor) -> Tensor:
        width = self.config.condition + self.config.control_size
        if condition.ndim != 2 or condition.shape[1] != width:
            raise ValueError(f"the flow is conditioned on {width} numbers a sample, got {[*condition.shape]}")
        return condition

    def forward(self, code: Tensor, condition: Tensor) -> Transformed:
        """Codes ``[B, D]`` and conditions ``[B, E]`` -> residuals ``[B, D]`` and ``log |d nu / d z|``, ``[B]``."""
        x, condition = code, self._checked(condition)
        total = code.new_zeros(len(code))
        for block in self.blocks:
            x, determinant = block(x, condition)
            total = total + determinant
        return x, total

    def inverse(self, residual: Tensor, condition: Tensor) -> Tensor:
        """Residuals ``[B, D]`` and conditions ``[B, E]`` -> codes ``[B, D]``."""
        x, condition = residual, self._checked(condition)
        for block in reversed(cast("list[FlowBlock]", list(self.blocks))):
            x = block.inverse(x, condition)
        return x


def negative_log_likelihood(residual: Tensor, determinant: Tensor) -> Tensor:
    """``-log p(z | x0)`` in nats, ``[B]``, with the normal distribution's constant left out as published.

    Normal codes under the identity have half their dimension: 32 for 64.
    """
    return 0.5 * residual.square().sum(1) - determinant
