"""GPT-2's weights under the names that Hugging Face's transformers gives them.

The four matrices of a block are stored as (in, out) there, so they are transposed for ``nn.Linear``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.errors import ZooError
from zoo.transformer.config import TransformerConfig
from zoo.transformer.feedforward import ActivationName, Mlp
from zoo.transformer.norm import LayerNorm

_ACTIVATIONS: dict[str, ActivationName] = {
    "gelu_new": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
    "quick_gelu": "quick_gelu",
}
_OUTSIDE = {"wte.weight": "embedding.tokens.weight", "wpe.weight": "embedding.positions.weight"}
_PARTS = {
    "ln_1": "attention_norm",
    "attn.c_attn": "attention.input",
    "attn.c_proj": "attention.output",
    "ln_2": "feedforward_norm",
    "mlp.c_fc": "feedforward.input",
    "mlp.c_proj": "feedforward.output",
}
_MASKS = re.compile(r"h\.\d+\.attn\.(masked_)?bias")
"""Buffers of old checkpoints; they hold no weights."""


def config(settings: Mapping[str, Any]) -> TransformerConfig:
    """Return the network that a Hugging Face ``config.json`` of model type ``gpt2`` describes.

    Raises:
        ZooError: a missing key, or an activation that the core does not have.
    """
    try:
        width = settings["n_embd"]
        activation = settings.get("activation_function", "gelu_new")
        if activation not in _ACTIVATIONS:
            raise ZooError(f"config.json: activation_function '{activation}' is not one of {', '.join(_ACTIVATIONS)}")
        return TransformerConfig(
            vocabulary=settings["vocab_size"],
            context=settings["n_positions"],
            width=width,
            depth=settings["n_layer"],
            heads=settings["n_head"],
            feedforward=Mlp(activation=_ACTIVATIONS[activation], ratio=(settings.get("n_inner") or 4 * width) / width),
            norm=LayerNorm(eps=settings.get("layer_norm_epsilon", 1e-5)),
            dropout=settings.get("resid_pdrop", 0.0),
        )
    except KeyError as error:
        raise ZooError(f"config.json: missing key {error}") from None


def tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under our names, matrices transposed; ``transformer.`` before a name may be there or not.

    Raises:
        ZooError: a name that GPT-2 does not have.
    """
    renamed = {}
    for name, tensor in state.items():
        short = name.removeprefix("transformer.")
        if _MASKS.fullmatch(short) or short == "lm_head.weight":
            continue  # the output matrix is the token table
        renamed[_rename(short, name)] = tensor.t() if re.search(r"c_(attn|proj|fc)\.weight$", short) else tensor
    return renamed


def _rename(short: str, name: str) -> str:
    if short in _OUTSIDE:
        return _OUTSIDE[short]
    if match := re.fullmatch(r"ln_f\.(weight|bias)", short):
        return f"final_norm.{match[1]}"
    match = re.fullmatch(r"h\.(\d+)\.(.+)\.(weight|bias)", short)
    if match is None or match[2] not in _PARTS:
        raise ZooError(f"unexpected tensor '{name}'; a GPT-2 has h.N.attn, h.N.mlp, h.N.ln_1, h.N.ln_2, wte, wpe, ln_f")
    return f"blocks.{match[1]}.{_PARTS[match[2]]}.{match[3]}"
