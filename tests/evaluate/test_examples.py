"""Examples from files, and templates that take texts to the letter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.evaluate.examples import CLOZE, Example, Template, cloze, read_examples


@given(st.text(), st.text(), st.text())
def test_texts_are_never_looked_at_as_templates(text: str, text_b: str, answer: str) -> None:
    template = Template(question="{{{text}}} / {text_b} {{0}}", answer="-{answer}-")
    example = Example(text=text, text_b=text_b, answer=answer)
    assert template.ask(example) == "{" + text + "} / " + text_b + " {0}"
    assert template.reply(answer) == f"-{answer}-"


def test_braces_and_fields_in_the_data_stay() -> None:
    nasty = "{text} {answer!r:>9} {0} {{ ${oc.env:HOME} %s"
    assert Template(question="Q: {text}\nA:").ask(Example(text=nasty, answer="")) == f"Q: {nasty}\nA:"


@pytest.mark.parametrize(
    ("question", "answer", "message"),
    [
        ("{txt}", " {answer}", r"unknown field '\{txt\}' in '\{txt\}'; did you mean 'text'\?"),
        ("{answer}", " {answer}", r"unknown field '\{answer\}'"),
        ("{text.upper}", " {answer}", r"unknown field '\{text.upper\}'"),
        ("{text!r}", " {answer}", r"unknown field '\{text\}'"),
        ("{text:>9}", " {answer}", r"unknown field '\{text\}'"),
        ("{text", " {answer}", "cannot be read .*; a brace itself is written twice"),
        ("Q:", " {answer}", r"'Q:' shows nothing of the example; put \{text\} in it"),
        ("{text}", " 42", r"' 42' shows nothing of the example; put \{answer\} in it"),
        ("{text} {}", " {answer}", r"unknown field '\{\}'"),
    ],
)
def test_templates_that_say_nothing(question: str, answer: str, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        Template(question=question, answer=answer)


def test_the_cloze_form() -> None:
    example = cloze("Alice was friends with Bob. Alice went to visit her friend Bob\n")
    assert (example.text, example.answer) == ("Alice was friends with Bob. Alice went to visit her friend", "Bob")
    asked = CLOZE.ask(example) + CLOZE.reply(example.answer)
    assert asked == "Alice was friends with Bob. Alice went to visit her friend ____. -> Bob"
    with pytest.raises(ZooError, match="at least two words"):
        cloze("word")


def test_examples_from_a_table_are_split_as_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "reviews.tsv"
    path.write_text("body\tlabel\n" + "".join(f"review {{{number}}}\t{number % 2}\n" for number in range(22)))
    found = read_examples(str(path), columns={"text": "body"})
    assert [example.text for example in found.held_out] == ["review {6}", "review {17}"]
    assert [example.answer for example in found.held_out] == ["0", "1"]
    assert len(found.train) == 20
    with pytest.raises(ZooError, match="no column 'text'"):
        read_examples(str(path))


def test_labels_may_name_a_choice_or_its_number(tmp_path: Path) -> None:
    rows = [{"text": f"q{number}", "choices": ["yes", "no"], "label": number % 2} for number in range(7)]
    rows += [{"text": "named", "choices": ["yes", "no"], "label": "no"}]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_examples(str(path))
    assert [example.answer for example in found.train] == ["yes", "no", "yes", "no", "yes", "no", "no"]
    path.write_text("".join(json.dumps({**row, "label": 2}) + "\n" for row in rows))
    with pytest.raises(ZooError, match=r"questions.jsonl:1: the label '2' is not a choice; choose one of: yes, no"):
        read_examples(str(path))
    path.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in rows))
    with pytest.raises(ZooError, match="has no labels; give a column 'label'"):
        read_examples(str(path))


def test_an_answer_must_be_a_choice() -> None:
    with pytest.raises(ZooError, match="the answer 'c' is not among the choices 'a', 'b'"):
        Example(text="?", answer="c", choices=("a", "b"))
