"""What Hugging Face's layouts of all families share: checked settings, activations, heads, and what they cannot say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from torch import Tensor

from zoo.architecture import AnyNetwork
from zoo.errors import ZooError, suggest
from zoo.settings import build, fields_of, to_mapping
from zoo.tokenizers.base import Modality, Tokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.feedforward import ActivationName, Mlp
from zoo.transformer.heads import Classification, First, Head, MultiLabel, MultipleChoice
from zoo.transformer.initial import Gpt2Initial
from zoo.weights import vocabulary
from zoo.weights.links import Link
from zoo.weights.tensors import TensorSource

T = TypeVar("T")
CONFIG = "config.json"
LARGEST = 1 << 31
"""No size that a model states reaches this; arithmetic stays exact below it."""

ACTIVATIONS: dict[str, ActivationName] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Hugging Face's names of activations; where several are the same function, the first is written."""


def _nothing(network: AnyNetwork, settings: Mapping[str, Any]) -> None:
    """Leave the weights as they were read."""


def _all(source: TensorSource) -> TensorSource:
    """Need every tensor."""
    return source


def _none(network: AnyNetwork) -> Iterator[tuple[str, Tensor]]:
    """Yield nothing: the layout has what the network has."""
    yield from ()


def _text(folder: Path, config: TransformerConfig) -> Tokenizer[Any] | None:
    """Return the tokenizer of text in ``folder``."""
    return vocabulary.read(folder)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One model type of Hugging Face's ``config.json``.

    Attributes:
        model_type: as in ``config.json``.
        config: settings, names of the tensors -> network. The names say which parts there are.
        settings: network -> settings, ``model_type`` and ``architectures`` included; refuses what it cannot say.
        links: network -> names of its weights.
        normal_name: old variants of a name -> today's; None for buffers, which hold no weights.
        copies: the output matrix -> the token table, and the like, of networks whose output is tied to it; see
            ``zoo.weights.links.Renamed``.
        finish: what is left to do once the weights are read.
        modality: what ids stand for.
        tokenizer: folder, network -> the tokenizer in the folder, None if there is none.
        needed: leaves out the tensors that say nothing (offsets that are all zero), before ``config`` sees the names.
        besides: what a folder must hold that the network lacks because it says nothing.
    """

    model_type: str
    config: Callable[[Mapping[str, Any], Collection[str]], TransformerConfig]
    settings: Callable[[TransformerConfig], dict[str, Any]]
    links: Callable[[TransformerConfig], list[Link]]
    normal_name: Callable[[str], str | None]
    copies: Mapping[str, str] = field(default_factory=dict)
    finish: Callable[[AnyNetwork, Mapping[str, Any]], None] = _nothing
    modality: Modality = "text"
    tokenizer: Callable[[Path, TransformerConfig], Tokenizer[Any] | None] = _text
    needed: Callable[[TensorSource], TensorSource] = _all
    besides: Callable[[AnyNetwork], Iterator[tuple[str, Tensor]]] = _none


def read_settings(kind: type[T], settings: Mapping[str, Any]) -> T:
    """Return the part of a ``config.json`` that matters, as a checked dataclass; other keys are left alone.

    Raises:
        ZooError: a key that is missing or of the wrong type, or a number that no model has.
    """
    given = {name: settings[name] for name in fields_of(cast(type, kind)) if name in settings}
    for name, value in given.items():
        if isinstance(value, int) and abs(value) >= LARGEST:
            raise ZooError(f"{CONFIG}: {name} {str(value)[:20]} is larger than any model's")
    return build(kind, given, CONFIG)


def activation(name: str, key: str, known: Mapping[str, ActivationName] = ACTIVATIONS) -> ActivationName:
    """Return our name of an activation; ZooError if the core does not have it."""
    if name not in known:
        raise ZooError(f"{CONFIG}: {key} '{name[:40]}' is not one of {', '.join(known)}")
    return known[name]


def activation_name(ours: ActivationName, known: Mapping[str, ActivationName] = ACTIVATIONS) -> str:
    """Return Hugging Face's name of an activation of ours."""
    for name, value in known.items():
        if value == ours:
            return name
    raise ZooError(f"this layout has no activation '{ours}'{suggest(ours, known.values())}")


