"""GPT-2 against Hugging Face's, through ``zoo.load``: names old and new, options, left padding, classification."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import zoo
from tests.parity.cases import Find, case, close, greedy, hidden_states, next_loss


def test_language_model(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "gpt2")
    logits = model.logits(numbers["in/ids"])
    close(logits, numbers["out/logits"])
    close(next_loss(logits, numbers["in/ids"]), numbers["out/loss"])
    hidden_states(model, numbers)
    expected = numbers["out/greedy"]
    prompt = int((numbers["in/ids"] == expected[:, : numbers["in/ids"].shape[1]]).all(0).sum())
    greedy(model, expected, prompt)


def test_rows_padded_on_the_left(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "gpt2")
    ids, mask = numbers["in/leftpad_ids"], numbers["in/leftpad_mask"]
    assert not bool(mask[:, 0].all())
    close(model.logits(ids, mask=mask)[:, -1], numbers["out/leftpad_last_logits"])
    greedy(model, numbers["out/leftpad_greedy"], ids.shape[1], mask)


@pytest.mark.parametrize("name", ["gpt2_hubnames", "gpt2_options"])
def test_old_names_and_options(fixture_case: Find, name: str) -> None:
    model, numbers = case(fixture_case, name)
    logits = model.logits(numbers["in/ids"])
    close(logits, numbers["out/logits"])
    if "out/loss" in numbers:
        close(next_loss(logits, numbers["in/ids"]), numbers["out/loss"])


def test_classification(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "gpt2_cls")
    logits = model.class_logits(numbers["in/ids"], mask=(numbers["in/ids"] != 0).long())
    close(logits, numbers["out/logits"])
    close(model.class_logits(numbers["in/ids"]), numbers["out/logits"])  # its pad id is known
    close(functional.cross_entropy(logits, numbers["in/labels"]), numbers["out/loss"])


def test_a_shorter_type_stays_near(fixture_case: Find) -> None:
    folder = fixture_case("text-image/gpt2")
    exact, numbers = case(fixture_case, "gpt2")
    short = zoo.load(folder, device="cpu", dtype="bfloat16")
    assert next(short.network.parameters()).dtype == torch.bfloat16
    difference = (short.logits(numbers["in/ids"]) - exact.logits(numbers["in/ids"])).abs().mean()
    assert float(difference) < 0.1  # logits have a deviation of 4
