"""Every fast path of a pattern against the truth, ``sees``, by brute force."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from zoo.errors import ZooError
from zoo.transformer.patterns import Banded, Block, Column, Dense, Pattern, Prefix, PreviousBlock, attention

CAUSAL = [
    Dense(),
    Banded(window=1),
    Banded(window=3),
    Banded(window=100),
    Block(size=1),
    Block(size=4),
    Column(size=4),
    PreviousBlock(size=4),
    PreviousBlock(size=1),
    Prefix(length=5),
    Prefix(length=1),
]
FULL = [
    Dense(causal=False),
    Banded(window=3, causal=False),
    Block(size=4, causal=False),
    Column(size=4, causal=False),
    Prefix(length=5, causal=False),
]


def reference(pattern: Pattern, query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None) -> Tensor:
    """Attention with an explicit loop-free mask in float64; queries that see nothing give zeros."""
    time, groups = query.shape[2], query.shape[1] // key.shape[1]
    at = torch.arange(time)
    mask = pattern.sees(at[:, None], at[None, :])[None, None].expand(query.shape[0], 1, -1, -1)
    if lengths is not None:
        mask = mask & (at < lengths[:, None])[:, None, None]
    key, value = (x.repeat_interleave(groups, dim=1).double() for x in (key, value))
    scores = query.double() @ key.mT / query.shape[3] ** 0.5
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1).nan_to_num(0.0)
    return (weights @ value).float()


def tensors(batch: int, time: int, heads: int = 4, key_value_heads: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((batch, heads, time, 8), (batch, key_value_heads, time, 8), (batch, key_value_heads, time, 8))
    query, key, value = (torch.randn(shape, generator=generator) for shape in shapes)
    return query, key, value


@pytest.mark.parametrize("pattern", CAUSAL + FULL, ids=str)
@pytest.mark.parametrize("time", [1, 3, 4, 5, 8, 13, 16])
def test_attend_equals_sees(pattern: Pattern, time: int) -> None:
    query, key, value = tensors(2, time)
    result = pattern.attend(query, key, value, lengths=None, dropout=0.0)
    torch.testing.assert_close(result, reference(pattern, query, key, value, None), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("pattern", CAUSAL + FULL, ids=str)
@pytest.mark.parametrize("time", [4, 9, 16])
def test_padding_is_never_seen(pattern: Pattern, time: int) -> None:
    query, key, value = tensors(3, time)
    lengths = torch.tensor([time, 1, time - 2])
    expected = reference(pattern, query, key, value, lengths)
    for row, length in enumerate(lengths.tolist()):  # what padding holds must not matter
        key[row, :, length:] = 1e4
        value[row, :, length:] = -1e4
    result = pattern.attend(query, key, value, lengths=lengths, dropout=0.0)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(result[row, :, :length], expected[row, :, :length], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("pattern", CAUSAL + FULL, ids=str)
def test_gradients_are_finite_and_flow_where_seen(pattern: Pattern) -> None:
    query, key, value = (x.requires_grad_() for x in tensors(1, 13))
    result = pattern.attend(query, key, value, lengths=None, dropout=0.0)
    result[:, :, 6].sum().backward()
    assert value.grad is not None
    assert query.grad is not None
    assert torch.isfinite(value.grad).all()
    assert torch.isfinite(query.grad).all()
    seen = pattern.sees(torch.tensor(6), torch.arange(13))
    assert torch.equal(value.grad.abs().sum(dim=(0, 1, 3)) > 0, seen)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["dense", "banded", "block", "column", "previous_block", "prefix"]),
    size=st.integers(1, 9),
    capacity=st.integers(1, 40),
)
def test_cache_holds_all_that_is_needed(kind: str, size: int, capacity: int) -> None:
    """Slots must hold every key that any later query sees, and ``read`` exactly what is seen now."""
    kinds: dict[str, Pattern] = {
        "dense": Dense(),
        "banded": Banded(window=size),
        "block": Block(size=size),
        "column": Column(size=size),
        "previous_block": PreviousBlock(size=size),
        "prefix": Prefix(length=size),
    }
    pattern = kinds[kind]
    slots = pattern.slots(capacity)
    contents = torch.full((slots,), -1)
    every = torch.arange(capacity)
    for position in range(capacity):
        slot = int(pattern.slot(torch.tensor(position)))
        if slot < slots:
            contents[slot] = position
        held = pattern.held(torch.tensor(position), torch.arange(slots))
        assert torch.equal(contents, held.clamp(min=-1))
        seen_now = pattern.sees(torch.tensor(position), every) & (every <= position)
        assert contents[pattern.read(position)].sort().values.tolist() == every[seen_now].tolist()
        later = every[position + 1 :]
        needed = pattern.sees(later[:, None], every[None, : position + 1]).any(0)
        assert set(every[: position + 1][needed].tolist()) <= set(contents.tolist())


@pytest.mark.parametrize(
    ("pattern", "slots"),
    [(Banded(window=256), 256), (Block(size=64), 64), (PreviousBlock(size=64), 128), (Prefix(length=448), 448)],
    ids=str,
)
def test_structured_caches_do_not_grow_with_the_context(pattern: Pattern, slots: int) -> None:
    assert pattern.slots(8192) == slots


def test_bad_patterns_are_refused() -> None:
    with pytest.raises(ZooError, match="window must be at least 1"):
        Banded(window=0)
    with pytest.raises(ZooError, match="does not divide the context"):
        Block(size=3).check(8)
    with pytest.raises(ZooError, match="only looks back"):
        PreviousBlock(size=3, causal=False)


def operations(pattern: Pattern, time: int) -> int:
    """Return the floating-point operations that a whole sequence costs."""
    query, key, value = tensors(1, time, key_value_heads=4)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        pattern.attend(query, key, value, lengths=None, dropout=0.0)
    return int(counter.get_total_flops())


@pytest.mark.parametrize(
    ("pattern", "growth"),
    [
        (Dense(), 16.0),
        (Banded(window=16), 4.0),
        (Block(size=16), 4.0),
        (PreviousBlock(size=16), 4.2),
        (Prefix(length=16), 4.0),
    ],
    ids=str,
)
def test_structured_patterns_cost_time_linear_in_the_sequence(pattern: Pattern, growth: float) -> None:
    assert operations(pattern, 1024) / operations(pattern, 256) == pytest.approx(growth, rel=0.01)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_plain_products_learn_what_fused_ones_do(masked: bool, causal: bool) -> None:
    """In bfloat16 with gradients on a CPU, short sequences go another way."""
    if masked and causal:
        return
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, 20, 16) for _ in range(3)]
    mask = torch.rand(2, 1, 20, 20) < 0.3 if masked else None
    if mask is not None:
        mask[0, 0, 4] = False  # sees nothing
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        each = [x.to(dtype, copy=True).requires_grad_() for x in inputs]
        result = attention(*each, causal=causal, mask=mask)
        result.float().square().sum().backward()
        results.append([result.float(), *(x.grad.float() for x in each if x.grad is not None)])
    assert len(results[1]) == 4
    for exact, rough in zip(*results, strict=True):
        assert (rough - exact).abs().max() < 0.03 * exact.abs().max()
    if mask is not None:
        assert not results[1][0][0, :, 4].any()
