"""Which tensors of a foreign file make up which weight of ours: read straight into a network, written straight from it.

A link shows one of our weights as **views** in the shapes of the foreign tensors. Shapes to expect, reading (copy into
the view) and writing (write the view) all follow from that one function, and nothing is ever held twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.weights.tensors import TensorSource, named_weights

PIECE = 8 << 20
"""Bytes (counting 4 a number) that are read at a time: what loading needs beside the network."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One weight of ours and the foreign tensors that it is made of.

    Attributes:
        ours: name of the weight in the network.
        theirs: names of the foreign tensors.
        views: shows our weight as one view a foreign tensor, in its shape. Views only: reading writes through them.
    """

    ours: str
    theirs: tuple[str, ...]
    views: Callable[[Tensor], tuple[Tensor, ...]]


def same(ours: str, theirs: str) -> Link:
    """The same tensor under another name."""
    return Link(ours=ours, theirs=(theirs,), views=lambda weight: (weight,))


def transposed(ours: str, theirs: str) -> Link:
    """A matrix that is stored as (in, out), where ``nn.Linear`` has (out, in)."""
    return Link(ours=ours, theirs=(theirs,), views=lambda weight: (weight.t(),))


def stacked(ours: str, *theirs: str) -> Link:
    """Tensors of one shape, one after the other along our first axis: q, k and v in one matrix."""
    return Link(ours=ours, theirs=theirs, views=lambda weight: tuple(weight.tensor_split(len(theirs))))


def viewed(ours: str, theirs: str, view: Callable[[Tensor], Tensor]) -> Link:
    """A tensor that ``view`` makes of ours without copying: an axis of 1 more, heads on an axis of their own."""
    return Link(ours=ours, theirs=(theirs,), views=lambda weight: (view(weight),))


def own(network: nn.Module) -> list[Link]:
    """Return the links of our own format: every weight once, under its own name."""
    return [same(name, name) for name in named_weights(network)]


class Renamed:
    """A source under other names.

    Args:
        source: where tensors are read.
        rename: stored name -> name, None for what is no weight and is left alone.
        copies: names of tensors that some files have in place of another, or beside it: copy -> that other. They count
            as the other where it is missing and are left alone where it is there (a tied table, stored twice or under
            the name of the output matrix).

    Raises:
        ZooError: two tensors get one name.
    """

    def __init__(
        self, source: TensorSource, rename: Callable[[str], str | None], copies: Mapping[str, str] | None = None
    ) -> None:
        self._source = source
        stored: dict[str, str] = {}
        for name in source.names():
            new = rename(name)
            if new in stored:
                raise ZooError(
                    f"{source.where}: tensors {stored[new]!r} and {name!r} are the same one; keep one of them"
                )
            if new is not None:
                stored[new] = name
        for copy, other in (copies or {}).items():
            if copy in stored:
                stored.setdefault(other, stored.pop(copy))
        self._stored = stored

    @property
    def where(self) -> str:
        """What messages call it."""
        return self._source.where

    def names(self) -> Sequence[str]:
        """Return the new name of every tensor that is a weight."""
        return list(self._stored)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._source.shape(self._stored[name])

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Read a tensor; see ``TensorSource``."""
        return self._source.read(self._stored[name], start, stop)


def check(network: nn.Module, links: Sequence[Link], source: TensorSource) -> None:
    """Compare names and shapes, without reading a tensor; the network may be on the meta device.

    Raises:
        ZooError: one line that lists every missing and unexpected name and every shape that differs.
    """
    wanted = {name: tuple(view.shape) for name, view in written(network, links)}
    there = set(source.names())
    problems = [f"missing {name!r}" for name in wanted if name not in there]
    problems += [f"unexpected {name!r}" for name in source.names() if name not in wanted]
    problems += [
        f"{name!r} is {source.shape(name)}, not {shape}"
        for name, shape in wanted.items()
        if name in there and source.shape(name) != shape
    ]
    if problems:
        raise ZooError(f"{source.where} does not fit this network: {', '.join(problems)}")


@torch.no_grad()
def read_into(
    network: nn.Module,
    links: Sequence[Link],
    source: TensorSource,
    *,
    device: torch.device | None = None,
) -> None:
    """Read every tensor straight into the network's weights, which say the type; big ones in pieces.

    Args:
        network: on the meta device if ``device`` is given, else where it shall be; in the type it shall have.
        links: for every weight of the network.
        source: what to read.
        device: where the network's memory is taken once names and shapes are known to fit.

    Raises:
        ZooError: names or shapes do not fit (all are listed, nothing has been read); a tensor that is not finite, no
            floats where the network has floats, or a file that cannot be read (the network is then of no use).
    """
    check(network, links, source)
    if device is not None:
        _allocate(network, device)
    for name, view in written(network, links):
        for piece, target in _pieces(source, name, view):
            if piece.is_floating_point() != target.is_floating_point():
                raise ZooError(f"{source.where}: tensor {name!r} holds {_type(piece)}, not {_type(target)}")
            if not _is_finite(piece):
                raise ZooError(
                    f"{source.where}: tensor {name!r} has values that are NaN or infinite; get another checkpoint"
                )
            target.copy_(piece)


def written(network: nn.Module, links: Sequence[Link]) -> Iterator[tuple[str, Tensor]]:
    """Yield the network's weights as foreign tensors, each a view.

    Raises:
        ZooError: a weight of the network that the other format has no name for.
    """
    weights = named_weights(network)
    linked = {link.ours for link in links}
    if homeless := [name for name in weights if name not in linked]:
        raise ZooError(f"this format has no place for {', '.join(homeless)}")
    for link in links:
        yield from zip(link.theirs, link.views(weights[link.ours]), strict=True)


def _allocate(network: nn.Module, device: torch.device) -> None:
    """Give a network on the meta device memory; unlike ``to_empty``, without loading much of torch's compiler first."""
    made: dict[int, Tensor] = {}
    for module in network.modules():
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if id(tensor) not in made:
                memory = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
                made[id(tensor)] = nn.Parameter(memory) if isinstance(tensor, nn.Parameter) else memory
            setattr(module, name, made[id(tensor)])


def _pieces(source: TensorSource, name: str, view: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (what is read, where it belongs), at most ``PIECE`` bytes or one row at a time."""
    if view.dim() == 0:
        yield source.read(name), view
        return
    rows = max(PIECE // max(4 * math.prod(view.shape[1:]), 1), 1)
    for start in range(0, len(view), rows):
        yield source.read(name, start, start + rows), view[start : start + rows]


def _is_finite(tensor: Tensor) -> bool:
    """Return whether no number is NaN or infinite; a sum tells nearly always, without a mask of the tensor's size."""
    if not tensor.is_floating_point():
        return True
    total = tensor.sum(dtype=torch.float32 if tensor.dtype.itemsize < 4 else tensor.dtype)
    return bool(torch.isfinite(total)) or bool(torch.isfinite(tensor).all())


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
