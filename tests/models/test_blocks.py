"""Blocks of the model: clocks, positions, attention."""

import pytest
import torch

from pyannote_drz.models.blocks import Block, TimeCode, attention, rotary, rotate

# ---- clocks -------------------------------------------------------------------------------------


def test_time_code_tells_bins_apart():
    code = TimeCode(num_periods=16)(0.02 * torch.arange(1501))
    assert code.shape == (1501, 32)
    distances = torch.cdist(code, code)
    distances.fill_diagonal_(torch.inf)
    assert distances.min() > 0.3


def test_time_code_of_scalars_and_batches():
    code = TimeCode(num_periods=4)
    seconds = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert code(seconds).shape == (2, 2, 8)
    torch.testing.assert_close(code(seconds)[1, 0], code(torch.tensor(2.0)))
    torch.testing.assert_close(code(torch.tensor(0.0)), torch.tensor([0.0] * 4 + [1.0] * 4))


def test_rotary_is_relative():
    """Dot products depend on distances only, also at negative positions."""
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 16, generator=generator)

    def dot(i, j):
        rotated = [
            rotate(x, *rotary(torch.tensor([position]), 16)) for x, position in ((q, i), (k, j))
        ]
        return (rotated[0] * rotated[1]).sum()

    torch.testing.assert_close(dot(3, 10), dot(-70, -63), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(dot(5, 0), dot(2, -3), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(dot(0, 0), (q * k).sum())
    assert (dot(3, 10) - dot(10, 3)).abs() > 1e-2


def test_rotation_keeps_length():
    x = torch.randn(2, 3, 7, 16)
    torch.testing.assert_close(
        rotate(x, *rotary(torch.arange(-3, 4), 16)).norm(dim=-1), x.norm(dim=-1)
    )


# ---- transformer block --------------------------------------------------------------------------


@pytest.fixture
def block() -> Block:
    torch.manual_seed(0)
    return Block(dim=32, num_heads=2, dropout=0.1).eval()


def apply(block: Block, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    q, k, v = block.keys(x, *rotary(torch.arange(x.shape[1]), 16))
    assert q.shape == k.shape == v.shape == (x.shape[0], 2, x.shape[1], 16)
    return block.attend(x, q, k, v, torch.zeros(1, 1, 1, 1) if bias is None else bias)


def test_block_shape(block):
    x = torch.randn(3, 7, 32)
    assert apply(block, x).shape == x.shape


def test_block_attends_where_its_bias_lets_it(block):
    x = torch.randn(2, 7, 32)
    changed = x.clone()
    changed[:, 5] += torch.randn(32)
    bias = torch.zeros(1, 1, 7, 7)
    bias[..., 5] = -torch.inf  # nobody sees 5
    same = [0, 1, 2, 3, 4, 6]
    torch.testing.assert_close(apply(block, x, bias)[:, same], apply(block, changed, bias)[:, same])
    difference = (apply(block, x) - apply(block, changed)).abs().amax((0, 2))
    assert (difference > 1e-5).all()  # without it, all see all


def test_bias_of_each_head_and_row_is_its_own(block):
    x = torch.randn(2, 7, 32)
    bias = torch.randn(2, 2, 7, 7)
    expected = torch.cat([apply(block, x[row : row + 1], bias[row : row + 1]) for row in range(2)])
    torch.testing.assert_close(apply(block, x, bias), expected)
    assert (apply(block, x, bias) - apply(block, x, bias.flip(1))).abs().max() > 1e-3


def test_attention_is_the_same_where_it_learns():
    """Plain products for gradients, a fused kernel elsewhere."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 9, 8).unbind()
    bias = torch.randn(2, 4, 9, 9).masked_fill(torch.rand(2, 4, 9, 9) < 0.2, -torch.inf)
    fused = attention(q, k, v, bias)
    torch.testing.assert_close(attention(q.requires_grad_(), k, v, bias), fused)


def test_gradients_reach_the_bias(block):
    bias = torch.zeros(1, 2, 7, 7, requires_grad=True)
    apply(block, torch.randn(1, 7, 32), bias).sum().backward()
    assert bias.grad.isfinite().all() and bias.grad.abs().amax((0, 2, 3)).min() > 0


def test_block_knows_where_things_are(block):
    x = torch.randn(1, 7, 32)
    assert (apply(block, x.flip(1)).flip(1) - apply(block, x)).abs().max() > 1e-3


def test_dropout_only_in_training(block):
    x = torch.randn(1, 7, 32)
    torch.testing.assert_close(apply(block, x), apply(block, x))
    block.train()
    assert (apply(block, x) - apply(block, x)).abs().max() > 1e-3
