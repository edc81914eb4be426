"""The right figures for each kind of model and data, against figures that are worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluate.models import random_model
from zoo.architecture import build_network
from zoo.data.write_sound import write_wav
from zoo.errors import ZooError
from zoo.evaluate.likelihood import Likelihood
from zoo.evaluate.outcome import Histogram, Pictures, Sounds, Surprise, Texts
from zoo.evaluate.part import Data
from zoo.model import Model
from zoo.tokenizers.audio.mu_law import MuLawTokenizer
from zoo.tokenizers.audio.waveform import Audio
from zoo.tokenizers.image.gray_levels import GrayLevelsTokenizer
from zoo.tokenizers.text.char import CharTokenizer
from zoo.transformer.config import TransformerConfig

TEXT = "The quick brown fox jumps over the lazy dog. " * 20


def written(folder: Path, text: str, name: str = "fox.txt") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_text_side_by_side_and_strided(tmp_path: Path) -> None:
    model = random_model()
    found = Likelihood(stride=16, batch=4).run(model, Data(path=written(tmp_path, TEXT), part="all"))
    metrics = found.metrics
    assert (found.samples, found.tokens) == (1, 899)
    assert metrics["perplexity"] == pytest.approx(math.exp(metrics["loss"]))
    assert metrics["bits_per_byte"] == pytest.approx(metrics["loss"] * 899 / (900 * math.log(2)))
    assert metrics["strided_perplexity"] == pytest.approx(math.exp(metrics["strided_loss"]))
    assert metrics["stride"] == 16
    assert any("side by side" in note for note in found.notes)
    assert any("at least 112 before it" in note for note in found.notes)
    surprise, nats, texts = found.exhibits
    assert isinstance(nats, Histogram)
    assert isinstance(texts, Texts)
    assert len(texts.entries) == 2
    assert all(whole.startswith(begun) for begun, whole in texts.entries)
    assert isinstance(surprise, Surprise)
    assert "".join(text for text, _ in surprise.pieces) == TEXT[:129]
    ids = model.tokenizer.encode(TEXT[:129])
    logs = model.logits(ids[None, :-1])[0].log_softmax(-1)
    assert surprise.pieces[7][1] == pytest.approx(-float(logs[6, ids[7]]), rel=1e-4)


def test_the_last_tenth_is_what_is_evaluated(tmp_path: Path) -> None:
    model, path = random_model(), written(tmp_path, TEXT)
    held_out = Likelihood(stride=0).run(model, Data(path=path))
    alone = Likelihood(stride=0).run(model, Data(path=written(tmp_path, TEXT[-90:], "end.txt"), part="all"))
    assert held_out.metrics == alone.metrics
    assert "strided_loss" not in held_out.metrics


def test_fewer_tokens(tmp_path: Path) -> None:
    model, path = random_model(), written(tmp_path, TEXT)
    some = Likelihood().run(model, Data(path=path, part="all", limit=200))
    alone = Likelihood().run(model, Data(path=written(tmp_path, TEXT[:201], "beginning.txt"), part="all"))
    assert some.tokens == 200
    assert some.metrics == alone.metrics


def test_characters_that_the_tokenizer_does_not_know(tmp_path: Path) -> None:
    tokenizer = CharTokenizer("abcdefghijklmnopqrstuvwxyz ")
    config = TransformerConfig(vocabulary=27, context=16, width=16, depth=1, heads=2)
    model, path = random_model(tokenizer, config), written(tmp_path, "the fox, quick and brown\n" * 9)
    with pytest.raises(ZooError, match="','"):
        Likelihood().run(model, Data(path=path, part="all"))
    found = Likelihood(unknown="adapt").run(model, Data(path=path, part="all"))
    assert found.metrics["lossless"] is False
    assert found.metrics["bits_per_byte"] == pytest.approx(
        found.metrics["loss"] * found.tokens / (225 * math.log(2)), rel=1e-6
    )


def painter(classes: tuple[str, ...] = ()) -> Model:
    tokenizer = GrayLevelsTokenizer(rows=4, columns=4, levels=4)
    torch.manual_seed(0)
    network = build_network(
        TransformerConfig(
            vocabulary=5, output_vocabulary=4, context=16, width=8, depth=1, heads=2, tied=False, classes=classes
        )
    )
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight))
    return Model(network, tokenizer)


def pictures(folder: Path) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (22, 4, 4)).astype(np.uint8)
    np.savez(folder / "noise.npz", x=pixels, y=np.arange(22) % 2)
    return str(folder / "noise.npz")


def test_pictures_in_nats_and_bits_per_dimension(tmp_path: Path) -> None:
    model = painter()
    found = Likelihood().run(model, Data(path=pictures(tmp_path), part="all"))
    assert (found.samples, found.tokens) == (22, 352)
    nats = found.metrics["nats_per_image"]
    assert nats == pytest.approx(16 * found.metrics["loss"])
    assert found.metrics["bits_per_dimension"] == pytest.approx(nats / (math.log(2) * 16) + math.log2(256 / 4))
    easy, hard, histogram = found.exhibits
    assert isinstance(easy, Pictures)
    assert isinstance(hard, Pictures)
    assert isinstance(histogram, Histogram)
    values = histogram.groups["held out"]
    assert values.mean() == pytest.approx(nats, rel=1e-5)
    assert easy.entries[0][0].endswith(f": {values.min():.0f} nats")
    assert sum(share for _, share in histogram.shares()["held out"]) == pytest.approx(1.0)
    held_out = Likelihood().run(model, Data(path=pictures(tmp_path)))
    assert held_out.samples == 2
    some = Likelihood().run(model, Data(path=pictures(tmp_path), part="all", limit=5))
    assert some.samples == 5


def test_a_model_is_told_the_classes_that_it_knows(tmp_path: Path) -> None:
    path = pictures(tmp_path)
    told = Likelihood().run(painter(("0", "1")), Data(path=path, part="all"))
    assert "the model was told the class of each sample" in told.notes
    other = Likelihood().run(painter(("cat", "dog")), Data(path=path, part="all"))
    assert any("it was told none" in note for note in other.notes)


def test_sounds_in_bits_per_second(tmp_path: Path) -> None:
    tokenizer = MuLawTokenizer(rate=1000, levels=256)
    spec = tokenizer.spec
    torch.manual_seed(0)
    model = Model(
        build_network(
            TransformerConfig(
                vocabulary=spec.vocabulary_size,
                output_vocabulary=None if spec.start_id is None else spec.output_vocabulary,
                context=16,
                width=8,
                depth=1,
                heads=2,
                tied=False,
            )
        ),
        tokenizer,
    )
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(8):
        samples = np.sin(np.arange(1000 + number) / (3 + number)).astype(np.float32)
        write_wav(folder / f"{number}.wav", Audio(samples=samples, rate=1000))
    found = Likelihood().run(model, Data(path=str(folder), part="all", limit=3))
    assert found.samples == 3
    per_id = found.metrics["loss"] / math.log(2)
    assert found.metrics["bits_per_second"] == pytest.approx(per_id * 1000)
    assert found.metrics["seconds"] == pytest.approx(3.0, abs=0.1)
    (heard,) = found.exhibits
    assert isinstance(heard, Sounds)
    assert [len(sound.samples) for _, sound in heard.entries] == pytest.approx([1000] * 3, abs=8)


def test_few_sounds_are_measured_at_their_ends(tmp_path: Path) -> None:
    tokenizer = MuLawTokenizer(rate=1000, levels=256)
    torch.manual_seed(0)
    config = TransformerConfig(vocabulary=256, context=16, width=8, depth=1, heads=2, tied=False)
    model = Model(build_network(config), tokenizer)
    for count in (1, 4):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            samples = np.sin(np.arange(1000) / (3 + number)).astype(np.float32)
            write_wav(folder / f"{number}.wav", Audio(samples=samples, rate=1000))
        found = Likelihood().run(model, Data(path=str(folder)))
        assert found.samples == count
        assert found.metrics["seconds"] == pytest.approx(0.1 * count, abs=0.02 * count)


def test_data_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no images or arrays"):
        Likelihood().run(painter(), Data(path=written(tmp_path, TEXT)))
    with pytest.raises(ZooError, match="is empty"):
        Likelihood().run(random_model(), Data(path=written(tmp_path, "", "nothing.txt")))
    with pytest.raises(ZooError, match="limit must be at least 1, got 0"):
        Data(path="x", limit=0)