def architectures(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the class names that a ``config.json`` states; ZooError for one whose head the core does not have."""
    stated = settings.get("architectures")
    names = tuple(name for name in stated if isinstance(name, str)) if isinstance(stated, list) else ()
    for name in names:
        if name.endswith("ForTokenClassification"):
            raise ZooError(f"{CONFIG}: architecture {name[:60]} labels every token, and no head here does that")
    return names


def labels(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes, in the order of the logits: ``id2label``, else LABEL_0 and LABEL_1.

    Raises:
        ZooError: they are not numbered 0 to n - 1, or not text.
    """
    stated = settings.get("id2label")
    if stated is None:
        stated = {str(index): f"LABEL_{index}" for index in range(settings.get("num_labels") or 2)}
    if not isinstance(stated, Mapping) or set(stated) != {str(index) for index in range(len(stated))}:
        raise ZooError(f"{CONFIG}: id2label must number the labels from 0 on")
    names = tuple(stated[str(index)] for index in range(len(stated)))
    if not all(isinstance(name, str) for name in names):
        raise ZooError(f"{CONFIG}: id2label must name each label by text")
    return names


MULTI_LABEL = "multi_label_classification"


def classification(settings: Mapping[str, Any]) -> type[Classification]:
    """Return what a head with labels is: ``problem_type`` says whether several of them can be right at once."""
    return MultiLabel if settings.get("problem_type") == MULTI_LABEL else Classification


def label_settings(head: Head | None) -> dict[str, Any]:
    """Return ``id2label`` and ``label2id`` of a head that has labels, and whether several can be right at once."""
    if not isinstance(head, Classification):
        return {}
    kind = {"problem_type": MULTI_LABEL} if isinstance(head, MultiLabel) else {}
    return kind | {
        "id2label": {str(index): name for index, name in enumerate(head.labels)},
        "label2id": {name: index for index, name in enumerate(head.labels)},
    }


def mlp(activation: ActivationName, hidden: int, width: int) -> Mlp:
    """Return the feed-forward half of a hidden width; a width that is no width is for the config to refuse."""
    return Mlp(activation=activation, ratio=hidden / width) if width > 0 else Mlp(activation=activation)


def hidden_width(config: TransformerConfig) -> int:
    """Return the hidden width of the feed-forward half; ZooError if it is no plain MLP."""
    if not isinstance(config.feedforward, Mlp):
        raise ZooError(f"this layout has no place for feedforward {to_mapping(config.feedforward)['type']}")
    return config.feedforward.hidden(config.width)


def activation_of(config: TransformerConfig) -> ActivationName:
    """Return the activation of the feed-forward half."""
    hidden_width(config)
    return config.feedforward.activation


def refuse_difference(model_type: str, config: TransformerConfig, said: TransformerConfig) -> None:
    """Refuse to write a network that its settings do not describe.

    Args:
        model_type: for the message.
        config: the network.
        said: the network that the settings written for it describe.

    Raises:
        ZooError: every field that differs in what it computes; dropout and first weights do not count.
    """
    if different := differences(config, said):
        raise ZooError(
            f"Hugging Face's {model_type} cannot express {', '.join(different)}; save this model in zoo's own format"
        )


def differences(config: TransformerConfig, said: TransformerConfig) -> list[str]:
    """Return ``name=value`` of each field of ``config`` that computes something else than that of ``said``."""
    wanted, got = _plain(config), _plain(said)
    return [
        f"{entry.name}={_short(getattr(wanted, entry.name))}"
        for entry in dataclasses.fields(config)
        if getattr(wanted, entry.name) != getattr(got, entry.name)
    ]


def _plain(config: TransformerConfig) -> TransformerConfig:
    """Return a config without what does not change what a trained network computes."""
    head = config.head
    if isinstance(head, Classification | MultipleChoice):
        head = dataclasses.replace(head, dropout=0.0, pool=First() if config.pooler else head.pool)
    elif head is not None:
        head = dataclasses.replace(head, dropout=0.0)
    feedforward = config.feedforward
    if isinstance(feedforward, Mlp):
        feedforward = dataclasses.replace(feedforward, ratio=feedforward.hidden(config.width) / config.width)
    return dataclasses.replace(
        config,
        head=head,
        feedforward=feedforward,
        dropout=0.0,
        initial=Gpt2Initial(),
        key_value_heads=None if config.key_value_heads == config.heads else config.key_value_heads,
        output_vocabulary=None if config.output_vocabulary == config.vocabulary else config.output_vocabulary,
        patterns=tuple(config.pattern(layer) for layer in range(config.depth)),
    )


def _short(value: object) -> str:
    mapping = to_mapping(value)
    if isinstance(mapping, list):
        return "/".join(dict.fromkeys(_short(item) for item in mapping))
    return str(mapping.get("type") if isinstance(mapping, dict) else mapping)
