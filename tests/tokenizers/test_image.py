"""What all image tokenizers keep: shapes, round trips, saving, and what they refuse."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from tests.tokenizers.pictures import COLUMNS, NAMES, ROWS, noise, pictures, tokenizer_of
from zoo.errors import ZooError
from zoo.settings import build
from zoo.tokenizers.image.base import ImageTokenizer
from zoo.tokenizers.image.gray_levels import GrayLevelsTokenizer
from zoo.tokenizers.image.rgb_bytes import RgbBytesTokenizer
from zoo.tokenizers.registry import GrayLevels, PixelClusters, RgbBytes, TokenizerSettings, load

TOKENIZERS = {name: tokenizer_of(name) for name in NAMES}
quick = hypothesis_settings(max_examples=50, deadline=None)


@pytest.fixture(params=NAMES)
def tokenizer(request: pytest.FixtureRequest) -> ImageTokenizer:
    return TOKENIZERS[request.param]


def test_the_spec_says_what_ids_mean(tokenizer: ImageTokenizer) -> None:
    spec = tokenizer.spec
    assert spec.modality == "image"
    assert spec.start_id == spec.vocabulary_size - 1 == spec.output_vocabulary
    assert spec.shape is not None
    assert spec.shape[:2] == (ROWS, COLUMNS)
    assert spec.ids_per_sample == math.prod(spec.shape) == len(tokenizer.encode(noise()[0]))
    assert spec.ids_per_row == spec.ids_per_sample // ROWS
    assert (spec.end_id, spec.pad_id, spec.tokens_per_second) == (None, None, None)
    assert tokenizer.dimensions == ROWS * COLUMNS * tokenizer.channels


def test_a_text_has_no_rows() -> None:
    spec = build(TokenizerSettings, "byte", "tokenizer").fit([]).spec
    assert (spec.ids_per_sample, spec.ids_per_row, spec.output_vocabulary) == (None, None, 257)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@quick
def test_ids_decode_to_a_picture_with_these_ids(name: str, data: st.DataObject) -> None:
    tokenizer = TOKENIZERS[name]
    whole, known = tokenizer.spec.ids_per_sample, tokenizer.spec.output_vocabulary
    ids = data.draw(st.lists(st.integers(0, known - 1), min_size=whole, max_size=whole))
    picture = tokenizer.decode(torch.tensor(ids))
    assert picture.size == (COLUMNS, ROWS)
    assert picture.mode == ("L" if tokenizer.channels == 1 else "RGB")
    assert tokenizer.encode(picture).tolist() == ids
    assert tokenizer.encode(np.asarray(picture)).tolist() == ids


@given(pixels=pictures())
@quick
def test_rgb_bytes_lose_nothing(pixels: np.ndarray) -> None:
    tokenizer = TOKENIZERS["rgb_bytes"]
    assert tokenizer.spec.lossless
    assert tokenizer.encode(pixels).tolist() == pixels.reshape(-1).tolist()
    assert np.array_equal(np.asarray(tokenizer.decode(tokenizer.encode(pixels))), pixels)


@given(pixels=pictures(channels=1))
@quick
def test_256_gray_levels_lose_nothing(pixels: np.ndarray) -> None:
    tokenizer = TOKENIZERS["gray_levels 256"]
    assert tokenizer.spec.lossless
    assert tokenizer.encode(pixels).tolist() == pixels.reshape(-1).tolist()
    assert np.array_equal(np.asarray(tokenizer.decode(tokenizer.encode(pixels[..., 0]))), pixels[..., 0])


def test_the_first_rows_are_the_first_ids(tokenizer: ImageTokenizer) -> None:
    ids = tokenizer.encode(noise()[3])
    whole = np.asarray(tokenizer.decode(ids))
    assert tokenizer.spec.ids_per_row is not None
    for rows in range(1, ROWS + 1):
        assert np.array_equal(np.asarray(tokenizer.decode(ids[: rows * tokenizer.spec.ids_per_row])), whole[:rows])
    started = torch.cat([torch.tensor([tokenizer.spec.start_id]), ids])
    assert np.array_equal(np.asarray(tokenizer.decode(started)), whole)
    torn = np.asarray(tokenizer.decode(ids[: tokenizer.spec.ids_per_row + 3]))
    assert torn.shape[:2] == (2, COLUMNS)
    assert np.array_equal(torn[0], whole[0])
    assert np.array_equal(torn[1, 0], whole[1, 0])


def test_many_at_once_are_the_same(tokenizer: ImageTokenizer) -> None:
    several = [noise(1, 5, 7, 3, 1)[0], noise(1, 9, 4, 1, 2)[0], Pillow.new("CMYK", (3, 3), (9, 90, 200, 20))]
    ids = tokenizer.encode_many(several)
    assert (ids.dtype, ids.shape) == (np.uint16, (3, tokenizer.spec.ids_per_sample))
    assert [row.tolist() for row in ids] == [tokenizer.encode(sample).tolist() for sample in several]
    assert tokenizer.encode_many(noise(30)).tolist() == tokenizer.encode_many(list(noise(30))).tolist()
    gray = noise(30, channels=1)
    assert tokenizer.encode_many(gray[..., 0]).tolist() == tokenizer.encode_many(list(gray)).tolist()
    assert tokenizer.encode_many(iter(())).shape == (0, tokenizer.spec.ids_per_sample)


def test_the_quantisation_error_is_that_of_decoding(tokenizer: ImageTokenizer) -> None:
    samples = noise(7, channels=tokenizer.channels)
    shown = np.stack([np.asarray(tokenizer.decode(ids.astype(int))) for ids in tokenizer.encode_many(samples)])
    expected = np.sqrt(np.mean((samples.reshape(shown.shape).astype(float) - shown) ** 2))
    assert tokenizer.quantization_rmse(samples) == pytest.approx(expected)
    assert (tokenizer.quantization_rmse(list(samples)) == 0) == tokenizer.spec.lossless
    with pytest.raises(ZooError, match="no pictures"):
        tokenizer.quantization_rmse([])


def test_bits_per_dimension() -> None:
    nats = {name: math.log(tokenizer.spec.output_vocabulary) for name, tokenizer in TOKENIZERS.items()}
    uniform = {
        name: tokenizer.bits_per_dimension(nats[name] * (tokenizer.spec.ids_per_sample or 0))
        for name, tokenizer in TOKENIZERS.items()
    }
    assert uniform["rgb_bytes"] == pytest.approx(8)  # knowing nothing costs 8 bits, however they are cut
    assert uniform["gray_levels 256"] == pytest.approx(8)
    assert uniform["gray_levels"] == pytest.approx(8)
    assert uniform["gray_levels 10"] is None
    assert uniform["pixel_clusters"] is None


def test_a_saved_tokenizer_is_the_same_again(tokenizer: ImageTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "a")
    loaded = load(tmp_path / "a")
    assert type(loaded) is type(tokenizer)
    assert loaded.spec == tokenizer.spec
    assert loaded.encode(noise()[0]).tolist() == tokenizer.encode(noise()[0]).tolist()
    loaded.save(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_fingerprints_differ() -> None:
    made = [*TOKENIZERS.values(), RgbBytesTokenizer(rows=COLUMNS, columns=ROWS)]
    made += [
        GrayLevelsTokenizer(levels=4, rows=5, columns=8),
        GrayLevelsTokenizer(levels=5, rows=ROWS, columns=COLUMNS),
    ]
    assert len({tokenizer.spec.fingerprint for tokenizer in made}) == len(made)


@pytest.mark.parametrize("levels", range(2, 257))
def test_a_level_is_the_middle_of_its_values(levels: int) -> None:
    tokenizer = GrayLevelsTokenizer(levels=levels, rows=16, columns=16)
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    ids = tokenizer.encode(ramp).numpy()
    assert np.unique(ids).tolist() == list(range(levels))
    assert (np.diff(ids) >= 0).all()
    shown = np.asarray(tokenizer.decode(ids)).reshape(-1).astype(int)
    for level in range(levels):
        values = np.flatnonzero(ids == level)
        assert set(shown[values]) == {(values[0] + values[-1]) // 2}
    if 256 % levels == 0:
        assert set(np.bincount(ids)) == {256 // levels}
        assert tokenizer.residual_bits == math.log2(256 / levels)


def test_pictures_are_brought_to_the_grid() -> None:
    gray, colour = TOKENIZERS["gray_levels 256"], TOKENIZERS["rgb_bytes"]
    big = Pillow.fromarray(noise(1, 40, 64)[0])
    small = np.asarray(big.resize((COLUMNS, ROWS), Pillow.Resampling.BILINEAR))
    assert colour.encode(big).tolist() == small.reshape(-1).tolist()
    luma = big.convert("L").resize((COLUMNS, ROWS), Pillow.Resampling.BILINEAR)
    assert gray.encode(big).tolist() == np.asarray(luma).reshape(-1).tolist()
    assert colour.encode(luma).tolist() == np.repeat(np.asarray(luma), 3).tolist()
    for shape in ((1, 1), (1, 30_000), (30_000, 1)):
        assert set(gray.encode(np.full(shape, 77, np.uint8)).tolist()) == {77}


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        (PixelClusters(colours=4, size=None), (6, 9)),
        (GrayLevels(size=None), (6, 9)),
        (RgbBytes(size=None), (6, 9, 3)),
        (PixelClusters(colours=4), (32, 32)),
        (GrayLevels(size=(8, 4)), (8, 4)),
        (RgbBytes(size=3), (3, 3, 3)),
    ],
)
def test_the_grid_is_stated_or_that_of_the_first_picture(
    settings: PixelClusters | GrayLevels | RgbBytes, shape: tuple[int, ...]
) -> None:
    samples = [*noise(8, 6, 9), noise(1, 2, 2)[0]]
    assert settings.fit(samples).spec.shape == shape
    assert settings.fit(iter(samples)).spec == settings.fit(samples).spec  # none is lost by looking at the first


@pytest.mark.parametrize("kind", [PixelClusters, GrayLevels, RgbBytes])
def test_a_grid_needs_a_size(kind: type[GrayLevels]) -> None:
    with pytest.raises(ZooError, match=r"no pictures .* set tokenizer\.size"):
        kind(size=None).fit([])


def test_settings_from_text() -> None:
    wanted = {"type": "gray_levels", "size": "[28,14]", "levels": "16"}
    assert build(TokenizerSettings, wanted, "tokenizer", from_text=True) == GrayLevels(size=(28, 14), levels=16)
    assert build(TokenizerSettings, {"type": "rgb_bytes", "size": "8"}, from_text=True) == RgbBytes(size=8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "gray_levels", "levels": 1}, "levels must be 2 to 256"),
        ({"type": "gray_levels", "levels": 257}, "levels must be 2 to 256"),
        ({"type": "gray_levels", "size": 0}, "size must be 1 to 4096"),
        ({"type": "rgb_bytes", "size": [8, 5000]}, "size must be 1 to 4096"),
        ({"type": "rgb_bytes", "size": [8]}, "expected 2 values"),
        ({"type": "pixel_clusters", "colours": 1}, "colours must be 2 to 65535"),
        ({"type": "pixel_clusters", "channels": 2}, "choose one of: 1, 3"),
        ({"type": "pixel_clusters", "seed": -1}, "seed must be"),
        ({"type": "pixel_clusters", "colors": 16}, "did you mean 'colours'"),
        ({"type": "pixel_cluster"}, "did you mean 'pixel_clusters'"),
    ],
)
def test_wrong_settings_get_one_line(settings: object, message: str) -> None:
    with pytest.raises(ZooError, match=message) as caught:
        build(TokenizerSettings, settings, "tokenizer")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ("cat.png", r"got str; read a file with PIL\.Image\.open"),
        (None, "got NoneType"),
        (np.zeros((3, 3)), r"got float64 \(3, 3\)"),
        (np.zeros((3, 3, 4), np.uint8), r"got uint8 \(3, 3, 4\)"),
        (np.zeros((1, 3, 3, 3), np.uint8), r"got uint8 \(1, 3, 3, 3\)"),
        (np.zeros((0, 3), np.uint8), r"got uint8 \(0, 3\)"),
        (np.zeros((3, 3, 3), object), "got object"),
        (Pillow.new("L", (0, 3)), "0 x 3 pixels are no picture"),
        (Pillow.new("1", (5001, 5000)), "5001 x 5000 pixels are too many"),
    ],
)
def test_what_is_no_picture_is_refused(tokenizer: ImageTokenizer, sample: object, message: str) -> None:
    with pytest.raises(ZooError, match=message) as caught:
        tokenizer.encode(sample)  # type: ignore[arg-type]  # wrong on purpose
    assert "\n" not in str(caught.value)


def test_ids_that_are_no_picture_are_refused(tokenizer: ImageTokenizer) -> None:
    ids, start = tokenizer.encode(noise()[0]), tokenizer.spec.start_id
    assert start is not None
    for wrong, message in [
        (ids[:0], "a picture has 1 to"),
        (torch.tensor([start]), "a picture has 1 to"),
        (torch.cat([ids, ids[:1]]), "a picture has 1 to"),
        (torch.tensor([0, start]), f"id {start} at position 1 is the start id"),
        (torch.tensor([0, start + 1]), "outside the vocabulary"),
        (torch.tensor([-1]), "outside the vocabulary"),
        (torch.tensor([0.5]), "whole numbers"),
        (ids[None], "one sample at a time"),
    ]:
        with pytest.raises(ZooError, match=message):
            tokenizer.decode(wrong)


def test_a_picture_takes_well_under_a_millisecond() -> None:
    pixels = noise(200, 32, 32)
    for tokenizer in (RgbBytes().fit([]), GrayLevels().fit([]), PixelClusters(colours=512).fit(pixels[:10])):
        tokenizer.encode_many(pixels)  # colours are looked up once
        start = time.process_time()
        tokenizer.encode_many(pixels)
        assert (time.process_time() - start) / len(pixels) < 1e-3


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("gray_levels", "levels.json", '{"levels": 8, "size": [5, 7]}', "do not match the fingerprint"),
        ("gray_levels", "levels.json", '{"levels": 4, "size": [7, 5]}', "do not match the fingerprint"),
        ("gray_levels", "levels.json", '{"levels": 4, "size": [5, 1000000000]}', "1 to 4096 rows"),
        ("gray_levels", "levels.json", '{"levels": 1e9, "size": [5, 7]}', "expected 'levels'"),
        ("gray_levels", "levels.json", '{"levels": 4, "size": [5, 7], "_target_": "os.system"}', "nothing else"),
        ("gray_levels", "levels.json", '{"levels": 4, "size": "../.."}', "expected 'levels'"),
        ("rgb_bytes", "grid.json", '{"size": [7, 5]}', "do not match the fingerprint"),
        ("rgb_bytes", "grid.json", '{"size": [-1, 5]}', "1 to 4096 rows"),
        ("rgb_bytes", "grid.json", '{"size": [5, 7, 3]}', "nothing else"),
        ("rgb_bytes", "grid.json", "[]", "expected 'size'"),
        ("pixel_clusters", "preprocessor_config.json", '{"clusters": [[0], [1]], "size": 5}', "do not match"),
        ("pixel_clusters", "preprocessor_config.json", "{", "not valid JSON"),
        ("gray palette", "preprocessor_config.json", None, "no palette here"),
        ("rgb_bytes", "grid.json", None, "grid.json does not exist"),
    ],
)
def test_a_changed_folder_is_refused(name: str, file: str, content: str | None, message: str, tmp_path: Path) -> None:
    TOKENIZERS[name].save(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(ZooError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"shape": [5, 8]}, {"shape": None}, {"start_id": 3}, {"lossless": True}])
def test_a_spec_that_says_something_else_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    TOKENIZERS["gray_levels"].save(tmp_path)
    stated = json.loads((tmp_path / "spec.json").read_text())
    (tmp_path / "spec.json").write_text(json.dumps(stated | change))
    with pytest.raises(ZooError, match="does not describe the tokenizer beside it"):
        load(tmp_path)


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    TOKENIZERS["rgb_bytes"].save(tmp_path)
    with (tmp_path / "grid.json").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ZooError, match="no tokenizer's file"):
        load(tmp_path)
