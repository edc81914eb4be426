"""Few-shot prompting: what stands in a prompt, how answers are judged, what fits the context."""

from __future__ import annotations

import doctest
import itertools
import math
import re

import pytest

from tests.evaluate.models import knowing, random_model
from zoo.errors import ZooError
from zoo.evaluate import prompting
from zoo.evaluate.arithmetic import QUESTION, problems
from zoo.evaluate.examples import CLOZE, Example, Template, cloze
from zoo.evaluate.forms import AnyNormalise, Choose, Complete, PerByte, PerToken, Total, Unconditional, Write
from zoo.evaluate.prompting import Task, run
from zoo.evaluate.scoring import score

COLOURS = [Example(text=f"thing {number}", answer=answer) for number, answer in enumerate(["red", "green", "blue"] * 8)]
PLAIN = Template(question="{text}:")


def calculator(told: str) -> str:
    """Go on with the right result of the last sum in words."""
    found = re.search(r"What is (\d+) (plus|minus|times) (\d+)\?\nA:([^\n]*)$", told)
    if found is None:
        return ""
    one, other = int(found[1]), int(found[3])
    result = {"plus": one + other, "minus": one - other, "times": one * other}[found[2]]
    whole = f" {result}\n"
    return whole[len(found[4]) :] if whole.startswith(found[4]) else ""


def test_a_model_that_can_add_gets_all_sums_right() -> None:
    for name in ("2D+", "2D-", "2Dx"):
        task = Task(template=QUESTION, form=Write(max_new_tokens=8), shots=3)
        report = run(
            knowing(calculator), task, problems(name, count=12), pool=problems(name, count=50, seed=1), batch=5
        )
        assert report.metrics == {"exact_match": 1.0}
        assert [row.given for row in report.rows] == [example.answer for example in problems(name, count=12)]
        assert all(row.prompt.count("Q: What is") == 4 and row.shots == 3 for row in report.rows)
        assert report.cut == 0
    beams = Task(template=QUESTION, form=Write(max_new_tokens=8, beams=4), shots=1)
    assert run(knowing(calculator), beams, problems("2D+", count=4)).metrics == {"exact_match": 1.0}


def test_a_model_that_stops_thinking_too_early_is_wrong() -> None:
    def zero(told: str) -> str:
        return " 0\n"[len(told.rpartition("A:")[2]) :]

    report = run(knowing(zero), Task(template=QUESTION, form=Write(max_new_tokens=8)), problems("2D+", count=5))
    assert report.metrics == {"exact_match": 0.0}
    assert {row.given for row in report.rows} == {"0"}


def test_the_prompt_is_the_papers() -> None:
    pool = [Example(text="What is 48 plus 76?", answer="124")]
    query = Example(text="What is 98 plus 45?", answer="143")
    task = Task(template=QUESTION, form=Write(max_new_tokens=4), shots=1, instruction="Add {x}.", separator="\n")
    report = run(knowing(calculator), task, [query], pool=pool)
    assert report.rows[0].prompt == "Add {x}.\nQ: What is 48 plus 76?\nA: 124\nQ: What is 98 plus 45?\nA:"
    assert report.rows[0].given == "143"


def test_shots_are_drawn_by_the_seed_and_never_hold_the_question() -> None:
    questions = COLOURS[:6]
    task = Task(template=PLAIN, form=Choose(choices=("red", "green", "blue")), shots=5)
    model = knowing(lambda told: "", context=4096)
    first = [row.prompt for row in run(model, task, questions, pool=COLOURS).rows]
    assert first == [row.prompt for row in run(model, task, questions, pool=COLOURS).rows]
    for question, prompt in zip(questions, first, strict=True):
        assert prompt.count(f"{question.text}:") == 1
        assert prompt.endswith(f"\n\n{question.text}:")
        assert len(set(prompt.split("\n\n"))) == 6
    other = Task(template=PLAIN, form=task.form, shots=5, seed=1)
    assert first != [row.prompt for row in run(model, other, questions, pool=COLOURS).rows]
    fewer = Task(template=PLAIN, form=task.form, shots=3)
    for prompt, longer in zip(
        (row.prompt for row in run(model, fewer, questions, pool=COLOURS).rows), first, strict=True
    ):
        assert prompt.split("\n\n")[:3] == longer.split("\n\n")[:3]
    assert first[0].split("\n\n")[:5] != first[1].split("\n\n")[:5]  # each question draws its own
    own = run(model, Task(template=PLAIN, form=task.form, shots=23), COLOURS)  # all others, where there is no pool
    assert {row.shots for row in own.rows} == {23}
    with pytest.raises(ZooError, match="shots: 24 examples asked for, and there are 23 to draw from"):
        run(model, Task(template=PLAIN, form=task.form, shots=24), COLOURS)


