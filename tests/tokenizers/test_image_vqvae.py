"""The VQ-VAE of pictures: its network, and its codes as tokens."""

from __future__ import annotations

import json
import os
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from tests.tokenizers.pictures import noise
from zoo.data.images import digits
from zoo.errors import ZooError
from zoo.settings import build, to_mapping
from zoo.tokenizers.image.kept import Kept
from zoo.tokenizers.image.pixels import Pixels
from zoo.tokenizers.image.settings import ImageVqvae as Settings
from zoo.tokenizers.image.vqvae.config import ImageVqvaeConfig
from zoo.tokenizers.image.vqvae.fit import gather, train
from zoo.tokenizers.image.vqvae.network import ImageVqvae, to_pixels, to_samples
from zoo.tokenizers.image.vqvae.tokenizer import ImageVqvaeTokenizer
from zoo.tokenizers.registry import load
from zoo.weights import codecs

SMALL = Settings(size=(8, 12), codes=16, code_width=4, width=8, steps=5)
TINY = ImageVqvaeConfig(size=8, channels=1, hop=2, codes=32, code_width=4, width=16, depth=1, threshold=0.5)


@pytest.fixture(scope="module")
def tokenizer() -> ImageVqvaeTokenizer:
    fitted = SMALL.fit(noise(12, 8, 12))
    assert isinstance(fitted, ImageVqvaeTokenizer)
    return fitted


@pytest.fixture(scope="module")
def drawn() -> Pixels:
    records = digits()
    return np.stack([records[number] for number in records.train])


@pytest.mark.parametrize(("hop", "channels"), [(2, 1), (4, 3), (8, 3)])
def test_codes_stand_for_squares_of_pixels(hop: int, channels: int) -> None:
    config = build(ImageVqvaeConfig, {"size": [16, 24], "hop": hop, "channels": channels, "codes": 8, "width": 8})
    codec = ImageVqvae(config).train()
    samples = torch.rand(3, 16, 24, channels) * 2 - 1
    found = codec(samples)
    assert found.outputs[0].shape == samples.shape
    assert found.ids[0].shape == (3, *config.shape) == (3, 16 // hop, 24 // hop)
    assert found.commitments[0].shape == (3,)
    codec.settle()
    codec.eval()
    (ids,) = codec.encode(samples)
    assert codec.decode(ids, 0).shape == samples.shape
    wide = torch.rand(1, 4 * hop, 2 * hop, channels)  # the network has no size of its own
    assert codec.encode(wide)[0].shape == (1, 4, 2)


def test_the_papers_network_has_the_stated_size() -> None:
    width, code = 256, 64
    residual = 9 * width**2 + width + width**2 + width
    encoder = 16 * 3 * width + width + 16 * width**2 + width + 9 * width**2 + width + 2 * residual + width * code + code
    decoder = 9 * code * width + width + 2 * residual + 16 * width**2 + width + 16 * width * 3 + 3
    with torch.device("meta"):
        codec = ImageVqvae(ImageVqvaeConfig(size=128, hop=4, code_width=code, width=width, depth=2))
    assert sum(weight.numel() for weight in codec.parameters()) == encoder + decoder == 5_500_227


def test_gradients_reach_every_weight_and_the_codebook_follows() -> None:
    torch.manual_seed(0)
    codec = ImageVqvae(TINY).train()
    samples = torch.rand(4, 8, 8, 1) * 2 - 1
    found = codec(samples)
    ((found.outputs[0] - samples).square().mean() + found.commitments[0].mean()).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in codec.parameters())
    before = codec.codebook(0).vectors.clone()
    codec.settle()
    assert not torch.equal(before, codec.codebook(0).vectors)
    assert 0 < codec.health()["usage"] <= 1


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 8, 8), "pictures are"),
        ((2, 8, 8, 3), r"pictures are \(batch, rows, columns, 1\), got \(2, 8, 8, 3\)"),
        ((2, 8, 7, 1), "rows and columns must be multiples of 2, got 8 x 7"),
        ((0, 8, 8, 1), "pictures are"),
    ],
)
def test_samples_of_another_shape_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ZooError, match=message):
        ImageVqvae(TINY).encode(torch.zeros(shape))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hop": 3}, "hop must be a power of two from 2 to 64, got 3"),
        ({"hop": 1}, "hop must be a power of two"),
        ({"hop": 128}, "hop must be a power of two"),
        ({"size": 30}, "size must be a multiple of hop=4 in rows and columns, got 30 x 30"),
        ({"size": [32, 31]}, "got 32 x 31"),
        ({"size": 5000}, "size must be 1 to 4096"),
        ({"codes": 1}, "codes must be 2 to 65535"),
        ({"codes": 70_000}, "codes must be 2 to 65535"),
        ({"width": 0}, "width must be 1"),
        ({"code_width": 1 << 20}, "code_width must be 1"),
        ({"depth": -1}, "depth must be 0 to 64"),
        ({"decay": 1.0}, "decay must lie in"),
        ({"threshold": 0.0}, "threshold must be above 0"),
        ({"channels": 2}, "channels: 2 is not possible"),
    ],
)
def test_wrong_settings_get_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ZooError, match=message) as caught:
        build(ImageVqvaeConfig, settings, "model")
    assert "\n" not in str(caught.value)


