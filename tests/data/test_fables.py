"""Aesop as windows of words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.base import IGNORED
from zoo.data.fables import Fables, FablesData, prepare
from zoo.data.stream import Stream
from zoo.errors import ZooError
from zoo.tokenizers.text.settings import Byte, Word

WORDS = Word(split="spaces", vocabulary=None, minimum_count=1)
TALE = """A title page

## THE FOX AND THE GRAPES

A Fox saw Grapes,
"sour" ones...

He left.


## THE END

The Fox's end--so it was.
"""


def test_preparation() -> None:
    assert prepare(TALE, 2) == (
        '| | the fox and the grapes . a fox saw grapes , " sour " ones . . he left . '
        "| | the end . the fox's end - - so it was ."
    )


def test_gutenbergs_own_file_loses_its_lists() -> None:
    plain = (
        "CONTENTS\n\nTHE FOX AND THE GRAPES\nTHE END\n\n\n\n\nTHE FOX AND THE GRAPES\n\n\nA Fox\nran.\n\n\n\n\n"
        "THE END\n\n\nThe end.\n\n\n\nILLUSTRATIONS\n\n\nThe Fox\n"
    )
    assert prepare(plain, 1) == "| the fox and the grapes . a fox ran . | the end . the end ."
    assert prepare(plain.replace("\n", "\r\n"), 1) == prepare(plain, 1)


@given(count=st.integers(8, 60), context=st.integers(1, 7), size=st.integers(1, 9))
def test_every_word_after_the_first_window_is_predicted_exactly_once(count: int, context: int, size: int) -> None:
    ids = np.arange(count, dtype=np.uint8)
    data = FablesData(train=ids, held_out=Stream(ids=ids, text_bytes=count, lossless=False), context=context)
    seen: list[int] = []
    for batch in data.held_out(size):
        assert (batch.targets[:, :-1] == IGNORED).all()
        assert torch.equal(batch.ids[:, -1] + 1, batch.targets[:, -1])
        seen += batch.targets[:, -1].tolist()
    assert seen == list(range(context, count))
    batch = data.batch(step=1, size=50, seed=2)
    assert torch.equal(batch.ids[:, -1] + 1, batch.targets[:, -1])
    assert torch.equal(batch.ids[:, 0], batch.indices)
    assert data.train_windows == count - context


def test_aesop_has_nearly_the_numbers_of_the_book(shared_data: Path) -> None:
    """The notebook counts 50,416 windows and 4,169 ids, one of them unused, on Gutenberg's own file; ours is a Markdown
    edition of the same translation with a fable's worth of differences."""
    path = shared_data / "text" / "aesop" / "aesop.txt"
    words = prepare(path.read_text(encoding="utf-8"), 20).split(" ")
    assert (len(words) - 20, len(set(words)) + 1) == (50_366, 4_170)
    assert words.count("|") == 283 * 20
    corpus = Fables(path=str(path)).open()
    tokenizer = WORDS.fit(corpus.samples())
    data = corpus.encode(tokenizer, 20)
    assert (tokenizer.spec.vocabulary_size, data.train_windows) == (3_970, 45_348)
    assert sum(len(batch.ids) for batch in data.held_out(64)) == 5_019
    metrics = data.metrics(5_019.0, 5_019)
    assert metrics["lossless"] is False
    assert metrics["bits_per_byte"] == pytest.approx(5_019 / 0.6931472 / 19_713, rel=1e-6)


def test_any_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TALE * 3)
    corpus = Fables(path=str(tmp_path / "a.txt"), bars=3).open()
    batch = corpus.encode(Byte().fit([]), 10).batch(step=0, size=4, seed=0)
    assert batch.ids.shape == (4, 10)
    with pytest.raises(ZooError, match=r"each part needs more than model\.context=5000 tokens"):
        corpus.encode(Byte().fit([]), 5000)


def test_each_row_of_a_table_is_a_story(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("title\tbody\n" + "A\tOne fox.\n" * 20)
    corpus = Fables(path=str(tmp_path / "a.tsv"), columns={"text": "body"}, bars=2).open()
    assert corpus.train.startswith("| | one fox . | | one fox .")
    with pytest.raises(ZooError, match=r"unknown setting 'data\.columns\.txt'; did you mean 'text'"):
        Fables(columns={"txt": "body"})


def test_bad_settings() -> None:
    with pytest.raises(ZooError, match="bars must be at least 1"):
        Fables(bars=0)
    with pytest.raises(ZooError, match="held_out must be between"):
        Fables(held_out=0.0)
