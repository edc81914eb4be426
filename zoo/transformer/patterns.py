"""Attention patterns: which keys a query sees, how the whole sequence is attended to, and what a cache must keep.

``sees`` is the truth about a pattern. ``attend`` (the whole sequence, by folding it into blocks so that cost is linear
where the pattern is), ``held`` and ``read`` (the cache) are fast paths; tests hold each of them to ``sees`` by brute
force. A query that sees nothing gets zeros.

Sources: dense, Vaswani et al. 2017, section 3.2; banded, Child et al. 2019, section 5.3 (the ``local`` mode of their
code: ``0 <= query - key < window``); Block, Column, PreviousBlock and Prefix, Dhariwal et al. 2020 (Jukebox), attention
functions 1, 2, 3 and 7 of its code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.nn import functional

from zoo.errors import ZooError


def attention(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool = False, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Scaled dot-product attention, ``softmax(q k / sqrt(head_width)) v``; queries without a visible key give zeros.

    Args:
        query: (batch, heads, query time, head_width).
        key, value: (batch, key_value_heads, key time, head_width), where key_value_heads divides heads.
        causal: hide keys after the query; query and key time must be equal.
        mask: bool, broadcastable to (batch, heads, query time, key time); True where a query sees a key.
        dropout: probability of dropping an attention weight.
    """
    grouped = query.shape[1] != key.shape[1]
    if key.shape[2] == 0:
        return torch.zeros_like(query)
    if not grouped and _short(query, key):
        return _plain(query, key, value, causal=causal, mask=mask, dropout=dropout)
    if mask is None:
        return functional.scaled_dot_product_attention(
            query, key, value, is_causal=causal, dropout_p=dropout, enable_gqa=grouped
        )
    some = mask.any(dim=-1, keepdim=True)
    # A row of minus infinities would be NaN, and poison gradients even where it is then replaced.
    result = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask | ~some, dropout_p=dropout, enable_gqa=grouped
    )
    return result * some.to(result.dtype)


SHORT = 256
"""Keys up to which plain products learn faster than fused ones in bfloat16 on a CPU: 4 times at 28, twice at 256."""


def _short(query: Tensor, key: Tensor) -> bool:
    """Return whether plain products are faster, for it is the fused ones' gradient that takes so long."""
    return query.dtype is torch.bfloat16 and query.is_cpu and key.shape[2] <= SHORT and torch.is_grad_enabled()


def _plain(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, mask: Tensor | None, dropout: float) -> Tensor:
    """Return what ``attention`` returns by two products and a softmax, whose weights all are held in memory."""
    scores = (query * query.shape[-1] ** -0.5) @ key.mT
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = functional.dropout(scores.softmax(dim=-1).to(value.dtype), dropout)
    return weights @ value if mask is None or causal else weights @ value * mask.any(dim=-1, keepdim=True)


def _pad_time(x: Tensor, size: int) -> Tensor:
    """Pad (batch, heads, time, feature) with zeros at the end to a multiple of ``size``."""
    missing = -x.shape[2] % size
    return functional.pad(x, (0, 0, 0, missing)) if missing else x


@dataclass(frozen=True, kw_only=True)
class Pattern(ABC):
    """Which keys a query sees.

    Attributes:
        causal: True if no query sees a later key; only then can a cache be kept.
    """

    causal: bool = True

    @abstractmethod
    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        """Return bool: does the query at position ``query`` see the key at ``key`` (integer tensors, broadcast)."""

    @abstractmethod
    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, lengths: Tensor | None, dropout: float) -> Tensor:
        """Attend over a whole sequence that starts at position 0.

        Args:
            query: (batch, heads, time, head_width); key, value: (batch, key_value_heads, time, head_width).
            lengths: (batch,) real positions of each row, padding on the right; causal patterns need not look at it,
                for no real query sees padding that comes after it.
            dropout: probability of dropping an attention weight.
        """

    def check(self, context: int) -> None:
        """Raise ZooError if the pattern does not fit a context of that many positions."""
        return None

    # The cache: `slots` places, each of which holds one position at a time.

    def slots(self, capacity: int) -> int:
        """Return how many keys a cache for ``capacity`` positions has to hold at once."""
        return capacity

    def slot(self, position: Tensor) -> Tensor:
        """Return the slot that takes the key at ``position``; one beyond the cache's means that it is never needed."""
        return position

    def held(self, newest: Tensor, slot: Tensor) -> Tensor:
        """Return the position that ``slot`` holds once ``newest`` is written, negative if none (tensors, broadcast)."""
        return torch.where(slot <= newest, slot, -1)

    def read(self, position: int) -> slice:
        """Return the slots that the query at ``position`` sees, once its own key is written: no mask is needed."""
        return slice(0, position + 1)

    def reach(self, position: Tensor, slots: int) -> Tensor | None:
        """Return places among which all those lie that a query sees: equally many at every position; None for all.

        Args:
            position: int64 (1,), of the query.
            slots: of the cache; places beyond it hold nothing.
        """
        return None


