"""One more id for every row of a cache on a GPU: kernels that are recorded once, and then launched all together.

Launching the thousand small kernels of a step one by one takes longer than they run. A CUDA graph launches all of them
at once, but always the same ones, at the same addresses and of the same sizes. So the position is a number on the
device, which kernels read; keys go into a slot of that number; and every step reads equally many slots, of which a mask
hides what the query does not see.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from zoo.transformer.block import Block
from zoo.transformer.cache import LayerCache, MemoryCache
from zoo.transformer.patterns import Pattern
from zoo.transformer.position import Rotation
from zoo.transformer.route import Call, Route, Step

EVERY = 8
"""Steps that are taken before one is recorded, which costs as much as a few: short texts do without."""
FAR = 1 << 40


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What the layers with one attention pattern need to know of a step whose position only the device knows.

    Attributes:
        slot: int64 (1,), into which the new key is put.
        kept: bool (1,), False where no later query sees the new key; None where it always is put in.
        slots: int64 (few,), that are read; None for all.
        mask: (1, 1, slots read), 0 where the query sees a key, else so low that its weight is 0.
        some: (1,), 0 where the query sees nothing; None where it always sees something.
    """

    slot: Tensor
    kept: Tensor | None
    slots: Tensor | None
    mask: Tensor
    some: Tensor | None

    @classmethod
    def of(cls, pattern: Pattern, position: Tensor, keys: Tensor) -> Reach:
        """Return it for the id at ``position``, int64 (1,), and a cache of ``keys`` (batch, heads, slots, width)."""
        size = keys.shape[2]
        slot, near = pattern.slot(position), pattern.reach(position, size)
        places = torch.arange(size, device=keys.device) if near is None else near
        held = pattern.held(position, places)
        visible = pattern.sees(position, held) & (held >= 0)
        mask = torch.zeros(visible.shape, dtype=keys.dtype, device=keys.device)
        loses = int(pattern.slot(torch.tensor(FAR))) >= pattern.slots(FAR + 1)
        blind = not range(*pattern.read(0).indices(size))
        return cls(
            slot=slot.clamp(max=size - 1),
            kept=slot < size if loses else None,
            slots=None if near is None else near.clamp(max=size - 1),
            mask=mask.masked_fill(~visible, torch.finfo(keys.dtype).min / 2)[None, None],
            some=visible.any(dim=0, keepdim=True).to(keys.dtype) if blind else None,
        )

    def put(self, store: Tensor, new: Tensor) -> None:
        """Put ``new`` (batch, heads, 1, width) into ``store`` (batch, heads, slots, width)."""
        if self.kept is not None:
            new = torch.where(self.kept, new, store.index_select(2, self.slot))
        store.index_copy_(2, self.slot, new)

    def attend(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return softmax(q k / sqrt(width)) v, (batch, heads, 1, width), of queries of that shape."""
        batch, heads, _, width = keys.shape
        if self.slots is not None:
            keys, values = keys.index_select(2, self.slots), values.index_select(2, self.slots)
        folded = rearrange(query, "b (h g) 1 d -> (b h) g d", h=heads)
        scores = torch.baddbmm(self.mask, folded, keys.flatten(0, 1).mT, alpha=width**-0.5)
        result = torch.bmm(scores.softmax(dim=2), values.flatten(0, 1))
        if self.some is not None:
            result = result * self.some
        return rearrange(result, "(b h) g d -> b (h g) 1 d", b=batch)


class Moving(Route):
    """One more id for every row, all at the same position: no number of it is known to the program.

    Args:
        position: int64 (1,), on the model's device.
    """

    def __init__(self, position: Tensor) -> None:
        self.positions = position
        self._reaches: dict[tuple[Pattern, int], Reach] = {}

    def attend(
        self, pattern: Pattern, cache: LayerCache | None, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        assert cache is not None
        known = (pattern, cache.keys.shape[2])
        if known not in self._reaches:
            self._reaches[known] = Reach.of(pattern, self.positions, cache.keys)
        reach = self._reaches[known]
        reach.put(cache.keys, key)
        reach.put(cache.values, value)
        return reach.attend(query, cache.keys, cache.values)


class Recording:
    """How a step passes through ``blocks`` with the ``caches`` of ``rows`` rows: once recorded, by a CUDA graph.

    On other devices the same step is taken without being recorded: what is recorded can be tested there.
    """

    def __init__(
        self,
        blocks: Iterable[Block],
        caches: Sequence[LayerCache | MemoryCache],
        rotation: Rotation | None,
        x: Tensor,
    ) -> None:
        """Make it for steps from ``x`` (rows, width) on."""
        self._layers = list(zip(blocks, caches, strict=True))
        self._weights = [weight for block, _ in self._layers for weight in block.parameters()]
        self._source = self._now()
        self._rotation = rotation
        self._x = torch.empty_like(x)[:, None]
        self._position = torch.zeros(1, dtype=torch.int64, device=x.device)
        self._output: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._wait = EVERY if x.is_cuda else -1  # steps before one is recorded; negative for never

    def holds(self) -> bool:
        """Return whether the weights still are where they were: a recording reads there whatever they are now."""
        return self._source == self._now()

    def _now(self) -> list[int]:
        return [weight.data_ptr() for weight in self._weights]

    def step(self, x: Tensor, call: Call) -> Tensor:
        """(rows, width) -> (rows, width); the caches get the new keys and values. ``call.route`` must be a ``Step``."""
        assert isinstance(call.route, Step)
        self._x.copy_(x[:, None])
        self._position.fill_(call.route.position)
        if self._wait == 0:
            self._record(call)
        self._wait -= self._wait >= 0
        if self._graph is None or self._output is None:
            return self._pass(call)[:, 0]
        self._graph.replay()
        return self._output[:, 0].clone()

    def _pass(self, call: Call) -> Tensor:
        """Return what the blocks make of the input, (rows, 1, width)."""
        angles = None if self._rotation is None else self._rotation.angles(self._position)
        moving = Call(route=Moving(self._position), angles=angles, conditioning=call.conditioning)
        x = self._x
        for block, cache in self._layers:
            x = block(x, moving, cache)
        return x

    def _record(self, call: Call) -> None:
        """Record a step, whose kernels do not run yet."""
        graph = torch.cuda.CUDAGraph()
        try:
            here = torch.cuda.current_stream(self._x.device)  # which a capture that fails would not go back to
            with torch.cuda.device(self._x.device), torch.cuda.stream(here), torch.cuda.graph(graph):
                self._output = self._pass(call)
            self._graph = graph
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            warnings.warn(f"steps are not recorded as a CUDA graph, and slower for it: {reason}", stacklevel=2)
