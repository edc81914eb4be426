"""Addition as a language, after minGPT's projects/adder: ``85 + 50 = 135`` is ``8550531``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo.data.base import IGNORED, Batch, Corpus, Problems, TokenData, refuse_both_sides
from zoo.data.seeded import generator
from zoo.download import Progress
from zoo.errors import ZooError
from zoo.network import Network
from zoo.tokenizers.base import Modality, Tokenizer

SEED = 1337
"""Of the permutation that picks the held-out pairs, as in minGPT."""
HELD_OUT = 500
ALL = 10_000
"""Up to so many pairs, every one of them is a problem to be solved."""


@dataclass(frozen=True, kw_only=True)
class Adder:
    """Every pair of numbers of ``digits`` digits, 500 of them (at most a fifth) held out; made on the fly.

    Attributes:
        path: not used: the adder makes its own data.
        digits: 1 to 3.
    """

    path: str | None = None
    digits: int = 2

    def __post_init__(self) -> None:
        if self.path is not None:
            raise ZooError("data.path: the adder makes its own sums; leave it out, or use text/file for your own text")
        if not 1 <= self.digits <= 3:
            raise ZooError(f"digits must be 1, 2 or 3, got {self.digits}")

    def open(self, progress: Progress | None = None) -> AdderCorpus:
        """Return the pairs."""
        return AdderCorpus(self.digits)


def spell(pairs: npt.NDArray[np.int64], digits: int) -> npt.NDArray[np.int64]:
    """Return the digits of pairs number ``a * 10**digits + b``: a, b, then a + b backwards; (pairs, 3 * digits + 1)."""
    first, second = np.divmod(pairs, 10**digits)
    total = first + second
    columns = [first // 10**place % 10 for place in reversed(range(digits))]
    columns += [second // 10**place % 10 for place in reversed(range(digits))]
    columns += [total // 10**place % 10 for place in range(digits + 1)]
    return np.stack(columns, axis=1)


class AdderCorpus(Corpus):
    """The pairs, before any tokenizer.

    Args:
        digits: of each number.
    """

    modality: Modality = "text"

    def __init__(self, digits: int) -> None:
        self.digits = digits
        count = 100**digits
        order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED)).numpy()
        self.held_out, self.train = np.split(order, [min(count // 5, HELD_OUT)])

    def samples(self) -> Iterable[str]:
        """Return the problems to learn from, as text."""
        return ["".join(map(str, row)) for row in spell(self.train, self.digits).tolist()]

    def encode(self, tokenizer: Tokenizer[Any], context: int) -> AdderData:
        """Return the problems as ids.

        Raises:
            ZooError: the tokenizer does not give each digit an id, or the context is too short.
        """
        known = tokenizer.encode("0123456789")
        if tokenizer.spec.modality != "text" or len(known) != 10:
            raise ZooError(
                f"the adder needs an id for each digit, '{tokenizer.spec.type}' has none; use tokenizer=digits"
            )
        if context < 3 * self.digits:
            raise ZooError(f"model.context={context} is too short for {self.digits} digits; use {3 * self.digits}")
        return AdderData(self, known)

    def describe(self) -> list[dict[str, Any]]:
        """Return the card's ``data`` entry."""
        return [
            {
                "name": f"sums of {self.digits}-digit numbers, made on the fly",
                "license": "CC0-1.0",
                "sha256": self._sha256(),
            }
        ]

    def _sha256(self) -> str:
        order = np.concatenate([self.held_out, self.train]).astype("<i8")
        return hashlib.sha256(order.tobytes()).hexdigest()


class AdderData(TokenData):
    """Problems as ids; only the digits of the sum are predicted.

    Args:
        corpus: the pairs.
        known: ids of the digits 0 to 9, (10,).
    """

    train_tokens = 0

    def __init__(self, corpus: AdderCorpus, known: Tensor) -> None:
        self._corpus = corpus
        self._known = known

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        """Return ``size`` pairs drawn from the training part, all equally likely."""
        train = self._corpus.train
        return self._rows(train[generator(seed, step).integers(0, len(train), size=size)])

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield the held-out pairs, ``size`` at a time."""
        pairs = self._corpus.held_out
        for first in range(0, len(pairs), size):
            yield self._rows(pairs[first : first + size])

    def check(self, network: Network) -> None:
        """Refuse a network with an encoder, or one that sees what it should predict."""
        super().check(network)
        refuse_both_sides(network)

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return nothing: bytes are no measure of sums."""
        return {}

    def problems(self) -> tuple[Problems, ...]:
        """Return the held-out pairs, then (with one or two digits) every pair there is."""
        count = 100**self._corpus.digits
        held_out = self._problems("held_out", self._corpus.held_out)
        return (held_out, self._problems("all", np.arange(count))) if count <= ALL else (held_out,)

    def _ids(self, pairs: npt.NDArray[np.int64]) -> Tensor:
        return self._known[torch.from_numpy(spell(pairs, self._corpus.digits))]

    def _rows(self, pairs: npt.NDArray[np.int64]) -> Batch:
        ids = self._ids(pairs)
        targets = ids[:, 1:].clone()
        targets[:, : 2 * self._corpus.digits - 1] = IGNORED
        return Batch(ids=ids[:, :-1], targets=targets, indices=torch.from_numpy(pairs))

    def _problems(self, name: str, pairs: npt.NDArray[np.int64]) -> Problems:
        ids = self._ids(pairs)
        cut = 2 * self._corpus.digits
        return Problems(name=name, prompts=ids[:, :cut], answers=ids[:, cut:])
