"""Palettes: fitted, read from the original files, and refused where a file is something else."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.tokenizers.pictures import noise
from zoo.errors import ZooError
from zoo.tokenizers.image import palette
from zoo.tokenizers.image.pixel_clusters import PixelClustersTokenizer
from zoo.tokenizers.registry import PixelClusters

RED_GREEN_BLUE = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=np.float32)


def write(folder: Path, **changes: object) -> Path:
    """Write Hugging Face's file of a palette of three colours, with changes."""
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({"clusters": RED_GREEN_BLUE.tolist(), "size": 4} | changes))
    return path


def brute_force(colours: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return ids by the definition, one pixel at a time."""
    wanted = pixels.reshape(-1, pixels.shape[-1]) / 127.5 - 1
    return np.array([np.argmin(((colours - pixel) ** 2).sum(axis=1)) for pixel in wanted])


@pytest.mark.parametrize("channels", [1, 3])
def test_ids_are_the_nearest_colours(channels: int) -> None:
    colours = np.random.default_rng(0).uniform(-1, 1, (50, channels))
    tokenizer = PixelClustersTokenizer(colours, rows=30, columns=20)
    for seed in range(3):
        pixels = noise(1, 30, 20, channels, seed)[0]
        assert tokenizer.encode(pixels).tolist() == brute_force(colours, pixels).tolist()


def test_of_equally_near_colours_the_first_counts() -> None:
    levels = np.array([[30], [10], [10], [20]])
    tokenizer = PixelClustersTokenizer(palette.from_levels(levels), rows=1, columns=5)
    assert tokenizer.encode(np.array([[20, 25, 15, 10, 255]], dtype=np.uint8)).tolist() == [3, 0, 1, 1, 0]


def test_few_colours_are_all_kept_from_dark_to_bright() -> None:
    pixels = np.array([[[[9, 9, 9], [255, 255, 255]], [[0, 0, 255], [9, 9, 9]]]], dtype=np.uint8)
    tokenizer = PixelClustersTokenizer.fit(pixels, colours=512, rows=2, columns=2, channels=3)
    assert tokenizer.spec.vocabulary_size == 4
    assert palette.to_levels(tokenizer.colours).tolist() == [[9, 9, 9], [0, 0, 255], [255, 255, 255]]
    assert tokenizer.encode(pixels[0]).tolist() == [0, 2, 1, 0]
    assert tokenizer.fit_rmse == tokenizer.quantization_rmse(pixels) == 0


@pytest.mark.parametrize(("colours", "channels"), [(2, 1), (16, 1), (255, 1), (16, 3), (100, 3), (512, 3)])
def test_a_fitted_palette_has_the_colours_that_were_asked_for(colours: int, channels: int) -> None:
    pixels = noise(100, 16, 16, channels)
    tokenizer = PixelClustersTokenizer.fit(pixels, colours=colours, rows=16, columns=16, channels=channels)
    assert tokenizer.spec.output_vocabulary == len(np.unique(palette.to_levels(tokenizer.colours), axis=0)) == colours
    assert tokenizer.fit_rmse == pytest.approx(tokenizer.quantization_rmse(pixels))


def test_centres_that_fall_together_are_replaced() -> None:
    values = np.repeat(np.arange(100, 120, dtype=np.uint8), [1000, 1000, *[1] * 18]).reshape(1, -1)
    tokenizer = PixelClustersTokenizer.fit(values[None], colours=19, rows=1, columns=values.size, channels=1)
    assert tokenizer.spec.output_vocabulary == 19


def test_a_fit_depends_on_the_seed_and_on_nothing_else() -> None:
    samples = noise(50, 16, 16)
    first, again, other = (PixelClusters(colours=64, size=16, seed=seed).fit(samples) for seed in (0, 0, 1))
    assert first.spec == again.spec != other.spec
    assert PixelClusters(colours=64, size=16).fit(iter(samples)).spec == first.spec


def test_a_palette_is_better_than_a_fixed_one(shared_data: Path) -> None:
    with np.load(shared_data / "images" / "emoji32" / "emoji32.npz") as arrays:
        emoji = arrays["x"][::4]
    fitted = PixelClusters(colours=512).fit(emoji)
    fixed = PixelClustersTokenizer(
        palette.from_levels(np.stack(np.meshgrid(*[np.linspace(16, 239, 8)] * 3), -1).reshape(-1, 3)),
        rows=32,
        columns=32,
    )
    assert fitted.quantization_rmse(emoji) < 3.6 < 10 < fixed.quantization_rmse(emoji)


def test_five_million_pixels_take_seconds(shared_data: Path) -> None:
    with np.load(shared_data / "images" / "signdigits64" / "signdigits64.npz") as arrays:
        photographs = arrays["x_train"][:1221]  # 5,001,216 pixels
    start = time.process_time()
    tokenizer = PixelClusters(size=64).fit(photographs)
    assert time.process_time() - start < 10
    assert isinstance(tokenizer, PixelClustersTokenizer)
    assert tokenizer.fit_rmse is not None
    assert tokenizer.fit_rmse < 1.7


@pytest.mark.parametrize("name", ["kmeans_centers.npy", "a.npy", "preprocessor_config.json", "other.json"])
def test_the_original_files_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".npy":
        np.save(path, RED_GREEN_BLUE)
    else:
        write(tmp_path, size={"height": 4, "width": 6}).rename(path)
    for place in [path, *([tmp_path] if name in ("kmeans_centers.npy", "preprocessor_config.json") else [])]:
        tokenizer = PixelClusters(path=str(place), size=2).fit([])
        assert (tokenizer.spec.shape, tokenizer.spec.start_id) == ((2, 2), 3)
        picture = np.array([[[250, 5, 9], [0, 0, 255]], [[9, 99, 80], [200, 3, 1]]], dtype=np.uint8)
        assert tokenizer.encode(picture).tolist() == [0, 2, 1, 0]
    if path.suffix == ".npy":
        with pytest.raises(ZooError, match="does not say how large the grid is"):
            PixelClustersTokenizer.load(path)
    else:
        assert PixelClustersTokenizer.load(path).spec.shape == (4, 6)


def test_a_saved_palette_gives_hugging_face_the_same_ids(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    samples = noise(6, 20, 24)
    tokenizer = PixelClusters(colours=64, size=(8, 10)).fit(samples)
    tokenizer.save(tmp_path)
    try:
        kind = transformers.ImageGPTImageProcessorPil
    except (AttributeError, ImportError):
        pytest.skip("this transformers has no PIL processor of Image GPT")
    theirs = kind.from_pretrained(tmp_path)(images=list(samples), return_tensors="np")["input_ids"]
    assert (theirs == tokenizer.encode_many(samples)).mean() > 0.999  # theirs rounds to float32 where colours tie


HOSTILE_JSON: list[tuple[dict[str, object], str]] = [
    ({"clusters": None}, "no 'clusters'"),
    ({"clusters": "[[0]]"}, "no 'clusters'"),
    ({"clusters": []}, "1 or 3 numbers each"),
    ({"clusters": [[0.1], [0.1, 0.2, 0.3]]}, "1 or 3 numbers each"),
    ({"clusters": [[0.1, 0.2], [0.1, 0.2]]}, r"\(2, 2\)"),
    ({"clusters": [[[0.1]], [[0.2]]]}, "1 or 3 numbers each"),
    ({"clusters": [["a"], ["b"]]}, "1 or 3 numbers each"),
    ({"clusters": [[True], [False]]}, "1 or 3 numbers each"),
    ({"clusters": [[0.1]]}, "2 to 65,535 colours, got 1"),
    ({"clusters": [[0.1]] * 65_536}, "2 to 65,535 colours, got 65536"),
    ({"clusters": [[float("nan")], [0.0]]}, r"lie in \[-1, 1\]"),
    ({"clusters": [[float("inf")], [0.0]]}, r"lie in \[-1, 1\]"),
    ({"clusters": [[10**400], [0.0]]}, r"lie in \[-1, 1\]"),
    ({"clusters": [[0, 128, 255], [1, 2, 3]]}, r"lie in \[-1, 1\]"),
    ({"size": 10**9}, "1 to 4096 rows and columns"),
    ({"size": {"height": 0, "width": 4}}, "1 to 4096 rows and columns"),
    ({"size": {"height": 4.5, "width": 4}}, "does not say how large"),
    ({"size": "../.."}, "does not say how large"),
    ({"size": None}, "does not say how large"),
]


@pytest.mark.parametrize(("changes", "message"), HOSTILE_JSON)
def test_hostile_json_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(ZooError, match=message) as caught:
        PixelClustersTokenizer.load(path)
    assert "\n" not in str(caught.value)


def npy(shape: str, descr: str = "'<f4'", data: bytes = b"") -> bytes:
    """Return an .npy file with a header that says anything."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


HOSTILE_ARRAYS: list[tuple[bytes, str]] = [
    (b"", "not a readable .npy"),
    (b"\x93NUMPY", "not a readable .npy"),
    (b"cos\nsystem\n(S'touch zoo-was-here'\ntR.", "not a readable .npy"),
    (npy("(4611686018427387904, 3)"), "not a readable .npy"),
    (npy("(1000000000, 3)"), "not a readable .npy"),
    (npy("(-1, 3)"), "not a readable .npy|floats"),
    (npy("(2, 3)", data=bytes(20)), "not a readable .npy"),
    (npy("__import__('os').system('touch zoo-was-here')"), "not a readable .npy"),
    (npy("(2, 3)", "'|O'", bytes(48)), "not a readable .npy"),
    (npy("(2, 3)", "'<i8'", bytes(48)), "floats"),
    (npy("(2, 3)", "'|V8'", bytes(48)), "floats"),
    (npy("(6,)", data=bytes(24)), "floats"),
    (npy("(2, 3, 1)", data=bytes(24)), "floats"),
    (npy("(3, 2)", data=bytes(24)), "floats"),
    (npy("(1, 3)", data=bytes(12)), "2 to 65,535 colours"),
    (npy("(2, 3)", data=np.full(6, np.nan, "<f4").tobytes()), r"lie in \[-1, 1\]"),
    (npy("(2, 3)", data=np.full(6, 255, "<f4").tobytes()), r"lie in \[-1, 1\]"),
]


@pytest.mark.parametrize(("content", "message"), HOSTILE_ARRAYS)
def test_hostile_arrays_are_refused_without_memory(
    content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "kmeans_centers.npy"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ZooError, match=message) as caught:
        PixelClustersTokenizer.load(path, size=(2, 2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "zoo-was-here").exists()


def test_a_palette_must_be_there_and_be_small(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no palette here"):
        PixelClusters(path=str(tmp_path)).fit([])
    with pytest.raises(ZooError, match=r"cannot read the palette .*nowhere"):
        PixelClusters(path=str(tmp_path / "nowhere.npy")).fit([])
    with (tmp_path / "huge.npy").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ZooError, match="are no palette"):
        PixelClusters(path=str(tmp_path / "huge.npy")).fit([])


def test_no_pictures_give_no_palette() -> None:
    with pytest.raises(ZooError, match="no pictures to fit the palette on"):
        PixelClusters().fit([])