@dataclass(frozen=True, kw_only=True)
class Dense(Pattern):
    """Every key up to the query, or every key at all if not causal."""

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        return key <= query if self.causal else torch.ones_like(key <= query)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, lengths: Tensor | None, dropout: float) -> Tensor:
        if self.causal or lengths is None:
            return attention(query, key, value, causal=self.causal, dropout=dropout)
        real = torch.arange(key.shape[2], device=key.device) < lengths.to(key.device)[:, None]
        return attention(query, key, value, mask=real[:, None, None, :], dropout=dropout)


@dataclass(frozen=True, kw_only=True)
class _Ring(Pattern):
    """A pattern whose cache is a ring: position p lies in slot ``p % ring``."""

    @property
    @abstractmethod
    def ring(self) -> int:
        """Number of newest positions among which everything that can still be seen lies."""

    def slots(self, capacity: int) -> int:
        return min(self.ring, capacity)

    def slot(self, position: Tensor) -> Tensor:
        return position % self.ring

    def held(self, newest: Tensor, slot: Tensor) -> Tensor:
        return newest - (newest - slot) % self.ring


@dataclass(frozen=True, kw_only=True)
class Banded(_Ring):
    """The newest ``window`` keys, the query's own included; to both sides if not causal. Linear in time.

    Attributes:
        window: keys that a query sees; GPT-3's is not published, 256 is GPT-Neo's.
    """

    window: int = 256

    def __post_init__(self) -> None:
        _check_positive("window", self.window)

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        distance = query - key
        return (distance >= 0) & (distance < self.window) if self.causal else distance.abs() < self.window

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, lengths: Tensor | None, dropout: float) -> Tensor:
        time, size = query.shape[2], min(self.window, query.shape[2])
        blocks = -(-time // size)
        offsets = (-1, 0) if self.causal else (-1, 0, 1)
        folded = rearrange(_pad_time(query, size), "b h (n s) d -> (b n) h s d", s=size)
        near = [_shifted_blocks(key, size, offset) for offset in offsets]
        near_value = [_shifted_blocks(value, size, offset) for offset in offsets]
        first = torch.arange(blocks, device=query.device)[:, None] * size
        query_at = first + torch.arange(size, device=query.device)
        key_at = first + torch.arange(offsets[0] * size, (offsets[-1] + 1) * size, device=query.device)
        end = query.new_full((query.shape[0],), time, dtype=torch.long) if lengths is None else lengths.to(query.device)
        real = (key_at >= 0) & (key_at < end[:, None, None])
        mask = self.sees(query_at[:, :, None], key_at[:, None, :]) & real[:, :, None, :]
        result = attention(
            folded,
            torch.cat(near, dim=2),
            torch.cat(near_value, dim=2),
            mask=rearrange(mask, "b n q k -> (b n) 1 q k"),
            dropout=dropout,
        )
        return rearrange(result, "(b n) h s d -> b h (n s) d", n=blocks)[:, :, :time]

    @property
    def ring(self) -> int:
        return self.window

    def read(self, position: int) -> slice:
        return slice(0, min(position + 1, self.window))


@dataclass(frozen=True, kw_only=True)
class Block(_Ring):
    """Keys of the query's own block of ``size`` positions. Jukebox's function 1."""

    size: int

    def __post_init__(self) -> None:
        _check_positive("size", self.size)

    def check(self, context: int) -> None:
        _check_divides(self.size, context)

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        same = query // self.size == key // self.size
        return same & (key <= query) if self.causal else same

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, lengths: Tensor | None, dropout: float) -> Tensor:
        return _attend_folded("b h (n s) d -> (b n) h s d", self, self.size, query, key, value, lengths, dropout)

    @property
    def ring(self) -> int:
        return self.size

    def read(self, position: int) -> slice:
        return slice(0, position % self.size + 1)


@dataclass(frozen=True, kw_only=True)
class Column(Pattern):
    """Keys at the query's offset within every block of ``size`` positions up to its own. Jukebox's function 2."""

    size: int

    def __post_init__(self) -> None:
        _check_positive("size", self.size)

    def check(self, context: int) -> None:
        _check_divides(self.size, context)

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        same = query % self.size == key % self.size
        return same & (key <= query) if self.causal else same

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, lengths: Tensor | None, dropout: float) -> Tensor:
        return _attend_folded("b h (n s) d -> (b s) h n d", self, self.size, query, key, value, lengths, dropout)

    def read(self, position: int) -> slice:
        return slice(position % self.size, position + 1, self.size)

    def reach(self, position: Tensor, slots: int) -> Tensor | None:
        return position % self.size + torch.arange(0, slots, self.size, device=position.device)


