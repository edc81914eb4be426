"""Forms of an answer: the likeliest of several choices, a completion judged as it is, or what a model writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias

from zoo.errors import ZooError, suggest
from zoo.evaluate.examples import Example, Template
from zoo.evaluate.scoring import Likelihood, Scorable, score
from zoo.generate.settings import SamplingSettings
from zoo.generate.text import check_stops


class Answering(Scorable, Protocol):
    """What can also write: ``zoo.model.Model``."""

    def generate(
        self,
        prompt: Any = None,
        *,
        max_new_tokens: int | None = None,
        temperature: float = 1.0,
        stop: str | Sequence[str] = (),
        beams: int = 1,
        length_penalty: float = 1.0,
    ) -> Any:
        """Return samples that go on from ``prompt``; see ``zoo.model.Model.generate``."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model made of one question.

    Attributes:
        given: its answer; of ``Complete`` the right one, or nothing.
        correct: whether that is right.
        values: what choices were ranked by, in nats (see ``AnyNormalise``); empty where there are none.
    """

    given: str
    correct: bool
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Total:
    """The log-likelihood itself: favours short answers."""

    context: ClassVar[str | None] = None

    def value(self, given: Likelihood, alone: Likelihood | None) -> float:
        """Return nats."""
        return given.log_likelihood


@dataclass(frozen=True, kw_only=True)
class PerToken:
    """Divided by the number of tokens: GPT-3's choice for most tasks (Brown et al. 2020, section 2.4)."""

    context: ClassVar[str | None] = None

    def value(self, given: Likelihood, alone: Likelihood | None) -> float:
        """Return nats per token."""
        return given.log_likelihood / given.tokens


@dataclass(frozen=True, kw_only=True)
class PerByte:
    """Divided by the number of UTF-8 bytes: does not depend on the tokenizer."""

    context: ClassVar[str | None] = None

    def value(self, given: Likelihood, alone: Likelihood | None) -> float:
        """Return nats per byte."""
        return given.log_likelihood / given.bytes


@dataclass(frozen=True, kw_only=True)
class Unconditional:
    """P(answer | question) / P(answer | context): how much likelier the question makes the answer.

    GPT-3's choice for ARC, OpenBookQA and RACE (Brown et al. 2020, section 2.4).

    Attributes:
        context: what the answer is expected after in general. Where answers begin with a blank, its own is left out.
    """

    context: str = "Answer: "

    def value(self, given: Likelihood, alone: Likelihood | None) -> float:
        """Return the logarithm of the ratio, in nats."""
        assert alone is not None
        return given.log_likelihood - alone.log_likelihood


AnyNormalise: TypeAlias = Total | PerToken | PerByte | Unconditional
"""Makes log-likelihoods of choices of different length comparable: ``value`` of a choice after its question, and, where
there is a ``context``, alone after that; larger is better."""


@dataclass(frozen=True, kw_only=True)
class Choose:
    """The answer is the likeliest of the choices, the first of equals.

    Attributes:
        choices: for every question; empty if each example brings its own.
        normalise: what likelihoods are divided by.
    """

    metric: ClassVar[str] = "accuracy"
    new_tokens: ClassVar[int] = 0

    choices: tuple[str, ...] = ()
    normalise: AnyNormalise = PerToken()

    def options(self, example: Example) -> tuple[str, ...]:
        """Return the choices of one example.

        Raises:
            ZooError: there are fewer than two, or the answer is not among them.
        """
        choices = self.choices or example.choices
        if len(choices) < 2 or len(set(choices)) != len(choices):
            raise ZooError(f"{example.text[:40]!r} needs two different choices or more, got {list(choices)}")
        if example.answer not in choices:
            raise ZooError(f"the answer {example.answer!r} is not a choice{suggest(example.answer, choices)}")
        return choices

    def answers(
        self, model: Answering, template: Template, examples: Sequence[Example], prompts: Sequence[str], batch: int
    ) -> tuple[list[Answer], dict[str, float]]:
        """Return an answer to each prompt, and figures about them all."""
        asked = [
            (prompt, template.reply(choice), choice)
            for prompt, example in zip(prompts, examples, strict=True)
            for choice in self.options(example)
        ]
        given = score(model, [prompt for prompt, _, _ in asked], [reply for _, reply, _ in asked], batch=batch)
        alone = self._alone(model, [reply for _, reply, _ in asked], batch)
        ranked = [
            (choice, self.normalise.value(one, alone.get(reply)))
            for (_, reply, choice), one in zip(asked, given, strict=True)
        ]
        answers, place = [], 0
        for example in examples:
            values = dict(ranked[place : place + len(self.options(example))])
            place += len(values)
            best = max(values, key=lambda choice: values[choice])
            answers.append(Answer(given=best, correct=best == example.answer, values=values))
        return answers, {}

    def _alone(self, model: Answering, replies: Sequence[str], batch: int) -> dict[str, Likelihood]:
        """Return how likely each different reply is after the general context, if that is asked for."""
        context, different = self.normalise.context, list(dict.fromkeys(replies))
        if context is None:
            return {}
        contexts = [context.rstrip() if reply[:1].isspace() else context for reply in different]
        return dict(zip(different, score(model, contexts, different, batch=batch), strict=True))


