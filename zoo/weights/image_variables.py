"""Image GPT's variables as OpenAI saved them (``model/wte``, ``model/h0/attn/q_proj``, ...). Chen et al. 2020.

Queries, keys, values and attention's output have an axis for heads, (heads, head width, width); other matrices are
(in, out). There are no biases. Every size shows in a shape, so nothing beside the variables is needed. The weights
trained on hidden pixels (section 2.1 of the paper) lack the vector of the start, ``model/sos``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from einops import rearrange
from torch import Tensor

from zoo.errors import ZooError
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import Classification
from zoo.weights import image_gpt
from zoo.weights.family import hidden_width
from zoo.weights.links import Link, same, transposed, viewed
from zoo.weights.tensors import TensorSource

START, CLASSES = "model/sos", "model/clf/wclf"


def settings(source: TensorSource) -> dict[str, Any]:
    """Return what the shapes of the variables say, in Hugging Face's words.

    Raises:
        ZooError: these are not Image GPT's variables.
    """
    names = set(source.names())

    def shape(name: str, axes: int) -> Sequence[int]:
        found = source.shape(name) if name in names else ()
        if len(found) != axes or not all(found):
            stated = f"is {found}" if name in names else "is missing"
            raise ZooError(
                f"{source.where}: variable {name!r} {stated}, so these are not Image GPT's; GPT-2's need hparams.json "
                "beside them, BERT's bert_config.json"
            )
        return found

    (colours, _), (context, width) = shape("model/wtet", 2), shape("model/wpe", 2)
    found = {
        "vocab_size": colours + (START in names),
        "n_positions": context,
        "n_embd": width,
        "n_layer": sum(re.fullmatch(r"model/h\d+/ln_1/g", name) is not None for name in names),
        "n_head": shape("model/h0/attn/q_proj", 3)[0],
        "n_inner": shape("model/h0/mlp/c_fc/w", 2)[1],
        "model_type": image_gpt.MODEL_TYPE if START in names else image_gpt.BERT_TYPE,
        "output_vocabulary": colours,
    }
    if CLASSES in names:
        found["id2label"] = _numbered(shape(CLASSES, 2)[0])
    return found


def config(settings: Mapping[str, Any], names: Collection[str] = ()) -> TransformerConfig:
    """Return the network that settings (see above) describe; ``names`` have nothing to add."""
    make = image_gpt.config if settings["model_type"] == image_gpt.MODEL_TYPE else image_gpt.bert_config
    return make(settings, [image_gpt.OUTPUT, *(["score.weight"] if "id2label" in settings else [])])


def settings_of(config: TransformerConfig) -> dict[str, Any]:
    """Return what the shapes of a network's variables will say."""
    made = {
        "vocab_size": config.vocabulary,
        "n_positions": config.context,
        "n_embd": config.width,
        "n_layer": config.depth,
        "n_head": config.heads,
        "n_inner": hidden_width(config),
        "model_type": image_gpt.MODEL_TYPE if config.causal else image_gpt.BERT_TYPE,
        "output_vocabulary": config.vocabulary - config.causal,
    }
    if isinstance(config.head, Classification):
        made["id2label"] = _numbered(len(config.head.labels))
    return made


def _numbered(count: int) -> dict[str, str]:
    return {str(index): f"LABEL_{index}" for index in range(count)}


def links(config: TransformerConfig) -> list[Link]:
    """Return the names of a network's variables."""
    return [
        _with_start("embedding.tokens.weight") if config.causal else same("embedding.tokens.weight", "model/wte"),
        same("embedding.positions.weight", "model/wpe"),
        *(link for layer in range(config.depth) for link in _block(layer, config)),
        same("final_norm.weight", "model/ln_f/g"),
        *([] if config.tied else [same("output.weight", "model/wtet")]),
        *([same("classifier.output.weight", CLASSES)] if isinstance(config.head, Classification) else []),
    ]


def _with_start(ours: str) -> Link:
    """The token table, and its last row, the start, as a variable of its own."""
    return Link(ours=ours, theirs=("model/wte", START), views=lambda table: (table[:-1], table[-1]))


def _block(layer: int, config: TransformerConfig) -> list[Link]:
    ours, theirs, heads = f"blocks.{layer}", f"model/h{layer}", config.heads

    def inputs(weight: Tensor) -> tuple[Tensor, ...]:
        return rearrange(weight, "(part head wide) width -> part head wide width", part=3, head=heads).unbind()

    def output(weight: Tensor) -> Tensor:
        return rearrange(weight, "width (head wide) -> head wide width", head=heads)

    return [
        same(f"{ours}.attention_norm.weight", f"{theirs}/ln_1/g"),
        Link(
            ours=f"{ours}.attention.input.weight",
            theirs=tuple(f"{theirs}/attn/{part}_proj" for part in "qkv"),
            views=inputs,
        ),
        viewed(f"{ours}.attention.output.weight", f"{theirs}/attn/c_proj", output),
        same(f"{ours}.feedforward_norm.weight", f"{theirs}/ln_2/g"),
        transposed(f"{ours}.feedforward.input.weight", f"{theirs}/mlp/c_fc/w"),
        transposed(f"{ours}.feedforward.output.weight", f"{theirs}/mlp/c_proj/w"),
    ]
