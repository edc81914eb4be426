"""Pictures that are moved and mirrored while they are learned from."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from zoo.classify.kinds import OneLabel
from zoo.classify.reading import Reader
from zoo.data.seeded import generator
from zoo.errors import ZooError
from zoo.finetune.examples import LabelledData, Part
from zoo.finetune.labelled import Labelled
from zoo.finetune.moves import MovedPictures, Moves
from zoo.tokenizers.image.gray_levels import GrayLevelsTokenizer
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer

ROWS, COLUMNS = 4, 5


def part(moves: Moves, count: int = 6) -> MovedPictures:
    """Return pictures with all pixels different, which a causal network reads behind its start id."""
    tokenizer = GrayLevelsTokenizer(levels=256, rows=ROWS, columns=COLUMNS)
    network = Transformer(TransformerConfig(vocabulary=257, context=ROWS * COLUMNS, width=8, depth=1, heads=1))
    reader = Reader(network, tokenizer)
    pictures = [np.arange(ROWS * COLUMNS, dtype=np.uint8).reshape(ROWS, COLUMNS, 1) + 20 * n for n in range(count)]
    return MovedPictures(
        rows=[reader.rows(picture) for picture in pictures],
        labels=torch.arange(count),
        numbers=range(count),
        moves=moves,
        reader=reader,
    )


def reachable(picture: np.ndarray, shift: int, *, flip: bool) -> set[bytes]:
    """Return every crop of a picture padded with its edges, mirrored too where ``flip``."""
    rows, columns = picture.shape
    padded = np.pad(picture, shift, mode="edge")
    crops = [padded[y : y + rows, x : x + columns] for y, x in product(range(2 * shift + 1), repeat=2)]
    return {crop.tobytes() for crop in crops + [crop[:, ::-1].copy() for crop in crops if flip]}


@pytest.mark.parametrize(("shift", "flip"), [(1, False), (2, True), (0, True)])
def test_every_crop_of_the_padded_picture_is_seen_and_nothing_else(shift: int, flip: bool) -> None:
    moved = part(Moves(shift=shift, flip=flip))
    picture = np.arange(ROWS * COLUMNS, dtype=np.int64).reshape(ROWS, COLUMNS)
    seen = set()
    for step in range(600):
        (row,) = moved.seen(0, generator(0, step))
        assert row.targets is not None
        seen.add(row.targets.numpy().astype(np.int64).tobytes())
        assert row.ids.tolist() == [256, *row.targets[:-1].tolist()]
    assert seen == reachable(picture, shift, flip=flip)


def test_a_step_sees_the_same_again_and_another_step_something_else() -> None:
    still = part(Moves(), count=8)
    plain = Part(rows=still.rows, labels=still.labels, numbers=still.numbers)
    data = LabelledData(
        train=part(Moves(shift=1), count=8), validation=plain, test=plain, kind=OneLabel(), names=tuple("abcdefgh")
    )
    first, again, later = (data.batch(step=step, size=8, seed=3) for step in (0, 0, 1))
    assert first.ids.equal(again.ids)
    assert first.labels is not None
    assert later.labels is not None
    assert sorted(first.labels.tolist()) == sorted(later.labels.tolist()) == list(range(8))
    assert not first.ids[first.labels.argsort()].equal(later.ids[later.labels.argsort()])
    (held_out,) = data.held_out(8)
    assert held_out.targets.equal(torch.stack([torch.arange(ROWS * COLUMNS) + 20 * n for n in range(8)]))


def test_what_cannot_be_moved_is_refused() -> None:
    with pytest.raises(ZooError, match="shift must be 0 or more, got -1"):
        Labelled(shift=-1)
    with pytest.raises(ZooError, match="shift and flip move the pixels of pictures"):
        Moves(flip=True).check(ByteTokenizer())
    Moves().check(ByteTokenizer())