@dataclass(frozen=True, kw_only=True)
class Complete:
    """The answer is right if each of its tokens is the likeliest at its place: LAMBADA's way.

    Beside ``accuracy`` there is ``perplexity``, exp(-mean log-likelihood) of whole answers, not of tokens.
    """

    metric: ClassVar[str] = "accuracy"
    new_tokens: ClassVar[int] = 0

    def options(self, example: Example) -> tuple[str, ...]:
        """Return the right answer."""
        return (example.answer,)

    def answers(
        self, model: Answering, template: Template, examples: Sequence[Example], prompts: Sequence[str], batch: int
    ) -> tuple[list[Answer], dict[str, float]]:
        """Return an answer to each prompt, and figures about them all."""
        found = score(model, prompts, [template.reply(example.answer) for example in examples], batch=batch)
        answers = [
            Answer(
                given=example.answer if one.greedy else "",
                correct=one.greedy,
                values={example.answer: one.log_likelihood},
            )
            for example, one in zip(examples, found, strict=True)
        ]
        mean = sum(one.log_likelihood for one in found) / len(found)
        return answers, {"perplexity": math.exp(min(-mean, 700.0))}


@dataclass(frozen=True, kw_only=True)
class Write:
    """The model writes the answer, which must be the right one word for word; blanks around it do not count.

    Attributes:
        stop: texts that end the answer.
        max_new_tokens: most tokens of it.
        beams: sequences that beam search follows, 1 to take the likeliest token each time; GPT-3 had 4.
        length_penalty: of beam search; GPT-3's 0.6.
    """

    metric: ClassVar[str] = "exact_match"

    stop: tuple[str, ...] = ("\n",)
    max_new_tokens: int = 16
    beams: int = 1
    length_penalty: float = 0.6

    def __post_init__(self) -> None:
        check_stops(self.stop)
        if self.max_new_tokens < 1:
            raise ZooError(f"max_new_tokens: must be at least 1, got {self.max_new_tokens}")
        SamplingSettings(max_new_tokens=self.max_new_tokens, beams=self.beams, length_penalty=self.length_penalty)

    @property
    def new_tokens(self) -> int:
        """Tokens that must fit the context after the prompt."""
        return self.max_new_tokens

    def options(self, example: Example) -> tuple[str, ...]:
        """Return nothing: the model finds its own words."""
        return ()

    def answers(
        self, model: Answering, template: Template, examples: Sequence[Example], prompts: Sequence[str], batch: int
    ) -> tuple[list[Answer], dict[str, float]]:
        """Return an answer to each prompt, and figures about them all."""
        answers = []
        for begin in range(0, len(prompts), batch):
            some = list(prompts[begin : begin + batch])
            texts = model.generate(
                some,
                max_new_tokens=self.max_new_tokens,
                temperature=0.0,
                stop=self.stop,
                beams=self.beams,
                length_penalty=self.length_penalty,
            )
            for prompt, text, example in zip(some, texts, examples[begin:], strict=False):
                told = model.tokenizer.decode(model.tokenizer.encode(prompt)) if prompt else ""
                given = text[len(told) :].strip()
                answers.append(Answer(given=given, correct=given == example.answer.strip()))
        return answers, {}


Form: TypeAlias = Choose | Complete | Write
