"""Zero-, one- and few-shot prompting: a task told in a prompt, and a model that has never been trained for it.

After GPT-3 (Brown et al. 2020, sections 2 and 2.4, appendix G): K examples, each with its answer, then the question;
the answer is the likeliest of several choices, or what the model writes.

    >>> from zoo.evaluate.arithmetic import QUESTION, problems
    >>> from zoo.evaluate.forms import Write
    >>> task = Task(template=QUESTION, form=Write(max_new_tokens=6), shots=3)
    >>> report = run(model, task, problems("2D+", count=20), pool=problems("2D+", count=100, seed=1))
    >>> report.metrics, report.rows[0].given == report.rows[0].answer
    ({'exact_match': 1.0}, True)

``zoo.evaluate.examples`` reads examples from files; ``zoo.evaluate.forms`` has multiple choice and the cloze form, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.data.seeded import generator
from zoo.errors import ZooError
from zoo.evaluate.examples import Example, Template
from zoo.evaluate.forms import Answering, Form
from zoo.evaluate.scoring import lead_of, text_tokenizer


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is asked, and how.

    Attributes:
        template: how examples are written.
        form: how an answer is had and judged.
        shots: K, examples with answers in the prompt. As many are left out as the context has no room for.
        separator: between examples; GPT-3 had one or two new lines.
        instruction: stands before everything, a separator after it; empty for none.
        seed: by which each question draws its examples. The first K of more are the same.
    """

    template: Template
    form: Form
    shots: int = 0
    separator: str = "\n\n"
    instruction: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.shots < 0:
            raise ZooError(f"shots must be 0 or more, got {self.shots}")
        if not self.separator:
            raise ZooError("separator: examples need something between them, such as a new line")

    def prompt(self, example: Example, shots: Sequence[Example]) -> str:
        """Return the whole prompt for ``example``, after ``shots`` with their answers."""
        told = [self.template.ask(shot) + self.template.reply(shot.answer) for shot in shots]
        before = [self.instruction] if self.instruction else []
        return self.separator.join([*before, *told, self.template.ask(example)])


@dataclass(frozen=True, kw_only=True)
class Row:
    """One question and what the model made of it.

    Attributes:
        prompt: all that the model read.
        answer: the right one.
        given: the model's.
        correct: whether they agree.
        shots: examples that stood in the prompt.
        values: what choices were ranked by, in nats; see ``zoo.evaluate.forms``.
    """

    prompt: str
    answer: str
    given: str
    correct: bool
    shots: int
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came of a task.

    Attributes:
        metrics: ``accuracy`` or ``exact_match``, and what else the form measures.
        rows: one for each question, in order.
        shots: examples asked for.
    """

    metrics: dict[str, float]
    rows: tuple[Row, ...]
    shots: int

    @property
    def cut(self) -> int:
        """Questions with fewer examples than asked for, because the context was full."""
        return sum(row.shots < self.shots for row in self.rows)


def run(
    model: Answering, task: Task, examples: Sequence[Example], *, pool: Sequence[Example] = (), batch: int = 16
) -> Report:
    """Ask a model every question of ``examples``.

    Args:
        model: causal, of text; not changed.
        task: what is asked.
        examples: the questions.
        pool: what shots are drawn from, the training part; empty for ``examples`` themselves. What has the same text
            as a question is never among its shots.
        batch: rows in a forward pass.

    Raises:
        ZooError: no questions, too few examples, a question that does not fit the context even without shots.
    """
    if not examples:
        raise ZooError("there are no examples to ask about")
    text_tokenizer(model)
    shots = [
        _fitting(model, task, example, _draw(task, example, index, pool or examples))
        for index, example in enumerate(examples)
    ]
    prompts = [task.prompt(example, drawn) for example, drawn in zip(examples, shots, strict=True)]
    answers, figures = task.form.answers(model, task.template, examples, prompts, batch)
    rows = tuple(
        Row(
            prompt=prompt,
            answer=example.answer,
            given=answer.given,
            correct=answer.correct,
            shots=len(drawn),
            values=answer.values,
        )
        for prompt, example, drawn, answer in zip(prompts, examples, shots, answers, strict=True)
    )
    share = sum(row.correct for row in rows) / len(rows)
    return Report(metrics={task.form.metric: share, **figures}, rows=rows, shots=task.shots)


def _draw(task: Task, example: Example, index: int, pool: Sequence[Example]) -> list[Example]:
    """Return the shots of question number ``index``, all of them different from it."""
    if not task.shots:
        return []
    question = (example.text, example.text_b)
    order = generator(task.seed, index).permutation(len(pool)).tolist()
    others = [pool[place] for place in order if (pool[place].text, pool[place].text_b) != question]
    if len(others) < task.shots:
        raise ZooError(f"shots: {task.shots} examples asked for, and there are {len(others)} to draw from")
    return others[: task.shots]


def _fitting(model: Answering, task: Task, example: Example, shots: Sequence[Example]) -> Sequence[Example]:
    """Return as many of the first ``shots`` as the context has room for, beside the question and its longest answer."""
    start, context = len(lead_of(model)[0]), model.network.context
    endings = [task.template.reply(choice) for choice in task.form.options(example)] or [""]

    def excess(count: int) -> int:
        prompt = task.prompt(example, shots[:count])
        longest = max(len(model.tokenizer.encode(prompt + ending)) for ending in endings)
        return start + longest + task.form.new_tokens - 1 - context  # the last id is predicted, not read

    if excess(len(shots)) <= 0:
        return shots
    if (over := excess(0)) > 0:
        raise ZooError(
            f"the question {example.text[:40]!r} takes {context + over} tokens, more than the context of {context}; "
            "shorten it or its template"
        )
    fits, too_many = 0, len(shots)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if excess(middle) <= 0 else (fits, middle)
    return shots[:fits]