def test_every_value_of_a_pixel_goes_to_samples_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    samples = to_samples(levels)
    assert samples.dtype == torch.float32
    assert (samples.min(), samples.max()) == (-1, 1)
    assert np.array_equal(to_pixels(samples), levels)
    assert to_pixels(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_ids_are_a_grid_of_codes(tokenizer: ImageVqvaeTokenizer) -> None:
    spec = tokenizer.spec
    assert (spec.shape, spec.vocabulary_size, spec.start_id, spec.lossless) == ((4, 6), 17, 16, False)
    assert (spec.ids_per_sample, spec.ids_per_row, spec.output_vocabulary) == (24, 6, 16)
    pictures = noise(7, 8, 12, seed=1)
    many = tokenizer.encode_many(pictures)
    assert many.shape == (7, 24)
    assert many.dtype == np.uint16
    assert many.max() < 16
    for picture, ids in zip(pictures, many, strict=True):
        assert tokenizer.encode(picture).tolist() == ids.tolist()
    assert tokenizer.encode(Pillow.new("L", (50, 40))).shape == (24,)


def test_pictures_come_back_as_far_as_ids_go(tokenizer: ImageVqvaeTokenizer) -> None:
    ids = tokenizer.encode(noise(1, 8, 12)[0])
    whole = tokenizer.decode(ids)
    assert (whole.mode, whole.size) == ("RGB", (12, 8))
    assert tokenizer.decode(torch.cat([torch.tensor([16]), ids])).tobytes() == whole.tobytes()
    assert tokenizer.decode(ids[:12]).size == (12, 4)
    assert tokenizer.decode(ids[:13]).size == (12, 6)  # a row that is cut short is filled up
    with pytest.raises(ZooError, match=r"a picture has 1 to 24 ids \(4 x 6\), got 25"):
        tokenizer.decode([0] * 25)
    with pytest.raises(ZooError, match="start id"):
        tokenizer.decode([0, 16])


def test_bits_per_dimension_are_not_defined(tokenizer: ImageVqvaeTokenizer) -> None:
    assert tokenizer.bits_per_dimension(10.0) is None
    assert tokenizer.dimensions == 8 * 12 * 3
    assert 0 < tokenizer.quantization_rmse(noise(3, 8, 12)) < 255


def test_many_large_pictures_are_looked_at_in_pieces(
    tokenizer: ImageVqvaeTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = noise(9, 8, 12)
    whole = tokenizer.encode_many(pictures)
    monkeypatch.setattr("zoo.tokenizers.image.vqvae.tokenizer.AT_ONCE", 200)
    assert np.array_equal(tokenizer.encode_many(pictures), whole)
    assert tokenizer.quantization_rmse(pictures) > 0


def test_a_saved_tokenizer_is_the_same_again(tokenizer: ImageVqvaeTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "one")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "codec.json",
        "codec.safetensors",
        "spec.json",
    ]
    loaded = load(tmp_path / "one")
    assert type(loaded) is ImageVqvaeTokenizer
    assert loaded.spec == tokenizer.spec
    picture = noise(1, 8, 12)[0]
    assert torch.equal(loaded.encode(picture), tokenizer.encode(picture))
    assert loaded.decode(loaded.encode(picture)).tobytes() == tokenizer.decode(tokenizer.encode(picture)).tobytes()
    loaded.save(tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 1 << 14, "depth": 64}, r"codec.safetensors holds [\d,]+ bytes, the settings beside it ask for"),
        ({"codes": 15}, "tensor 'vectors' is F32"),
        ({"depth": 0}, "unexpected tensor"),
        ({"hop": 3}, "hop must be a power of two"),
        ({"decay": 0.5}, "do not match the fingerprint"),
        ({"size": [4, 12]}, "do not match the fingerprint"),
        ({"import": "os"}, "unknown setting"),
    ],
)
def test_a_folder_that_was_changed_is_refused(
    tokenizer: ImageVqvaeTokenizer, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    tokenizer.save(tmp_path)
    stated = json.loads((tmp_path / "codec.json").read_text())
    (tmp_path / "codec.json").write_text(json.dumps({**stated, **change}))
    with pytest.raises(ZooError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_weights_that_were_changed_are_refused(tokenizer: ImageVqvaeTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    path = tmp_path / "codec.safetensors"
    whole = path.read_bytes()
    for broken, message in (
        (whole[:-1], "safetensors|bytes"),
        (whole[:40], "bytes"),
        (b"", "bytes"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "fingerprint"),
        (whole[:-4] + np.float32("nan").tobytes(), "not finite"),
    ):
        path.write_bytes(broken)
        with pytest.raises(ZooError, match=message):
            load(tmp_path)
    path.unlink()
    with pytest.raises(ZooError, match="cannot be read"):
        load(tmp_path)


def test_the_same_samples_make_the_same_tokenizer_whatever_the_threads(drawn: Pixels) -> None:
    settings = Settings(size=None, codes=16, code_width=4, width=8, steps=10)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    prints = set()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            prints.add(settings.fit(drawn[:100]).spec.fingerprint)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert len(prints) == 1
    assert torch.equal(torch.get_rng_state(), state)
    other = build(Settings, {**to_mapping(settings), "seed": 1}).fit(drawn[:100])
    assert other.spec.fingerprint not in prints


def test_training_brings_pictures_nearer(drawn: Pixels) -> None:
    first, last = (
        ImageVqvaeTokenizer(train(TINY, drawn, steps=steps, seed=0)).quantization_rmse(drawn[:200])
        for steps in (1, 150)
    )
    assert last < 48 < 60 < first  # half of the digits' standard deviation of 96; 43.7 was seen
    flat = ImageVqvaeTokenizer(
        train(TINY, np.zeros((3, 8, 8, 1), np.uint8), steps=5, seed=0)
    )  # no variance to speak of
    assert torch.isfinite(flat.codec.codebook(0).vectors).all()


@pytest.mark.parametrize(
    ("size", "hop", "codes", "share"),
    [(8, 2, 256, 4), (8, 4, 256, 4), (32, 4, 64, 4), (64, 2, 64, 16), (8, 4, 65_000, 4096 / 65_000)],
)
def test_codes_are_restarted_at_a_share_of_what_they_can_get(size: int, hop: int, codes: int, share: float) -> None:
    config = ImageVqvaeConfig(size=size, channels=1, hop=hop, codes=codes, code_width=2, width=2, depth=0)
    book = train(config, noise(2, size, size, 1), steps=1, seed=0).codebook(0)
    assert book.threshold == pytest.approx(share / 8)  # vectors an update and code, over 8


def test_pictures_to_learn_from_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.tokenizers.image.vqvae.fit.KEPT", 64 * 4)
    numbered = (np.full((2, 2, 1), number, np.uint8) for number in chain(range(200), range(100)))
    kept = gather(numbered, 2, 2, None)
    assert kept.shape == (75, 2, 2, 1)  # every fourth of 300: at 128 and at 256 every other one was let go
    assert kept[:, 0, 0, 0].tolist() == [*range(0, 200, 4), *range(0, 100, 4)]
    gray = np.repeat(noise(3, 4, 4, 1), 3, axis=3)
    assert gather(gray, 4, 4, None).shape == (3, 4, 4, 1)  # colours that are none
    assert gather(noise(3, 4, 4), 4, 4, None).shape == (3, 4, 4, 3)
    assert gather(noise(3, 4, 4), 4, 4, 1).shape == (3, 4, 4, 1)
    assert gather(gray, 4, 4, 3).shape == (3, 4, 4, 3)
    with pytest.raises(ZooError, match="no pictures to train image_vqvae on"):
        gather([], 4, 4, None)


def test_a_codec_that_was_trained_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    codec = ImageVqvae(TINY).train()
    codec(torch.rand(8, 8, 8, 1))
    codec.settle()
    monkeypatch.chdir(tmp_path)
    codecs.write(Path("checkpoints") / "mine", codec.eval())
    for path in ("mine", os.path.join("checkpoints", "mine"), str(tmp_path / "checkpoints" / "mine")):
        own = Settings(path=path, size=None).fit([])
        assert own.spec.shape == (4, 4)
    wide = Settings(path="mine", size=(6, 16)).fit([])
    assert wide.spec.shape == (3, 8)
    assert wide.spec.fingerprint != own.spec.fingerprint
    with pytest.raises(ZooError, match="size must be a multiple of hop=2 in rows and columns, got 9 x 9"):
        Settings(path="mine", size=9, hop=2, channels=3).fit([])


@pytest.mark.parametrize(("rows", "ids"), [(None, 12), (0, 0), (2, 6), (6, 18), (8, 24)])
def test_rows_of_pixels_are_kept_as_rows_of_codes(tokenizer: ImageVqvaeTokenizer, rows: int | None, ids: int) -> None:
    picture = noise(1, 8, 12)[0]
    kept = Kept(picture=picture, rows=rows)
    assert kept.top(tokenizer).tolist() == tokenizer.encode(picture)[:ids].tolist()
    assert kept.visible(tokenizer).tolist() == [True] * ids + [False] * (24 - ids)


def test_a_part_of_a_row_of_codes_cannot_be_kept(tokenizer: ImageVqvaeTokenizer) -> None:
    with pytest.raises(ZooError, match="give a multiple of 2, say 4, not 5"):
        Kept(picture=noise(1, 8, 12)[0], rows=5).top(tokenizer)
    with pytest.raises(ZooError, match=r"must lie in \[0, 8\]"):
        Kept(picture=noise(1, 8, 12)[0], rows=9).visible(tokenizer)


def test_a_mask_hides_every_code_with_a_white_pixel(tokenizer: ImageVqvaeTokenizer) -> None:
    mask = np.zeros((8, 12, 1), np.uint8)
    mask[3, 5] = 255  # one pixel, in row 1 and column 2 of the codes
    visible = Kept(picture=noise(1, 8, 12)[0], mask=mask).visible(tokenizer)
    assert [index for index, seen in enumerate(visible.tolist()) if not seen] == [1 * 6 + 2]
