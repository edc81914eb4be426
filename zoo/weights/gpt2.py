"""GPT-2 in Hugging Face's layout (model type ``gpt2``).

The four matrices of a block are stored as (in, out) there. Hub folders leave out the prefix ``transformer.`` and hold
mask buffers. Radford et al. 2019; names as ``GPT2LMHeadModel`` writes them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from zoo.architecture import AnyNetwork
from zoo.errors import ZooError
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import Classification, Head, Last, MultiLabel, MultipleChoice, Span
from zoo.transformer.model import Transformer
from zoo.transformer.norm import LayerNorm
from zoo.weights.family import (
    CONFIG,
    Family,
    activation,
    activation_name,
    activation_of,
    architectures,
    classification,
    hidden_width,
    label_settings,
    labels,
    mlp,
    read_settings,
    refuse_difference,
)
from zoo.weights.links import Link, same, transposed

MODEL_TYPE = "gpt2"


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """The keys of ``config.json`` that say what is computed."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True


def config(settings: Mapping[str, Any], names: Collection[str] = ()) -> TransformerConfig:
    """Return the network that a Hugging Face ``config.json`` of model type ``gpt2`` describes.

    Args:
        settings: the whole of it.
        names: of the tensors, after ``normal_name``: they say whether there is an output matrix or a head.

    Raises:
        ZooError: a key is missing or of the wrong type, or asks for what the core does not have.
    """
    stated = read_settings(_Settings, settings)
    if stated.add_cross_attention:
        raise ZooError(f"{CONFIG}: add_cross_attention is not supported; set it to false")
    width = stated.n_embd
    inner = 4 * width if stated.n_inner is None else stated.n_inner
    return TransformerConfig(
        vocabulary=stated.vocab_size,
        context=stated.n_positions,
        width=width,
        depth=stated.n_layer,
        heads=stated.n_head,
        feedforward=mlp(activation(stated.activation_function, "activation_function"), inner, width),
        norm=LayerNorm(eps=stated.layer_norm_epsilon),
        dropout=stated.resid_pdrop,
        tied=stated.tie_word_embeddings or "lm_head.weight" not in names,
        head=head(settings, names),
    )


def head(settings: Mapping[str, Any], names: Collection[str]) -> Head | None:
    """Return the head that a GPT's tensors belong to."""
    architectures(settings)
    if "score.weight" in names:
        return classification(settings)(labels=labels(settings), pool=Last(), bias=False, dropout=0.0)
    if "multiple_choice_head.summary.weight" in names:
        return _multiple_choice(settings)
    return Span() if "qa_outputs.weight" in names else None


@dataclass(frozen=True, kw_only=True)
class _Summary:
    summary_type: str = "cls_index"
    summary_activation: str | None = None
    summary_first_dropout: float = 0.1


def _multiple_choice(settings: Mapping[str, Any]) -> MultipleChoice:
    stated = read_settings(_Summary, settings)
    if stated.summary_type not in ("cls_index", "last"):
        raise ZooError(f"{CONFIG}: summary_type '{stated.summary_type[:40]}' is not supported; only cls_index and last")
    if stated.summary_activation is not None:
        raise ZooError(f"{CONFIG}: summary_activation '{stated.summary_activation[:40]}' is not supported; only null")
    return MultipleChoice(pool=Last(), dropout=stated.summary_first_dropout)


def settings(config: TransformerConfig) -> dict[str, Any]:
    """Return what ``config.json`` says of a network, tokens aside.

    Raises:
        ZooError: naming what GPT-2's layout cannot express.
    """
    made = _settings(config)
    refuse_difference(MODEL_TYPE, config, _rebuilt(made, config))
    return made


def _rebuilt(made: Mapping[str, Any], network: TransformerConfig) -> TransformerConfig:
    return config(made, [name for link in links(network) for name in link.theirs])


def _settings(config: TransformerConfig) -> dict[str, Any]:
    return {
        "architectures": [_ARCHITECTURES[type(config.head)]],
        "model_type": MODEL_TYPE,
        **sizes(config),
        "tie_word_embeddings": config.tied,
        **summary_settings(config.head),
        **label_settings(config.head),
    }


def sizes(config: TransformerConfig) -> dict[str, Any]:
    """Return the settings of the blocks, the same in GPT-2 and Image GPT."""
    inner = hidden_width(config)
    return {
        "vocab_size": config.vocabulary,
        "n_positions": config.context,
        "n_embd": config.width,
        "n_layer": config.depth,
        "n_head": config.heads,
        "n_inner": None if inner == 4 * config.width else inner,
        "activation_function": activation_name(activation_of(config)),
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.weight_dropout,
        "layer_norm_epsilon": config.norm.eps,
        "initializer_range": 0.02,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False,
    }


