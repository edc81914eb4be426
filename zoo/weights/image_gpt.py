"""Image GPT in Hugging Face's layout (model type ``imagegpt``). Chen et al. 2020.

GPT-2's names, a norm without offset, an output matrix of its own for all ids but the start id, which is the last one.
OpenAI's weights have no biases; the layout has them all the same, as zeros. A folder in which every bias is exactly
zero is therefore read as a network without biases, and such a network is written with zeros.

The objective of BERT in section 2.1 of the paper, where hidden pixels are predicted from all others, is the model type
``imagegpt_bert``: the same settings and names, but no position is hidden from another. Hugging Face has no such model;
a type of its own keeps ``transformers`` from reading it as a causal one. To see a causal model's weights that way, copy
its folder and change ``model_type`` in ``config.json``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from zoo.architecture import AnyNetwork
from zoo.errors import ZooError
from zoo.tokenizers.base import Tokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import Classification, Mean, MultiLabel
from zoo.transformer.initial import ImageGptInitial
from zoo.transformer.model import Transformer
from zoo.transformer.norm import RMSNorm
from zoo.transformer.patterns import Dense
from zoo.weights import gpt2, vocabulary
from zoo.weights.family import CONFIG, Family, hidden_width, label_settings, refuse_difference
from zoo.weights.files import read_json
from zoo.weights.links import Renamed
from zoo.weights.tensors import TensorSource

MODEL_TYPE, BERT_TYPE = "imagegpt", "imagegpt_bert"
OUTPUT = "lm_head.weight"


def config(settings: Mapping[str, Any], names: Collection[str] = ()) -> TransformerConfig:
    """Return the network that a Hugging Face ``config.json`` of model type ``imagegpt`` describes.

    Args:
        settings: the whole of it.
        names: of the tensors, after ``normal_name``, without biases that are all zero: they say whether there are
            biases, an output matrix or a head.

    Raises:
        ZooError: a key is missing or of the wrong type, or asks for what the core does not have.
    """
    stated = {"activation_function": "quick_gelu", "tie_word_embeddings": False, **settings}
    like = gpt2.config(stated, names)
    if like.vocabulary < 2:
        raise ZooError(f"{CONFIG}: vocab_size {like.vocabulary} leaves no colour beside the start id")
    head = like.head
    return dataclasses.replace(
        like,
        norm=RMSNorm(eps=like.norm.eps),
        bias=any(name.endswith(".bias") for name in names),
        output_vocabulary=like.vocabulary if stated["tie_word_embeddings"] else like.vocabulary - 1,
        head=dataclasses.replace(head, pool=Mean()) if isinstance(head, Classification) else head,
        initial=ImageGptInitial(),
    )


def settings(config: TransformerConfig) -> dict[str, Any]:
    """Return what ``config.json`` says of a network, tokens aside.

    Raises:
        ZooError: naming what Image GPT's layout cannot express.
    """
    made = _settings(config)
    refuse_difference(MODEL_TYPE, config, _rebuilt(made, config))
    return made


def _rebuilt(made: Mapping[str, Any], network: TransformerConfig) -> TransformerConfig:
    return config(made, [name for link in gpt2.links(network) for name in link.theirs])


def _settings(config: TransformerConfig) -> dict[str, Any]:
    if type(config.head) not in _ARCHITECTURES:
        raise ZooError(f"Hugging Face's {MODEL_TYPE} has no head such as this; save this model in zoo's own format")
    return {
        "architectures": [_ARCHITECTURES[type(config.head)]],
        "model_type": MODEL_TYPE,
        **gpt2.sizes(config),
        "tie_word_embeddings": _shares_whole_table(config),
        **label_settings(config.head),
    }


_ARCHITECTURES: dict[type, str] = {
    type(None): "ImageGPTForCausalImageModeling",
    Classification: "ImageGPTForImageClassification",
    MultiLabel: "ImageGPTForImageClassification",
}


def _shares_whole_table(config: TransformerConfig) -> bool:
    """Return whether the output is the token table, the start id's row included: all that their tied models can be."""
    return config.tied and config.output_vocabulary in (None, config.vocabulary)


def without_zeros(source: TensorSource) -> TensorSource:
    """Return a source without its biases if all of them are exactly zero."""
    biases = {name for name in source.names() if name.endswith(".bias")}
    if any(bool(source.read(name).any()) for name in sorted(biases)):
        return source
    return Renamed(source, lambda name: None if name in biases else name)


