"""Models of pictures: what is kept, what is drawn anew, and of which class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from tests.tokenizers.pictures import noise, tokenizer_of
from zoo.errors import ZooError
from zoo.model import Model
from zoo.tokenizers.image.kept import Kept
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Dense

ROWS, COLUMNS = 5, 7
CLASSES = ("cat", "dog", "1", "2")
NAMES = ["pixel_clusters", "gray_levels", "rgb_bytes"]


def make(name: str, *, classes: tuple[str, ...] = CLASSES, causal: bool = True) -> Model:
    """Return a small model in which every weight counts."""
    tokenizer = tokenizer_of(name)
    spec = tokenizer.spec
    torch.manual_seed(0)
    config = TransformerConfig(
        vocabulary=spec.vocabulary_size if causal else spec.output_vocabulary,
        output_vocabulary=spec.output_vocabulary,
        context=spec.ids_per_sample or 0,
        width=16,
        depth=2,
        heads=2,
        tied=False,
        classes=classes,
        patterns=(Dense(causal=causal),),
    )
    network = Transformer(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        if network.embedding.classes is not None:
            network.embedding.classes.weight.normal_()
    return Model(network, tokenizer)


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> Model:
    return make(request.param)


@pytest.fixture(scope="module")
def gray() -> Model:
    return make("gray_levels")


@pytest.fixture(scope="module")
def both() -> Model:
    return make("gray_levels", classes=(), causal=False)


def test_a_picture_comes_out(model: Model) -> None:
    picture = model.generate()
    assert isinstance(picture, Pillow.Image)
    assert picture.size == (COLUMNS, ROWS)
    several = model.generate(count=3, seed=4)
    assert model.generate(seed=6).tobytes() == several[2].tobytes()
    assert len({one.tobytes() for one in several}) == 3


@pytest.mark.parametrize(("rows", "kept"), [(None, ROWS // 2), (0, 0), (1, 1), (ROWS - 1, ROWS - 1), (ROWS, ROWS)])
def test_top_rows_are_kept(model: Model, rows: int | None, kept: int) -> None:
    source = noise(1)[0]
    known = model.tokenizer.decode(model.tokenizer.encode(source))
    made = model.complete(Pillow.fromarray(source), keep_rows=rows, count=2, seed=3)
    for picture in made:
        assert np.array_equal(np.asarray(picture)[:kept], np.asarray(known)[:kept])
    assert (made[0].tobytes() == made[1].tobytes()) == (kept == ROWS)
    alone = model.complete(source, keep_rows=rows, seed=4)
    assert alone.tobytes() == made[1].tobytes()
    if rows is None:
        assert model.generate(source, seed=4).tobytes() == alone.tobytes()
    if rows == 0:
        assert model.generate(seed=4).tobytes() == alone.tobytes()


def test_pictures_with_unlike_parts_in_one_batch(gray: Model) -> None:
    """Rows of unequal length, one of them complete: each comes out as it does alone."""
    kept = [Kept(picture=picture, rows=rows) for picture, rows in zip(noise(4), (4, 5, 0, 2), strict=True)]
    together = gray.draw(kept, count=2, seed=1)
    for place, one in enumerate(kept):
        alone = gray.draw(one, count=2, seed=1)
        for left, right in zip(together[2 * place : 2 * place + 2], alone, strict=True):
            assert (left.seed, left.ids.tolist()) == (right.seed, right.ids.tolist())
            assert len(left.ids) == ROWS * COLUMNS
    assert isinstance(gray.complete([noise(1)[0]], keep_rows=ROWS), list)


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_classes_do_not_depend_on_their_batch(gray: Model, guidance: float) -> None:
    every = gray.draw(count=2, conditions={"label": list(CLASSES)}, guidance=guidance, seed=7)
    assert [one.seed for one in every] == [7, 8] * 4
    assert len({tuple(one.ids.tolist()) for one in every}) > 5
    for place, label in enumerate(CLASSES):
        for cache in (True, False):
            alone = gray.draw(conditions={"label": label}, guidance=guidance, seed=8, cache=cache)
            assert torch.equal(alone[0].ids, every[2 * place + 1].ids)


def test_a_class_is_what_the_logits_are_told(gray: Model) -> None:
    ids = torch.tensor([[4, 1, 2], [4, 1, 2], [4, 1, 2]])
    told = gray.logits(ids, conditions={"label": ["dog", None, "dog"]})
    assert torch.equal(told[0], told[2])
    assert torch.equal(told[1], gray.logits(ids)[1])
    assert not torch.allclose(told[0], told[1])
    torch.testing.assert_close(gray.logits(ids, conditions={"label": "dog"})[1], told[0])
    drawn = gray.generate_ids(torch.tensor([[4]]), conditions={"label": "dog"}, max_new_tokens=35, guidance=3.0, seed=2)
    expected = gray.draw(conditions={"label": "dog"}, guidance=3.0, seed=2)[0].ids
    assert torch.equal(drawn[0, 1:], expected)
    assert torch.equal(
        gray.draw(conditions={"label": 1}, seed=3)[0].ids, gray.draw(conditions={"label": "1"}, seed=3)[0].ids
    )
    assert torch.equal(gray.draw(conditions={"label": None}, seed=3)[0].ids, gray.draw(seed=3)[0].ids)


def test_guidance_by_hand(gray: Model) -> None:
    ids = torch.tensor([[4]])
    told, untold = (gray.logits(ids, conditions={"label": name})[0, -1] for name in ("cat", None))
    first = int((untold + 4.0 * (told - untold)).argmax())
    assert gray.draw(conditions={"label": "cat"}, guidance=4.0, temperature=0)[0].ids[0] == first


@pytest.mark.parametrize("name", NAMES)
def test_hidden_pixels_by_rows_and_by_mask(name: str) -> None:
    model = make(name, classes=(), causal=False)
    source, hole = noise(1)[0], np.zeros((ROWS, COLUMNS), dtype=np.uint8)
    hole[1:4, 2:5] = 255
    known = np.asarray(model.tokenizer.decode(model.tokenizer.encode(source)))
    for picture in model.complete(source, mask=hole, count=2):
        assert np.array_equal(np.asarray(picture)[hole == 0], known[hole == 0])
        assert not np.array_equal(np.asarray(picture), known)
    large = Pillow.fromarray(hole).resize((COLUMNS * 8, ROWS * 8), Pillow.Resampling.NEAREST)
    assert model.complete(source, mask=large).tobytes() == model.complete(source, mask=hole).tobytes()
    for rows in (0, 2, ROWS):
        made = np.asarray(model.complete(source, keep_rows=rows))
        assert np.array_equal(made[:rows], known[:rows])
    assert model.generate().size == (COLUMNS, ROWS)
    assert model.generate(source, seed=2).tobytes() == model.complete(source, seed=2).tobytes()


def test_samples_of_hidden_pixels_do_not_depend_on_their_batch(both: Model) -> None:
    pictures = list(noise(3))
    together = both.draw(pictures, count=2, seed=5)
    assert [one.seed for one in together] == [5, 6] * 3
    for place, picture in enumerate(pictures):
        assert torch.equal(both.draw(picture, seed=6)[0].ids, together[2 * place + 1].ids)
    again = both.draw([pictures[0], pictures[0]], seed=5)
    assert [one.ids.tolist() for one in again] == [one.ids.tolist() for one in together[:2]]


PICTURE = noise(1)[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda gray, both: gray.complete(PICTURE, keep_rows=6), r"keep_rows: must lie in \[0, 5\]"),
        (lambda gray, both: gray.complete(PICTURE, keep_rows=-1), r"keep_rows: must lie in \[0, 5\]"),
        (lambda gray, both: gray.complete(PICTURE, keep_rows=2.0), "keep_rows: must be a whole number, got 2.0"),
        (lambda gray, both: gray.complete(PICTURE, keep_rows=True), "keep_rows: must be a whole number, got True"),
        (lambda gray, both: gray.complete(PICTURE, mask=PICTURE), "mask: this model draws from the top down"),
        (lambda gray, both: gray.complete(PICTURE, keep_rows=1, mask=PICTURE), "give keep_rows or a mask, not both"),
        (lambda gray, both: gray.complete("a.png"), "a picture is a PIL image or a uint8 array"),
        (lambda gray, both: gray.generate("a cat"), "a picture is a PIL image or a uint8 array"),
        (lambda gray, both: gray.generate(conditions={"label": "cats"}), "unknown label 'cats'; did you mean 'cat'"),
        (lambda gray, both: gray.generate(conditions={"label": "9"}), "unknown label .9.; choose one of: cat, dog, 1"),
        (lambda gray, both: gray.generate(conditions={"artist": "x"}), "this model takes no conditions, got artist"),
        (lambda gray, both: gray.draw([None] * 3, conditions={"label": ["cat", "dog"]}), "one for each of 3 samples"),
        (lambda gray, both: gray.generate(guidance=2.0), "guidance: compares pictures with a label .* say label=NAME"),
        (lambda gray, both: gray.generate(conditions={"label": "cat"}, guidance=-1.0), "guidance: must be 0"),
        (lambda gray, both: both.generate(guidance=2.0), "draws the hidden pixels of a picture; leave out guidance"),
        (lambda gray, both: both.generate(beams=2, stop="x"), "leave out beams, stop"),
        (lambda gray, both: both.draw(temprature=1), "unknown setting 'temprature'; did you mean 'temperature'"),
        (lambda gray, both: both.generate(count=0), "count: must be a whole number of at least 1, got 0"),
        (lambda gray, both: both.generate(conditions={"label": "cat"}), "this model takes no conditions, got label"),
        (lambda gray, both: both.complete(PICTURE, mask="hole.png"), "a picture is a PIL image or a uint8 array"),
    ],
)  # fmt: skip
def test_what_cannot_be(gray: Model, both: Model, call: Callable[[Model, Model], object], message: str) -> None:
    with pytest.raises(ZooError, match=message) as caught:
        call(gray, both)
    assert "\n" not in str(caught.value)


def test_text_has_no_rows_to_keep() -> None:
    from zoo.recurrent import RecurrentConfig, RecurrentNetwork
    from zoo.tokenizers.text.byte import ByteTokenizer

    config = RecurrentConfig(vocabulary=257, context=9, embedding_width=8, width=8, depth=1)
    model = Model(RecurrentNetwork(config), ByteTokenizer())
    with pytest.raises(ZooError, match="complete is for pictures and this model makes text"):
        model.complete(PICTURE)
    with pytest.raises(ZooError, match="no rows to keep"):
        model.generate(Kept(picture=PICTURE))