_ARCHITECTURES: dict[type, str] = {
    type(None): "GPT2LMHeadModel",
    Classification: "GPT2ForSequenceClassification",
    MultiLabel: "GPT2ForSequenceClassification",
    MultipleChoice: "GPT2DoubleHeadsModel",
    Span: "GPT2ForQuestionAnswering",
}


def summary_settings(head: Head | None) -> dict[str, Any]:
    """Return how a multiple-choice head looks at a sequence: at its last token, with one linear layer."""
    return {
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "summary_proj_to_labels": True,
        "summary_activation": None,
        "summary_first_dropout": head.dropout if isinstance(head, MultipleChoice) else 0.1,
    }


def links(config: TransformerConfig) -> list[Link]:
    """Return the names of a network's weights in GPT-2's layout."""
    return [
        same("embedding.tokens.weight", "transformer.wte.weight"),
        same("embedding.positions.weight", "transformer.wpe.weight"),
        *(link for layer in range(config.depth) for link in block_links(layer, config)),
        *_norm("final_norm", "transformer.ln_f", config),
        *([] if config.tied else [same("output.weight", "lm_head.weight")]),
        *head_links(config.head),
    ]


def block_links(layer: int, config: TransformerConfig) -> list[Link]:
    """Return the names of one block's weights, the same in GPT-1, GPT-2 and Image GPT."""
    ours, theirs = f"blocks.{layer}", f"transformer.h.{layer}"
    return [
        *_norm(f"{ours}.attention_norm", f"{theirs}.ln_1", config),
        *_linear(f"{ours}.attention.input", f"{theirs}.attn.c_attn", config),
        *_linear(f"{ours}.attention.output", f"{theirs}.attn.c_proj", config),
        *_norm(f"{ours}.feedforward_norm", f"{theirs}.ln_2", config),
        *_linear(f"{ours}.feedforward.input", f"{theirs}.mlp.c_fc", config),
        *_linear(f"{ours}.feedforward.output", f"{theirs}.mlp.c_proj", config),
    ]


def _norm(ours: str, theirs: str, config: TransformerConfig) -> list[Link]:
    bias = isinstance(config.norm, LayerNorm) and config.norm.bias
    return [same(f"{ours}.{part}", f"{theirs}.{part}") for part in ("weight", "bias")[: 1 + bias]]


def _linear(ours: str, theirs: str, config: TransformerConfig) -> list[Link]:
    weight = transposed(f"{ours}.weight", f"{theirs}.weight")
    return [weight, same(f"{ours}.bias", f"{theirs}.bias")] if config.bias else [weight]


def head_links(head: Head | None) -> list[Link]:
    """Return the names of a head's weights, the same in GPT-1 and GPT-2."""
    if head is None:
        return []
    names = {Classification: "score", MultipleChoice: "multiple_choice_head.summary", Span: "qa_outputs"}
    theirs = next(name for kind, name in names.items() if isinstance(head, kind))
    bias = not isinstance(head, Classification) or head.bias
    return [same(f"classifier.output.{part}", f"{theirs}.{part}") for part in ("weight", "bias")[: 1 + bias]]


_MASKS = re.compile(r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias")
_BARE = re.compile(r"(wte|wpe|h|ln_f)\..*", re.DOTALL)


def normal_name(name: str) -> str | None:
    """Return today's name of a tensor: old folders leave out the prefix. None for mask buffers."""
    if _MASKS.fullmatch(name):
        return None
    return f"transformer.{name}" if _BARE.fullmatch(name) else name


@torch.no_grad()
def finish(network: AnyNetwork, settings: Mapping[str, Any]) -> None:
    """Fold other scales of the attention scores than ``1 / sqrt(head_width)`` into the queries."""
    assert isinstance(network, Transformer)
    stated = read_settings(_Settings, settings)
    scale = 1.0 if stated.scale_attn_weights else network.config.head_width**0.5
    for layer, block in enumerate(network.layers()):
        factor = scale / (layer + 1 if stated.scale_attn_by_inverse_layer_idx else 1)
        if factor != 1:
            for parameter in block.attention.input.parameters():
                parameter[: network.config.attention_width] *= factor


FAMILY = Family(
    model_type=MODEL_TYPE,
    config=config,
    settings=settings,
    links=links,
    normal_name=normal_name,
    copies={"lm_head.weight": "transformer.wte.weight"},
    finish=finish,
)
