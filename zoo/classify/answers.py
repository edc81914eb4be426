"""Answers as spans of a passage: windows with a stride, the best spans of all of them, exact match and F1.

Devlin et al. 2018, section 4.2, and their code; Rajpurkar et al. 2016, section 6.1, for the two measures.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.architecture import AnyNetwork
from zoo.classify.prediction import Prediction
from zoo.classify.reading import Reader, Row, collate
from zoo.data.records import TextRow
from zoo.errors import ZooError
from zoo.generate.sampler import device_of, evaluation_mode
from zoo.tokenizers.base import TextTokenizer

STRIDE, QUESTION, BEST, LONGEST = 128, 64, 20, 30
"""Ids between two windows, most ids of a question, spans that are kept, and most ids of an answer: BERT's."""
TOGETHER = 16
"""Windows that are read at once."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A question with a stretch of its passage.

    Attributes:
        row: what the network reads.
        places: int64 (ids of the stretch, 2), the characters [start, end) of the passage that each id stands for.
    """

    row: Row
    places: Tensor

    def find(self, start: int, end: int) -> tuple[int, int]:
        """Return the positions in the row of the ids that hold characters ``start`` to ``end``; the first position
        twice, if they do not all lie in the stretch."""
        inside = (self.places[:, 1] > start) & (self.places[:, 0] < end)
        found = inside.nonzero()[:, 0]
        if not len(found) or self.places[found[0], 0] > start or self.places[found[-1], 1] < end:
            return 0, 0
        return self.row.second + int(found[0]), self.row.second + int(found[-1])


class Answers:
    """Finds answers with a network that has a span head.

    Args:
        network: says where answers begin and end.
        reader: makes its rows.
    """

    def __init__(self, network: AnyNetwork, reader: Reader) -> None:
        self.network, self.reader = network, reader

    def windows(self, question: str, passage: str) -> list[Window]:
        """Return windows that cover a passage, each behind the question.

        Raises:
            ZooError: one of the texts is empty, or a context without room for a passage.
        """
        reader, tokenizer = self.reader, self.reader.tokenizer
        assert isinstance(tokenizer, TextTokenizer)
        if not passage.strip():
            raise ZooError("the passage is empty; fill it in or take the question out")
        frame = reader.frame
        room = reader.context - len(frame.before) - len(frame.between) - len(frame.after)
        asked = reader.encode(question)[: min(QUESTION, room // 2)]
        ids, places = tokenizer.encode_with_offsets(passage)
        room -= len(asked)
        if room < 1 or not len(ids):
            raise ZooError("there is no room for the passage, or nothing in it")
        step = max(1, min(STRIDE, room // 2))
        starts = range(0, max(1, len(ids) - room + step), step)
        cuts = [slice(start, start + room) for start in starts]
        return [Window(row=reader.framed([asked, ids[cut]]), places=places[cut]) for cut in cuts]

    def answer(self, sample: Any) -> Prediction:
        """Return the best answer to a question about a passage, and its rivals.

        Raises:
            ZooError: no question with a passage.
        """
        match sample:
            case TextRow(text=question, text_b=str(passage)):
                pass
            case (str(question), str(passage)):
                pass
            case _:
                raise ZooError(
                    "this model answers questions: give (question, passage), or a table with text and text_b"
                )
        windows = self.windows(question, passage)
        logits = []
        with evaluation_mode(self.network), torch.inference_mode():
            for first in range(0, len(windows), TOGETHER):
                some = windows[first : first + TOGETHER]
                rows = collate([[window.row] for window in some]).to(device_of(self.network))
                said, _ = self.network.judge(rows.ids, lengths=rows.lengths, conditioning=rows.conditioning)
                logits += list(said.float().cpu())
        best = best_spans(windows, logits)
        probabilities = torch.tensor([score for _, score in best]).softmax(dim=0).tolist()
        texts = [passage[start:end] for (start, end), _ in best]
        known: dict[str, float] = {}
        for text, probability in zip(texts, probabilities, strict=True):
            known[text] = known.get(text, 0.0) + probability
        return Prediction(label=texts[0], probability=known[texts[0]], probabilities=known)


def best_spans(windows: Sequence[Window], logits: Sequence[Tensor]) -> list[tuple[tuple[int, int], float]]:
    """Return the best spans of characters with their scores, start logit + end logit, the best first.

    Args:
        windows: of one passage.
        logits: of each window's row, (time, 2).
    """
    found: dict[tuple[int, int], float] = {}
    for window, values in zip(windows, logits, strict=True):
        count, second = len(window.places), window.row.second
        starts, ends = values[second : second + count].unbind(dim=1)
        table = starts[:, None] + ends[None, :]
        allowed = torch.ones(count, count, dtype=torch.bool).triu().tril(LONGEST - 1)
        scores, places = table.where(allowed, -torch.inf).flatten().topk(min(BEST, count))
        for score, place in zip(scores.tolist(), places.tolist(), strict=True):
            begin, end = divmod(place, count)
            span = int(window.places[begin, 0]), int(window.places[end, 1])
            if score > found.get(span, -float("inf")):
                found[span] = score
    return sorted(found.items(), key=lambda one: -one[1])[:BEST]


def exact_match(said: str, answers: Sequence[str]) -> float:
    """Return 1 if an answer is one of the right ones, up to case, punctuation and articles, else 0."""
    return float(any(normal(said) == normal(answer) for answer in answers))


def f1(said: str, answers: Sequence[str]) -> float:
    """Return the largest harmonic mean of precision and recall over words, among the right answers."""
    return max(_overlap(normal(said).split(), normal(answer).split()) for answer in answers)


def normal(text: str) -> str:
    """Return a text as answers are compared: lower case, no punctuation, no articles, single blanks."""
    plain = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def _overlap(said: Sequence[str], right: Sequence[str]) -> float:
    if not said or not right:
        return float(said == right)
    shared = sum((Counter(said) & Counter(right)).values())
    return 2 * shared / (len(said) + len(right))
