"""A trained prior learns of new artists and genres: a row for each name that it does not know yet."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.music.names import UNKNOWN, Names
from zoo.music.prior import Prior
from zoo.settings import tag


def extend(prior: Prior, names: Names) -> int:
    """Add rows for the artists and genres of ``names`` that a prior does not know; return how many were added.

    Names that it knows keep their numbers, new ones follow its last. A new row begins as a copy of that of the unknown
    artist or genre, so that the prior makes the same of a new name, at first, as of one that it has never heard. Only
    the tables are copied.

    Args:
        prior: with its weights; changed in place. One that is told no labels stays as it is.
        names: of what it will learn from.

    Raises:
        ZooError: the prior writes its names in another style than ``names`` does.
    """
    config, embedding = prior.config, prior.label_embedding
    if config.labels is None or embedding is None:
        return 0
    labels = config.labels
    known = Names(style=names.style) if labels.names is None else labels.names
    if known.style != names.style:
        raise ZooError(f"this prior's names are written in another style; say data.style={tag(type(known.style))}")
    artists = _joined(known.artists, names.artists, labels.artists)
    genres = _joined(known.genres, names.genres, labels.genres)
    more = [len(artists) - len(known.artists), len(genres) - len(known.genres)]
    labels = dataclasses.replace(
        labels,
        artists=labels.artists + more[0],
        genres=labels.genres + more[1],
        names=Names(artists=artists, genres=genres, style=known.style),
    )
    embedding.artists, embedding.genres = _longer(embedding.artists, more[0]), _longer(embedding.genres, more[1])
    embedding.config = labels
    prior.config = dataclasses.replace(config, labels=labels)
    return sum(more)


def _joined(known: dict[str, int], wanted: dict[str, int], count: int) -> dict[str, int]:
    """Return ``known`` and, numbered from ``count``, the names that only ``wanted`` has."""
    new = [name for name in wanted if name not in known]
    return known | {name: count + place for place, name in enumerate(new)}


def _longer(table: nn.Embedding, more: int) -> nn.Embedding:
    """Return a table with ``more`` rows like that of the unknown one at its end."""
    if not more:
        return table
    old: Tensor = table.weight.detach()
    rows = torch.cat((old, old[UNKNOWN].expand(more, -1)))
    return nn.Embedding(rows.shape[0], rows.shape[1], _weight=rows)