@dataclass(frozen=True, kw_only=True)
class PreviousBlock(_Ring):
    """Every key of the block before the query's own; the first block sees nothing. Jukebox's function 3."""

    size: int

    def __post_init__(self) -> None:
        _check_positive("size", self.size)
        if not self.causal:
            raise ZooError("previous_block only looks back: leave causal true")

    def check(self, context: int) -> None:
        _check_divides(self.size, context)

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        return query // self.size == key // self.size + 1

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, lengths: Tensor | None, dropout: float) -> Tensor:
        time, size = query.shape[2], self.size
        if time <= size:
            return torch.zeros_like(query)
        later = rearrange(_pad_time(query[:, :, size:], size), "b h (n s) d -> (b n) h s d", s=size)
        blocks = later.shape[0] // query.shape[0]
        before, before_value = (
            rearrange(x[:, :, : blocks * size], "b h (n s) d -> (b n) h s d", s=size) for x in (key, value)
        )
        result = attention(later, before, before_value, dropout=dropout)
        result = rearrange(result, "(b n) h s d -> b h (n s) d", n=blocks)
        return functional.pad(result, (0, 0, size, 0))[:, :, :time]

    @property
    def ring(self) -> int:
        return 2 * self.size

    def read(self, position: int) -> slice:
        block = position // self.size
        first = (block - 1) % 2 * self.size
        return slice(first, first + self.size if block else first)


@dataclass(frozen=True, kw_only=True)
class Prefix(Pattern):
    """Keys among the first ``length`` positions only. Jukebox's function 7 (lyrics before music in one sequence)."""

    length: int

    def __post_init__(self) -> None:
        _check_positive("length", self.length)

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        inside = (key < self.length) & (query >= 0)
        return inside & (key <= query) if self.causal else inside

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, lengths: Tensor | None, dropout: float) -> Tensor:
        key, value = key[:, :, : self.length], value[:, :, : self.length]
        if not self.causal:
            return Dense(causal=False).attend(query, key, value, lengths=lengths, dropout=dropout)
        size = key.shape[2]
        inside = attention(query[:, :, :size], key, value, causal=True, dropout=dropout)
        if query.shape[2] == size:
            return inside
        return torch.cat((inside, attention(query[:, :, size:], key, value, dropout=dropout)), dim=2)

    def slots(self, capacity: int) -> int:
        return min(self.length, capacity)

    def read(self, position: int) -> slice:
        return slice(0, min(position + 1, self.length))


@dataclass(frozen=True, kw_only=True)
class Cross:
    """A layer that attends to the memory (another sequence's states), not to its own sequence. Jukebox's function 6."""


AnyPattern = Dense | Banded | Block | Column | PreviousBlock | Prefix | Cross


def _shifted_blocks(x: Tensor, size: int, offset: int) -> Tensor:
    """Fold (b, h, time, d) into blocks; block i of the result is block ``i + offset``, zeros beyond the ends."""
    x = rearrange(_pad_time(x, size), "b h (n s) d -> b h n s d", s=size)
    count = x.shape[2]
    x = functional.pad(x, (0, 0, 0, 0, max(-offset, 0), max(offset, 0)))[:, :, max(offset, 0) :][:, :, :count]
    return rearrange(x, "b h n s d -> (b n) h s d")


def _attend_folded(
    fold: str,
    pattern: Pattern,
    size: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: Tensor | None,
    dropout: float,
) -> Tensor:
    """Attend inside the rows that the einops pattern ``fold`` makes of the (padded) sequence."""
    batch, _, time, _ = query.shape
    folded = [rearrange(_pad_time(x, size), fold, s=size) for x in (query, key, value)]
    mask = None
    if not pattern.causal and (lengths is not None or time % size):
        end = query.new_full((batch,), time, dtype=torch.long) if lengths is None else lengths.to(query.device)
        padded = -(-time // size) * size
        real = repeat(torch.arange(padded, device=query.device) < end[:, None], "b t -> b 1 t 1")
        mask = rearrange(rearrange(real, fold, s=size), "r 1 k 1 -> r 1 1 k")
    result = attention(*folded, causal=pattern.causal, mask=mask, dropout=dropout)
    packed, spread = fold.split(" -> ")
    return rearrange(result, f"{spread} -> {packed}", b=batch, s=size)[:, :, :time]


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ZooError(f"{name} must be at least 1, got {value}")


def _check_divides(size: int, context: int) -> None:
    if context % size:
        raise ZooError(f"size {size} does not divide the context of {context} positions")
