"""The one interface behind which every sequence model stands: the transformer, and the recurrent baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

DEEPEST = 1024
"""Most layers of a network; the deepest published have about a thousand. A mistyped depth must not fill the memory."""
NO_CLASS = -1
"""In the place of a class: the row has none."""


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """What a model is told beside its ids, already as embeddings.

    Attributes:
        start: (batch, width); replaces the embedding of position 0 (a class label, an artist).
        added: (batch, time, width); added to the embedding of each position given (timing, codes of the level above).
        memory: (batch, memory_time, memory_width); keys and values of cross-attention (lyrics, a source sentence).
        memory_lengths: (batch,) int64; real rows of ``memory``, None if all are.
        segments: (batch, time) int64; token types (BERT's sentence A and B), None for all zeros.
        source: (batch, source time) int64; what the network's own encoder reads to make the memory; lyrics.
        source_lengths: (batch,) int64; real ids of each row of ``source``, None if all are.
        classes: (batch,) int64; the class of each row, whose vector takes the place of position 0's; NO_CLASS for none.
        visible: (batch, time) bool; False where a token's vector is zero: what Image GPT's BERT objective hides.
        labels: (batch, 4 + slots) int64; what a prior is told of a window of music: see ``zoo.music.config.Labels``.
        above: (batch, time above) int64; ids of the level above, for the whole window.
    """

    start: Tensor | None = None
    added: Tensor | None = None
    memory: Tensor | None = None
    memory_lengths: Tensor | None = None
    segments: Tensor | None = None
    source: Tensor | None = None
    source_lengths: Tensor | None = None
    classes: Tensor | None = None
    visible: Tensor | None = None
    labels: Tensor | None = None
    above: Tensor | None = None

    @classmethod
    def of_sources(cls, sources: Sequence[Tensor]) -> Conditioning:
        """Return the conditioning by ``sources``, ids (time,) each, padded on the right where they differ in length."""
        lengths = torch.tensor([len(source) for source in sources], dtype=torch.int64)
        padded = pad_sequence(list(sources), batch_first=True)
        return cls(source=padded, source_lengths=None if bool((lengths == lengths[0]).all()) else lengths)

    def to(self, device: torch.device) -> Conditioning:
        """Return the same on ``device``."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return Conditioning(**{name: value.to(device, non_blocking=True) for name, value in given.items()})

    @classmethod
    def joined(cls, rows: Sequence[Conditioning]) -> Conditioning | None:
        """Return what several batches are told of the same kinds and lengths, one below the other; None for none."""
        if not rows:
            return None
        names = [name for name, value in vars(rows[0]).items() if value is not None]
        return cls(**{name: torch.cat([vars(row)[name] for row in rows]) for name in names})


class Cache(Protocol):
    """What a model remembers of the ids it has seen: allocated once, written in place, one row per sequence."""

    @property
    def lengths(self) -> Tensor:
        """Ids seen so far by each row, int64 (batch,) on the CPU."""

    def select(self, rows: Tensor) -> Cache:
        """Return a cache that holds copies of ``rows`` (int64, repeats allowed), in that order."""

    def assign(self, rows: Tensor, other: Cache) -> None:
        """Overwrite ``rows`` with the rows of ``other``, in order."""


class Predictor(Protocol):
    """What ids can be drawn from: ids in, logits out.

    ``hidden`` and ``head`` are separate so that a sampler pays for the vocabulary at one position only.

    Attributes:
        vocabulary: ids that it reads.
        output_vocabulary: ids that it predicts.
        context: most ids that it reads at once.
    """

    vocabulary: int
    output_vocabulary: int
    context: int

    def hidden(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Return the last hidden states (batch, time, width), ready for ``head``.

        Args:
            ids: (batch, time) int64, rows padded on the right where ``lengths`` is given.
            lengths: (batch,) int64, real ids of each row; None if all are. The result at padding is undefined.
            conditioning: see ``Conditioning``; its ``added`` belongs to the given ids.
            cache: continue after the ids it has seen, and remember these too.
        """

    def head(self, hidden: Tensor) -> Tensor:
        """Return logits (batch, time, output_vocabulary) of hidden states (batch, time, width)."""

    def __call__(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Return ``head(hidden(...))``: column t predicts the id after ``ids[:, :t+1]``."""

    def prepare(self, conditioning: Conditioning | None) -> Conditioning | None:
        """Return ``conditioning`` with what is the same at every step computed: an encoder's memory from ``source``.

        Calls do this themselves where it is still to be done; a sampler does it once.
        """

    def new_cache(self, batch: int, capacity: int | None = None) -> Cache:
        """Allocate a cache for ``batch`` rows of at most ``capacity`` ids (default: the context)."""


class Network(Predictor, Protocol):
    """A causal or full sequence model.

    Attributes:
        source_context: most ids of a source that its encoder reads; None if it has no encoder.
        causal: no position sees a later one, so that ids can be drawn one by one.
        labels: names of what ``classify`` tells apart, in the order of its logits; none if it has no such head.
    """

    source_context: int | None
    causal: bool
    labels: tuple[str, ...]

    def judge(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        whole: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return what the head beside the vocabulary says of ids (batch, time), see ``zoo.transformer.heads``, and with
        ``whole`` the last hidden states (batch, time, width) of the same pass.

        Raises:
            ZooError: there is no such head.
        """

    def classify(self, hidden: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Return what the head beside the vocabulary says of hidden states (batch, time, width): (batch, labels).

        Raises:
            ZooError: there is no such head.
        """

    def hidden_states(
        self, ids: Tensor, *, lengths: Tensor | None = None, conditioning: Conditioning | None = None
    ) -> tuple[Tensor, ...]:
        """Return depth + 1 tensors (batch, time, width): the embedding, then each block, the last one normalised."""

    def features(
        self, ids: Tensor, *, lengths: Tensor | None = None, conditioning: Conditioning | None = None
    ) -> Iterator[Tensor]:
        """Yield depth + 1 tensors (batch, time, width): what each layer reads, then the last hidden state."""
