"""The model facade: the contract's Python section."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo
from zoo.architecture import build_network
from zoo.errors import ZooError
from zoo.loading import choose_device
from zoo.model import Model
from zoo.recurrent import RecurrentConfig
from zoo.tokenizers.base import TextTokenizer, Tokenizer, TokenSpec
from zoo.tokenizers.text.settings import Bpe, Byte, Char, Digits, Word, Wordpiece
from zoo.transformer.config import TransformerConfig

TEXT = "The quick brown fox, quite naïve, jumps over the lazy dog.\nThen it sleeps; nobody minds! 😀\n" * 4
TOKENIZERS: dict[str, Callable[[], TextTokenizer]] = {
    "byte": lambda: Byte().fit([]),
    "char": lambda: Char().fit([TEXT]),
    "word": lambda: Word().fit([TEXT]),
    "bpe": lambda: Bpe(vocabulary=300).fit([TEXT]),
    "wordpiece": lambda: Wordpiece(vocabulary=120).fit([TEXT]),
}


def make(tokenizer: Tokenizer[Any], *, context: int = 16, spread: float = 6.0, **settings: Any) -> Model:
    torch.manual_seed(2)
    config = TransformerConfig(
        **{"vocabulary": tokenizer.spec.vocabulary_size, "width": 16, "depth": 2, "heads": 2, **settings},
        context=context,
    )
    network = build_network(config)
    for parameter in network.parameters():
        parameter.data.mul_(spread)
    return Model(network, tokenizer, card={"name": "tiny"})


@pytest.fixture(scope="module", params=TOKENIZERS)
def model(request: pytest.FixtureRequest) -> Model:
    return make(TOKENIZERS[request.param]())


@pytest.fixture(scope="module")
def chars() -> Model:
    return make(TOKENIZERS["char"]())


class Pixels(Tokenizer[list[int]]):
    """Images of 2 x 3 gray levels behind a start id that is read and never predicted."""

    spec = TokenSpec(
        type="pixels", modality="image", vocabulary_size=5, shape=(2, 3), start_id=4, lossless=True, fingerprint="0"
    )

    def encode(self, sample: list[int]) -> Tensor:
        return torch.tensor(sample, dtype=torch.int64)

    def decode(self, ids: Tensor) -> list[int]:
        assert int(ids.max()) < 4
        return ids.tolist()

    def save(self, folder: Path | str) -> None:
        raise AssertionError("not saved here")


def test_one_sample_or_a_list(chars: Model) -> None:
    one = chars.generate("The ", max_new_tokens=9, seed=4)
    assert isinstance(one, str)
    assert one.startswith("The ")
    assert len(one) == 13
    assert chars.generate(["The "], max_new_tokens=9, seed=4) == [one]
    several = chars.generate("The ", count=3, max_new_tokens=9, seed=4)
    assert several[0] == one
    assert len(set(several)) == 3
    assert chars.generate(["dog", "The "], count=2, max_new_tokens=9, seed=4)[2:] == several[:2]


def test_samples_do_not_depend_on_their_batch(model: Model) -> None:
    eight = model.generate("The quick", count=8, max_new_tokens=40, seed=3, truncate="left")
    assert model.generate("The quick", count=2, max_new_tokens=40, seed=3, truncate="left") == eight[:2]
    assert model.generate("The quick", max_new_tokens=40, seed=8, truncate="left") == eight[5]
    batch = model.generate(["dog", "The quick", "fox, quite"], max_new_tokens=40, seed=3, truncate="left")
    assert batch[1] == eight[0]


def test_the_cache_changes_nothing(model: Model) -> None:
    prompts = ["The", "jumps over", "dog"]
    cached = model.generate(prompts, max_new_tokens=40, truncate="left")
    assert model.generate(prompts, max_new_tokens=40, truncate="left", cache=False) == cached


@pytest.mark.parametrize("stop", [(), ("e",), (" t", "\n", "zy d", "qu")])
def test_pieces_of_a_stream_join_to_the_sample(model: Model, stop: tuple[str, ...]) -> None:
    for seed in range(3):
        settings: dict[str, Any] = {"max_new_tokens": 40, "seed": seed, "stop": stop, "truncate": "left"}
        assert "".join(model.stream("The", **settings)) == model.generate("The", **settings)


def test_a_stream_comes_as_it_is_drawn(chars: Model) -> None:
    pieces = chars.stream("The", max_new_tokens=10**9)
    assert [next(pieces) for _ in range(60)][:3] == ["T", "h", "e"]


def test_text_ends_before_a_stop_that_spans_tokens(chars: Model) -> None:
    whole = chars.generate("The ", max_new_tokens=60, seed=1)
    stop = whole[20:23]
    cut = chars.generate("The ", max_new_tokens=60, seed=1, stop=stop)
    assert cut == whole[: whole.index(stop, 4)]
    assert chars.generate("The ", max_new_tokens=60, seed=1, stop=["never there", stop]) == cut
    (drawn,) = chars.draw("The ", max_new_tokens=60, seed=1, stop=[stop])
    assert len(drawn.ids) == len(cut) + 3  # no id is drawn beyond the one that completes the stop


def test_a_stop_inside_the_prompt_does_not_count(chars: Model) -> None:
    assert chars.generate("The dog", max_new_tokens=5, stop="dog").startswith("The dog")


def test_an_end_id_ends_the_sample_and_is_not_shown() -> None:
    model = make(TOKENIZERS["byte"]())
    end = model.tokenizer.spec.end_id
    assert end is not None
    samples = model.draw("ab", count=20, max_new_tokens=300)
    ended = [sample for sample in samples if int(sample.ids[-1]) == end]
    assert ended
    for sample in ended:
        assert sample.ids.tolist().count(end) == 1
        assert sample.sample == model.tokenizer.decode(sample.ids[:-1])


def test_nothing_to_go_on_from(chars: Model) -> None:
    byte, digits = make(TOKENIZERS["byte"]()), make(Digits().fit([]))
    for model, first in ((chars, int(chars.tokenizer.encode("\n")[0])), (byte, 256), (digits, 0)):
        ids = model.generate_ids(torch.tensor([first]), max_new_tokens=6, seed=2)[0, 1:]
        for nothing in (None, ""):
            (drawn,) = model.draw(nothing, max_new_tokens=6, seed=2)
            assert drawn.ids.tolist() == ids[: len(drawn.ids)].tolist()


def test_drawn_says_where_samples_come_from(chars: Model) -> None:
    drawn = chars.draw(["The", "dog", "The"], count=2, max_new_tokens=4, seed=5)
    assert [entry.seed for entry in drawn] == [5, 6, 5, 6, 7, 8]
    assert [entry.prompt for entry in drawn] == ["The"] * 2 + ["dog"] * 2 + ["The"] * 2
    for entry in drawn:
        assert chars.generate(entry.prompt, max_new_tokens=4, seed=entry.seed) == entry.sample
        assert chars.tokenizer.decode(entry.ids) == entry.sample


def test_length_is_the_recipes_else_the_contexts(chars: Model) -> None:
    assert len(chars.generate("The")) == 3 + 16
    stated = Model(chars.network, chars.tokenizer, recipe={"generate": {"max_new_tokens": 5}})
    assert len(stated.generate("The")) == 3 + 5


def test_samples_of_different_prompts_have_seeds_of_their_own(chars: Model) -> None:
    alone = [chars.draw(prompt, seed=seed, max_new_tokens=6)[0] for prompt, seed in (("ab", 3), ("b", 8))]
    together = chars.draw(["ab", "b"], seeds=[3, 8], max_new_tokens=6)
    assert [(one.seed, one.sample) for one in together] == [(one.seed, one.sample) for one in alone]
    with pytest.raises(ZooError, match="one for each of 2 samples, got 1"):
        chars.draw(["ab", "b"], seeds=[3])


def test_greedy_needs_no_seed(chars: Model) -> None:
    assert len({chars.generate("The", temperature=0, seed=seed, max_new_tokens=20) for seed in range(4)}) == 1
    assert chars.generate("The", top_k=1, max_new_tokens=20) == chars.generate("The", temperature=0, max_new_tokens=20)


def test_beams_score_at_least_as_well_as_greedy(chars: Model) -> None:
    def nats(text: str) -> float:
        ids = chars.tokenizer.encode(text)
        steps = chars.logits(ids)[0].log_softmax(-1)[2:-1]
        return float(steps.gather(1, ids[3:, None]).sum())

    greedy = chars.generate("The", temperature=0, max_new_tokens=8)
    three = chars.generate("The", beams=8, count=3, max_new_tokens=8)
    assert nats(three[0]) >= nats(greedy)
    assert sorted(three, key=nats, reverse=True) == three
    ids = chars.generate_ids(chars.tokenizer.encode("The"), beams=8, count=3, max_new_tokens=8)
    assert [chars.tokenizer.decode(row) for row in ids] == three
    with pytest.raises(ZooError, match="count: 3 samples from beams=2"):
        chars.generate("The", beams=2, count=3, max_new_tokens=8)


def test_generate_ids_keeps_what_it_is_given(chars: Model) -> None:
    ids = torch.tensor([[9, 9, 1, 2], [3, 4, 5, 9], [1, 2, 3, 4]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]])
    made = chars.generate_ids(ids, mask=mask, max_new_tokens=7, count=2)
    assert made.dtype == torch.int64
    assert made.shape == (6, 11)
    assert torch.equal(made[:, :4], ids.repeat_interleave(2, dim=0))
    for row, real in enumerate([[1, 2], [3, 4, 5], [1, 2, 3, 4]]):
        alone = chars.generate_ids(torch.tensor(real), max_new_tokens=7, count=2)
        assert torch.equal(made[2 * row : 2 * row + 2, 4:], alone[:, len(real) :])


def test_generate_ids_fills_up_rows_that_ended() -> None:
    model = make(TOKENIZERS["byte"]())
    made = model.generate_ids(torch.full((20, 1), 97), max_new_tokens=300)
    rows = [row.tolist() for row in made]
    ended = [row for row in rows if 256 in row]
    assert ended
    for row in ended:
        assert set(row[row.index(256) :]) == {256}
    empty = model.generate_ids(torch.tensor([97]), max_new_tokens=0)
    assert empty.tolist() == [[97]]


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_logits_and_states_of_padded_rows(kind: str, chars: Model) -> None:
    model = chars
    if kind == "recurrent":
        size = chars.network.vocabulary
        network = build_network(RecurrentConfig(vocabulary=size, context=16, embedding_width=8, width=12, depth=2))
        model = Model(network, chars.tokenizer)
    ids = torch.tensor([[9, 9, 1, 2], [3, 4, 5, 9], [1, 2, 3, 4]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]])
    logits, states = model.logits(ids, mask=mask), model.hidden_states(ids, mask=mask)
    assert logits.dtype == torch.float32
    assert logits.shape == (3, 4, model.network.output_vocabulary)
    assert len(states) == 3
    assert (logits[mask == 0] == 0).all()
    for row, real in enumerate([[1, 2], [3, 4, 5], [1, 2, 3, 4]]):
        alone, inner = model.logits(torch.tensor(real)), model.hidden_states(torch.tensor([real]))
        torch.testing.assert_close(logits[row][mask[row] == 1], alone[0], atol=1e-5, rtol=1e-4)
        for state, own in zip(states, inner, strict=True):
            torch.testing.assert_close(state[row][mask[row] == 1], own[0], atol=1e-5, rtol=1e-4)


def test_a_column_predicts_the_next_id(chars: Model) -> None:
    ids = chars.generate_ids(torch.tensor([1, 2]), temperature=0, max_new_tokens=10)
    assert torch.equal(chars.logits(ids)[0, 1:-1].argmax(-1), ids[0, 2:])


def test_next_token_probabilities_are_the_softmax(chars: Model) -> None:
    found = chars.next_token_probabilities("The", 5, temperature=0.5)
    expected = (chars.logits(chars.tokenizer.encode("The"))[0, -1] / 0.5).softmax(-1)
    assert [entry.probability for entry in found] == pytest.approx(expected.topk(5).values.tolist(), rel=1e-5)
    assert [chars.tokenizer.encode(entry.text).tolist() for entry in found] == [[entry.id] for entry in found]
    assert sum(entry.probability for entry in chars.next_token_probabilities("The", 10**6)) == pytest.approx(1)
    assert len(chars.next_token_probabilities("The", 10**6, top_k=3)) == 3


def test_samples_of_a_fixed_shape() -> None:
    model = make(Pixels(), output_vocabulary=4)
    images = model.generate(count=4)
    assert [len(image) for image in images] == [6] * 4
    (whole,) = model.draw([[3, 2, 1]])
    assert whole.sample[:3] == [3, 2, 1]
    assert len(whole.sample) == 6
    ids = model.generate_ids(torch.tensor([[4, 3, 2, 1]]), max_new_tokens=3)
    assert ids[0, 1:].tolist() == whole.sample
    with pytest.raises(ZooError, match="stop: sequences end text, and this model makes image"):
        model.generate(stop="a")
    with pytest.raises(ZooError, match="stream is for text and this model makes image; use generate"):
        model.stream()


def test_ids_beyond_the_tokenizer_are_never_drawn() -> None:
    model = make(Digits().fit([]), vocabulary=64)  # rounded up, as GPT-2's 50257 often is to 50304
    assert set("".join(model.generate("12", count=10, max_new_tokens=14))) <= set("0123456789")
    assert model.generate("12", beams=3, max_new_tokens=5).isdigit()
    assert len(model.next_token_probabilities("12", 100)) == 10


def test_save_and_load(tmp_path: Path, chars: Model) -> None:
    full = Model(
        chars.network, chars.tokenizer, card={"name": "ä", "metrics": {"loss": 1.5}}, recipe={"name": "text/x"}
    )
    full.save(tmp_path / "a b")
    loaded = zoo.load(tmp_path / "a b", device="cpu")
    assert loaded.config == chars.config
    assert loaded.recipe == {"name": "text/x"}
    assert loaded.card["metrics"] == {"loss": 1.5}
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(loaded.logits(ids), chars.logits(ids))
    assert loaded.generate("The", seed=3) == chars.generate("The", seed=3)
    with pytest.raises(ZooError, match="not empty"):
        full.save(tmp_path / "a b")
    full.save(tmp_path / "a b", overwrite=True)
    half = zoo.load(tmp_path / "a b", device="cpu", dtype="bfloat16")
    assert next(half.network.parameters()).dtype == torch.bfloat16
    assert half.logits(ids).dtype == torch.float32
    assert (half.logits(ids) - chars.logits(ids)).abs().max() < 0.1 * chars.logits(ids).abs().max()
    assert half.generate("The", max_new_tokens=5).startswith("The")


def test_a_recurrent_model_saves_and_loads(tmp_path: Path, chars: Model) -> None:
    size = chars.network.vocabulary
    network = build_network(RecurrentConfig(vocabulary=size, context=8, embedding_width=6, width=8, cell="gru"))
    model = Model(network, chars.tokenizer)
    model.save(tmp_path / "one")
    assert zoo.load(tmp_path / "one").generate("The", max_new_tokens=30) == model.generate("The", max_new_tokens=30)


def test_parameters_count_shared_ones_once(chars: Model) -> None:
    separate = make(chars.tokenizer, tied=False)
    assert separate.parameters - chars.parameters == chars.network.vocabulary * 16
    assert chars.parameters == sum(tensor.numel() for tensor in chars.network.parameters())


def test_summary_is_a_table(chars: Model) -> None:
    card = {
        "name": "tiny",
        "recipe": "text/x",
        "license": "CC0",
        "data": [{"name": "foxes"}],
        "metrics": {"loss": 1.23456, "tokens": 7},
    }
    lines = Model(chars.network, chars.tokenizer, card=card).summary().splitlines()
    table = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert table["parameters"] == f"{chars.parameters:,}"
    assert table["family"] == "transformer, makes text"
    assert table["tokenizer"].startswith("char, ")
    assert table["data"] == "foxes"
    assert table["metrics"] == "loss 1.235, tokens 7"
    assert "width 16" in table["shape"]
    assert len({line.index(line.split(maxsplit=1)[1]) for line in lines}) == 1  # one column


def test_refuses(chars: Model, tmp_path: Path) -> None:
    ids = torch.tensor([1])
    refused: list[tuple[Callable[[], Any], str]] = [
        (lambda: chars.generate("The", count=0), "count: must be a whole number of at least 1, got 0"),
        (lambda: chars.generate("The", temperature=-1), "temperature: must be 0"),
        (lambda: chars.generate("Ж"), "Ж"),
        (lambda: chars.generate(3), "expected text, got int"),
        (lambda: chars.generate("The", conditions={"artist": "x"}), "this model takes no conditions, got artist"),
        (lambda: chars.stream("The", count=2), "stream draws one sample"),
        (lambda: chars.stream(["The"]), "stream draws one sample"),
        (lambda: chars.stream("The" * 9), "prompt 0 has 27 ids, more than the model's context of 16"),
        (lambda: chars.stream("The", beams=2), "beam search knows its text only at the end"),
        (lambda: chars.draw("The", temprature=1), "unknown setting 'temprature'; did you mean 'temperature'"),
        (lambda: chars.logits(torch.tensor([[99]])), "ids: 99 is outside the model's vocabulary"),
        (lambda: chars.logits(torch.ones(1, 17, dtype=torch.int64)), "16"),
        (lambda: chars.generate_ids(ids.float()), "ids: expected int64"),
        (lambda: zoo.load(tmp_path / "nothing"), "no checkpoint"),
        (lambda: zoo.load(tmp_path, dtype="float33"), "dtype: 'float33' is not possible; did you mean 'float32'"),
        (lambda: zoo.load(tmp_path, device="gpu"), "device: 'gpu' is not available here"),
        (lambda: choose_device("cuda:99"), "device: 'cuda:99' is not available here"),
    ]
    for call, message in refused:
        with pytest.raises(ZooError) as caught:
            call()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_tokenizer_that_does_not_fit_is_refused(chars: Model) -> None:
    with pytest.raises(ZooError, match="the tokenizer 'byte' makes 257 ids, the network reads"):
        Model(chars.network, TOKENIZERS["byte"]())
