"""Models with an encoder: the prompt is the source, a sample its target."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo
from zoo.architecture import build_network
from zoo.errors import ZooError
from zoo.model import Model
from zoo.run import with_vocabulary
from zoo.tokenizers.base import TextTokenizer
from zoo.tokenizers.text.settings import Bpe, Byte, Char, Word, Wordpiece
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import Cross, Dense

TEXT = "two hundred and five thousand and forty-one; the quick brown fox, quite naïve 😀\n" * 4
TOKENIZERS: dict[str, Callable[[], TextTokenizer]] = {
    "byte": lambda: Byte().fit([]),
    "char": lambda: Char().fit([TEXT]),
    "word": lambda: Word().fit([TEXT]),
    "bpe": lambda: Bpe(vocabulary=300).fit([TEXT]),
    "wordpiece": lambda: Wordpiece(vocabulary=120).fit([TEXT]),
}
SOURCES = ["two hundred", "and five", "forty-one thousand and five", "the quick"]


def make(tokenizer: TextTokenizer, *, spread: float = 6.0, context: int = 12, **settings: Any) -> Model:
    torch.manual_seed(2)
    shape: dict[str, Any] = {"vocabulary": 1, "width": 16, "heads": 2}
    config = TransformerConfig(
        **{**shape, "context": context, "depth": 2, "patterns": (Dense(), Cross()), "memory_width": 16, **settings},
        encoder=TransformerConfig(**shape, context=32, depth=1, patterns=(Dense(causal=False),)),
    )
    network = build_network(with_vocabulary(config, tokenizer))
    for parameter in network.parameters():
        parameter.data.mul_(spread)
    return Model(network, tokenizer, card={"name": "tiny"})


@pytest.fixture(scope="module", params=TOKENIZERS)
def model(request: pytest.FixtureRequest) -> Model:
    return make(TOKENIZERS[request.param]())


@pytest.fixture(scope="module")
def chars() -> Model:
    return make(TOKENIZERS["char"]())


@pytest.fixture(scope="module")
def few() -> Model:
    """Four characters, so that every target can be tried."""
    return make(Char().fit(["abcd"]), spread=3.0)


def by_definition(model: Model, source: str, length: int) -> list[int]:
    """Return the most likely ids one after another, each from the whole so far."""
    spec = model.tokenizer.spec
    ids = [spec.target_start_id]
    while len(ids) <= length and ids[-1] != spec.target_end_id:
        logits = model.logits(torch.tensor([ids]), conditions={"source": source})
        ids.append(int(logits[0, -1].argmax()))
    return ids[1:]


def test_the_sample_is_the_target_alone(model: Model) -> None:
    for source in SOURCES:
        (drawn,) = model.draw(source, temperature=0, max_new_tokens=10)
        assert drawn.ids.tolist() == by_definition(model, source, 10)
        end = drawn.ids.tolist()[-1:] == [model.tokenizer.spec.target_end_id]
        assert drawn.sample == model.tokenizer.decode(drawn.ids[:-1] if end else drawn.ids)
        assert drawn.prompt == source
        assert model.generate(source, temperature=0, max_new_tokens=10) == drawn.sample


def test_samples_do_not_depend_on_their_batch(model: Model) -> None:
    settings: dict[str, Any] = {"max_new_tokens": 20, "seed": 3}  # beyond the context: windows slide
    together = model.draw(SOURCES, count=3, **settings)
    assert [entry.prompt for entry in together] == [source for source in SOURCES for _ in range(3)]
    assert [entry.seed for entry in together] == [3, 4, 5] * 4
    for entry in together:
        (alone,) = model.draw(entry.prompt, **{**settings, "seed": entry.seed})
        assert alone.ids.tolist() == entry.ids.tolist()
    assert len({tuple(entry.ids.tolist()) for entry in together}) > 6


def test_equal_sources_get_different_seeds(chars: Model) -> None:
    drawn = chars.draw(["five", "quick", "five"], count=2, max_new_tokens=4, seed=5)
    assert [entry.seed for entry in drawn] == [5, 6, 5, 6, 7, 8]


def test_the_cache_changes_nothing(model: Model) -> None:
    for settings in ({"temperature": 0}, {"count": 2}, {"beams": 3}):
        cached = model.generate(SOURCES, max_new_tokens=20, **settings)
        assert model.generate(SOURCES, max_new_tokens=20, cache=False, **settings) == cached


def test_pieces_of_a_stream_join_to_the_sample(model: Model) -> None:
    for stop in ((), ("e", "an")):
        for seed in range(4):
            settings: dict[str, Any] = {"max_new_tokens": 10, "seed": seed, "stop": stop}
            assert "".join(model.stream("forty-one", **settings)) == model.generate("forty-one", **settings)


def test_text_ends_before_a_stop(chars: Model) -> None:
    whole = chars.generate("five", max_new_tokens=12, seed=1)
    stop = whole[3:5]
    assert chars.generate("five", max_new_tokens=12, seed=1, stop=stop) == whole[: whole.index(stop)]


def test_a_target_ends_with_its_own_id() -> None:
    model = make(TOKENIZERS["byte"](), spread=2.0)
    end = model.tokenizer.spec.target_end_id
    assert (end, model.tokenizer.spec.target_start_id) == (257, 258)
    drawn = model.draw("five", count=60, max_new_tokens=200)
    ended = [entry for entry in drawn if int(entry.ids[-1]) == end]
    assert ended
    assert all(end not in entry.ids.tolist()[:-1] for entry in drawn)
    assert all(max(entry.ids.tolist()) <= end for entry in drawn)


@pytest.mark.parametrize(("length", "beams"), [(2, 5), (3, 25)])
def test_beams_of_every_id_find_the_best_of_all_targets(few: Model, length: int, beams: int) -> None:
    spec = few.tokenizer.spec
    end = spec.target_end_id
    for source in ("abcd", "b", "ddda"):
        scored: dict[tuple[int, ...], float] = {}
        for ids in itertools.product(range(5), repeat=length):
            whole = ids[: ids.index(end) + 1] if end in ids else ids
            read = torch.tensor([[spec.target_start_id, *whole[:-1]]])
            steps = few.logits(read, conditions={"source": source})[0].double().log_softmax(-1)
            scored[whole] = float(steps.gather(1, torch.tensor(whole)[:, None]).sum()) / len(whole) ** 0.6
        expected = sorted(scored, key=lambda whole: -scored[whole])[:4]
        found = few.draw(source, beams=beams, count=4, max_new_tokens=length, length_penalty=0.6)
        assert [tuple(entry.ids.tolist()) for entry in found] == expected


def test_a_batch_of_sources_is_searched_one_by_one(chars: Model) -> None:
    together = chars.generate(SOURCES, beams=4, max_new_tokens=8)
    assert together == [chars.generate(source, beams=4, max_new_tokens=8) for source in SOURCES]
    pairs = chars.generate(SOURCES, beams=4, count=2, max_new_tokens=8)
    assert pairs[::2] == together


def test_the_encoder_reads_each_source_once(chars: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = chars.network.encoder  # type: ignore[union-attr]  # a transformer
    read: list[int] = []

    def hidden(ids: Tensor, **rest: Any) -> Tensor:
        read.append(len(ids))
        return original(ids, **rest)

    original = encoder.hidden
    monkeypatch.setattr(encoder, "hidden", hidden)
    chars.generate(["five", "quick"], count=7, max_new_tokens=5)
    assert read == [2]


def test_sources_as_conditions(chars: Model) -> None:
    spec = chars.tokenizer.spec
    ids = torch.tensor([[spec.target_start_id, 3, 1], [spec.target_start_id, 0, 2]])
    texts = ["five", "forty-one"]
    encoded = [chars.tokenizer.encode(text) for text in texts]
    padded = torch.zeros(2, 9, dtype=torch.int64)
    mask = torch.zeros(2, 9)
    for row, source in enumerate(encoded):
        padded[row, : len(source)], mask[row, : len(source)] = source, 1
    expected = torch.cat([chars.logits(ids[row], conditions={"source": encoded[row]}) for row in range(2)])
    assert expected.shape == (2, 3, spec.vocabulary_size + 1)
    for conditions in ({"source": texts}, {"source": padded, "source_mask": mask}):
        torch.testing.assert_close(chars.logits(ids, conditions=conditions), expected)
        made = chars.generate_ids(ids, conditions=conditions, max_new_tokens=6, seed=4)
        for row, text in enumerate(texts):
            alone = chars.generate_ids(ids[row], conditions={"source": text}, max_new_tokens=6, seed=4)[0]
            assert made[row, : len(alone)].tolist() == alone.tolist()
    same = chars.logits(ids, conditions={"source": "five"})
    torch.testing.assert_close(same, chars.logits(ids, conditions={"source": ["five", "five"]}))
    assert not torch.allclose(same[1], expected[1])
    states = chars.hidden_states(ids, conditions={"source": texts})
    assert [state.shape for state in states] == [(2, 3, 16)] * 3


def test_generate_is_generate_ids_after_the_start(chars: Model) -> None:
    start = torch.tensor([chars.tokenizer.spec.target_start_id])
    ids = chars.generate_ids(start, conditions={"source": "five"}, count=3, max_new_tokens=6, seed=2)
    drawn = chars.draw("five", count=3, max_new_tokens=6, seed=2)
    assert [row[1 : 1 + len(entry.ids)].tolist() for row, entry in zip(ids, drawn, strict=True)] == [
        entry.ids.tolist() for entry in drawn
    ]


def test_first_ids_and_their_probabilities(few: Model) -> None:
    start = torch.tensor([few.tokenizer.spec.target_start_id])
    expected = few.logits(start, conditions={"source": "abba"})[0, -1].softmax(-1)
    found = few.next_token_probabilities("abba", 10)
    assert {one.id: one.probability for one in found} == pytest.approx(dict(enumerate(expected.tolist())), rel=1e-5)
    assert {one.id: one.text for one in found} == {0: "a", 1: "b", 2: "c", 3: "d", 4: ""}
    # What a target begins with is never drawn, so a penalty on what was there touches nothing yet.
    assert few.next_token_probabilities("abba", 10, repetition_penalty=3.0) == found


def test_sources_that_are_too_long(chars: Model) -> None:
    long = "five" * 9
    with pytest.raises(ZooError, match="prompt 1 has 36 ids, more than the model's context of 32; shorten it, or"):
        chars.generate(["five", long])
    cut = chars.generate(long, truncate="left", max_new_tokens=8)
    assert cut == chars.generate(long[-32:], max_new_tokens=8)
    with pytest.raises(ZooError, match="36 ids do not fit the context of 32"):
        chars.logits(torch.tensor([0]), conditions={"source": long})


@pytest.mark.parametrize("nothing", [None, "", [""]])
def test_a_target_needs_a_source(chars: Model, nothing: Any) -> None:
    with pytest.raises(ZooError, match="the source is empty: give prompt=TEXT"):
        chars.generate(nothing)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (None, r"turns a source into a target: give conditions=\{'source': text"),
        ({"segments": torch.zeros(2)}, "takes no conditions, got segments"),
        ({"source": ["a", "b", "c"]}, "source: expected one, or one for each of 2 rows, got 3"),
        ({"source": []}, "source: expected one, or one for each of 2 rows, got 0"),
        ({"source": torch.tensor([[99]])}, "99 is outside the model's vocabulary"),
        ({"source": torch.tensor([[1.0]])}, "expected int64"),
        ({"source": ""}, "the source is empty"),
        ({"source": 7}, "expected text, got int"),
    ],
)
def test_bad_conditions(few: Model, conditions: dict[str, Any] | None, message: str) -> None:
    ids = torch.full((2, 1), few.tokenizer.spec.target_start_id)
    for call in (few.logits, few.generate_ids):
        with pytest.raises(ZooError, match=message):
            call(ids, conditions=conditions)


def test_a_prompt_is_the_source_already(few: Model) -> None:
    with pytest.raises(ZooError, match="takes no conditions, got source"):
        few.generate("ab", conditions={"source": "cd"})


def test_a_tokenizer_of_another_size_is_refused(few: Model) -> None:
    with pytest.raises(ZooError, match="use the tokenizer that the network was trained with"):
        Model(few.network, Char().fit(["abcde"]))


def test_save_and_load(tmp_path: Path, chars: Model) -> None:
    chars.save(tmp_path / "made")
    loaded = zoo.load(tmp_path / "made", device="cpu")
    assert loaded.config == chars.config
    assert loaded.generate(SOURCES, max_new_tokens=8) == chars.generate(SOURCES, max_new_tokens=8)
