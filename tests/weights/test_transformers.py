"""Hugging Face's own classes read what we write and write what we read: the same logits both ways."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo
from zoo.model import Model
from zoo.transformer.model import Transformer
from zoo.weights import huggingface
from zoo.weights.tensors import named_weights

transformers = pytest.importorskip("transformers")

GPT = {"vocab_size": 61, "n_positions": 24, "n_embd": 32, "n_layer": 3, "n_head": 4, "pad_token_id": 0}
NO_ENDS = {"bos_token_id": None, "eos_token_id": None}
BERT = {
    "vocab_size": 61,
    "max_position_embeddings": 24,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 72,
}
THREE = {"num_labels": 3, "id2label": {0: "bad", 1: "fair", 2: "good"}, "label2id": {"bad": 0, "fair": 1, "good": 2}}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt1": ("OpenAIGPTLMHeadModel", GPT),
    "gpt1 without a head": ("OpenAIGPTModel", GPT),
    "gpt1 relu, untied": ("OpenAIGPTLMHeadModel", {**GPT, "afn": "relu", "tie_word_embeddings": False}),
    "gpt1 two heads": ("OpenAIGPTDoubleHeadsModel", GPT),
    "gpt1 classification": ("OpenAIGPTForSequenceClassification", {**GPT, **THREE}),
    "gpt2": ("GPT2LMHeadModel", GPT),
    "gpt2 without a head": ("GPT2Model", GPT),
    "gpt2 untied": ("GPT2LMHeadModel", {**GPT, "tie_word_embeddings": False}),
    "gpt2 scales": ("GPT2LMHeadModel", {**GPT, "scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True}),
    "gpt2 upcast": (
        "GPT2LMHeadModel",
        {**GPT, "scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
    ),
    "gpt2 inner": (
        "GPT2LMHeadModel",
        {**GPT, "n_inner": 83, "activation_function": "relu", "layer_norm_epsilon": 1e-3},
    ),
    "gpt2 two heads": ("GPT2DoubleHeadsModel", GPT),
    "gpt2 classification": ("GPT2ForSequenceClassification", {**GPT, **THREE}),
    "gpt2 span": ("GPT2ForQuestionAnswering", GPT),
    "bert": ("BertForPreTraining", BERT),
    "bert masked": ("BertForMaskedLM", {**BERT, "hidden_act": "gelu_new"}),
    "bert untied": ("BertForMaskedLM", {**BERT, "tie_word_embeddings": False}),
    "bert without a head": ("BertModel", BERT),
    "bert next sentence": ("BertForNextSentencePrediction", BERT),
    "bert classification": ("BertForSequenceClassification", {**BERT, **THREE}),
    "bert multiple choice": ("BertForMultipleChoice", BERT),
    "bert span": ("BertForQuestionAnswering", {**BERT, "type_vocab_size": 1}),
}


def theirs(case: str) -> Any:
    """Return a random model of theirs in which every weight counts: gains and offsets are drawn too."""
    name, settings = CASES[case]
    kind = getattr(transformers, name)
    torch.manual_seed(len(case))
    model = kind(kind.config_class(**settings, **({} if name.startswith("Bert") else NO_ENDS))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def ids() -> Tensor:
    return torch.randint(1, 61, (3, 24), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def difference(model: Any, ours: Model) -> float:
    """Return the greatest difference between the outputs of their model and of ours."""
    rows = ids()
    name = type(model).__name__
    logits, states = ours.logits(rows), ours.hidden_states(rows)
    given = rows[:, None] if "DoubleHeads" in name or "MultipleChoice" in name else rows
    out = model(input_ids=given, output_hidden_states=True)
    last = out.hidden_states[-1].reshape(states[-1].shape)
    pairs = [(states[-1], last)]
    if name.endswith(("LMHeadModel", "MaskedLM", "DoubleHeadsModel")):
        pairs.append((logits, out.logits.reshape(logits.shape)))
    if name == "BertForPreTraining":
        pairs += [(logits, out.prediction_logits), (ours.class_logits(rows), out.seq_relationship_logits)]
    if name == "BertModel":
        assert isinstance(ours.network, Transformer)
        assert ours.network.pooler is not None
        pairs.append((ours.network.pooler(states[-1]), out.pooler_output))
    if name.endswith(("SequenceClassification", "MultipleChoice", "NextSentencePrediction")):
        classes = ours.class_logits(rows)
        pairs.append((classes, out.logits.reshape(classes.shape)))
    if "DoubleHeads" in name:
        pairs.append((ours.class_logits(rows), out.mc_logits))
    if name.endswith("QuestionAnswering"):
        pairs.append((ours.class_logits(rows), torch.stack((out.start_logits, out.end_logits), dim=-1)))
    return max(float((left - right).abs().max()) for left, right in pairs)


def reloaded(folder: Path) -> Any:
    """Load a folder by the class that it names, and see to it that transformers missed nothing."""
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, report = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    return model.eval()


def weights(model: Model) -> Mapping[str, Tensor]:
    return named_weights(model.network)


@pytest.mark.parametrize("case", CASES)
def test_both_ways(tmp_path: Path, case: str) -> None:
    model = theirs(case)
    model.save_pretrained(tmp_path / "theirs")
    ours = zoo.load(tmp_path / "theirs", device="cpu")
    assert difference(model, ours) < 2e-5

    huggingface.write(tmp_path / "ours", ours.network, ours.tokenizer)
    back = reloaded(tmp_path / "ours")
    back.config.pad_token_id = model.config.pad_token_id
    assert difference(back, ours) < 2e-5
    again = zoo.load(tmp_path / "ours", device="cpu")
    assert again.config == ours.config or case.startswith("bert")  # a dropout that theirs does not keep
    assert weights(again).keys() == weights(ours).keys()
    assert all(torch.equal(weights(again)[name], weight) for name, weight in weights(ours).items())


@pytest.mark.parametrize("case", ["gpt1 two heads", "gpt2", "bert"])
def test_shards(tmp_path: Path, case: str) -> None:
    model = theirs(case)
    model.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    assert (tmp_path / "theirs" / "model.safetensors.index.json").is_file()
    ours = zoo.load(tmp_path / "theirs", device="cpu")
    assert difference(model, ours) < 2e-5
    huggingface.write(tmp_path / "ours", ours.network, ours.tokenizer, shard_bytes=20_000)
    assert len(list((tmp_path / "ours").glob("model-*-of-*.safetensors"))) > 3
    assert difference(reloaded(tmp_path / "ours"), ours) < 2e-5
    again = zoo.load(tmp_path / "ours", device="cpu")
    assert all(torch.equal(weights(again)[name], weight) for name, weight in weights(ours).items())


def test_bfloat16_stays_bfloat16(tmp_path: Path) -> None:
    theirs("gpt2").save_pretrained(tmp_path / "theirs")
    ours = zoo.load(tmp_path / "theirs", device="cpu", dtype="bfloat16")
    huggingface.write(tmp_path / "ours", ours.network, ours.tokenizer)
    back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype="auto")
    assert back.dtype == torch.bfloat16
    assert torch.equal(back.transformer.h[0].attn.c_attn.weight.T, weights(ours)["blocks.0.attention.input.weight"])


def test_a_masked_model_with_a_head_keeps_both(tmp_path: Path) -> None:
    """No class of theirs has both; theirs reads the head, ours reads all."""
    theirs("bert").save_pretrained(tmp_path / "theirs")
    import dataclasses

    from zoo.architecture import build_network
    from zoo.transformer.heads import Classification, First

    config = zoo.load(tmp_path / "theirs", device="cpu").config
    head = Classification(labels=("no", "yes", "maybe"), pool=First())
    model = Model(build_network(dataclasses.replace(config, head=head)), None)
    huggingface.write(tmp_path / "ours", model.network, model.tokenizer)
    back = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "ours").eval()
    assert difference(back, model) < 2e-5
    assert back.config.id2label == {0: "no", 1: "yes", 2: "maybe"}
    again = zoo.load(tmp_path / "ours", device="cpu")
    assert float((again.logits(ids()) - model.logits(ids())).abs().max()) == 0


def test_gpt3_is_not_read_as_gpt2(tmp_path: Path) -> None:
    import dataclasses

    from zoo.architecture import build_network
    from zoo.transformer.patterns import Banded, Dense

    theirs("gpt2").save_pretrained(tmp_path / "theirs")
    config = zoo.load(tmp_path / "theirs", device="cpu").config
    banded = Model(build_network(dataclasses.replace(config, patterns=(Dense(), Banded(window=5)))), None)
    huggingface.write(tmp_path / "ours", banded.network, banded.tokenizer)
    with pytest.raises(ValueError, match="gpt3"):
        transformers.AutoConfig.from_pretrained(tmp_path / "ours")
    again = zoo.load(tmp_path / "ours", device="cpu")
    assert again.config == banded.config
    assert torch.equal(again.logits(ids()), banded.logits(ids()))