@pytest.mark.parametrize("normalise", [Total(), PerToken(), PerByte(), Unconditional()])
def test_a_model_that_knows_the_answer_chooses_it(normalise: AnyNormalise) -> None:
    answers = {example.text: example.answer for example in COLOURS}

    def say(told: str) -> str:
        question, _, begun = told.rsplit("\n\n", 1)[-1].partition(":")
        whole = f" {answers.get(question, '')}"
        return whole[len(begun) :] if question in answers and whole.startswith(begun) else ""

    for shots in (0, 1, 4):
        task = Task(template=PLAIN, form=Choose(choices=("red", "green", "blue"), normalise=normalise), shots=shots)
        report = run(knowing(say), task, COLOURS, batch=7)
        assert report.metrics == {"accuracy": 1.0}
        assert all(set(row.values) == {"red", "green", "blue"} for row in report.rows)


def test_normalisations_do_what_they_say() -> None:
    model = random_model(seed=3)
    examples = [Example(text=f"which {n}", answer="no", choices=("no", "perhaps ☃", "yes")) for n in range(5)]
    template = Template(question="Q: {text}")
    prompts = [f"Q: which {n}" for n in range(5) for _ in range(3)]
    replies = [" no", " perhaps ☃", " yes"] * 5
    found = score(model, prompts, replies)
    alone = score(model, ["Answer:"] * 15, replies)  # with the reply's own blank: "Answer: no"
    expected = {
        Total(): [one.log_likelihood for one in found],
        PerToken(): [one.log_likelihood / one.tokens for one in found],
        PerByte(): [one.log_likelihood / len(reply.encode()) for one, reply in zip(found, replies, strict=True)],
        Unconditional(): [one.log_likelihood - two.log_likelihood for one, two in zip(found, alone, strict=True)],
    }
    for normalise, values in expected.items():
        report = run(model, Task(template=template, form=Choose(normalise=normalise)), examples)
        got = [value for row in report.rows for value in row.values.values()]
        assert got == pytest.approx(values, abs=1e-4)
        for number, row in enumerate(report.rows):
            best = max(range(3), key=lambda place: values[3 * number + place])
            assert row.given == ("no", "perhaps ☃", "yes")[best]
            assert row.correct == (row.given == "no")
    bare = Template(question="Q: {text} ", answer="{answer}")  # an answer without a blank keeps the context's
    report = run(model, Task(template=bare, form=Choose(normalise=Unconditional())), examples[:1])
    no = score(model, ["Q: which 0 "], ["no"])[0].log_likelihood - score(model, ["Answer: "], ["no"])[0].log_likelihood
    assert report.rows[0].values["no"] == pytest.approx(no, abs=1e-4)


def test_an_untrained_model_guesses() -> None:
    choices = ("ab", "cd", "ef", "gh")
    examples = [
        Example(text=f"{a}{b}{c}", answer=choices[(7 * a + 3 * b + c) % 4])
        for a, b, c in itertools.product(range(10), range(10), range(4))
    ]
    for normalise in (Total(), Unconditional()):
        task = Task(template=PLAIN, form=Choose(choices=choices, normalise=normalise))
        accuracy = run(random_model(seed=1), task, examples, batch=64).metrics["accuracy"]
        assert abs(accuracy - 0.25) < 4 * math.sqrt(0.25 * 0.75 / len(examples))


