"""A prior: the shared transformer over the ids of one level, and the embeddings of what it is told beside them.

Ids of music are those of the level plus ``config.shift``; a window begins with one more id, the last of the vocabulary,
in whose place labels stand where there are any. Lyrics are told by ``Conditioning.source``, whether a network of their
own reads them or the same transformer does before it reads music: nobody outside needs to know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch
from einops import repeat
from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import ZooError
from zoo.music.conditioner import CodesAbove, LabelEmbedding, LyricEncoder, draw_begin
from zoo.music.config import PriorConfig, SeparateLyrics
from zoo.network import Cache, Conditioning
from zoo.precision import exact_convolutions
from zoo.transformer.cache import TransformerCache
from zoo.transformer.initial import Role
from zoo.transformer.model import Transformer


class Prior(nn.Module):
    """A ``zoo.network.Network`` over the ids of one level; ``PriorConfig`` says which.

    Attributes:
        config: its settings.
        transformer: reads the sequence.
        label_embedding, above, lyrics: the parts that embed what it is told; None where it is not told that.
    """

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        inner = config.transformer
        self.vocabulary, self.output_vocabulary = config.vocabulary, config.output_vocabulary
        self.context = config.context
        self.source_context = config.lyrics.length if config.lyrics else None
        self.causal = True
        self.transformer = Transformer(inner)
        self.labels = self.transformer.labels
        self.label_embedding = LabelEmbedding(config.labels, inner.width) if config.labels else None
        self.above = CodesAbove(config.above, inner.width, inner.norm) if config.above else None
        separate = config.lyrics if isinstance(config.lyrics, SeparateLyrics) else None
        self.lyrics = LyricEncoder(separate, inner.width, inner.norm) if separate else None
        self._draw_tables()

    def _draw_tables(self) -> None:
        """Draw the tables beside the transformer; convolutions stay as PyTorch draws them."""
        inner = self.config.transformer
        size = {"width": inner.width, "depth": inner.depth}
        if self.label_embedding is None:
            draw_begin(self.transformer)
        else:
            for table in self.label_embedding.matrices():
                inner.initial.draw(table, Role.POSITIONS, **size)
        if self.above is not None:
            inner.initial.draw(self.above.codes.weight, Role.TOKENS, **size)
        if self.lyrics is not None:
            self.lyrics.draw_weights(inner.initial)

    def forward(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Return logits (batch, time, output_vocabulary) of ids (batch, time); see ``hidden``."""
        return self.head(self.hidden(ids, lengths=lengths, conditioning=conditioning, cache=cache))

    def hidden(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Return the last hidden states (batch, time, width) of a window's ids; see ``zoo.network.Network``.

        Args:
            ids: (batch, time) int64; a window's first one is the id that begins it.
            lengths: see ``zoo.network.Network``.
            conditioning: ``labels``, ``above`` and ``source`` as far as the prior has them, or what ``prepare`` makes
                of them. Its ``added`` belongs to the ids given, or to all of the window.
            cache: see ``zoo.network.Network``.

        Raises:
            ZooError: something that the prior must be told is missing.
        """
        whole = self._whole(ids, lengths, conditioning, cache)
        return whole[:, whole.shape[1] - ids.shape[1] :]

    def hidden_with_lyrics(self, ids: Tensor, conditioning: Conditioning | None) -> tuple[Tensor, Tensor | None]:
        """Return the last hidden states (batch, time, width), and logits that predict the lyrics (batch, length, ids).

        Column t of the latter predicts lyric id t; None where the prior is told no lyrics.
        """
        told = self.prepare(conditioning)
        whole = self._whole(ids, None, told, None)
        hidden = whole[:, whole.shape[1] - ids.shape[1] :]
        if self.lyrics is not None:
            assert told.memory is not None
            return hidden, self.lyrics.output(told.memory)
        if self.config.prefix:
            return hidden, self.transformer.head(whole[:, : self.config.prefix])
        return hidden, None

    def head(self, hidden: Tensor) -> Tensor:
        """Return logits (batch, time, output_vocabulary) of hidden states (batch, time, width).

        In float32 whatever the weights are, as in the original: bfloat16 tells a logit of 32 from one of 32.25 at best.
        """
        inner = self.transformer
        if hidden.dtype == torch.float32 or not hidden.is_cuda or inner.transform is not None:
            return inner.head(hidden)
        return functional.linear(hidden.float(), inner.output_matrix.float())

    def hidden_states(
        self, ids: Tensor, *, lengths: Tensor | None = None, conditioning: Conditioning | None = None
    ) -> tuple[Tensor, ...]:
        """Return depth + 1 tensors (batch, time, width): the embedding, then each block, the last one normalised."""
        read, counts, told = self._sequence(ids, lengths, conditioning, None)
        states = self.transformer.hidden_states(read, lengths=counts, conditioning=told)
        return tuple(state[:, state.shape[1] - ids.shape[1] :] for state in states)

    def residual(self, ids: Tensor, conditioning: Conditioning | None, layer: int) -> tuple[Tensor, Conditioning]:
        """Return what block ``layer`` reads of the whole sequence, lyrics in front included, and what it is told."""
        read, _, told = self._sequence(ids, None, conditioning, None)
        states = self.transformer.states(read, conditioning=told)
        return next(islice(states, layer, None)), told

    def features(
        self, ids: Tensor, *, lengths: Tensor | None = None, conditioning: Conditioning | None = None
    ) -> Iterator[Tensor]:
        """Yield depth + 1 tensors (batch, time, width): what each block reads, then the last hidden state."""
        read, counts, told = self._sequence(ids, lengths, conditioning, None)
        for state in self.transformer.features(read, lengths=counts, conditioning=told):
            yield state[:, state.shape[1] - ids.shape[1] :]

    def classify(self, hidden: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Return what a head says of hidden states; see ``Transformer.classify``."""
        return self.transformer.classify(hidden, lengths=lengths)

    def judge(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        whole: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return a head's logits of ids (batch, time), and the last hidden states of the same pass.

        See ``Transformer.judge``; the head looks at music only, not at lyrics in front of it.
        """
        read, counts, told = self._sequence(ids, lengths, conditioning, None)
        first = read.shape[1] - ids.shape[1]
        logits, hidden = self.transformer.judge(read, lengths=counts, conditioning=told, whole=whole, first=first)
        return logits, None if hidden is None else hidden[:, first:]

    def prepare(self, conditioning: Conditioning | None) -> Conditioning:
        """Return ``conditioning`` as embeddings: ``start``, ``added`` (batch, context, width) and ``memory``.

        Raises:
            ZooError: something that the prior must be told is missing, or of another length.
        """
        told = conditioning or Conditioning()
        if told.start is None and told.added is None and told.memory is None:
            told = self._embedded(told)
        if self.lyrics is not None and told.memory is None:
            raise ZooError("this prior is told lyrics: pass Conditioning(source=...)")
        return told

    def _embedded(self, told: Conditioning) -> Conditioning:
        start = added = memory = None
        if self.label_embedding is not None:
            if told.labels is None:
                raise ZooError("this prior is told labels: pass Conditioning(labels=...)")
            start = self.label_embedding(told.labels)
            if self.label_embedding.timing is not None:
                added = self.label_embedding.timing(told.labels, self.context)
        if self.above is not None:
            wanted = self.context // self.above.config.ratio
            if told.above is None or not 1 <= told.above.shape[1] <= wanted:
                got = "none" if told.above is None else told.above.shape[1]
                raise ZooError(
                    f"this prior is told {wanted} ids of the level above, fewer for a window that is shorter than its "
                    f"context: pass Conditioning(above=...), got {got}"
                )
            with exact_convolutions():
                stretched = self.above(told.above)
            added = stretched if added is None else added[:, : stretched.shape[1]] + stretched
        if start is not None and self.label_embedding is not None and self.label_embedding.config.everywhere:
            spread = repeat(start, "batch width -> batch time width", time=self.context)
            added = spread if added is None else added + spread[:, : added.shape[1]]
        source = self._checked(told.source)
        if self.lyrics is not None:
            memory, source = self.lyrics(source), None
        return replace(told, labels=None, above=None, source=source, start=start, added=added, memory=memory)

    def _checked(self, source: Tensor | None) -> Tensor | None:
        """Return the lyrics of a window, or raise ZooError if they are not what this prior reads."""
        lyrics = self.config.lyrics
        if lyrics is None:
            return None
        if source is None or source.shape[1] != lyrics.length:
            got = "none" if source is None else source.shape[1]
            raise ZooError(f"this prior is told {lyrics.length} lyric ids: pass Conditioning(source=...), got {got}")
        if bool(((source < 0) | (source >= lyrics.ids)).any()):
            raise ZooError(f"lyric ids must lie in [0, {lyrics.ids})")
        return source

    def _whole(
        self, ids: Tensor, lengths: Tensor | None, conditioning: Conditioning | None, cache: Cache | None
    ) -> Tensor:
        """Return the last hidden states of ids and of the lyrics before them, where these are read in this call."""
        read, counts, told = self._sequence(ids, lengths, conditioning, cache)
        return self.transformer.hidden(read, lengths=counts, conditioning=told, cache=cache)

    def _sequence(
        self, ids: Tensor, lengths: Tensor | None, conditioning: Conditioning | None, cache: Cache | None
    ) -> tuple[Tensor, Tensor | None, Conditioning]:
        """Return what the transformer reads (a prefix's lyrics come after the first id), how much, what it is told."""
        told = self.prepare(conditioning)
        seen = 0 if cache is None else int(cache.lengths.max())
        if told.added is not None and told.added.shape[1] not in (1, ids.shape[1]):
            first = max(seen - self.config.prefix, 0)
            if first + ids.shape[1] > told.added.shape[1]:
                raise ZooError(
                    f"this window ends with id {told.added.shape[1]}: no more of the level above was told, got "
                    f"{first + ids.shape[1]} ids"
                )
            told = replace(told, added=told.added[:, first : first + ids.shape[1]])
        if self.label_embedding is not None:
            ids = ids.clamp(max=self.output_vocabulary - 1)  # labels stand in the place of the id that begins a window
        if seen:
            return ids, lengths, replace(told, start=None, source=None)
        prefix = self.config.prefix
        if not prefix:
            return ids, lengths, told
        assert told.source is not None
        ids = torch.cat((ids[:, :1], told.source, ids[:, 1:]), dim=1)
        if told.added is not None:
            added = told.added.expand(-1, ids.shape[1] - prefix, -1)
            told = replace(told, added=functional.pad(added, (0, 0, prefix, 0)))  # lyrics are told nothing
        return ids, None if lengths is None else lengths + prefix, replace(told, source=None)

    def new_cache(self, batch: int, capacity: int | None = None) -> TransformerCache:
        """Allocate a cache for ``batch`` rows of at most ``capacity`` ids of music (default and limit: the context).

        Raises:
            ZooError: capacity beyond the context.
        """
        capacity = self.context if capacity is None else capacity
        if not 1 <= capacity <= self.context:
            raise ZooError(f"a cache's capacity must lie in [1, {self.context}] (the context), got {capacity}")
        return self.transformer.new_cache(batch, capacity + self.config.prefix)

    # Codes of the level and ids of the sequence

    @property
    def start_id(self) -> int:
        """The id that begins a window."""
        return self.vocabulary - 1

    def ids_of(self, codes: Tensor) -> Tensor:
        """Return the ids of codes of the level."""
        return codes + self.config.shift

    def codes_of(self, ids: Tensor) -> Tensor:
        """Return the codes of ids; a lyric id drawn in the place of music counts as code 0, as in the original."""
        return (ids - self.config.shift).clamp(min=0)
