"""What is nearest in a space of vectors, by the cosine of the angle between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ZooError, suggest
from zoo.features.extract import Featured
from zoo.tokenizers.base import TextTokenizer
from zoo.transformer.model import Transformer


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """One of the nearest.

    Attributes:
        name: of the sample or token.
        number: row, or id.
        similarity: cosine, -1 to 1.
    """

    name: str
    number: int
    similarity: float


def nearest(vectors: NDArray[Any], place: int, names: Sequence[str], count: int) -> list[Neighbour]:
    """Return the ``count`` rows nearest to row ``place``, itself left out.

    Args:
        vectors: (n, width).
        place: row.
        names: of the rows.
        count: most rows to return.

    Raises:
        ZooError: fewer than one is asked for.
    """
    if count < 1:
        raise ZooError(f"count must be at least 1, got {count}")
    wide = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(wide, axis=1)
    similar = wide @ wide[place] / np.maximum(lengths * lengths[place], 1e-12)
    similar[place] = -np.inf
    best = np.argsort(-similar, kind="stable")[: min(count, len(wide) - 1)]
    return [Neighbour(name=names[index], number=int(index), similarity=float(similar[index])) for index in best]


def of_file(vectors: NDArray[Any], names: Sequence[str], name: str, count: int) -> list[Neighbour]:
    """Return what is nearest to the sample called ``name``, or to the only one whose path ends so.

    Raises:
        ZooError: there is no such sample, or there are several.
    """
    alike = [number for number, own in enumerate(names) if own == name]
    alike = alike or [number for number, own in enumerate(names) if own.endswith(f"/{name}")]
    if not alike:
        raise ZooError(f"no sample is called '{name}'{suggest(name, names, nearest=3)}")
    if len(alike) > 1:
        raise ZooError(f"{len(alike)} samples are called '{name}', first '{names[alike[0]]}'; write more of the path")
    return nearest(vectors, alike[0], names, count)


def of_token(model: Featured, text: str, count: int) -> list[Neighbour]:
    """Return the tokens whose embeddings are nearest to that of the token ``text``.

    Raises:
        ZooError: a model that is not a transformer of text, or a text that is not one token.
    """
    tokenizer, network = model.tokenizer, model.network
    if not isinstance(tokenizer, TextTokenizer) or not isinstance(network, Transformer):
        raise ZooError(
            "token: this model has no tokens of text with embeddings of their own; use a transformer of text"
        )
    import torch

    ids = tokenizer.encode(text).tolist()
    if len(ids) != 1:
        pieces = [tokenizer.decode(torch.tensor([index])) for index in ids]
        shown = ", ".join(map(repr, pieces[:8])) or "nothing"
        raise ZooError(f"token: {text!r} is not one token of this model but {len(ids)}: {shown}")
    size = tokenizer.spec.vocabulary_size
    matrix = network.embedding.tokens.weight.detach().float().cpu().numpy()[:size]
    found = nearest(matrix, ids[0], [""] * size, count)
    return [
        Neighbour(name=tokenizer.decode(torch.tensor([one.number])), number=one.number, similarity=one.similarity)
        for one in found
    ]
