"""Few rows take other ways through the weights, and come to the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from zoo.transformer import linear as fast
from zoo.transformer.config import TransformerConfig
from zoo.transformer.linear import Linear, pack_for_drawing
from zoo.transformer.model import Transformer


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 3, 16, 32, 33])
@pytest.mark.parametrize(("width", "out"), [(64, 64), (40, 7), (24, 103)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_any_number_of_rows(rows: int, width: int, out: int, bias: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(rows)
    layer = Linear(width, out, bias=bias).to(dtype)
    x = torch.randn(rows, 1, width).to(dtype)
    plain = functional.linear(x.double(), layer.weight.double(), None if layer.bias is None else layer.bias.double())
    tolerance = 1e-5 if dtype is torch.float32 else 2e-2
    for _ in range(2):  # before and after packing
        y = layer(x)
        assert y.shape == (rows, 1, out)
        assert y.dtype is dtype
        torch.testing.assert_close(y.double(), plain, atol=tolerance, rtol=tolerance)
        layer.pack(rows)


@torch.no_grad()
def test_changed_weights_are_never_read_from_an_old_copy() -> None:
    layer, x = Linear(16, 16), torch.randn(4, 16)
    layer.pack(4)
    layer.weight.mul_(3.0)
    torch.testing.assert_close(layer(x), functional.linear(x, layer.weight, layer.bias))
    layer.pack(4)
    assert layer.packed is not None
    assert layer.packed.of(layer.weight)
    layer.to(torch.float64)
    assert layer(x.double()).dtype is torch.float64


def test_gradients_are_those_of_the_plain_layer() -> None:
    layer, x = Linear(16, 24), torch.randn(1, 16, requires_grad=True)
    layer.pack(4)
    layer(x).square().sum().backward()
    with torch.no_grad():
        expected = 2 * functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer.weight.grad, expected.T @ x.detach())


def test_the_state_is_that_of_the_plain_layer() -> None:
    layer = Linear(8, 8)
    layer.pack(4)
    assert list(layer.state_dict()) == list(nn.Linear(8, 8).state_dict())


def test_copies_are_made_only_where_they_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Transformer(TransformerConfig(vocabulary=11, context=8, width=16, depth=1, heads=2))

    def copied() -> int:
        return sum(isinstance(each, Linear) and each.packed is not None for each in network.modules())

    pack_for_drawing(network, rows=1, steps=100)  # the view is as fast
    pack_for_drawing(network, rows=16, steps=3)  # over before it pays
    monkeypatch.setattr(fast, "available_bytes", lambda: 1000)
    pack_for_drawing(network, rows=16, steps=100)  # no room
    assert copied() == 0
    monkeypatch.undo()
    pack_for_drawing(network, rows=16, steps=100)
    assert copied() == 4
    assert network.packed_output is not None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@torch.no_grad()
def test_bfloat16_of_any_size(scale: float) -> None:
    """One row is multiplied in float16 where that holds the weights."""
    layer = Linear(64, 48, bias=False).bfloat16()
    layer.weight.mul_(scale)
    x = torch.randn(1, 64).bfloat16()
    exact = functional.linear(x.double(), layer.weight.double())
    layer.pack(1)
    assert (layer(x).double() - exact).abs().max() < 1e-2 * exact.abs().max()
    many = x.expand(5, 64)
    assert (layer(many).double() - exact).abs().max() < 1e-2 * exact.abs().max()  # for which there is no copy yet
    layer.pack(5)
    assert layer.packed is not None
    assert layer.packed.rows >= 5
    assert (layer(many).double() - exact).abs().max() < 1e-2 * exact.abs().max()
