"""Features of samples: one vector a layer, from every position of all that a network reads of a sample.

Layer k is what block k reads behind its first norm, and the last one is the final hidden state: the f^l of Image GPT
(Chen et al. 2020, section 2.4). See ``zoo.model.Model.features`` for ids instead of samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zoo.architecture import AnyNetwork
from zoo.errors import ZooError
from zoo.features.reading import Reading, Window
from zoo.features.songs import SongReading
from zoo.generate.sampler import device_of, evaluation_mode
from zoo.music.prior import Prior
from zoo.network import Conditioning
from zoo.tokenizers.base import Tokenizer
from zoo.transformer.heads import AnyPool, First, Last, Mean

Vectors = tuple[NDArray[np.float32], ...]
"""Features of one sample: (width,) of each layer that was asked for."""
AHEAD = 4
"""Batches whose windows are sorted by length, so that little padding is read."""
MEAN = Mean()


class Featured(Protocol):
    """What has a network and its tokenizer: ``zoo.model.Model``."""

    @property
    def network(self) -> AnyNetwork:
        """Any network."""

    @property
    def tokenizer(self) -> Tokenizer[Any]:
        """Makes the ids that the network reads."""


def depth_of(model: Featured) -> int:
    """Return the number of the last layer: there are so many and layer 0."""
    return int(model.network.config.depth)


def check_layer(model: Featured, layer: int) -> int:
    """Return the number of a layer from 0; -1 is the last one, -2 that before it.

    Raises:
        ZooError: there is no such layer.
    """
    depth = depth_of(model)
    if not -depth - 1 <= layer <= depth:
        raise ZooError(f"layer: this model has layers 0 to {depth} (or -1 for the last), got {layer}")
    return layer % (depth + 1)


def features(
    model: Featured,
    samples: Iterable[tuple[str, Any]],
    *,
    layers: Sequence[int],
    pool: AnyPool = MEAN,
    batch: int = 16,
) -> Iterator[Vectors]:
    """Yield the features of each sample in order, in memory that does not grow with their number or length.

    Layers above the last that is asked for are not computed.

    Args:
        model: reads the samples.
        samples: (name for messages, sample); see ``Reading.windows``.
        layers: from 0 to the depth, ascending.
        pool: over the positions of a sample, those of all its windows; see ``zoo.transformer.heads``.
        batch: windows in a forward pass.

    Raises:
        ZooError: a sample that cannot be read: one line that names it.
    """
    if batch < 1:
        raise ZooError(f"batch must be at least 1, got {batch}")
    if not layers or list(layers) != sorted(set(layers)):
        raise ZooError(f"layers: expected different numbers in ascending order, got {list(layers)}")
    reading = _reading(model)
    waiting: list[tuple[int, Window]] = []
    open_sums: dict[int, _Sum] = {}
    for number, window in _numbered(reading, samples):
        waiting.append((number, window))
        if len(waiting) >= batch * AHEAD:
            _read(model.network, waiting, open_sums, layers, pool, batch)
            waiting = []
            yield from _finished(open_sums, but=number)
    _read(model.network, waiting, open_sums, layers, pool, batch)
    yield from _finished(open_sums)


def _reading(model: Featured) -> Reading:
    network = model.network
    return SongReading(network, model.tokenizer) if isinstance(network, Prior) else Reading(network, model.tokenizer)


@dataclass
class _Sum:
    """What is known of a sample so far: the sum over its windows, or the one window that counts."""

    vectors: list[Tensor]
    weight: float


def _numbered(reading: Reading, samples: Iterable[tuple[str, Any]]) -> Iterator[tuple[int, Window]]:
    for number, (name, sample) in enumerate(samples):
        try:
            for window in reading.windows(sample):
                yield number, window
        except ZooError as error:
            raise ZooError(str(error) if name in str(error) else f"{name}: {error}") from None


def _read(
    network: AnyNetwork,
    windows: Sequence[tuple[int, Window]],
    sums: dict[int, _Sum],
    layers: Sequence[int],
    pool: AnyPool,
    batch: int,
) -> None:
    """Read windows, the shortest first, and add what they give to the sums of their samples, in order."""
    found: dict[int, list[Tensor]] = {}
    order = sorted(range(len(windows)), key=lambda place: len(windows[place][1].ids))
    with evaluation_mode(network), torch.inference_mode():
        for begin in range(0, len(order), batch):
            rows = order[begin : begin + batch]
            pooled = _pooled(network, [windows[place][1] for place in rows], layers, pool)
            for row, place in enumerate(rows):
                found[place] = [layer[row] for layer in pooled]
    for place, (number, window) in enumerate(windows):
        _add(sums, number, found[place], len(window.ids), pool)


def _pooled(network: AnyNetwork, rows: Sequence[Window], layers: Sequence[int], pool: AnyPool) -> list[Tensor]:
    """Return the pooled features of one batch, (rows, width) of each layer."""
    lengths = torch.tensor([len(row.ids) for row in rows])
    ragged = None if bool((lengths == lengths[0]).all()) else lengths
    device = device_of(network)
    ids = pad_sequence([row.ids for row in rows], batch_first=True).to(device)
    told = Conditioning.joined([row.told for row in rows if row.told is not None])
    pooled: list[Tensor] = []
    for layer, state in enumerate(network.features(ids, lengths=ragged, conditioning=told and told.to(device))):
        if layer == layers[len(pooled)]:
            pooled.append(pool(state.float(), ragged).cpu())
        if len(pooled) == len(layers):
            break
    return pooled


def _add(sums: dict[int, _Sum], number: int, vectors: list[Tensor], count: int, pool: AnyPool) -> None:
    match pool:
        case Mean():
            known = sums.setdefault(number, _Sum([torch.zeros_like(vector) for vector in vectors], 0.0))
            known.weight += count
            for total, vector in zip(known.vectors, vectors, strict=True):
                total += vector * count
        case First():
            sums.setdefault(number, _Sum(vectors, 1.0))
        case Last():
            sums[number] = _Sum(vectors, 1.0)


def _finished(sums: dict[int, _Sum], *, but: int = -1) -> Iterator[Vectors]:
    """Yield the samples in order; of the one that ``but`` names, more windows may come."""
    for number in sorted(sums):
        if number != but:
            done = sums.pop(number)
            yield tuple((vector / done.weight).numpy() for vector in done.vectors)
