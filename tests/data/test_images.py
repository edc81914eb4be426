"""Pictures as rows of ids: what is read, what is predicted, and in which units."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.data.base import IGNORED
from zoo.data.images import Digits, HiddenPixels, ImageData, Images, NextPixel
from zoo.data.seeded import Shuffled
from zoo.errors import ZooError
from zoo.settings import build
from zoo.tokenizers.image.base import ImageTokenizer
from zoo.tokenizers.registry import TokenizerSettings


def tokenizer(**settings: object) -> ImageTokenizer:
    kind: TokenizerSettings = build(TokenizerSettings, settings, "tokenizer")
    made = kind.fit([])
    assert isinstance(made, ImageTokenizer)
    return made


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return 40 pictures of 4 x 4 pixels in two classes; every pixel of picture n is n, its first column n + 100."""
    x = np.arange(40, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), dtype=np.uint8)
    x[:, :, 0] += 100
    path = tmp_path / "pictures.npz"
    np.savez(path, x=x, y=np.arange(40) % 2)
    return path


def encoded(settings: Images, levels: int = 256, size: int = 4) -> ImageData:
    return settings.open().encode(tokenizer(type="gray_levels", levels=levels, size=size), size * size)


def test_each_pixel_is_predicted_from_the_start_and_those_before_it(pictures: Path) -> None:
    data = encoded(Images(path=str(pictures)))
    assert isinstance(data, NextPixel)
    batch = data.batch(step=3, size=5, seed=0)
    assert batch.ids[:, 0].tolist() == [256] * 5
    assert torch.equal(batch.ids[:, 1:], batch.targets[:, :-1])
    assert torch.equal(batch.targets[:, 0] - 100, batch.indices)
    assert batch.conditioning is None


def test_a_batch_is_a_function_of_the_step(pictures: Path) -> None:
    first, again = (encoded(Images(path=str(pictures), flip=True, conditional=True)) for _ in range(2))
    for step in (9, 0, 4):
        one, two = (data.batch(step=step, size=7, seed=1) for data in (first, again))
        assert torch.equal(one.ids, two.ids)
        assert one.conditioning is not None
        assert two.conditioning is not None
        assert torch.equal(one.conditioning.classes, two.conditioning.classes)  # type: ignore[arg-type]  # given: both are conditional


def test_every_round_sees_every_picture_once() -> None:
    order = Shuffled(10)
    rounds = torch.tensor(np.concatenate([order.take(step, 4, 7) for step in range(5)])).reshape(2, 10)
    assert rounds.sort().values.tolist() == [list(range(10))] * 2
    assert rounds[0].tolist() != rounds[1].tolist()
    assert order.take(0, 10, 7).tolist() == rounds[0].tolist()


def test_the_held_out_part_is_the_contracts(pictures: Path) -> None:
    data = encoded(Images(path=str(pictures)))
    seen = torch.cat([batch.indices for batch in data.held_out(3)])
    assert seen.tolist() == [6, 17, 28, 39]


def test_classes_are_given_and_kept_back_at_the_stated_rate(pictures: Path) -> None:
    corpus = Images(path=str(pictures), conditional=True, unlabelled=0.25).open()
    assert corpus.classes == ("0", "1")
    data = corpus.encode(tokenizer(type="gray_levels", levels=256, size=4), 16)
    told, truth = [], []
    for step in range(200):
        batch = data.batch(step=step, size=10, seed=0)
        assert batch.conditioning is not None
        assert batch.conditioning.classes is not None
        told.append(batch.conditioning.classes)
        truth.append(batch.indices % 2)
    classes, labels = torch.cat(told), torch.cat(truth)
    assert abs(float((classes < 0).float().mean()) - 0.25) < 0.03  # 2000 draws: three deviations
    assert torch.equal(classes[classes >= 0], labels[classes >= 0])
    held_out = next(data.held_out(4)).conditioning
    assert held_out is not None
    assert held_out.classes is not None
    assert held_out.classes.tolist() == [0, 1, 0, 1]


def test_half_of_the_rows_are_mirrored(pictures: Path) -> None:
    data = encoded(Images(path=str(pictures), flip=True))
    rows = torch.cat([data.batch(step=step, size=10, seed=0).targets for step in range(100)]).view(-1, 4, 4)
    mirrored = rows[:, :, 3] > rows[:, :, 0]
    assert mirrored.all(dim=1).eq(mirrored.any(dim=1)).all()  # a picture is turned as a whole
    assert abs(float(mirrored[:, 0].float().mean()) - 0.5) < 0.05