def test_the_cloze_form_scores_the_last_word() -> None:
    passages = [
        f"Ann met {name} and then she told {name}" for name in ("Bob", "Eve", "Zoe", "Max", "Tim", "Kim", "Lea")
    ]
    examples = [cloze(passage) for passage in passages]

    def copyist(told: str) -> str:
        line = told.rsplit("\n\n", 1)[-1]
        name, begun = line.split()[2] if len(line.split()) > 2 else "", line.partition("->")[2]
        return f" {name}"[len(begun) :] if "->" in line and f" {name}".startswith(begun) else ""

    report = run(knowing(copyist), Task(template=CLOZE, form=Complete(), shots=2), examples)
    assert report.metrics["accuracy"] == 1.0
    assert report.metrics["perplexity"] == pytest.approx(1.0, abs=1e-6)
    assert report.rows[0].prompt.endswith("Ann met Bob and then she told ____. ->")
    assert report.rows[0].given == "Bob"
    lost = run(knowing(lambda told: ""), Task(template=CLOZE, form=Complete()), examples)
    assert lost.metrics["accuracy"] == 0.0
    assert lost.metrics["perplexity"] == pytest.approx(257.0**4, rel=1e-4)  # four bytes, all equally likely
    assert lost.rows[0].given == ""


def test_as_many_shots_as_the_context_has_room_for() -> None:
    """Sweep contexts: the number of shots that is kept is the largest that fits, worked out by hand."""
    form = Choose(choices=("red", "green", "blue"))
    questions = COLOURS[:3]
    for context in range(16, 260, 7):
        task = Task(template=PLAIN, form=form, shots=12)
        report = run(knowing(lambda told: "", context=context), task, questions, pool=COLOURS)
        for row in report.rows:
            assert len((row.prompt + " green").encode()) - 1 <= context
        whole = run(knowing(lambda told: "", context=4096), task, questions, pool=COLOURS)
        for row, full in zip(report.rows, whole.rows, strict=True):
            parts = full.prompt.split("\n\n")
            sizes = [len("\n\n".join([*parts[:count], parts[-1]]) + " green") - 1 for count in range(13)]
            assert row.shots == max(count for count, size in enumerate(sizes) if size <= context)
            assert row.prompt == "\n\n".join([*parts[: row.shots], parts[-1]])
        assert report.shots == 12
        assert report.cut == sum(row.shots < 12 for row in report.rows)
    with pytest.raises(ZooError, match=r"the question 'thing 0' takes 13 tokens, more than the context of 12"):
        run(knowing(lambda told: "", context=12), Task(template=PLAIN, form=form), questions)


def test_what_is_written_fits_the_context_too() -> None:
    query = Example(text="What is 98 plus 45?", answer="143")
    prompt = len("Q: What is 98 plus 45?\nA:")
    task = Task(template=QUESTION, form=Write(max_new_tokens=5))
    assert run(knowing(calculator, context=prompt + 4), task, [query]).metrics["exact_match"] == 1.0
    with pytest.raises(ZooError, match="more than the context"):
        run(knowing(calculator, context=prompt + 3), task, [query])


def test_what_a_task_cannot_be() -> None:
    model = knowing(lambda told: "")
    with pytest.raises(ZooError, match="no examples"):
        run(model, Task(template=PLAIN, form=Complete()), [])
    with pytest.raises(ZooError, match="shots must be 0 or more"):
        Task(template=PLAIN, form=Complete(), shots=-1)
    with pytest.raises(ZooError, match="separator"):
        Task(template=PLAIN, form=Complete(), separator="")
    with pytest.raises(ZooError, match="needs two different choices or more"):
        run(model, Task(template=PLAIN, form=Choose()), COLOURS)
    with pytest.raises(ZooError, match=r"the answer 'blue' is not a choice; choose one of: red, green"):
        run(model, Task(template=PLAIN, form=Choose(choices=("red", "green"))), COLOURS)
    with pytest.raises(ZooError, match="max_new_tokens: must be at least 1"):
        Write(max_new_tokens=0)
    with pytest.raises(ZooError, match="beams: must be at least 1"):
        Write(beams=0)


def test_the_example_in_the_docstring_runs() -> None:
    names = {"model": knowing(calculator), **vars(prompting)}
    examples = doctest.DocTestParser().get_doctest(prompting.__doc__ or "", names, "prompting", None, 0)
    assert len(examples.examples) == 5
    shown: list[str] = []
    failed, _ = doctest.DocTestRunner(verbose=False).run(examples, out=shown.append)
    assert not failed, "".join(shown)
