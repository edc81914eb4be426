"""Texts with [MASK] in Python: what the model reads, and how the words are put into the user's own text."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from zoo.errors import ZooError
from zoo.model import Model
from zoo.tokenizers.text.settings import Byte, Wordpiece
from zoo.tokenizers.text.wordpiece import SPECIALS, WordpieceTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import OutputTransform
from zoo.transformer.initial import NormalInitial
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Dense

PIECES = [*SPECIALS, "the", "capital", "of", "france", "is", "paris", "dog", "##s", ",", ".", "(", "##x", "a"]
TOKENIZER = WordpieceTokenizer(PIECES)
CONFIG = TransformerConfig(
    vocabulary=len(PIECES), context=16, width=16, depth=2, heads=2, segments=2, patterns=(Dense(causal=False),),
    output_transform=OutputTransform(), initial=NormalInitial(deviation=0.5),
)  # fmt: skip


def model(*, favourite: str | None = None, config: TransformerConfig = CONFIG) -> Model:
    """Return a model with random weights, which prefers one piece everywhere if asked to."""
    torch.manual_seed(1)
    network = Transformer(config)
    if favourite is not None:
        assert network.transform is not None
        with torch.no_grad():
            network.transform.bias[PIECES.index(favourite)] = 50.0
    return Model(network, TOKENIZER)


def test_what_the_model_reads_and_says() -> None:
    filler = model()
    filled = filler.fill("The [MASK] of France is [MASK].", count=3)
    read = [2, 5, 4, 7, 8, 9, 4, 14, 3]
    best = [mask.candidates[0].id for mask in filled.masks]
    assert filled.ids.tolist() == [2, 5, best[0], 7, 8, 9, best[1], 14, 3]
    assert [mask.position for mask in filled.masks] == [2, 6]
    logits = filler.logits(torch.tensor([read]), conditions={"segments": torch.zeros(1, 9, dtype=torch.int64)})
    for mask in filled.masks:
        expected = logits[0, mask.position].softmax(0)
        for candidate in mask.candidates:
            assert candidate.probability == pytest.approx(float(expected[candidate.id]), rel=1e-4)
            assert candidate.text == TOKENIZER.decode(torch.tensor([candidate.id]))
        assert [one.id for one in mask.candidates] == expected.topk(3).indices.tolist()


@pytest.mark.parametrize(
    ("favourite", "prompt", "text"),
    [
        ("paris", "The capital of  FRANCE is [MASK].", "The capital of  FRANCE is paris."),
        ("##s", "Two dog [MASK] of (the [MASK]", "Two dogs of (thes"),
        (",", "The dog [MASK] a dog\n[MASK] the", "The dog, a dog, the"),
        ("dog", "[MASK]", "dog"),
        ("dog", "a[MASK]a ([MASK])", "adoga (dog)"),
        ("##s", "[MASK] dog", "s dog"),
        ("a", "the [SEP] [MASK] [mask]", "the [SEP] a [mask]"),
    ],
)
def test_pieces_come_into_the_text_as_it_was_written(favourite: str, prompt: str, text: str) -> None:
    filler = model(favourite=favourite)
    filled = filler.fill(prompt)
    assert (filled.prompt, filled.text) == (prompt, text)
    assert filler.generate(prompt) == text
    assert "".join(filler.stream(prompt)) == text
    assert filler.generate([prompt, prompt], seed=4) == [text, text]


def test_special_tokens_in_the_text_are_not_doubled_and_part_it() -> None:
    filler = model()
    plain, given = filler.fill("a [MASK]"), filler.fill("[CLS] a [MASK] [SEP]")
    assert torch.equal(plain.ids, given.ids)
    pair = "the [SEP] dog [MASK]"
    segments = torch.tensor([[0, 0, 0, 1, 1, 1]])
    expected = filler.logits(torch.tensor([[2, 5, 3, 11, 4, 3]]), conditions={"segments": segments})[0, 4].softmax(0)
    (mask,) = filler.fill(pair).masks
    assert mask.candidates[0].probability == pytest.approx(float(expected.max()), rel=1e-4)
    assert model(config=dataclasses.replace(CONFIG, segments=0)).fill(pair).ids.tolist()[:4] == [2, 5, 3, 11]


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([[0, 1]], r"segments: expected a tensor of the shape of ids \(1, 2\), got list"),
        (torch.zeros(1, 3, dtype=torch.int64), r"expected a tensor of the shape of ids \(1, 2\), got \(1, 3\)"),
        (torch.tensor([[0, 2]]), "segments: expected int64 from 0 to 1"),
        (torch.tensor([[-1, 0]]), "segments: expected int64 from 0 to 1"),
        (torch.zeros(1, 2), "segments: expected int64 from 0 to 1"),
    ],
)
def test_segments_that_do_not_fit_the_ids(segments: Any, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        model().logits(torch.tensor([[2, 3]]), conditions={"segments": segments})


def test_the_order_of_filling() -> None:
    text = "[MASK] the [MASK] a [MASK]"
    at_once, one_by_one = model().fill(text), model().fill(text, order="one_by_one")
    surest = max(range(3), key=lambda mask: at_once.masks[mask].candidates[0].probability)
    assert one_by_one.masks[surest] == at_once.masks[surest]  # it was filled first
    assert one_by_one.masks[surest - 1] != at_once.masks[surest - 1]
    with pytest.raises(ZooError, match="order: 'left' is not possible; choose one of: at_once, one_by_one"):
        model().fill("[MASK]", order="left")  # type: ignore[arg-type]  # wrong on purpose


def test_drawn_samples_have_their_prompts() -> None:
    (one,) = model(favourite="dog").draw("a [MASK]", seed=7)
    assert (one.prompt, one.sample, one.seed) == ("a [MASK]", "a dog", 7)
    assert one.ids.tolist() == [2, 17, 11, 3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.5}, "nothing is drawn; leave out temperature"),
        ({"max_new_tokens": 3, "top_k": 2, "count": 2}, "leave out max_new_tokens, top_k, count"),
        ({"stop": "x"}, "leave out stop"),
        ({"conditions": {"label": 1}}, "takes no conditions, got label"),
    ],
)
def test_settings_of_drawing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ZooError, match=message):
        model().generate("a [MASK]", **settings)


def test_what_cannot_be_filled() -> None:
    filler = model()
    for prompt in ("the dog", "", None, "[mask]"):
        with pytest.raises(ZooError, match=r"fills gaps and does not write on: say where with \[MASK\]"):
            filler.generate(prompt)
    with pytest.raises(ZooError, match="count: must be a whole number of at least 1, got 0"):
        filler.fill("[MASK]", count=0)
    with pytest.raises(ZooError, match="has 22 ids with"):
        filler.fill("[MASK] " * 20)
    for write in (lambda: filler.generate_ids(torch.tensor([[2, 4]])), lambda: filler.next_token_probabilities("a")):
        with pytest.raises(ZooError, match="sees both sides of a token and does not write on"):
            write()
    causal = dataclasses.replace(CONFIG, patterns=(Dense(),))
    with pytest.raises(ZooError, match="writes on from a text and fills no gaps; use generate"):
        model(config=causal).fill("[MASK]")
    assert isinstance(model(config=causal).generate("a [MASK]", max_new_tokens=2), str)  # there it is text
    byte = Byte().fit([])
    other = Model(Transformer(dataclasses.replace(CONFIG, vocabulary=byte.spec.vocabulary_size)), byte)
    with pytest.raises(ZooError, match=r"the tokenizer 'byte' has no \[MASK\]"):
        other.generate("a [MASK]")


def test_ids_beyond_the_tokenizer_are_never_filled_in() -> None:
    wide = dataclasses.replace(CONFIG, vocabulary=len(PIECES) + 10)
    torch.manual_seed(0)
    network = Transformer(wide)
    assert network.transform is not None
    with torch.no_grad():
        network.transform.bias[len(PIECES) :] = 50.0
    (mask,) = Model(network, TOKENIZER).fill("a [MASK]", count=99).masks
    known = [one for one in mask.candidates if one.probability > 0]
    assert max(one.id for one in known) < len(PIECES)
    assert sum(one.probability for one in known) == pytest.approx(1.0, rel=1e-5)


def test_a_trained_vocabulary_masks_too() -> None:
    tokenizer = Wordpiece(vocabulary=40).fit(["the dog saw the dogs"])
    config = dataclasses.replace(CONFIG, vocabulary=tokenizer.spec.vocabulary_size)
    assert "[MASK]" not in Model(Transformer(config), tokenizer).generate("the [MASK] saw")
