"""Questions with answers, and templates that write them into prompts."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.data.read import read_rows
from zoo.data.records import Records, TextRow
from zoo.errors import ZooError, suggest


@dataclass(frozen=True, kw_only=True)
class Example:
    """A question with its answer.

    Attributes:
        text: the question, a passage, or what else the template shows.
        answer: the right answer, word for word.
        choices: possible answers, the right one among them; empty where the task has its own, or none.
        text_b: a second text for the template.
    """

    text: str
    answer: str
    choices: tuple[str, ...] = ()
    text_b: str = ""

    def __post_init__(self) -> None:
        if self.choices and self.answer not in self.choices:
            raise ZooError(f"the answer {self.answer!r} is not among the choices {', '.join(map(repr, self.choices))}")


QUESTION_FIELDS, ANSWER_FIELDS = ("text", "text_b"), ("answer",)


def _parse(pattern: str, fields: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return the pieces of a pattern: (literal text, the field after it)."""
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise ZooError(f"template: {pattern!r} cannot be read ({error}); a brace itself is written twice") from None
    for _, name, form, conversion in parts:
        if name is not None and (form or conversion or name not in fields):
            raise ZooError(f"template: unknown field '{{{name}}}' in {pattern!r}{suggest(name, fields)}")
    return [(literal, name) for literal, name, _, _ in parts]


def _fill(pattern: str, values: Mapping[str, str]) -> str:
    """Return the pattern with the values in it, which are never looked at themselves."""
    return "".join(literal + (values[name] if name else "") for literal, name in _parse(pattern, tuple(values)))


@dataclass(frozen=True, kw_only=True)
class Template:
    """How an example is written.

    ``{text}``, ``{text_b}`` and ``{answer}`` stand for the example's; two braces ``{{`` stand for one. What is put in
    is taken to the letter, braces included.

    Attributes:
        question: with ``{text}``, ``{text_b}`` or both.
        answer: with ``{answer}``; follows the question, so it usually begins with a blank.
    """

    question: str
    answer: str = " {answer}"

    def __post_init__(self) -> None:
        for pattern, fields in ((self.question, QUESTION_FIELDS), (self.answer, ANSWER_FIELDS)):
            if not any(name for _, name in _parse(pattern, fields)):
                raise ZooError(f"template: {pattern!r} shows nothing of the example; put {{{fields[0]}}} in it")

    def ask(self, example: Example) -> str:
        """Return the question."""
        return _fill(self.question, {"text": example.text, "text_b": example.text_b})

    def reply(self, answer: str) -> str:
        """Return an answer as it follows the question."""
        return _fill(self.answer, {"answer": answer})


CLOZE = Template(question="{text} ____. ->")
"""A passage whose last word is missing, told as a gap to fill (Brown et al. 2020, section 3.1.2)."""


def cloze(passage: str) -> Example:
    """Return a passage as LAMBADA asks for it: all but its last word, which is the answer.

    Raises:
        ZooError: fewer than two words.
    """
    words = passage.rstrip().rsplit(maxsplit=1)
    if len(words) < 2:
        raise ZooError(f"a passage has at least two words, got {passage!r}")
    return Example(text=words[0], answer=words[1])


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The examples of a data set.

    Attributes:
        train: to draw shots from.
        held_out: to ask about.
        title: name of the data set.
        sha256: of its files.
    """

    train: Sequence[Example]
    held_out: Sequence[Example]
    title: str = ""
    sha256: str = ""


def read_examples(
    path: str,
    *,
    columns: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
    alone: bool = False,
) -> Examples:
    """Read a table (CSV, TSV or JSON lines) with the columns text and label, and if need be text_b and choices.

    Args:
        path: file or folder; one table is split as everywhere: every eleventh row is held out.
        columns: our names of columns to the table's.
        encoding: of the file.
        alone: the rows need not be enough to be split into two parts.

    Raises:
        ZooError: nothing there, a missing column, a label that is no choice: one line that names it.
    """
    rows = read_rows(path, columns=columns, encoding=encoding, alone=alone)
    if not rows.labels:
        raise ZooError(f"{rows.title}: has no labels; give a column 'label' with the right answers")
    return Examples(
        train=[_example(rows, index) for index in rows.train],
        held_out=[_example(rows, index) for index in rows.held_out],
        title=rows.title,
        sha256=rows.sha256,
    )


def _example(rows: Records[TextRow], index: int) -> Example:
    """Return one row; a label that is no choice may be the number of one, from 0."""
    row, answer = rows[index], rows.labels[index]
    if row.choices and answer not in row.choices:
        if not (answer.isascii() and answer.isdigit() and int(answer) < len(row.choices)):
            raise ZooError(f"{rows.names[index]}: the label '{answer}' is not a choice{suggest(answer, row.choices)}")
        answer = row.choices[int(answer)]
    return Example(text=row.text, answer=answer, choices=row.choices, text_b=row.text_b or "")
