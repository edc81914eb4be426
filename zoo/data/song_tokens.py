"""Windows of pieces of music: ids of one level, and all that a prior is told beside them."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.data.base import IGNORED, Batch, TokenData
from zoo.data.seeded import generator
from zoo.data.sound_tokens import TokenPart
from zoo.errors import ZooError
from zoo.music.config import Labels, PriorConfig
from zoo.music.lyrics import UNKNOWN
from zoo.music.telling import NOBODY, Piece, Telling, Told
from zoo.network import Conditioning, Network
from zoo.tokenizers.audio.base import AudioTokenizer


@dataclass(frozen=True, kw_only=True)
class SongPart:
    """One part of the pieces.

    Attributes:
        ids: of the level.
        above: of the next coarser one, of the same stretches; None where it is not told.
        facts: artist, genre and lyrics of each piece, by its number.
        names: of the pieces, by their numbers, for messages.
        genre: the fact that is told as the genre.
    """

    ids: TokenPart
    above: TokenPart | None
    facts: Sequence[Mapping[str, str]]
    names: Sequence[str]
    genre: str

    def told(self, rate: int) -> Iterator[tuple[str, float, str, str]]:
        """Yield name, seconds (at ``rate`` samples each), artist and genre of each stretch."""
        for number, total in zip(self.ids.numbers.tolist(), self.ids.totals.tolist(), strict=True):
            facts = self.facts[number]
            yield self.names[number], total / rate, facts.get("artist", ""), facts.get(self.genre, "")


class SongTokens(TokenData):
    """Windows of one level's ids, each predicted from those before it and from what is told of the window.

    The network that learns says what it is told: ``check`` must have seen it.

    Args:
        train, held_out: both parts.
        tokenizer: made the ids.
        unlabelled: share of the training windows that are told no artist, genre and lyrics.
        held_out_windows: most windows of the held-out part that are evaluated; None for all.
    """

    def __init__(
        self,
        *,
        train: SongPart,
        held_out: SongPart,
        tokenizer: AudioTokenizer,
        unlabelled: float,
        held_out_windows: int | None = None,
    ) -> None:
        self._train, self._held_out, self._unlabelled = train, held_out, unlabelled
        self._windows = held_out_windows
        per_second = tokenizer.spec.tokens_per_second
        assert per_second is not None
        self._per_second, self._hop = per_second, tokenizer.hop
        self.train_tokens = int(train.ids.counts.sum())
        self._network: PriorConfig | None = None

    def check(self, network: Network) -> None:
        """Meet the network that learns from these windows.

        Raises:
            ZooError: it is no prior, or is told what the data do not have.
        """
        config = getattr(network, "config", None)
        if not isinstance(config, PriorConfig):
            raise ZooError("data.type=songs is what a prior learns from; use model.type=prior, or data.type=sounds")
        ratio = None if config.above is None else config.above.ratio
        for part in (self._train, self._held_out):
            if (part.above is None) != (ratio is None):
                wanted = "data.top=false" if ratio else "data.top=true"
                raise ZooError(f"model.above: the network and the data do not agree on a level above; say {wanted}")
            if part.above is not None and ratio is not None:
                got = int(part.ids.counts.sum() / max(1, part.above.counts.sum()) + 0.5)
                if got != ratio:
                    raise ZooError(
                        f"model.above: one id of the level above stands for {got} of this level, not {ratio}"
                    )
            if config.labels is not None:
                timing = config.labels.timing
                check_told(part.told(1 if timing is None else timing.rate), config.labels)
        self._network = config

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        """Return ``size`` windows from anywhere in the training part, all beginnings equally likely."""
        random = generator(seed, step)
        context, ratio = self._config.context, self._ratio
        ways = np.maximum(self._train.ids.counts - context, 0) // ratio + 1
        ends = np.cumsum(ways)
        places = random.integers(0, ends[-1], size=size)
        spans = np.searchsorted(ends, places, side="right")
        firsts = (places - (ends - ways)[spans]) * ratio
        return self._rows(self._train, spans, firsts, random.random(size) < self._unlabelled)

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield windows side by side, in which every id is predicted once; or as many of them as were asked for."""
        context = self._config.context
        counts = -(-self._held_out.ids.counts // context)
        spans = np.repeat(np.arange(len(counts)), counts)
        firsts = np.concatenate([np.arange(count) * context for count in counts])
        if self._windows is not None and self._windows < len(spans):
            kept = np.linspace(0, len(spans) - 1, self._windows).round().astype(np.int64)
            spans, firsts = spans[kept], firsts[kept]
        for first in range(0, len(spans), size):
            rows = slice(first, first + size)
            yield self._rows(self._held_out, spans[rows], firsts[rows], np.zeros(len(spans[rows]), dtype=bool))

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return bits per second of sound, of this level alone."""
        return {"bits_per_second": nats / math.log(2) * self._per_second / tokens}

    @property
    def _config(self) -> PriorConfig:
        if self._network is None:
            raise ZooError("these windows have not met the network that learns from them")
        return self._network

    @property
    def _ratio(self) -> int:
        return 1 if self._config.above is None else self._config.above.ratio

    @functools.cached_property
    def _telling(self) -> Telling:
        return Telling(config=self._config, hop=self._hop)

    def _told(self, part: SongPart, span: int) -> Told:
        """Return a stretch in numbers; names that training has never heard are unknown."""
        facts = part.facts[int(part.ids.numbers[span])]
        piece = Piece(
            artist=facts.get("artist", ""),
            genre=facts.get(part.genre, ""),
            lyrics=facts.get("lyrics", ""),
            total=int(part.ids.totals[span]),
            offset=int(part.ids.starts[span]),
        )
        return self._telling.of(piece, unknown=True)

    def _rows(self, part: SongPart, spans: NDArray[Any], firsts: NDArray[Any], kept_back: NDArray[np.bool_]) -> Batch:
        """Return windows of the stretches ``spans`` from their ids ``firsts`` on; what is missing of one is ignored."""
        config = self._config
        context, shift = config.context, config.shift
        ids = np.full((len(spans), context), config.vocabulary - 1, dtype=np.int64)
        targets = np.full((len(spans), context), IGNORED, dtype=np.int64)
        labels, lyrics = [], []
        for row, (span, first) in enumerate(zip(spans, firsts, strict=True)):
            own = _cut(part.ids, span, first, context) + shift
            ids[row, 1 : len(own)], targets[row, : len(own)] = own[:-1], own
            ids[row, len(own) + 1 :] = shift
            told = self._told(part, span)
            labels.append(self._telling.labels(told, int(first)))
            lyrics.append(self._telling.lyrics(told, int(first))[0])
        given: dict[str, Tensor] = {}
        silent = torch.from_numpy(kept_back)
        if config.labels is not None:
            given["labels"] = _unlabelled(torch.stack(labels), silent)
        if config.lyrics is not None:
            given["source"] = torch.where(silent[:, None], UNKNOWN, torch.stack(lyrics))
        if part.above is not None:
            given["above"] = self._above(part.above, spans, firsts)
        return Batch(
            ids=torch.from_numpy(ids),
            targets=torch.from_numpy(targets),
            indices=torch.from_numpy(part.ids.numbers[spans]),
            conditioning=Conditioning(**given) if given else None,
        )

    def _above(self, above: TokenPart, spans: NDArray[Any], firsts: NDArray[Any]) -> Tensor:
        """Return the ids of the level above for each window, (rows, context / ratio); 0 beyond the end."""
        length = self._config.context // self._ratio
        found = np.zeros((len(spans), length), dtype=np.int64)
        for row, (span, first) in enumerate(zip(spans, firsts, strict=True)):
            own = _cut(above, span, first // self._ratio, length)
            found[row, : len(own)] = own
        return torch.from_numpy(found)


def check_told(pieces: Iterable[tuple[str, float, str, str]], labels: Labels) -> None:
    """Refuse pieces that cannot be told, before any of them is learned from.

    Args:
        pieces: name, seconds, artist and genre of each.
        labels: what is told.

    Raises:
        ZooError: name one, and what to do.
    """
    timing = labels.timing
    for name, seconds, artist, genre in pieces:
        if timing is not None and not timing.shortest <= seconds < timing.longest:
            raise ZooError(
                f"'{name}' has {seconds:.2f} seconds, and this prior is told of pieces from {timing.shortest:g} to "
                f"below {timing.longest:g}; leave it out, or train another prior with model.labels.timing.shortest= "
                "and longest="
            )
        if labels.names is None:
            continue
        style = labels.names.style
        for kind, said in (("artist", artist), ("genre", genre)):
            if said.strip() and not style.artist(said):
                raise ZooError(
                    f"'{name}': nothing of {kind} '{said[:60]}' is left where names are made of Latin letters and "
                    "digits; write it in these, or train another prior with data.style=whole"
                )
        words = style.genres(genre)
        if len(words) > labels.slots:
            raise ZooError(
                f"'{name}': genre '{genre[:60]}' has {len(words)} words, and this prior is told at most "
                f"{labels.slots}; shorten it, or train another prior with model.labels.slots={len(words)}"
            )


def _cut(part: TokenPart, span: int, first: int, count: int) -> NDArray[np.int64]:
    """Return up to ``count`` ids of a stretch from ``first`` on."""
    begin, end = int(part.firsts[span]), int(part.firsts[span] + part.counts[span])
    return part.ids[begin + int(first) : min(begin + int(first) + count, end)].astype(np.int64)


def _unlabelled(labels: Tensor, rows: Tensor) -> Tensor:
    """Return labels with nobody's name in ``rows`` (batch,)."""
    nobody = labels.clone()
    nobody[:, 3], nobody[:, 4:] = 0, NOBODY
    return torch.where(rows[:, None], nobody, labels)
