"""head=language_model: a checkpoint goes on with text, as in pre-training."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Literal

from zoo.data.adapted import Adapted, Fit, fit, unknown_id
from zoo.data.read import Documents
from zoo.data.text import Text, TextCorpus, TextData
from zoo.errors import ZooError
from zoo.finetune.material import Asked, HeadSettings, RunningText
from zoo.model import Model
from zoo.tokenizers.none import NoTokenizer

LEAST_TRAIN, LEAST_HELD_OUT = 32, 4
"""Bytes of text below which there is nothing to learn, or to measure."""
MOST_DROPPED = 0.1
"""Part of a text that may be left out because the checkpoint's tokenizer does not know it."""
PROMPT_WORDS = 8


@dataclass(frozen=True, kw_only=True)
class LanguageModel(HeadSettings[Text]):
    """Goes on with text, as in pre-training: the network keeps its output layer, and gets no new one.

    Attributes:
        unknown: what to do with characters that the checkpoint's tokenizer refuses: ``adapt`` writes them in another
            way (``é`` as ``e``, curly quotes as straight ones) and leaves out what has none; ``refuse`` stops.
    """

    reads: ClassVar[type] = Text

    unknown: Literal["adapt", "refuse"] = "adapt"

    def check(self, model: Model, name: str) -> None:
        """Refuse a model that cannot go on with text.

        Raises:
            ZooError: say why not.
        """
        network = model.network
        if isinstance(model.tokenizer, NoTokenizer):
            raise ZooError(f"{name} has no tokenizer, so it reads no text; put the tokenizer files beside its weights")
        if model.modality != "text":
            raise ZooError(f"{name} makes {model.modality}; head=language_model goes on with text")
        if not network.causal:
            raise ZooError(
                f"{name} reads both ways, so it cannot go on with text; head=language_model needs a causal model "
                "such as GPT-2"
            )
        if network.source_context is not None:
            raise ZooError(f"{name} turns a source into a target; head=language_model needs a model of running text")

    def read(self, data: Text, model: Model, asked: Asked) -> RunningText:
        """Open and encode text in windows: by default of the context, or less where text is short.

        Raises:
            ZooError: no data, too little of it, or text that the checkpoint's tokenizer hardly knows.
        """
        corpus = data.open()
        documents = corpus.documents
        _refuse_little(documents)
        known = fit(model.tokenizer, chain(documents.train, documents.held_out))
        self._check_fit(known, model, f"{documents.title}: the tokenizer of {asked.name}")
        tokenizer = Adapted(model.tokenizer, known) if known.table else model.tokenizer
        encoded = corpus.encode(tokenizer, 1)
        window = asked.context or max(1, min(model.network.context, encoded.train_tokens // 4))
        entry = corpus.describe()[0]
        if known.table:
            entry = entry | {"characters_replaced": known.replaced, "characters_dropped": known.dropped}
        windows = encoded.with_context(window)
        windows.check(model.network)
        return RunningText(
            network=model.network,
            data=windows,
            entries=[entry, *corpus.describe()[1:]],
            notes=tuple(_notes(known, encoded, unknown_id(tokenizer))),
            prompt=known.adapt(_head_of(corpus)),
        )

    def _check_fit(self, known: Fit, model: Model, whose: str) -> None:
        spec = model.tokenizer.spec
        if known.table and self.unknown == "refuse":
            raise ZooError(
                f"{whose} ({spec.type}, {spec.vocabulary_size} ids) does not know {_shown(tuple(known.table))}; "
                "change the text, or say unknown=adapt"
            )
        if known.dropped > MOST_DROPPED * known.characters:
            raise ZooError(
                f"{whose} ({spec.type}, {spec.vocabulary_size} ids) does not know "
                f"{known.dropped / known.characters:.0%} of its characters, such as {_shown(known.examples)}; "
                "fine-tune a checkpoint that reads all text (tokenizer byte, bpe or gpt2)"
            )


def _refuse_little(documents: Documents) -> None:
    train, held_out = (sum(part.size for part in parts) for parts in (documents.train, documents.held_out))
    if train < LEAST_TRAIN or held_out < LEAST_HELD_OUT:
        raise ZooError(
            f"{documents.title}: {train + held_out} bytes of text are too little to learn from and to hold some out; "
            f"give at least {10 * LEAST_TRAIN}"
        )


def _head_of(corpus: TextCorpus) -> str:
    """Return the first words of the held-out part, from the first whole line or word on."""
    for document in corpus.documents.held_out:
        text = next(document.pieces(), "")[:4000]
        lines = [line.strip() for line in text.splitlines()]
        whole = next((line for line in lines[1:] if len(line.split()) >= PROMPT_WORDS), None)
        words = (whole or text).split()[0 if whole else 1 :]
        if words:
            return " ".join(words[:PROMPT_WORDS])
    return ""


def _notes(known: Fit, data: TextData, unknown: int | None) -> list[str]:
    notes = []
    if known.replaced:
        notes.append(f"{known.replaced / known.characters:.2%} of its characters are written in another way")
    if known.dropped:
        notes.append(
            f"{known.dropped / known.characters:.2%} of its characters are left out, since the tokenizer does not know "
            f"them: {_shown(known.examples)}"
        )
    if unknown is not None and (share := data.share(unknown)):
        notes.append(f"{share:.1%} of its tokens are words that the tokenizer does not know")
    return notes


def _shown(characters: tuple[str, ...]) -> str:
    some = ", ".join(f"{character!r}" for character in characters[:5])
    return some + (" and others" if len(characters) > 5 else "")
