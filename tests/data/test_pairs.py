"""Pairs: tables of a user's, and what they become for an encoder-decoder."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.architecture import build_network
from zoo.data.base import IGNORED
from zoo.data.numbers import Numbers
from zoo.data.pairs import POOL, Pairs, PairsCorpus, PairsData
from zoo.errors import ZooError
from zoo.recurrent import RecurrentConfig
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.text.settings import Bpe, Byte, Char, Word, Wordpiece
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import Cross, Dense

ROWS = [(f"say {number}", "x" * (number % 5 + 1) + str(number)) for number in range(23)]
START, END = 258, 257


def table(path: Path, rows: list[tuple[str, str]], head: str = "source\ttarget\n") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = head + "".join(f"{source}\t{target}\n" for source, target in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def both(corpus: PairsCorpus) -> list[tuple[str, str]]:
    return [*corpus.train.pairs, *corpus.held_out.pairs]


@pytest.fixture
def corpus(tmp_path: Path) -> PairsCorpus:
    return Pairs(path=table(tmp_path / "a.tsv", ROWS)).open()


@pytest.fixture
def data(corpus: PairsCorpus) -> PairsData:
    return corpus.encode(Byte().fit([]), 16)


def network(*, context: int = 16, source_context: int = 16) -> Any:
    shape: dict[str, Any] = {"width": 8, "depth": 2, "heads": 1}
    encoder = TransformerConfig(vocabulary=257, context=source_context, patterns=(Dense(causal=False),), **shape)
    return build_network(
        TransformerConfig(
            vocabulary=259, output_vocabulary=258, context=context, memory_width=8, encoder=encoder,
            patterns=(Dense(), Cross()), **shape,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "head", "settings"),
    [
        ("a.tsv", "source\ttarget\n", {}),
        ("a.tsv.gz", "target_\tsource\n", None),
        ("a.tsv", "en\tde\n", {"columns": {"source": "en", "target": "de"}}),
        ("a.tsv", "", {"header": False}),
        ("a.tsv", "source\ttarget\n", {"path_is_folder": True}),
    ],
)
def test_tables(tmp_path: Path, name: str, head: str, settings: dict[str, Any] | None) -> None:
    if settings is None:  # the columns in the other order
        path = table(tmp_path / name, [(target, source) for source, target in ROWS], head)
        corpus = Pairs(path=path, columns={"target": "target_"}).open()
    else:
        path = table(tmp_path / name, ROWS, head)
        folder = settings.pop("path_is_folder", False)
        corpus = Pairs(path=str(tmp_path) if folder else path, **settings).open()
    assert list(corpus.held_out.pairs) == [ROWS[6], ROWS[17]]
    assert list(corpus.train.pairs) == [row for index, row in enumerate(ROWS) if index not in (6, 17)]
    (entry,) = corpus.describe()
    assert set(entry) == {"name", "license", "sha256"}


def test_csv_and_json_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,source,target\n1,"a, ""b""","c\nd"\n' + "2,e,f\n" * 6)
    assert both(Pairs(path=str(tmp_path / "a.csv")).open())[0] == ('a, "b"', "c\nd")
    (tmp_path / "a.jsonl").write_text('{"source": "\\u00e9\\n", "target": "x"}\n' * 7)
    assert both(Pairs(path=str(tmp_path / "a.jsonl")).open()) == [("é\n", "x")] * 7


def test_a_test_part_of_its_own_is_held_out(tmp_path: Path) -> None:
    table(tmp_path / "both" / "train.tsv", ROWS[:3])
    table(tmp_path / "both" / "test.tsv", ROWS[3:5])
    corpus = Pairs(path=str(tmp_path / "both")).open()
    assert (list(corpus.train.pairs), list(corpus.held_out.pairs)) == (ROWS[:3], ROWS[3:5])


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (
            "source\tgoal\na\tb\n",
            {},
            r"no column 'target'; choose one of: source, goal \(say data\.columns\.target=NAME, or data\.header=false",
        ),
        ("sauce\ttarget\na\tb\n", {}, r"no column 'source'; did you mean 'sauce'\?"),
        ("source\ttarget\n" + "a\tb\n" * 3 + "a\t\n" + "a\tb\n" * 4, {}, r"a\.tsv line 5: the target is empty"),
        ("source\ttarget\n" + "a\tb\n" * 7 + " \tb\n", {}, r"a\.tsv line 9: the source is empty"),
        ("source\ttarget\na\tb\n", {}, "1 samples are too few to hold some out; give at least 7"),
        ("source\ttarget\n", {}, "has a header but no rows"),
        ("", {}, "is empty"),
        ("source\ttarget\na\tb\tc\n", {}, "line 2: 3 columns, but the header has 2"),
        ("a\tb\tc\n" * 8, {"header": False}, "line 1: 3 columns, but"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, settings: dict[str, Any], message: str) -> None:
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(ZooError, match=message) as refused:
        Pairs(path=str(tmp_path / "a.tsv"), **settings).open().encode(Byte().fit([]), 16)
    assert "\n" not in str(refused.value)


def test_bad_settings(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"unknown setting 'data\.columns\.sorce'; did you mean 'source'"):
        Pairs(columns={"sorce": "x"})
    with pytest.raises(ZooError, match=r"no pairs of its own; say data\.path=FILE"):
        Pairs().open()
    with pytest.raises(ZooError, match="no such file"):
        Pairs(path=str(tmp_path / "nowhere.tsv")).open()
    (tmp_path / "a.txt").write_text("some text")
    with pytest.raises(ZooError, match=r"a\.txt: no tables there, only \.txt"):
        Pairs(path=str(tmp_path / "a.txt")).open()


