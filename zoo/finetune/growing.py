"""A network with a new head, and with new ids where the head needs them, which keeps the weights that it has."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from zoo.architecture import AnyNetwork, build_network, outline
from zoo.errors import ZooError
from zoo.music.prior import Prior
from zoo.recurrent import RecurrentNetwork
from zoo.transformer.heads import First, Head
from zoo.transformer.model import Transformer


def with_head(network: AnyNetwork, head: Head, *, more: int = 0, seed: int = 0) -> AnyNetwork:
    """Return ``network`` with ``head``; all else is shared with it, not copied.

    A head of the same labels and shape goes on as it is; any other is drawn anew.

    Args:
        network: is of no use afterwards.
        head: the new one; a prior's stands on the transformer in it.
        more: ids that are put after the vocabulary of a transformer, to be read and predicted.
        seed: of the new weights.

    Raises:
        ZooError: a head that the network cannot have.
    """
    try:
        if isinstance(network, Transformer):
            return _grown(network, head, more, seed)
        if isinstance(network, Prior):
            inner = _grown(network.transformer, head, 0, seed)
            made = outline(dataclasses.replace(network.config, transformer=inner.config))
            return _adopted(made, network, but={"transformer": inner})
        return _with_layer(network, head, seed)
    except ZooError as error:
        raise ZooError(str(error).removeprefix("head: ")) from None


def _with_layer(network: RecurrentNetwork, head: Head, seed: int) -> AnyNetwork:
    torch.manual_seed(seed)
    made = build_network(dataclasses.replace(network.config, head=head)).to(next(network.parameters()))
    layer = made.get_submodule("classifier")
    if _same(network.config.head, head):
        layer.load_state_dict(network.get_submodule("classifier").state_dict())
    return _adopted(made, network, but={"classifier": layer})


def _adopted(made: AnyNetwork, network: AnyNetwork, *, but: dict[str, nn.Module]) -> AnyNetwork:
    """Return ``made`` with the parts of ``network``, and those of ``but``."""
    for name in [name for name, _ in made.named_children()]:
        setattr(made, name, but[name] if name in but else network.get_submodule(name))
    return made


@torch.no_grad()
def _grown(network: Transformer, head: Head, more: int, seed: int) -> Transformer:
    old = network.config
    ids = old.vocabulary + more
    predicted = old.output_vocabulary
    if more and predicted is not None and not old.tied:
        predicted += more
    config = dataclasses.replace(
        old, head=head, vocabulary=ids, output_vocabulary=predicted, pooler=old.pooler and _pools_first(head)
    )
    made = outline(config)
    assert isinstance(made, Transformer)
    known = dict(network.named_parameters())
    if not _same(old.head, head):
        known = {name: weight for name, weight in known.items() if not name.startswith("classifier.")}
    like = next(network.parameters())
    fresh: set[int] = set()
    for prefix, module in made.named_modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            there = known.get(f"{prefix}.{name}" if prefix else name)
            if there is None or there.shape != weight.shape:
                there = nn.Parameter(torch.zeros(weight.shape, dtype=like.dtype, device=like.device))
                fresh.add(id(there))
            setattr(module, name, there)
    torch.manual_seed(seed)
    for role, weight in made.matrices():
        if id(weight) in fresh:
            config.initial.draw(weight, role, width=config.width, depth=config.depth)
    for name, weight in made.named_parameters():
        if id(weight) in fresh and name in known:
            weight[: len(known[name])] = known[name]
    return made


def _pools_first(head: Head) -> bool:
    """Return whether a head looks at the first position, which is what a pooler stands on."""
    return isinstance(getattr(head, "pool", None), First)


def _same(old: Head | None, new: Head) -> bool:
    """Return whether a head's weights mean the same in both."""
    if old is None or type(old) is not type(new):
        return False
    return getattr(old, "labels", None) == getattr(new, "labels", None) and old.layer == new.layer
