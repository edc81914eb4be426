"""Features of samples: the same as the model's own of ids, whatever stands beside a sample and however long it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from zoo.architecture import NetworkConfig, build_network
from zoo.errors import ZooError
from zoo.features.extract import check_layer, features
from zoo.features.reading import Reading
from zoo.model import Model
from zoo.recurrent import RecurrentConfig
from zoo.tokenizers.image.gray_levels import GrayLevelsTokenizer
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import AnyPool, First, Last, Mean

BYTES = TransformerConfig(vocabulary=257, context=8, width=16, depth=3, heads=2)


def model(config: NetworkConfig = BYTES, tokenizer: Any = None) -> Model:
    torch.manual_seed(0)
    network = build_network(config)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return Model(network, tokenizer or ByteTokenizer())


def vectors(model: Model, texts: list[str], pool: AnyPool = Mean(), batch: int = 16) -> list[Any]:  # noqa: B008
    named = [(f"text {number}", text) for number, text in enumerate(texts)]
    return list(features(model, named, layers=range(4), pool=pool, batch=batch))


@pytest.mark.parametrize("pool", [Mean(), First(), Last()])
def test_a_short_text_gives_what_the_model_gives_for_its_ids(pool: AnyPool) -> None:
    lion = model()
    texts = ["roar", "a", "mane"]
    for text, found in zip(texts, vectors(lion, texts, pool), strict=True):
        expected = lion.features(lion.tokenizer.encode(text)[None], pool=pool)
        assert len(found) == len(expected) == 4
        for own, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(own, other[0].numpy(), atol=1e-5)


def test_a_long_text_is_the_mean_over_all_positions_of_its_windows() -> None:
    lion = model()
    text = "0123456789abcdefghi"  # windows of 8, 8 and 3
    (found,) = vectors(lion, [text])
    ids = lion.tokenizer.encode(text)
    parts = [lion.hidden_states(window[None])[-1][0] for window in ids.split(8)]
    np.testing.assert_allclose(found[-1], torch.cat(parts).mean(0).numpy(), atol=1e-5)
    (first,), (last,) = vectors(lion, [text], First()), vectors(lion, [text], Last())
    np.testing.assert_allclose(first[-1], parts[0][0].numpy(), atol=1e-5)
    np.testing.assert_allclose(last[-1], parts[-1][-1].numpy(), atol=1e-5)


def test_neighbours_and_batches_change_nothing() -> None:
    lion = model()
    texts = ["x" * (1 + 7 * number % 23) for number in range(90)]
    alone = [vectors(lion, [text])[0] for text in texts]
    for batch in (1, 3, 16):
        for own, other in zip(vectors(lion, texts, batch=batch), alone, strict=True):
            for one, two in zip(own, other, strict=True):
                np.testing.assert_allclose(one, two, atol=1e-5)


def test_results_come_before_all_samples_are_read() -> None:
    seen = []

    def samples() -> Iterator[tuple[str, str]]:
        for number in range(1000):
            seen.append(number)
            yield str(number), "roar"

    next(features(model(), samples(), layers=[2], batch=2))
    assert len(seen) < 20


def test_layers_above_the_last_wanted_are_not_computed() -> None:
    lion = model()
    calls = []
    for number, block in enumerate(lion.network.layers()):
        block.register_forward_hook(lambda *_, number=number: calls.append(number))
    (found,) = features(lion, [("a", "roar")], layers=[1])
    assert len(found) == 1
    assert calls == [0]


def test_a_picture_is_read_as_in_training() -> None:
    tokenizer = GrayLevelsTokenizer(rows=4, columns=4, levels=4)
    config = TransformerConfig(vocabulary=5, output_vocabulary=4, context=16, width=8, depth=1, heads=2, tied=False)
    painter = model(config, tokenizer)
    picture = np.arange(0, 256, 16, dtype=np.uint8).reshape(4, 4)
    (window,) = Reading(painter.network, tokenizer).windows(picture)
    assert window.ids.tolist() == [4, *tokenizer.encode(picture).tolist()[:-1]]


def test_recurrent_networks_have_layers_too() -> None:
    cell = RecurrentConfig(vocabulary=257, context=8, embedding_width=6, width=16, depth=2)
    (found,) = features(model(cell), [("a", "roar")], layers=range(3))
    assert [vector.shape for vector in found] == [(6,), (16,), (16,)]


def test_what_is_wrong_is_said_in_a_line() -> None:
    lion = model()
    with pytest.raises(ZooError, match=r"^second\.txt: is empty"):
        list(features(lion, [("first.txt", "roar"), ("second.txt", "")], layers=[0]))
    assert [check_layer(lion, layer) for layer in (0, 3, -1, -4)] == [0, 3, 3, 0]
    for layer in (4, -5):
        with pytest.raises(ZooError, match=r"layers 0 to 3"):
            check_layer(lion, layer)
    torch.manual_seed(0)
    with pytest.raises(ZooError, match="no tokenizer"):
        list(features(Model(build_network(BYTES), None), [("a", "roar")], layers=[0]))
