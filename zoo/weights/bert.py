"""BERT in Hugging Face's layout (model type ``bert``). Devlin et al. 2018.

Old folders call gain and offset of a norm ``gamma`` and ``beta``; ``BertModel`` alone leaves out the prefix ``bert.``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.errors import ZooError
from zoo.transformer.block import PostNorm
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import Classification, First, Head, MultiLabel, MultipleChoice, OutputTransform, Span
from zoo.transformer.initial import BertInitial
from zoo.transformer.norm import LayerNorm
from zoo.transformer.patterns import Dense
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
from zoo.weights.links import Link, same, stacked

MODEL_TYPE = "bert"
NEXT_SENTENCE = Classification(labels=("next", "random"), pool=First(), bias=True, dropout=0.0)
"""Does the second part follow the first? Section 3.1, task 2; 0 is yes."""


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """The keys of ``config.json`` that say what is computed."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    classifier_dropout: float | None = None
    position_embedding_type: str = "absolute"
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True


def config(settings: Mapping[str, Any], names: Collection[str] = ()) -> TransformerConfig:
    """Return the network that a Hugging Face ``config.json`` of model type ``bert`` describes.

    Args:
        settings: the whole of it.
        names: of the tensors, after ``normal_name``: they say whether there is a pooler, a transform before the output
            matrix, or a head.

    Raises:
        ZooError: a key is missing or of the wrong type, or asks for what the core does not have.
    """
    stated = read_settings(_Settings, settings)
    if stated.position_embedding_type != "absolute":
        kind = stated.position_embedding_type[:40]
        raise ZooError(f"{CONFIG}: position_embedding_type '{kind}' is not supported; only absolute")
    for key in ("is_decoder", "add_cross_attention"):
        if getattr(stated, key):
            raise ZooError(f"{CONFIG}: {key} is not supported for {MODEL_TYPE}, which reads both ways; set it to false")
    function = activation(stated.hidden_act, "hidden_act")
    return TransformerConfig(
        vocabulary=stated.vocab_size,
        context=stated.max_position_embeddings,
        width=stated.hidden_size,
        depth=stated.num_hidden_layers,
        heads=stated.num_attention_heads,
        feedforward=mlp(function, stated.intermediate_size, stated.hidden_size),
        norm=LayerNorm(eps=stated.layer_norm_eps),
        block=PostNorm(),
        final_norm=False,
        embedding_norm=True,
        patterns=(Dense(causal=False),),
        tied=stated.tie_word_embeddings or f"{_DECODER}.weight" not in names,
        dropout=stated.hidden_dropout_prob,
        segments=stated.type_vocab_size,
        output_transform=OutputTransform(activation=function) if f"{_TRANSFORM}.dense.weight" in names else None,
        pooler=f"{_POOLER}.weight" in names,
        head=_head(settings, names, stated),
        initial=BertInitial(),
    )


def _head(settings: Mapping[str, Any], names: Collection[str], stated: _Settings) -> Head | None:
    kinds = architectures(settings)
    if "cls.seq_relationship.weight" in names:
        return NEXT_SENTENCE
    if "qa_outputs.weight" in names:
        return Span()
    if "classifier.weight" not in names:
        return None
    dropout = stated.hidden_dropout_prob if stated.classifier_dropout is None else stated.classifier_dropout
    if "BertForMultipleChoice" in kinds:
        return MultipleChoice(pool=First(), dropout=dropout)
    return classification(settings)(labels=labels(settings), pool=First(), bias=True, dropout=dropout)


def settings(config: TransformerConfig) -> dict[str, Any]:
    """Return what ``config.json`` says of a network, tokens aside.

    Raises:
        ZooError: naming what BERT's layout cannot express.
    """
    if not config.segments:
        raise ZooError(f"Hugging Face's {MODEL_TYPE} needs segments (token types) of at least 1, this network has none")
    if config.head is not None and not isinstance(config.head, Span) and not config.pooler:
        raise ZooError(
            f"Hugging Face's {MODEL_TYPE} has a pooler below its classifiers, and this network has none; keep to=zoo"
        )
    made = _settings(config)
    refuse_difference(MODEL_TYPE, config, _rebuilt(made, config))
    return made


def _rebuilt(made: Mapping[str, Any], network: TransformerConfig) -> TransformerConfig:
    return config(made, [name for link in links(network) for name in link.theirs])


def _settings(config: TransformerConfig) -> dict[str, Any]:
    head = config.head
    return {
        "architectures": [_architecture(config)],
        "model_type": MODEL_TYPE,
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": hidden_width(config),
        "max_position_embeddings": config.context,
        "hidden_act": activation_name(activation_of(config)),
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.weight_dropout,
        "classifier_dropout": None if head is None else head.dropout,
        "type_vocab_size": config.segments,
        "layer_norm_eps": config.norm.eps,
        "initializer_range": 0.02,
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
        "tie_word_embeddings": config.tied,
        **({} if _is_next_sentence(head) else label_settings(head)),
    }


