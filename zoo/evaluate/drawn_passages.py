"""Text that is drawn as passages, and what of it stands word for word in the training text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.data.samples import samples_of
from zoo.data.stream import encode
from zoo.errors import ZooError
from zoo.evaluate.copies import distinct, longest_copies
from zoo.evaluate.outcome import Exhibit, Histogram, Table, Texts, Told
from zoo.evaluate.part import Data
from zoo.evaluate.sample_kinds import AT_ONCE, Drawing, Features, Named
from zoo.generate.settings import SamplingOptions
from zoo.model import Model
from zoo.tokenizers.base import TextTokenizer

READ = 8
"""Texts on the page."""
PASSAGE = 128
"""Most tokens of a passage where nobody says how many."""


class DrawnPassages:
    """Passages of running text, as many tokens of each part as are drawn, spread evenly over it.

    Where held-out passages begin with tokens that are given, a drawn one goes on from the same; what is compared is
    what comes after them.
    """

    def __init__(self, model: Model, data: Data, drawing: Drawing) -> None:
        network, tokenizer = model.network, model.tokenizer
        if not network.causal or network.source_context is not None or not isinstance(tokenizer, TextTokenizer):
            raise ZooError("task=samples: this model writes no text of its own; say task=likelihood")
        documents = data.documents()
        self.title, self.sha256 = documents.title, documents.sha256
        held_out = encode(documents.held_out, tokenizer, key=f"{documents.key} held out").ids[: data.limit]
        self._learned = encode(documents.train, tokenizer, key=f"{documents.key} train").ids
        length = drawing.sampling.get("max_new_tokens")
        self._length = min(PASSAGE, max(1, network.context // 2)) if length is None else length
        if self._length < 1:
            raise ZooError("max_new_tokens must be at least 1 for samples to be compared")
        self._model, self._tokenizer, self._seed, self._drawing = model, tokenizer, data.seed, drawing
        spans = [self._spread(part, name) for part, name in ((held_out, "held-out"), (self._learned, "training"))]
        self._given = [self._decode(span[: drawing.given]) for span in spans[0]]
        after = [[span[drawing.given :] for span in some] for some in spans]
        self._held_out = after[0]
        self._real, self._known = (
            [(f"passage {number}", self._decode(ids)) for number, ids in enumerate(some)] for some in after
        )
        given = f"going on from {drawing.given} tokens of held-out text" if drawing.given else "from nothing"
        self.notes = [
            f"passages of {self._length} tokens, drawn {given}; longest_copy: tokens of the longest run in a passage, "
            f"on average, that stands word for word in the {len(self._learned):,} tokens of the training text",
            "distinct_4: share of different runs among all runs of four tokens: low where texts repeat themselves",
        ]

    @property
    def counts(self) -> tuple[int, int]:
        return len(self._real), len(self._known)

    def beside(self, made: Sequence[Named]) -> tuple[list[Named], list[Named]]:
        return self._real, self._known

    def made(self, told: Told | None) -> list[Named]:
        drawing = self._drawing
        if drawing.path is not None:
            found = [(one.name, one.read().text) for one in samples_of([drawing.path], "text")]
            rows = [(name, self._decode(self._ids(text)[: self._length])) for name, text in found]
            return [(name, text) for name, text in rows if text]
        made: list[Named] = []
        for begin in range(0, drawing.count, AT_ONCE):
            numbers = range(begin, min(begin + AT_ONCE, drawing.count))
            given = [self._given[number % len(self._given)] for number in numbers]
            sampling: SamplingOptions = {
                **drawing.sampling, "max_new_tokens": self._length, "truncate": "left",
            }  # fmt: skip
            seeds = [self._seed + number for number in numbers]
            drawn = self._model.draw([text or None for text in given], seeds=seeds, **sampling)
            for number, text, one in zip(numbers, given, drawn, strict=True):
                new = str(one.sample)[len(text) :]
                made.append((f"{number:03d}", new))
            if told:
                told(numbers[-1] + 1, drawing.count)
        return [(name, text) for name, text in made if text]

    def judged(self, made: Sequence[Named], features: Features) -> tuple[dict[str, Any], list[Exhibit]]:
        drawn = [self._ids(text) for _, text in made]
        runs = longest_copies(drawn, self._learned)
        copied = np.array([length for _, length in runs])
        usual = np.array([length for _, length in longest_copies(self._held_out, self._learned)])
        metrics = {
            "longest_copy": float(copied.mean()),
            "longest_copy_held_out": float(usual.mean()),
            "longest_copy_of_all": int(copied.max()),
            "distinct_4": distinct(drawn),
            "distinct_4_held_out": distinct(self._held_out),
        }
        longest = sorted(range(len(made)), key=lambda at: -runs[at][1])[:READ]
        rows = [(made[at][0], self._decode(drawn[at][runs[at][0] : sum(runs[at])]), str(runs[at][1])) for at in longest]
        groups = {"samples": copied, "held out": usual}
        return metrics, [
            Texts(title="Samples", entries=self._read(made[:READ])),
            Table(title="Longest runs that the training text has, too", head=("sample", "run", "tokens"), rows=rows),
            Histogram(title="Longest run that the training text has, too", across="tokens", groups=groups),
        ]

    def _read(self, made: Sequence[Named]) -> list[tuple[str, str]]:
        """Return (what was given, all of it) of samples."""
        if self._drawing.path is not None:
            return [("", text) for _, text in made]
        given = [self._given[int(name) % len(self._given)] for name, _ in made]
        return [(begun, begun + text) for begun, (_, text) in zip(given, made, strict=True)]

    def _spread(self, ids: NDArray[Any], part: str) -> list[NDArray[Any]]:
        """Return passages of a part, evenly spread, that do not overlap."""
        size = self._drawing.given + self._length
        count = min(self._drawing.count, len(ids) // size)
        if count < 4:
            raise ZooError(
                f"{self.title}: its {part} part has {len(ids):,} tokens, too few for four passages of {size}; "
                "say task.max_new_tokens=N and task.given=N with smaller numbers"
            )
        starts = np.linspace(0, len(ids) - size, count).astype(int)
        return [ids[start : start + size] for start in starts]

    def _ids(self, text: str) -> NDArray[np.int64]:
        return self._tokenizer.encode(text).numpy()

    def _decode(self, ids: NDArray[Any]) -> str:
        return self._tokenizer.decode(torch.from_numpy(ids.astype(np.int64)))
