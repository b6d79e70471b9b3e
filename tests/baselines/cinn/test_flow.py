"""The conditional invertible network: exact determinants, inverses, control, and that it learns a distribution."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from baselines.cinn.config import FlowConfig
from baselines.cinn.networks.flow import ActNorm, ConditionalFlow, DoubleCoupling, negative_log_likelihood

SMALL = FlowConfig(code=6, condition=3, blocks=3, hidden=16, depth=1)


def trained_flow(config: FlowConfig, dtype: torch.dtype = torch.float64) -> ConditionalFlow:
    """A flow whose ActNorms have seen a batch, in evaluation mode."""
    torch.manual_seed(0)
    flow = ConditionalFlow(config).to(dtype)
    with torch.no_grad():
        flow(2 * torch.randn(64, config.code, dtype=dtype) + 1, condition(64, config, dtype))
    return flow.eval()


def condition(count: int, config: FlowConfig, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(count, config.condition + config.control_size, dtype=dtype)


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, control=1, control_bins=2, blocks=5)])
def test_the_determinant_is_the_jacobians(config: FlowConfig) -> None:
    flow = trained_flow(config)
    code, about = torch.randn(config.code, dtype=torch.float64), condition(1, config)
    jacobian = torch.autograd.functional.jacobian(lambda z: flow(z[None], about)[0][0], code)
    _, expected = torch.linalg.slogdet(jacobian)
    _, found = flow(code[None], about)
    assert found.item() == pytest.approx(expected.item(), abs=1e-9)


def test_the_rectifier_counts_in_the_determinant() -> None:
    with_it, without = trained_flow(SMALL), trained_flow(SMALL)
    for block in without.blocks:
        block.activation.slope = 1.0
    block = with_it.blocks[0]
    x = torch.tensor([[-1.0, -2.0, 3.0, -4.0, 5.0, 0.0]], dtype=torch.float64)
    y, determinant = block.activation(x)
    assert determinant.item() == pytest.approx(3 * math.log(0.9))
    assert torch.equal(y, torch.where(x < 0, 0.9 * x, x))
    torch.testing.assert_close(block.activation.inverse(y), x)


@pytest.mark.parametrize("control", [0, 3])
def test_the_published_flow_is_inverted_to_a_hundred_thousandth(control: int) -> None:
    config = FlowConfig(condition=8, hidden=64, control=control)  # 20 blocks for codes of 64
    flow = trained_flow(config, torch.float32)
    code, about = torch.randn(4, 64), condition(4, config, torch.float32)
    with torch.no_grad():
        residual, _ = flow(code, about)
        assert (flow.inverse(residual, about) - code).abs().max() < 1e-5


def test_the_condition_matters_and_its_width_is_checked() -> None:
    flow = trained_flow(SMALL)
    noise = torch.randn(2, 6, dtype=torch.float64)
    assert not torch.allclose(flow.inverse(noise, condition(2, SMALL)), flow.inverse(noise, condition(2, SMALL)))
    with pytest.raises(ValueError, match="conditioned on 3 numbers"):
        flow(noise, torch.zeros(2, 4, dtype=torch.float64))


def test_with_control_three_of_four_blocks_see_the_condition_alone() -> None:
    config = replace(SMALL, control=1, control_bins=2, blocks=8)
    couplings = [block.coupling for block in ConditionalFlow(config).blocks]
    assert [coupling.condition_only for coupling in couplings] == [False, True, True, True] * 2
    torch.manual_seed(0)
    coupling = DoubleCoupling(config, condition_only=True).double()
    about = condition(1, config).expand(2, -1)
    _, determinants = coupling(torch.randn(2, 6, dtype=torch.float64), about)
    assert determinants[0] == determinants[1]  # an affine map of the code


def test_actnorm_makes_its_first_batch_normal_and_keeps_what_it_found() -> None:
    torch.manual_seed(0)
    norm = ActNorm(5)
    x = 3 * torch.randn(32, 5, 4, 4) + 7
    y, determinant = norm(x)
    values = y.transpose(0, 1).flatten(1)
    torch.testing.assert_close(values.mean(1), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(values.std(1), torch.ones(5), atol=1e-3, rtol=0)
    assert determinant.shape == (32,)
    assert determinant[0].item() == pytest.approx(16 * norm.scale.log().sum().item(), rel=1e-5)
    again = ActNorm(5)
    again.load_state_dict(norm.state_dict())
    torch.testing.assert_close(again(2 * x)[0], norm(2 * x)[0])  # in training mode: it is not set anew
    torch.testing.assert_close(norm.inverse(y), x, atol=1e-4, rtol=1e-4)


def test_the_flow_learns_more_than_one_normal_distribution_could() -> None:
    """Codes whose mean and spread follow the condition: the likelihood falls below that of any single Gaussian."""
    torch.manual_seed(0)
    config = FlowConfig(code=2, condition=1, blocks=3, hidden=16, depth=0)
    flow = ConditionalFlow(config)
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)

    def codes(count: int) -> tuple[Tensor, Tensor]:
        about = torch.randint(2, (count, 1)).float() * 2 - 1
        return 2 * about + 0.2 * torch.randn(count, 2), about

    for _ in range(80):
        loss = negative_log_likelihood(*flow(*codes(64))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    held_out, about = codes(500)
    covariance = torch.cov(held_out.T)
    gaussian = 0.5 * (2 + torch.logdet(covariance))  # of the best single Gaussian, without the same constant
    with torch.no_grad():
        found = negative_log_likelihood(*flow.eval()(held_out, about)).mean()
        assert found < gaussian - 1
        made = flow.inverse(torch.randn(500, 2), torch.ones(500, 1))
    assert (made.mean(0) - 2).abs().max() < 0.2
    assert made.std(0).max() < 0.5


def test_normal_codes_under_the_identity_have_half_their_dimension() -> None:
    residual = torch.randn(20_000, 64, generator=torch.Generator().manual_seed(0))
    assert negative_log_likelihood(residual, torch.zeros(20_000)).mean().item() == pytest.approx(32, abs=0.2)