def decoded(ids: Tensor) -> str:
    return bytes(ids.tolist()).decode()


def test_batches(data: PairsData, corpus: PairsCorpus) -> None:
    names = dict(enumerate(corpus.train.pairs))
    seen = set()
    for step in range(2 * POOL):
        batch = data.batch(step=step, size=5, seed=3)
        again = data.batch(step=step, size=5, seed=3)
        assert batch.conditioning is not None
        assert again.conditioning is not None
        assert batch.lengths is not None
        assert torch.equal(batch.ids, again.ids)
        assert batch.ids.shape == batch.targets.shape
        for row, index in enumerate(batch.indices.tolist()):
            source, target = names[index]
            length = int(batch.lengths[row])
            assert int(batch.ids[row, 0]) == START
            assert decoded(batch.ids[row, 1:length]) == decoded(batch.targets[row, : length - 1]) == target
            assert int(batch.targets[row, length - 1]) == END
            assert set(batch.targets[row, length:].tolist()) <= {IGNORED}
            assert batch.conditioning.source is not None
            lengths = batch.conditioning.source_lengths
            read = batch.conditioning.source[row] if lengths is None else batch.conditioning.source[row, : lengths[row]]
            assert decoded(read) == source
            seen.add(index)
    assert seen == set(names)
    assert not torch.equal(data.batch(step=0, size=5, seed=3).indices, data.batch(step=0, size=5, seed=4).indices)


def test_rows_of_a_batch_have_similar_sources() -> None:
    data = Pairs(made=Numbers(digits=6, count=2_000, held_out=10)).open().encode(Byte().fit([]), 16)
    drawn = [data.batch(step=step, size=32, seed=0).conditioning for step in range(POOL)]
    lengths = [told.source_lengths for told in drawn if told is not None and told.source_lengths is not None]
    padded = sum(int(each.max()) * len(each) - int(each.sum()) for each in lengths)
    assert padded < 0.1 * sum(int(each.sum()) for each in lengths)


def test_every_held_out_pair_is_evaluated_once(data: PairsData, corpus: PairsCorpus) -> None:
    batches = list(data.held_out(1))
    assert [batch.indices.tolist() for batch in batches] == [[0], [1]]
    tokens = sum(int((batch.targets != IGNORED).sum()) for batch in batches)
    assert tokens == sum(len(target) + 1 for _, target in corpus.held_out.pairs)
    assert data.train_tokens == sum(len(target) + 1 for _, target in corpus.train.pairs)
    expected = {"bits_per_byte": pytest.approx(3.0 / math.log(2) / (tokens - 2))}
    assert data.metrics(3.0, tokens) == expected
    (problems,) = data.problems()
    assert problems.sources is not None
    for index, (source, target) in enumerate(corpus.held_out.pairs):
        assert problems.prompts[index].tolist() == [START]
        assert decoded(problems.answers[index][:-1]) == target
        assert int(problems.answers[index][-1]) == problems.end_id == END
        assert decoded(problems.sources[index]) == source


@pytest.mark.parametrize("settings", [Byte(), Char(), Word(), Bpe(vocabulary=300), Wordpiece(vocabulary=100)])
def test_any_tokenizer(settings: Any, corpus: PairsCorpus) -> None:
    tokenizer: Tokenizer[str] = settings.fit(corpus.samples())
    data = corpus.encode(tokenizer, 16)
    size = tokenizer.spec.vocabulary_size
    batch = data.batch(step=0, size=8, seed=0)
    assert set(batch.ids[:, 0].tolist()) == {size + 1}
    wanted = batch.targets[batch.targets != IGNORED]
    assert int((wanted == size).sum()) == 8
    assert int(wanted.max()) == size
    assert int(batch.ids[:, 1:].max()) < size
    assert ("lossless" in data.metrics(1.0, 1)) == (
        not tokenizer.spec.lossless
        and any(tokenizer.decode(tokenizer.encode(target)) != target for _, target in corpus.held_out.pairs)
    )


def test_the_alphabet_knows_the_held_out_part(tmp_path: Path) -> None:
    rows = [*ROWS[:6], ("ö", "ß"), *ROWS[7:]]
    corpus = Pairs(path=table(tmp_path / "a.tsv", rows)).open()
    assert list(corpus.samples())[-1] == "ßö"
    corpus.encode(Char().fit(corpus.samples()), 16)


def test_networks_that_cannot_read_the_pairs(data: PairsData) -> None:
    data.check(network())
    with pytest.raises(ZooError, match="pairs need a network with an encoder, and this has none; use the recipe"):
        data.check(build_network(RecurrentConfig(vocabulary=259, context=16, embedding_width=8, width=8)))
    with pytest.raises(ZooError, match=r"a\.tsv:12: this source takes 6 ids, more than model\.encoder\.context=5; say"):
        data.check(network(source_context=5))
    with pytest.raises(ZooError, match=r"a\.tsv:16: this target takes 8 ids, more than model\.context=7"):
        data.check(network(context=7))


def test_a_text_cannot_teach_an_encoder(tmp_path: Path) -> None:
    from zoo.data.text import Text

    (tmp_path / "a.txt").write_text("some text " * 100)
    data = Text(path=str(tmp_path / "a.txt")).open().encode(Byte().fit([]), 16)
    with pytest.raises(ZooError, match="turns a source into a target, and the data has no pairs"):
        data.check(network())
