"""Questions with answers that stand in a passage: SQuAD's JSON files (Rajpurkar et al. 2016)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zoo.data.files import DataFile, find, open_bytes, sha256_of_all
from zoo.data.records import Records
from zoo.data.split import own_parts, require_both, split_count
from zoo.errors import ZooError


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question about a passage.

    Attributes:
        question: the question.
        passage: where the answer stands.
        answers: right ones, at least one, as (text, character at which it begins).
    """

    question: str
    passage: str
    answers: tuple[tuple[str, int], ...]


def read_questions(path: str, *, alone: bool = False) -> Records[Question]:
    """Read questions in SQuAD's format, version 1.1: a .json file, or a folder of them (train and test).

    Questions of one passage are all learnt from or all held out: passages count for the split.

    Args:
        path: of the file or folder.
        alone: the passages need not be enough to be split into two parts.

    Raises:
        ZooError: no such file, another format, or an answer that does not stand where the file says.
    """
    found = find(path)
    files = [file for file in found.files if file.suffix == ".json"]
    if not files:
        raise ZooError(f"{path}: no questions there; head=span reads SQuAD's .json files")
    own = own_parts([file.name for file in files])
    order = [files[index] for index in (*own[0], *own[1])] if own else files
    questions: list[Question] = []
    names: list[str] = []
    passages: list[tuple[int, int]] = []  # file, passage
    for number, file in enumerate(order):
        for passage, name, question in _questions(file):
            questions.append(question)
            names.append(name)
            passages.append((number, passage))
    if own:
        held = {place for place in passages if place[0] >= len(own[0])}
    else:
        each = sorted(set(passages))
        held = {each[index] for index in split_count(len(each))[1]}
    train = [index for index, place in enumerate(passages) if place not in held]
    held_out = [index for index, place in enumerate(passages) if place in held]
    if not alone:
        require_both(train, held_out, path)
    return Records(
        title=found.title,
        names=names,
        labels=[],
        train=train,
        held_out=held_out,
        load=questions.__getitem__,
        sha256=sha256_of_all(files),
    )


def _questions(file: DataFile) -> Iterator[tuple[int, str, Question]]:
    """Yield (number of the passage, the question's id, the question)."""
    with open_bytes(file.path) as stream:
        data = stream.read()
    try:
        articles: Any = json.loads(data)["data"]
        passages = [passage for article in articles for passage in article["paragraphs"]]
        entries = [
            (number, str(entry["id"]), str(entry["question"]), str(passage["context"]), entry["answers"])
            for number, passage in enumerate(passages)
            for entry in passage["qas"]
        ]
        spans = [tuple((str(one["text"]), int(one["answer_start"])) for one in answers) for *_, answers in entries]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ZooError(f'{file.path}: not in SQuAD\'s format ({{"data": [{{"paragraphs": …}}]}})') from None
    for (number, name, question, passage, _), answers in zip(entries, spans, strict=True):
        if not answers:
            raise ZooError(f"{file.path}, question {name}: has no answer; take it out")
        for text, start in answers:
            if not text or passage[max(0, start) : start + len(text)] != text or start < 0:
                raise ZooError(f"{file.path}, question {name}: its passage has no {text[:40]!r} at character {start}")
        yield number, name, Question(question=question, passage=passage, answers=answers)
