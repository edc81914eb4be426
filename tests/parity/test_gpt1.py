"""GPT-1 against Hugging Face's, through ``zoo.load``: language model, two heads, classification."""

from __future__ import annotations

import torch
from torch.nn import functional

from tests.parity.cases import Find, case, close, greedy, hidden_states, next_loss


def test_language_model(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "gpt1")
    logits = model.logits(numbers["in/ids"])
    close(logits, numbers["out/logits"])
    close(next_loss(logits, numbers["in/ids"]), numbers["out/loss"])
    hidden_states(model, numbers)
    prompt = numbers["in/greedy_prompt"]
    assert torch.equal(numbers["out/greedy"][:, : prompt.shape[1]], prompt)
    greedy(model, numbers["out/greedy"], prompt.shape[1])


def test_two_heads_whose_table_is_stored_as_the_output_matrix(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "gpt1_double_heads")
    ids, at = numbers["in/ids"], numbers["in/mc_token_ids"].flatten()
    rows = ids.flatten(0, 1)
    logits = model.logits(rows).unflatten(0, ids.shape[:2])
    close(logits, numbers["out/lm_logits"])
    close(next_loss(logits, ids), numbers["out/lm_loss"])
    seen = (torch.arange(ids.shape[-1]) <= at[:, None]).long()  # the head looks at the last id that is no padding
    choices = model.class_logits(rows, mask=seen).view(ids.shape[:2])
    close(choices, numbers["out/mc_logits"])
    close(functional.cross_entropy(choices, numbers["in/mc_labels"]), numbers["out/mc_loss"])


def test_classification(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "gpt1_cls")
    close(model.class_logits(numbers["in/ids"], mask=(numbers["in/ids"] != 0).long()), numbers["out/logits"])
    close(model.class_logits(numbers["in/ids"]), numbers["out/logits"])  # its pad id is known
