"""Likelihoods of completions: sums of what ``Model.logits`` says, whatever is read together."""

from __future__ import annotations

import math

import pytest
import torch

from tests.evaluate.models import SURE, knowing, random_model
from zoo.errors import ZooError
from zoo.evaluate.scoring import Likelihood, score
from zoo.model import Model
from zoo.recurrent import RecurrentConfig
from zoo.tokenizers.text.bpe import BpeTokenizer
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.tokenizers.text.word import WordTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import Banded, Block, Dense
from zoo.transformer.position import Rotary

TEXT = "the cat sat on the mat; the dog sat on the cat. " * 20
BPE = BpeTokenizer.fit([TEXT], vocabulary=280)
PAIRS = [
    ("the cat", " sat"),
    ("the cat", " sat on the mat"),
    ("the cat", "s"),
    ("the dog sat on", " the cat"),
    ("", "the"),
    ("the d", "og"),  # byte-pair encoding puts an id across the border
    ("th", "e cat"),
    ("the cat sat on the mat; " * 3, "the"),
    ("the cat", " sat"),
    ("☃", "é ☃"),
]


def by_hand(model: Model, prompt: str, completion: str) -> Likelihood:
    """Add up log-softmax of logits of the whole text, read at once and alone."""
    tokenizer = model.tokenizer
    ids, offsets = tokenizer.encode_with_offsets(prompt + completion)  # type: ignore[attr-defined]  # a tokenizer of text
    given = sum(end <= len(prompt) for end in offsets[:, 1].tolist())
    if not given:
        first = tokenizer.spec.end_id if tokenizer.spec.end_id is not None else int(tokenizer.encode("\n")[0])
        ids, given = torch.cat([torch.tensor([first]), ids]), 1
    logs = model.logits(ids)[0].log_softmax(dim=1)
    chosen = [float(logs[place - 1, ids[place]]) for place in range(given, len(ids))]
    best = [int(logs[place - 1].argmax()) == int(ids[place]) for place in range(given, len(ids))]
    return Likelihood(log_likelihood=sum(chosen), tokens=len(chosen), bytes=len(completion.encode()), greedy=all(best))


def vocabulary(tokenizer: ByteTokenizer | BpeTokenizer) -> int:
    return tokenizer.spec.vocabulary_size


MODELS = {
    "bytes": random_model(),
    "pieces": random_model(BPE),
    "banded": random_model(
        BPE,
        TransformerConfig(
            vocabulary=vocabulary(BPE), context=96, width=16, depth=3, heads=2, patterns=(Dense(), Banded(window=4))
        ),
    ),
    "blocks": random_model(
        None,
        TransformerConfig(
            vocabulary=257,
            context=128,
            width=16,
            depth=2,
            heads=2,
            patterns=(Block(size=8), Dense()),
            positions=Rotary(),
        ),
    ),
    "recurrent": random_model(
        BPE, RecurrentConfig(vocabulary=vocabulary(BPE), context=96, embedding_width=8, width=16)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_likelihood_is_the_sum_of_log_softmax_of_logits(name: str) -> None:
    model = MODELS[name]
    prompts, completions = zip(*PAIRS, strict=True)
    for batch in (1, 3, 16):
        found = score(model, prompts, completions, batch=batch)
        for (prompt, completion), one in zip(PAIRS, found, strict=True):
            expected = by_hand(model, prompt, completion)
            assert one.log_likelihood == pytest.approx(expected.log_likelihood, abs=2e-5)
            assert (one.tokens, one.bytes, one.greedy) == (expected.tokens, expected.bytes, expected.greedy)


def test_ids_across_the_border_are_the_completions() -> None:
    offsets = BPE.encode_with_offsets("the dog")[1]
    across = [span for span in offsets.tolist() if span[0] < 5 < span[1]]
    assert across, "the test needs an id across the border"
    found = score(MODELS["pieces"], ["the d"], ["og"])[0]
    assert found.tokens == 1 + sum(start >= 5 for start, _ in offsets.tolist())


def test_what_completions_have_in_common_is_read_once() -> None:
    model = knowing(lambda told: "")
    network = model.network
    prompt = "0123456789" * 5
    score(model, [prompt] * 4, ["a", "bcd", "ef", "ghij"])
    assert network.ids_read == 50 + 0 + 2 + 1 + 3
    assert network.calls == 2
    before = network.ids_read
    score(model, [prompt, prompt + "!", prompt], ["a", "b", "c"])
    assert network.ids_read - before == 50 + 51


def test_probabilities_of_all_next_ids_add_up_to_one() -> None:
    model = MODELS["bytes"]
    found = score(model, ["the "] * 128, [chr(code) for code in range(128)])
    rest = score(model, ["the "] * 128, [chr(code) for code in range(128, 256)])  # two bytes each
    total = sum(math.exp(one.log_likelihood) for one in found)
    assert 0 < total < 1
    assert total + sum(math.exp(one.log_likelihood) for one in rest) < 1
    assert all(one.tokens == 1 for one in found)
    assert sum(one.greedy for one in found) <= 1


def test_a_sure_model() -> None:
    model = knowing(lambda told: "yes"[len(told) - 2 :] if told.startswith("? ") else "")
    sure, wrong = score(model, ["? ", "? "], ["yes", "yet"])
    assert sure.log_likelihood == pytest.approx(3 * -math.log1p(256 * math.exp(-SURE)), abs=1e-6)
    assert wrong.log_likelihood == pytest.approx(-SURE, abs=1e-6)
    assert (sure.greedy, wrong.greedy) == (True, False)


def test_training_mode_and_the_weights_stay_as_they_are() -> None:
    model = MODELS["bytes"]
    model.network.train()
    try:
        score(model, ["a"], ["b"])
        assert model.network.training
    finally:
        model.network.eval()


def test_what_cannot_be_scored() -> None:
    model = MODELS["bytes"]
    with pytest.raises(ZooError, match="one completion for each prompt: got 2 prompts and 1 completions"):
        score(model, ["a", "b"], ["c"])
    with pytest.raises(ZooError, match="the completion is empty"):
        score(model, ["a"], [""])
    with pytest.raises(ZooError, match="batch must be at least 1"):
        score(model, ["a"], ["b"], batch=0)
    assert score(model, ["a" * 127], ["bc"])[0].tokens == 2  # the last id is predicted, and not read
    with pytest.raises(ZooError, match=r"take 129 tokens, more than the context of 128"):
        score(model, ["a" * 128], ["bc"])
    words = WordTokenizer.fit(["one two"], split="spaces")
    with pytest.raises(ZooError, match="leaves nothing of the completion ' '"):
        score(random_model(words), ["one"], [" "])
    both_ways = TransformerConfig(vocabulary=257, context=8, width=8, depth=1, heads=1, patterns=(Dense(causal=False),))
    with pytest.raises(ZooError, match="reads both ways"):
        score(random_model(None, both_ways), ["a"], ["b"])
    assert score(model, [], []) == []