def zeros(network: AnyNetwork) -> Iterator[tuple[str, Tensor]]:
    """Yield what the layout has and the network lacks: biases, and an output matrix where that is part of the table."""
    assert isinstance(network, Transformer)
    config = network.config
    if config.tied and config.head is None and not _shares_whole_table(config):
        yield OUTPUT, network.output_matrix.detach()
    if config.bias:
        return
    like = network.output_matrix.detach()
    widths = {
        "attn.c_attn": config.attention_width + 2 * config.head_width * (config.key_value_heads or config.heads),
        "attn.c_proj": config.width,
        "mlp.c_fc": hidden_width(config),
        "mlp.c_proj": config.width,
    }
    for layer in range(config.depth):
        for name, width in widths.items():
            yield f"transformer.h.{layer}.{name}.bias", like.new_zeros(width)


_PROCESSOR: Mapping[str, tuple[object, ...]] = {
    "do_color_quantize": (True,), "do_normalize": (True,), "do_rescale": (True,), "resample": (2, None),
}  # fmt: skip
"""Keys of ``preprocessor_config.json`` that decide about ids beside palette and size, and what they must be."""


def tokenizer(folder: Path, config: TransformerConfig) -> Tokenizer[Any] | None:
    """Return the tokenizer in ``folder``: ours, or the palette of Hugging Face's image processor.

    The grid is the processor's where it fits the context, else the square that fills the context: old folders state
    none, or the size of the processor's class.

    Raises:
        ZooError: files that are broken, or that make ids in another way than our tokenizer.
    """
    from zoo.tokenizers.image import palette
    from zoo.tokenizers.image.pixel_clusters import PixelClustersTokenizer

    path = folder / palette.HUGGING_FACE
    if (folder / vocabulary.OWN / "spec.json").is_file():
        return vocabulary.read(folder)
    if not path.is_file():
        return None
    stated = read_json(path)
    if not stated.get("clusters"):
        return None
    for key, allowed in _PROCESSOR.items():
        if stated.get(key, allowed[0]) not in allowed:
            shown = json.dumps(stated[key])[:40]
            raise ZooError(f"{path}: {key} {shown} makes other ids than Image GPT's own {json.dumps(allowed[0])}")
    found = palette.read(path)
    size = found.size if found.size and found.size[0] * found.size[1] <= config.context else square(config.context)
    return None if size is None else PixelClustersTokenizer(found.colours, rows=size[0], columns=size[1])


def square(pixels: int) -> tuple[int, int] | None:
    """Return rows and columns of a square of so many pixels; None if there is none."""
    side = round(pixels**0.5)
    return (side, side) if side * side == pixels else None


def bert_config(settings: Mapping[str, Any], names: Collection[str] = ()) -> TransformerConfig:
    """Return the network of model type ``imagegpt_bert``: the key ``output_vocabulary`` says what it predicts.

    Without that key, it has a start id (which it never reads), as a causal network's weights have.
    """
    like = config(settings, names)
    predicted = settings.get("output_vocabulary", like.output_vocabulary)
    if type(predicted) is not int or not 0 < predicted <= like.vocabulary:
        raise ZooError(f"{CONFIG}: output_vocabulary must be 1 to vocab_size {like.vocabulary}")
    return dataclasses.replace(like, patterns=(Dense(causal=False),), output_vocabulary=predicted)


def bert_settings(network: TransformerConfig) -> dict[str, Any]:
    """Return what ``config.json`` says of a network that sees both sides; ZooError names what it cannot express."""
    made = _settings(network) | {
        "model_type": BERT_TYPE,
        "output_vocabulary": network.output_vocabulary or network.vocabulary,
    }
    said = bert_config(made, [name for link in gpt2.links(network) for name in link.theirs])
    refuse_difference(BERT_TYPE, network, said)
    return made


FAMILY = Family(
    model_type=MODEL_TYPE,
    modality="image",
    config=config,
    settings=settings,
    links=gpt2.links,
    normal_name=gpt2.normal_name,
    finish=gpt2.finish,
    tokenizer=tokenizer,
    needed=without_zeros,
    besides=zeros,
)
BERT_FAMILY = dataclasses.replace(FAMILY, model_type=BERT_TYPE, config=bert_config, settings=bert_settings)
