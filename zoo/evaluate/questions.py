"""Zero-, one- and few-shot questions from a file, by GPT-3's protocols, and LAMBADA: tasks for ``zoo evaluate``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from zoo.data.documents import Document
from zoo.errors import ZooError
from zoo.evaluate.examples import CLOZE, Example, Template, cloze, read_examples
from zoo.evaluate.forms import Choose, Complete, Form
from zoo.evaluate.outcome import Outcome, Texts, Told
from zoo.evaluate.part import Data
from zoo.evaluate.prompting import Report, Task, run
from zoo.evaluate.scoring import lead_of, text_tokenizer
from zoo.generate.sampler import device_of, evaluation_mode
from zoo.model import Model

SHOWN = 6
"""Questions that are shown, with all that the model read."""
COMMON = """
a about after again all also am an and any are as at away back be because been before but by can could did do
does down even for from get go good had has have he her here him his how i if in into is it its just like made
me more my never no not now of off on one only or other our out over own said she should so some such than
that the their them then there these they this those through time to too up upon us very was we well were what
when where which who will with would you your
"""
STOP_WORDS = frozenset(COMMON.split())
"""Words that no passage of LAMBADA ends with, or hardly any: GPT-2's filter skips such (Radford et al. 2019, 3.3)."""


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Questions from a table with the columns text and label (and text_b, choices), asked in a prompt.

    Shots are drawn from the training part of the same data, or from ``shots_path``; what has the question's own text is
    never among them. See ``zoo.evaluate.prompting``.

    Attributes:
        shots: K, answered examples before each question.
        shots_path: a table of its own to draw them from.
        question: how one is written; ``{text}`` and ``{text_b}`` stand for its columns.
        answer: how an answer follows.
        separator: between examples; ``\\n`` is a new line.
        instruction: before everything.
        form: ``choose`` the likeliest of the choices (of the row, else all labels), ``complete`` the right answer
            token by token, or ``write`` it.
        batch: rows in a forward pass.
    """

    shots: int = 0
    shots_path: str | None = None
    question: str = "{text}\\nAnswer:"
    answer: str = " {answer}"
    separator: str = "\\n\\n"
    instruction: str = ""
    form: Form = Choose()
    batch: int = 16

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ZooError(f"batch must be at least 1, got {self.batch}")
        if self.shots < 0:
            raise ZooError(f"shots must be 0 or more, got {self.shots}")

    def run(self, model: Model, data: Data, told: Told | None = None) -> Outcome:
        """Ask all questions.

        Raises:
            ZooError: no labels, too few examples, a question that does not fit the context.
        """
        whole = data.part == "all"
        examples = read_examples(data.path, columns=data.columns, encoding=data.encoding, alone=whole)
        asked = [*examples.train, *examples.held_out] if whole else [*examples.held_out]
        asked = [asked[number] for number in data.some(range(len(asked)))]
        pool: Sequence[Example] = examples.train
        if self.shots_path is not None:
            other = read_examples(self.shots_path, columns=data.columns, encoding=data.encoding, alone=True)
            pool = [*other.train, *other.held_out]
        form = self.form
        if isinstance(form, Choose) and not form.choices and not asked[0].choices:
            labels = sorted({one.answer for one in (*asked, *pool)})
            form = Choose(choices=tuple(labels), normalise=form.normalise)
        task = Task(
            template=Template(question=_plain(self.question), answer=_plain(self.answer)),
            form=form,
            shots=self.shots,
            separator=_plain(self.separator),
            instruction=_plain(self.instruction),
            seed=data.seed,
        )
        report = run(model, task, asked, pool=pool, batch=self.batch)
        notes = [f"{self.shots} shots, drawn anew for each question; the answer is had by form={_form(form)}"]
        return _outcome(model, report, notes, examples.title, examples.sha256)


@dataclass(frozen=True, kw_only=True)
class Lambada:
    """The last word of a passage, from all that stands before it (Paperno et al. 2016); one passage a line.

    Attributes:
        protocol: ``harness``: the common one (lm-evaluation-harness, lambada_openai): right if each token of the last
            word is the likeliest at its place; ``perplexity`` is of whole words. ``raw``: GPT-2's, as far as its paper
            tells: the model writes on from the raw text, and the whole word that it writes must be the right one; what
            begins as a stop word is skipped (``stop_words``). ``cloze``: GPT-3's few-shot form, a gap to be filled.
        shots: of ``cloze``, answered passages before each; GPT-3 had 15.
        stop_words: of ``raw``: skip words that are no last words.
        batch: rows in a forward pass.
    """

    protocol: Literal["harness", "raw", "cloze"] = "harness"
    shots: int = 0
    stop_words: bool = True
    batch: int = 16

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ZooError(f"batch must be at least 1, got {self.batch}")
        if self.shots and self.protocol != "cloze":
            raise ZooError(f"shots: only protocol=cloze has any; {self.protocol} asks in plain text")

    def run(self, model: Model, data: Data, told: Told | None = None) -> Outcome:
        """Ask for all last words.

        Raises:
            ZooError: passages of fewer than two words, or longer than the context.
        """
        documents = data.documents()
        passages = _passages(documents.held_out)
        examples = [cloze(passages[number]) for number in data.some(range(len(passages)))]
        plain = Template(question="{text}")
        template = CLOZE if self.protocol == "cloze" else plain
        task = Task(template=template, form=Complete(), shots=self.shots, seed=data.seed)
        pool = [cloze(passage) for passage in _passages(documents.train)] if self.shots else ()
        report = run(model, task, examples, pool=pool, batch=self.batch)
        notes = [NOTES[self.protocol]]
        metrics: dict[str, Any] = {}
        if self.protocol == "raw":
            words = [_words(model, example.text, 1 + 15 * self.stop_words) for example in examples]
            said = [_first(some, self.stop_words) for some in words]
            right = [one == _word(example.answer) for one, example in zip(said, examples, strict=True)]
            metrics = {"accuracy": sum(right) / len(right), "token_accuracy": report.metrics["accuracy"]}
            notes += [f"stop words are {'skipped' if self.stop_words else 'kept'} (task.stop_words)"]
        found = _outcome(model, report, notes, documents.title, documents.sha256)
        return replace(found, metrics={**found.metrics, **metrics})


NOTES = {
    "harness": "the common harness's protocol (lambada_openai): each token of the last word must be the likeliest; its "
    "figures are lower than GPT-2's paper's, which skips stop words",
    "raw": "the raw-text protocol, after GPT-2's paper: the whole word that the model writes must be the right one; "
    "not to be compared with the harness's figures",
    "cloze": "GPT-3's cloze form, '... ____. -> word'; not to be compared with plain text",
}


def _passages(documents: Sequence[Document]) -> list[str]:
    """Return one passage a row; of text files, one a line."""
    texts = [document.text() for document in documents]
    if len(texts) == 1:
        texts = [line for line in texts[0].splitlines() if line.strip()]
    if not texts:
        raise ZooError("there are no passages; give one a row (a column text) or one a line")
    return texts


def _words(model: Model, prompt: str, count: int) -> list[str]:
    """Return the words that a model would write after ``prompt``, one for each of its ``count`` likeliest next tokens,
    the likeliest first; each goes on greedily to its end."""
    tokenizer = text_tokenizer(model)
    lead, empty = lead_of(model)
    ids = tokenizer.encode(prompt)
    start = torch.cat([torch.tensor(lead if len(ids) else empty, dtype=torch.int64), ids])
    network = model.network
    with evaluation_mode(network), torch.inference_mode():
        logits = network(start[None, -network.context :].to(device_of(network)))[0, -1].float()
    best = logits.topk(min(count, len(logits))).indices.cpu()
    rows = torch.cat([start.expand(len(best), -1), best[:, None]], dim=1)
    rows = rows[:, -(model.network.context - LONGEST_WORD) :]
    written = model.generate_ids(rows, max_new_tokens=LONGEST_WORD, temperature=0.0)
    beginning = tokenizer.decode(rows[0, :-1])
    return [_word(tokenizer.decode(row)[len(beginning) :]) for row in written]


LONGEST_WORD = 6
"""Tokens that a last word may go on for."""


def _first(words: Sequence[str], skip: bool) -> str:
    """Return the first word that is no stop word."""
    return next((word for word in words if word and not (skip and word.lower() in STOP_WORDS)), "")


def _word(text: str) -> str:
    """Return the first word of a text, without marks around it."""
    found = re.search(r"[\w'’-]*\w", text)
    return found[0] if found else ""


def _outcome(model: Model, report: Report, notes: Sequence[str], title: str, sha256: str) -> Outcome:
    cut = [f"{report.cut} questions had fewer shots than asked for, because the context was full"] * bool(report.cut)
    tokens = sum(len(model.tokenizer.encode(row.prompt)) for row in report.rows)
    shown = [
        (row.prompt, f"{row.prompt}  [right: {row.answer}; said: {row.given or '-'}]") for row in report.rows[:SHOWN]
    ]
    rows = [
        {
            "prompt": row.prompt,
            "answer": row.answer,
            "given": row.given,
            "correct": row.correct,
            "values": dict(row.values),
        }
        for row in report.rows
    ]
    return Outcome(
        data=title,
        sha256=sha256,
        samples=len(report.rows),
        tokens=tokens,
        metrics=report.metrics,
        notes=[*notes, *cut],
        exhibits=[Texts(title="Questions as the model read them", entries=shown)],
        rows=rows,
    )


def _plain(text: str) -> str:
    """Return a text with ``\\n`` and ``\\t`` as what they stand for: command lines write no new lines."""
    return text.replace("\\n", "\n").replace("\\t", "\t")


def _form(form: Form) -> str:
    from zoo.settings import tag

    return tag(type(form))
