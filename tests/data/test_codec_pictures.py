"""Pictures as codecs learn from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from zoo.data.base import SampleData
from zoo.data.images import Digits, Images
from zoo.errors import ZooError
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.codecs import build_codec
from zoo.tokenizers.image.settings import ImageVqvae
from zoo.tokenizers.image.vqvae.config import ImageVqvaeConfig


def samples_of(path: Path, *, flip: bool = False, channels: int = 3) -> SampleData:
    codec = build_codec(ImageVqvaeConfig(size=(4, 6), channels=3 if channels == 3 else 1, hop=2, codes=4, width=4))
    return Images(path=str(path), flip=flip).open().crops(codec)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return 23 pictures, the first of 4 x 6 pixels and known, brighter from left to right, others of other sizes."""
    for number in range(23):
        wide = np.linspace(number, 255, 6 + number % 3).astype(np.uint8)
        Pillow.fromarray(np.repeat(wide[None], 4, axis=0)).convert("RGB").save(tmp_path / f"{number:02d}.png")
    return tmp_path


def test_batches_are_a_function_of_the_step(folder: Path) -> None:
    data = samples_of(folder)
    assert data.train_tokens == 21 * 4 * 6  # of 23, numbers 6 and 17 are held out
    batch = data.batch(step=3, size=5, seed=1)
    assert batch.samples.shape == (5, 4, 6, 3)
    assert batch.samples.dtype == torch.float32
    assert -1 <= batch.samples.min() < 0 < batch.samples.max() <= 1
    again = samples_of(folder).batch(step=3, size=5, seed=1)
    assert torch.equal(again.samples, batch.samples)
    assert torch.equal(again.indices, batch.indices)
    assert not torch.equal(data.batch(step=3, size=5, seed=2).indices, batch.indices)
    seen = sorted(index for step in range(7) for index in data.batch(step=step, size=3, seed=0).indices.tolist())
    assert seen == [number for number in range(23) if number % 11 != 6]


def test_the_held_out_part_comes_once(folder: Path) -> None:
    batches = list(samples_of(folder, flip=True, channels=1).held_out(1))
    assert [batch.indices.tolist() for batch in batches] == [[6], [17]]
    level = np.linspace(6, 255, 6).astype(np.uint8) / 127.5 - 1
    assert batches[0].samples.shape == (1, 4, 6, 1)
    assert np.allclose(batches[0].samples[0, 2, :, 0].numpy(), level, atol=1e-6)


def test_half_of_the_rows_are_mirrored(folder: Path) -> None:
    plain, flipped = samples_of(folder), samples_of(folder, flip=True)
    turned = 0
    for step in range(20):
        one, other = (data.batch(step=step, size=8, seed=0).samples for data in (plain, flipped))
        for row, changed in zip(one, other, strict=True):
            assert torch.equal(changed, row) or torch.equal(changed, row.flip(1))
            turned += not torch.equal(changed, row)
    assert 60 < turned < 100
    again = plain.batch(step=0, size=8, seed=0).samples  # nothing was turned in place
    assert torch.equal(again, samples_of(folder).batch(step=0, size=8, seed=0).samples)


def test_codes_of_mirrored_pictures_are_codes_of_pictures(folder: Path) -> None:
    corpus = Images(path=str(folder), flip=True).open()
    tokenizer = ImageVqvae(size=(4, 6), codes=16, code_width=2, width=8, steps=30).fit(corpus.samples())
    data = corpus.encode(tokenizer, 64)
    plain, turned = (
        {tuple(tokenizer.encode(picture[:, ::step]).tolist()) for picture in corpus.samples()} for step in (1, -1)
    )
    seen = {tuple(row) for step in range(20) for row in data.batch(step=step, size=8, seed=0).targets.tolist()}
    assert seen == plain | turned > plain


def test_a_codec_of_sound_is_refused() -> None:
    codec = build_codec(VqvaeConfig(codes=4, width=4, code_width=4, depth=1))
    with pytest.raises(ZooError, match=r"a codec of music does not learn from pictures; use model.type=image_vqvae"):
        Digits().open().crops(codec)