def _architecture(config: TransformerConfig) -> str:
    """Return the class that reads most of the network. One with a head besides leaves the transform unread."""
    if _is_next_sentence(config.head):
        return "BertForPreTraining" if config.output_transform else "BertForNextSentencePrediction"
    if config.head is not None:
        return _ARCHITECTURES[type(config.head)]
    return "BertForMaskedLM" if config.output_transform else "BertModel"


_ARCHITECTURES: dict[type, str] = {
    Classification: "BertForSequenceClassification",
    MultiLabel: "BertForSequenceClassification",
    MultipleChoice: "BertForMultipleChoice",
    Span: "BertForQuestionAnswering",
}


def _is_next_sentence(head: Head | None) -> bool:
    return isinstance(head, Classification) and head.labels == NEXT_SENTENCE.labels


_POOLER = "bert.pooler.dense"
_TRANSFORM = "cls.predictions.transform"
_DECODER = "cls.predictions.decoder"
_BIAS = "cls.predictions.bias"


def links(config: TransformerConfig) -> list[Link]:
    """Return the names of a network's weights in BERT's layout."""
    found = [
        same("embedding.tokens.weight", _TABLE),
        same("embedding.positions.weight", "bert.embeddings.position_embeddings.weight"),
        same("embedding.segments.weight", "bert.embeddings.token_type_embeddings.weight"),
        *_both("embedding.norm", "bert.embeddings.LayerNorm"),
        *(link for layer in range(config.depth) for link in _block_links(layer)),
    ]
    if config.pooler:
        found += _both("pooler.dense", _POOLER)
    if config.output_transform is not None:
        found += _both("transform.dense", f"{_TRANSFORM}.dense")
        found += _both("transform.norm", f"{_TRANSFORM}.LayerNorm")
        # Untied, their class adds the decoder's bias and holds the other one without a use: the last one read counts.
        biases = (_BIAS,) if config.tied else (_BIAS, f"{_DECODER}.bias")
        found.append(Link(ours="transform.bias", theirs=biases, views=lambda weight: (weight,) * len(biases)))
    if not config.tied:
        found.append(same("output.weight", f"{_DECODER}.weight"))
    if config.head is not None:
        theirs = "qa_outputs" if isinstance(config.head, Span) else "classifier"
        found += _both("classifier.output", "cls.seq_relationship" if _is_next_sentence(config.head) else theirs)
    return found


def _block_links(layer: int) -> list[Link]:
    ours, theirs = f"blocks.{layer}", f"bert.encoder.layer.{layer}"
    parts = [f"{theirs}.attention.self.{part}" for part in ("query", "key", "value")]
    return [
        stacked(f"{ours}.attention.input.weight", *(f"{part}.weight" for part in parts)),
        stacked(f"{ours}.attention.input.bias", *(f"{part}.bias" for part in parts)),
        *_both(f"{ours}.attention.output", f"{theirs}.attention.output.dense"),
        *_both(f"{ours}.attention_norm", f"{theirs}.attention.output.LayerNorm"),
        *_both(f"{ours}.feedforward.input", f"{theirs}.intermediate.dense"),
        *_both(f"{ours}.feedforward.output", f"{theirs}.output.dense"),
        *_both(f"{ours}.feedforward_norm", f"{theirs}.output.LayerNorm"),
    ]


def _both(ours: str, theirs: str) -> list[Link]:
    return [same(f"{ours}.{part}", f"{theirs}.{part}") for part in ("weight", "bias")]


_TABLE = "bert.embeddings.word_embeddings.weight"
_BUFFERS = re.compile(r"(bert\.)?embeddings\.(position_ids|token_type_ids)")
_BARE = re.compile(r"(embeddings|encoder|pooler)\..*", re.DOTALL)


def normal_name(name: str) -> str | None:
    """Return today's name of a tensor; None for buffers."""
    if _BUFFERS.fullmatch(name):
        return None
    name = re.sub(r"(?<=LayerNorm\.)gamma$", "weight", name)
    name = re.sub(r"(?<=LayerNorm\.)beta$", "bias", name)
    return f"bert.{name}" if _BARE.fullmatch(name) else name


FAMILY = Family(
    model_type=MODEL_TYPE,
    config=config,
    settings=settings,
    links=links,
    normal_name=normal_name,
    copies={f"{_DECODER}.weight": _TABLE, f"{_DECODER}.bias": _BIAS},
)
