"""``zoo generate`` with a masked language model: the text on standard output, what else could stand there beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo
from zoo.cli.main import main
from zoo.loading import load

PROMPT = "7 green [MASK] on the [MASK], {a=b} 'x'"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """Return a checkpoint of a tiny BERT."""
    out = tmp_path_factory.mktemp("bert") / "bottles"
    words = ["train", "text/bert", "size=tiny", f"data.path={text_file}", f"out={out}"]
    assert main([*words, "train.steps=5", "train.evaluate_every=0"]) == 0
    return out


def test_training_says_what_it_reached(zoo: Zoo, bert: Path, text_file: Path) -> None:
    done = zoo("train", "text/bert", "size=tiny", f"data.path={text_file}", "train.steps=1", "out=one", "--json")
    assert done.code == 0, done.err
    assert {"loss", "accuracy", "next_sentence_accuracy", "next_sentence_loss"} < set(done.document["metrics"])
    assert "bits_per_byte" not in done.document["metrics"]
    alone = zoo(
        "train", "text/bert", "size=tiny", f"data.path={text_file}", "train.steps=1", "out=two", "--json",
        "data.next_sentence=false", "model.head=null", "model.pooler=false",
    )  # fmt: skip
    assert alone.code == 0, alone.err
    assert "next_sentence_accuracy" not in alone.document["metrics"]


def test_the_text_goes_to_standard_output_alone(zoo: Zoo, bert: Path) -> None:
    done = zoo("generate", bert, f"prompt={PROMPT}")
    assert done.code == 0, done.err
    assert done.out == f"{load(bert).generate(PROMPT)}\n"
    assert done.out.startswith("7 green")
    assert done.out.endswith(", {a=b} 'x'\n")
    shown = done.err.splitlines()
    assert [shown[0], shown[7]] == ["[MASK] 1 of 2", "[MASK] 2 of 2"]
    assert len(shown) == 14
    assert shown[-1].startswith("all others: ")
    assert zoo("generate", bert, f"prompt={PROMPT}", "show=probabilities").out.splitlines() == shown
    assert len(zoo("generate", bert, f"prompt={PROMPT}", "top_k=9").err.splitlines()) == 22


def test_json_holds_everything(zoo: Zoo, bert: Path) -> None:
    words = ("generate", bert, f"prompt={PROMPT}", "top_k=3", "out=there", "--json")
    done = zoo(*words)
    assert json.loads(Path("there/samples.json").read_text()) == done.document
    (sample,) = done.document["samples"]
    assert list(sample) == ["index", "seed", "prompt", "text", "ids", "masks"]
    filled = load(bert).fill(PROMPT, count=3)
    assert (sample["prompt"], sample["text"], sample["ids"]) == (PROMPT, filled.text, filled.ids.tolist())
    for mask, expected in zip(sample["masks"], filled.masks, strict=True):
        assert mask["position"] == expected.position
        assert sample["ids"][mask["position"]] == mask["candidates"][0]["id"]
        assert [list(one) for one in mask["candidates"]] == [["id", "text", "probability"]] * 3
    assert "samples.json is there already" in zoo(*words).err
    assert zoo(*words, "overwrite=true", "order=one_by_one").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("prompt=no gap",), "say where with [MASK], as in prompt='The capital of France is [MASK].'"),
        ((), "say where with [MASK]"),
        (("prompt=[MASK]", "temperature=0.5", "count=2"), "nothing is drawn; leave out temperature, count"),
        (("prompt=[MASK]", "stop=x"), "leave out stop"),
        (("prompt=[MASK]", "top_k=-1"), "top_k: must be 0 (five words) or more, got -1"),
        (("prompt=[MASK]", "order=left"), "order: 'left' is not possible; choose one of: at_once, one_by_one"),
        (("prompt=[MASK]", "out=x", "resume=true"), "which is done at once; leave out resume, or say overwrite=true"),
        (("prompt=" + "[MASK] " * 40,), "the text has 42 ids with [CLS] and [SEP], more than the model's context"),
    ],
)
def test_bad_settings(zoo: Zoo, bert: Path, words: tuple[str, ...], message: str) -> None:
    done = zoo("generate", bert, *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not list(Path().iterdir())


def test_a_model_that_writes_reads_it_as_text(zoo: Zoo, checkpoint: Path) -> None:
    done = zoo("generate", checkpoint, "prompt=7 [MASK]", "max_new_tokens=3")
    assert done.out.startswith("7 [MASK]")
    assert "order: this model writes from left to right" in zoo("generate", checkpoint, "order=one_by_one").err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tokenizer=byte",), "the tokenizer 'byte' has no [MASK], [CLS] and [SEP]"),
        (("model.patterns=[dense]",), "masked text needs a model that sees both sides"),
        (("model.head=null",), "takes a head with 2 labels, this has 0"),
        (("model.context=5",), "model.context=5 is too short for masked text"),
        (("data.share=2",), "data: share must lie between 0 and 1, got 2"),
        (("data={type: text}",), "this network sees the ids that it should predict; make its patterns causal, or hide"),
    ],
)
def test_recipes_that_do_not_fit(zoo: Zoo, text_file: Path, words: tuple[str, ...], message: str) -> None:
    done = zoo("train", "text/bert", "size=tiny", f"data.path={text_file}", "out=run", *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not list(Path().iterdir())