def test_hidden_pixels(pictures: Path) -> None:
    data = encoded(Images(path=str(pictures), hide=0.15))
    assert isinstance(data, HiddenPixels)
    hidden = 0
    for step in range(100):
        batch = data.batch(step=step, size=10, seed=0)
        assert batch.conditioning is not None
        visible = batch.conditioning.visible
        assert visible is not None
        assert torch.equal(batch.targets != IGNORED, ~visible)
        assert torch.equal(batch.targets[~visible], batch.ids[~visible])
        assert bool((~visible).any(dim=1).all())
        hidden += int((~visible).sum())
    # 16,000 pixels; a row that would hide none hides one: 0.15 + 0.85^16 / 16
    assert abs(hidden / 16000 - 0.1546) < 0.01
    once, again = (next(data.held_out(4)).targets for _ in range(2))
    assert torch.equal(once, again)


def test_units() -> None:
    data = Digits().open().encode(tokenizer(type="gray_levels", levels=16, size=8), 64)
    metrics = data.metrics(nats=64 * 10 * math.log(16), tokens=64 * 10)  # an untrained network
    assert metrics["nats_per_image"] == pytest.approx(64 * math.log(16))
    assert metrics["bits_per_dimension"] == pytest.approx(8.0)
    assert 0 < metrics["quantization_rmse"] < 16


def test_units_of_a_palette(pictures: Path) -> None:
    corpus = Images(path=str(pictures)).open()
    kind: TokenizerSettings = build(TokenizerSettings, {"type": "pixel_clusters", "colours": 8, "size": 4}, "tokenizer")
    data = corpus.encode(kind.fit(corpus.samples()), 16)
    metrics = data.metrics(nats=16 * math.log(8), tokens=16)
    assert metrics["bits_per_dimension"] is None
    assert metrics["bits_per_pixel"] == pytest.approx(3.0)
    assert metrics["quantization_rmse"] > 0


def test_what_can_be_compared_is_said(pictures: Path) -> None:
    plain, path = Images(path=str(pictures)), str(pictures)
    (exact,) = encoded(plain).notes()
    assert exact == "bits per dimension compare with published ones on the same pictures, size and held-out part"
    (fewer,) = encoded(plain, levels=16).notes()
    assert fewer.startswith("4 of the bits per dimension pay for gray levels that the tokenizer merges: an upper bound")
    corpus = plain.open()
    (palette,) = corpus.encode(tokenizer(type="gray_levels", levels=10, size=4), 16).notes()
    assert palette.startswith("bits per dimension are not defined for these ids, so no published ones compare")
    (hidden,) = encoded(Images(path=path, hide=0.5)).notes()
    assert "the loss is of hidden pixels" in hidden


def test_digits_are_scikits() -> None:
    corpus = Digits(conditional=True).open()
    assert len(corpus.records) == 1797
    assert corpus.classes == tuple("0123456789")
    assert corpus.records[0].shape == (8, 8, 1)
    assert corpus.records[0].max() == 239  # 15 of 16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hide": 0.0}, "hide must lie between 0 and 1"),
        ({"unlabelled": 1.0}, "unlabelled must lie in"),
        ({"hide": 0.1, "conditional": True}, "no start for a class"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ZooError, match=message):
        build(Images, settings, "data")


def test_what_does_not_fit_is_said(pictures: Path, tmp_path: Path) -> None:
    gray = tokenizer(type="gray_levels", levels=4, size=4)
    with pytest.raises(ZooError, match=r"4 x 4 = 16 ids, more than model\.context=15"):
        Images(path=str(pictures)).open().encode(gray, 15)
    np.savez(tmp_path / "plain.npz", x=np.zeros((9, 4, 4), dtype=np.uint8))
    with pytest.raises(ZooError, match="no labels to be conditional on"):
        Images(path=str(tmp_path / "plain.npz"), conditional=True).open()


def test_a_recipe_without_pictures_says_where_to_get_some() -> None:
    with pytest.raises(ZooError, match=r"no data of its own; say data\.path=FOLDER$"):
        Images().open()
    with pytest.raises(ZooError, match=r"say data\.path=png/72 in a checkout of"):
        build(Images, {"wanted": "png/72 in a checkout of x"}, "data").open()
