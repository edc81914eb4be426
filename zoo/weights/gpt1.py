"""GPT-1 in Hugging Face's layout (model type ``openai-gpt``). Radford et al. 2018.

The two-headed model is stored with its token table under the name of the output matrix.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.errors import ZooError
from zoo.transformer.block import PostNorm
from zoo.transformer.config import TransformerConfig
from zoo.transformer.feedforward import ActivationName, Mlp
from zoo.transformer.heads import Classification, MultiLabel, MultipleChoice
from zoo.transformer.initial import NormalInitial
from zoo.transformer.norm import LayerNorm
from zoo.weights.family import (
    Family,
    activation,
    activation_name,
    activation_of,
    hidden_width,
    label_settings,
    read_settings,
    refuse_difference,
)
from zoo.weights.gpt2 import block_links, head, head_links, summary_settings
from zoo.weights.links import Link, same

MODEL_TYPE = "openai-gpt"

_ACTIVATIONS: dict[str, ActivationName] = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}
"""In this family ``gelu`` means the tanh form."""


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """The keys of ``config.json`` that say what is computed."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int
    afn: str = "gelu"
    resid_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    tie_word_embeddings: bool = True


def config(settings: Mapping[str, Any], names: Collection[str] = ()) -> TransformerConfig:
    """Return the network that a Hugging Face ``config.json`` of model type ``openai-gpt`` describes.

    Args:
        settings: the whole of it.
        names: of the tensors, after ``normal_name``: they say whether there is an output matrix or a head.

    Raises:
        ZooError: a key is missing or of the wrong type, or asks for what the core does not have.
    """
    stated = read_settings(_Settings, settings)
    return TransformerConfig(
        vocabulary=stated.vocab_size,
        context=stated.n_positions,
        width=stated.n_embd,
        depth=stated.n_layer,
        heads=stated.n_head,
        feedforward=Mlp(activation=activation(stated.afn, "afn", _ACTIVATIONS)),
        norm=LayerNorm(eps=stated.layer_norm_epsilon),
        block=PostNorm(),
        final_norm=False,
        dropout=stated.resid_pdrop,
        tied=stated.tie_word_embeddings or "lm_head.weight" not in names,
        head=head(settings, names),
        initial=NormalInitial(),
    )


def settings(config: TransformerConfig) -> dict[str, Any]:
    """Return what ``config.json`` says of a network, tokens aside.

    Raises:
        ZooError: naming what GPT-1's layout cannot express.
    """
    if hidden_width(config) != 4 * config.width or type(config.head) not in _ARCHITECTURES:
        what = "feedforward" if type(config.head) in _ARCHITECTURES else "head=span"
        raise ZooError(f"Hugging Face's {MODEL_TYPE} cannot express this {what}; save this model in zoo's own format")
    made = _settings(config)
    refuse_difference(MODEL_TYPE, config, _rebuilt(made, config))
    return made


def _rebuilt(made: Mapping[str, Any], network: TransformerConfig) -> TransformerConfig:
    return config(made, [name for link in links(network) for name in link.theirs])


def _settings(config: TransformerConfig) -> dict[str, Any]:
    return {
        "architectures": [_ARCHITECTURES[type(config.head)]],
        "model_type": MODEL_TYPE,
        "vocab_size": config.vocabulary,
        "n_positions": config.context,
        "n_embd": config.width,
        "n_layer": config.depth,
        "n_head": config.heads,
        "afn": activation_name(activation_of(config), _ACTIVATIONS),
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.weight_dropout,
        "layer_norm_epsilon": config.norm.eps,
        "initializer_range": 0.02,
        "tie_word_embeddings": config.tied,
        **summary_settings(config.head),
        **label_settings(config.head),
    }


_ARCHITECTURES: dict[type, str] = {
    type(None): "OpenAIGPTLMHeadModel",
    Classification: "OpenAIGPTForSequenceClassification",
    MultiLabel: "OpenAIGPTForSequenceClassification",
    MultipleChoice: "OpenAIGPTDoubleHeadsModel",
}


def links(config: TransformerConfig) -> list[Link]:
    """Return the names of a network's weights in GPT-1's layout."""
    return [
        same("embedding.tokens.weight", _TABLE),
        same("embedding.positions.weight", "transformer.positions_embed.weight"),
        *(link for layer in range(config.depth) for link in block_links(layer, config)),
        *([] if config.tied else [same("output.weight", "lm_head.weight")]),
        *head_links(config.head),
    ]


_TABLE = "transformer.tokens_embed.weight"
_BUFFERS = re.compile(r"(transformer\.)?(position_ids|h\.\d+\.attn\.bias)")
_BARE = re.compile(r"(tokens_embed|positions_embed|h)\..*", re.DOTALL)


def normal_name(name: str) -> str | None:
    """Return today's name of a tensor: old folders leave out the prefix. None for buffers."""
    if _BUFFERS.fullmatch(name):
        return None
    return f"transformer.{name}" if _BARE.fullmatch(name) else name


FAMILY = Family(
    model_type=MODEL_TYPE,
    config=config,
    settings=settings,
    links=links,
    normal_name=normal_name,
    copies={"lm_head.weight": _TABLE},
)
