"""How well a model predicts the samples of a data set: perplexity, bits per byte, pixel or second, as they apply."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from zoo.data.adapted import Adapted, fit
from zoo.data.documents import Document
from zoo.data.images import ImageCorpus, Images
from zoo.data.masked import Masked, MaskedCorpus
from zoo.data.pairs import Pairs, PairsCorpus, Part
from zoo.data.read import Documents
from zoo.data.records import Records
from zoo.data.sounds import SoundCorpus, Sounds
from zoo.data.stream import Stream, encode
from zoo.data.text import TextCorpus
from zoo.errors import ZooError
from zoo.evaluate.held_out import Limited, measured, one_to_learn
from zoo.evaluate.music import of_prior, of_stack
from zoo.evaluate.outcome import Outcome, Told
from zoo.evaluate.part import Data
from zoo.evaluate.shown import of_pictures, of_sounds, of_text
from zoo.evaluate.windows import Windows
from zoo.model import Model
from zoo.music.prior import Prior
from zoo.stack.model import Stack
from zoo.tokenizers.base import TextTokenizer, Tokenizer

MOST_ROWS = 256
"""Pictures among which the easiest and the hardest are looked for."""


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Nats of the held-out samples, in the contract's units.

    Text is measured twice: in windows side by side as in training (``loss``, ``perplexity``, ``bits_per_byte``), and in
    windows that overlap (``strided_...``), where no token is predicted from next to nothing.

    Attributes:
        stride: new tokens in each overlapping window; None for half the context, 0 leaves these out.
        unknown: characters that the tokenizer does not know: ``refuse`` the text, or ``adapt`` it (``lossless`` is
            then false, and bits per byte are of what was left).
        batch: rows in a forward pass.
    """

    stride: int | None = None
    unknown: Literal["refuse", "adapt"] = "refuse"
    batch: int = 8

    def __post_init__(self) -> None:
        if self.stride is not None and self.stride < 0:
            raise ZooError(f"stride must be at least 1, or 0 for windows side by side alone, got {self.stride}")
        if self.batch < 1:
            raise ZooError(f"batch must be at least 1, got {self.batch}")

    def run(self, model: Model, data: Data, told: Told | None = None) -> Outcome:
        """Evaluate; ``told`` hears how many batches are done.

        Raises:
            ZooError: data of another kind, or nothing in it to predict.
        """
        if isinstance(model, Stack):
            return of_stack(model, data, self.batch)
        if isinstance(model.network, Prior):
            return of_prior(model, data, self.batch)
        match model.modality:
            case "image":
                return self._pictures(model, data)
            case "music":
                return self._sounds(model, data)
        if model.network.source_context is not None:
            return self._pairs(model, data)
        return self._text(model, data) if model.network.causal else self._gaps(model, data)

    def _text(self, model: Model, data: Data) -> Outcome:
        documents = data.documents()
        tokenizer: Tokenizer[Any] = model.tokenizer
        if self.unknown == "adapt" and (known := fit(tokenizer, documents.held_out)).table:
            tokenizer = Adapted(tokenizer, known)
        stream = encode(documents.held_out, tokenizer, key=f"{documents.key} evaluated")
        samples = len(documents.held_out)
        if data.limit is not None and data.limit < len(stream.ids) - 1:
            stream, samples = _cut(stream, documents.held_out, tokenizer, data.limit)
        context = min(model.network.context, max(1, len(stream.ids) - 1))
        plain = Windows(stream, context=context, stride=context)
        metrics = measured(model, plain, self.batch)
        stride = max(1, context // 2) if self.stride is None else self.stride
        notes = [f"loss, perplexity and bits_per_byte: windows of {context:,} tokens side by side, as in training"]
        if stride and plain.tokens > context:
            found = measured(model, Windows(stream, context=context, stride=stride), self.batch)
            names = ("loss", "perplexity", "bits_per_byte")
            metrics |= {f"strided_{name}": found[name] for name in names if name in found} | {"stride": stride}
            notes.append(
                f"strided_...: windows of {context:,} tokens, {stride:,} of them new, so each token but those of the "
                f"first window is predicted from at least {context - stride:,} before it"
            )
        if not stream.lossless:
            notes.append("lossless is false: the ids do not tell all of the text, so bits per byte flatter the model")
        exhibits = of_text(model, stream, data.seed) if isinstance(model.tokenizer, TextTokenizer) else []
        return Outcome(
            data=documents.title,
            sha256=documents.sha256,
            samples=samples,
            tokens=plain.tokens,
            metrics={**metrics, "context": context},
            notes=notes,
            exhibits=exhibits,
        )

    def _gaps(self, model: Model, data: Data) -> Outcome:
        documents = data.documents()
        both = Documents(
            title=documents.title,
            train=documents.held_out,
            held_out=documents.held_out,
            sha256=documents.sha256,
            how=f"{documents.how} evaluated",
        )
        settings = Masked(next_sentence=len(model.network.labels) == 2)
        encoded = MaskedCorpus(TextCorpus(both, []), settings).encode(model.tokenizer, model.network.context)
        kept = Limited(encoded, data.limit)
        metrics = measured(model, kept, self.batch)
        note = f"of {settings.share:.0%} of the word pieces, hidden; all others are known: not the loss of a next token"
        return Outcome(
            data=both.title,
            sha256=both.sha256,
            samples=len(both.held_out),
            tokens=kept.tokens,
            metrics=metrics,
            notes=[note],
        )

    def _pairs(self, model: Model, data: Data) -> Outcome:
        corpus = Pairs(path=data.path, columns=data.columns, encoding=data.encoding).open()
        part = corpus.part(whole=data.part == "all", chosen=data.some)
        few = Part(names=part.names[:1], pairs=part.pairs[:1])  # nothing is learned from
        encoded = PairsCorpus(train=few, held_out=part, entry={}).encode(model.tokenizer, model.network.context)
        encoded.check(model.network)
        metrics = measured(model, counted := Limited(encoded, None), self.batch)
        (entry,) = corpus.describe()
        return Outcome(
            data=str(entry["name"]),
            sha256=str(entry["sha256"]),
            samples=len(part.pairs),
            tokens=counted.tokens,
            metrics=metrics,
        )

    def _pictures(self, model: Model, data: Data) -> Outcome:
        records = one_to_learn(data.images())
        classes, notes = _classes(model, records)
        hide = None if model.network.causal else Masked().share
        corpus = ImageCorpus(records, [], Images(conditional=bool(classes), hide=hide))
        encoded = corpus.encode(model.tokenizer, model.network.context)
        counted = Limited(encoded, None)
        metrics = measured(model, counted, self.batch)
        exhibits = of_pictures(model, records, Limited(counted, MOST_ROWS)) if model.network.causal else []
        return Outcome(
            data=records.title,
            sha256=records.sha256,
            samples=len(records.held_out),
            tokens=counted.tokens,
            metrics=metrics,
            notes=[*encoded.notes(), *notes],
            exhibits=exhibits,
        )

    def _sounds(self, model: Model, data: Data) -> Outcome:
        records = data.sounds()
        if records.held_out:
            records = one_to_learn(records)
        classes, notes = _classes(model, records)
        corpus = SoundCorpus(records, [], Sounds(conditional=bool(classes), label=data.label))
        counted = Limited(corpus.encode(model.tokenizer, model.network.context), None)
        metrics = measured(model, counted, self.batch)
        per_second = model.tokenizer.spec.tokens_per_second or 1.0
        return Outcome(
            data=records.title,
            sha256=records.sha256,
            samples=len(records.held_out) or len(records),
            tokens=counted.tokens,
            metrics={**metrics, "seconds": counted.tokens / per_second},
            notes=[*notes, "bits per second compare at an equal loss of the tokenizer only: see zoo reconstruct"],
            exhibits=[of_sounds(model, records)],
        )


def _cut(stream: Stream, documents: Sequence[Document], tokenizer: Tokenizer[Any], tokens: int) -> tuple[Stream, int]:
    """Return the beginning of a stream, with the bytes of raw text that its ids stand for, and the documents in it."""
    ids = stream.ids[: tokens + 1]
    end = tokenizer.spec.end_id
    between = 1 if end is None else 0  # a new line joins documents, or an id that is no text
    text = tokenizer.decode(torch.from_numpy((ids if end is None else ids[ids != end]).astype(np.int64)))
    left, raw, begun = len(text.encode("utf-8", "replace")), 0, 0
    for document in documents:
        if left <= 0:
            break
        raw, begun = raw + min(left, document.size), begun + 1
        left -= document.size + between
    return dataclasses.replace(stream, ids=ids, text_bytes=raw), begun


def _classes(model: Model, records: Records[Any]) -> tuple[tuple[str, ...], list[str]]:
    """Return the classes that a model is to be told of each sample, none if it takes none or the data has others."""
    classes: tuple[str, ...] = getattr(model.config, "classes", ())
    if not classes:
        return (), []
    if records.label_names == classes:
        return classes, ["the model was told the class of each sample"]
    return (), ["the model takes classes, but the data does not state them: it was told none"]
