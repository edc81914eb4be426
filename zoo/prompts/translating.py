"""The sample is the target of its prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.generate.padding import PaddedIds
from zoo.generate.sampler import cut_prompt
from zoo.generate.settings import SamplingSettings
from zoo.network import Conditioning
from zoo.prompts.base import NONE, Prompts, Start
from zoo.tokenizers.base import Tokenizer
from zoo.transformer.model import Transformer


class Translating(Prompts):
    """The prompt is the source of an encoder-decoder, the sample its target (Vaswani et al. 2017, section 3.1).

    The decoder begins each target with ``TokenSpec.target_start_id`` and ends it with ``target_end_id``.

    Raises:
        ZooError: the network's vocabulary does not fit the tokenizer's.
    """

    def __init__(self, network: Transformer, tokenizer: Tokenizer[Any]) -> None:
        super().__init__(network, tokenizer)
        assert network.encoder is not None
        self.encoder = network.encoder
        spec = tokenizer.spec
        sizes = (self.encoder.vocabulary, network.output_vocabulary, network.vocabulary)
        if sizes[0] < spec.vocabulary_size or sizes[1] <= spec.target_end_id or sizes[2] <= spec.target_start_id:
            raise ZooError(
                f"the tokenizer '{spec.type}' makes {spec.vocabulary_size} ids, and a target has one more to end and "
                f"one to begin with; the network reads sources of {sizes[0]} ids and predicts {sizes[1]} of the "
                f"{sizes[2]} that it reads; use the tokenizer that the network was trained with"
            )

    @property
    def end_ids(self) -> tuple[int, ...]:
        """What ends a target."""
        return (self.tokenizer.spec.target_end_id,)

    def start(self, prompt: Any) -> Start:
        """Return an empty target of the prompt."""
        lead = torch.tensor([self.tokenizer.spec.target_start_id])
        return Start(given=prompt, lead=lead, ids=NONE, source=self._encode(prompt))

    def rows(self, padded: PaddedIds, conditions: Mapping[str, Any] | None) -> list[Start]:
        """Return the rows with their sources."""
        rows = padded.rows()
        sources = self._sources(conditions, len(rows))
        return [
            Start(given=None, lead=NONE, ids=row.cpu(), source=source)
            for row, source in zip(rows, sources, strict=True)
        ]

    def conditioning(self, starts: Sequence[Start], settings: SamplingSettings) -> Conditioning | None:
        """Return the sources, side by side."""
        self.refuse_guidance(settings)
        sources = [start.source for start in starts if start.source is not None]
        context = self.encoder.context
        return Conditioning.of_sources(
            [cut_prompt(source, context, settings, index) for index, source in enumerate(sources)]
        )

    def told(self, padded: PaddedIds, conditions: Mapping[str, Any] | None) -> Conditioning | None:
        """Return the sources that the conditions name."""
        return Conditioning.of_sources(self._sources(conditions, len(padded.given)))

    def _encode(self, prompt: Any) -> Tensor:
        ids = NONE if prompt is None else self.tokenizer.encode(prompt)
        if not len(ids):
            raise ZooError("this model turns a source into a target, and the source is empty: give prompt=TEXT")
        return ids

    def _sources(self, conditions: Mapping[str, Any] | None, count: int) -> list[Tensor]:
        """Return the ids of ``count`` sources; one source alone is everyone's."""
        known = dict(conditions or {})
        given, mask = known.pop("source", None), known.pop("source_mask", None)
        self.refuse(known)
        if given is None:
            raise ZooError(
                "this model turns a source into a target: give conditions={'source': text, a list of texts, or int64 "
                "ids (batch, source time)}"
            )
        if isinstance(given, Tensor):
            sources = [row.cpu() for row in PaddedIds(given, mask, vocabulary=self.encoder.vocabulary).rows()]
        else:
            sources = [self._encode(source) for source in (given if isinstance(given, list | tuple) else [given])]
        if len(sources) not in (1, count):
            raise ZooError(f"source: expected one, or one for each of {count} rows, got {len(sources)}")
        return sources * (count // len(sources))
