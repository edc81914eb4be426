"""BERT against Hugging Face's, through ``zoo.load``: both pre-training tasks, classification, spans, old names."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.parity.cases import Find, Numbers, case, close, hidden_states
from zoo.model import Model
from zoo.transformer.model import Transformer


def told(numbers: Numbers) -> dict[str, torch.Tensor]:
    return {"segments": numbers["in/token_type_ids"]}


@pytest.mark.parametrize("name", ["bert", "bert_hubnames"])
@torch.no_grad()
def test_pre_training(fixture_case: Find, name: str) -> None:
    model, numbers = case(fixture_case, name)
    ids, mask = numbers["in/ids"], numbers["in/attention_mask"]
    logits = model.logits(ids, mask=mask, conditions=told(numbers))
    close(logits, numbers["out/logits"], mask)
    if name == "bert":
        _pre_training_losses(model, numbers, logits)
        hidden_states(model, numbers, mask, **told(numbers))
        close(model.logits(ids), numbers["out/logits_ids_only"])


def _pre_training_losses(model: Model, numbers: Numbers, logits: torch.Tensor) -> None:
    ids, mask = numbers["in/ids"], numbers["in/attention_mask"]
    next_sentence = model.class_logits(ids, mask=mask, conditions=told(numbers))
    close(next_sentence, numbers["out/nsp_logits"])
    masked = functional.cross_entropy(logits.flatten(0, 1), numbers["in/mlm_labels"].flatten(), ignore_index=-100)
    second = functional.cross_entropy(next_sentence, numbers["in/nsp_labels"])
    close(masked, numbers["out/mlm_loss"])
    close(second, numbers["out/nsp_loss"])
    close(masked + second, numbers["out/loss"])
    network = model.network
    assert isinstance(network, Transformer)
    assert network.pooler is not None
    close(network.pooler(model.hidden_states(ids, mask=mask, conditions=told(numbers))[-1]), numbers["out/pooled"])
    assert network.labels == ("next", "random")


def test_classification(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "bert_cls")
    logits = model.class_logits(numbers["in/ids"], mask=numbers["in/attention_mask"], conditions=told(numbers))
    close(logits, numbers["out/logits"])
    close(functional.cross_entropy(logits, numbers["in/labels"]), numbers["out/loss"])


def test_spans(fixture_case: Find) -> None:
    model, numbers = case(fixture_case, "bert_qa")
    mask = numbers["in/attention_mask"]
    spans = model.class_logits(numbers["in/ids"], mask=mask, conditions=told(numbers))
    close(spans[..., 0], numbers["out/start_logits"], mask)
    close(spans[..., 1], numbers["out/end_logits"], mask)
