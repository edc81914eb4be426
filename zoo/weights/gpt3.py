"""GPT-3 as a folder: GPT-2's layout with the attention pattern of each layer in ``config.json`` (model type ``gpt3``).

Hugging Face has no such model; a type of its own keeps ``transformers`` from reading banded layers as dense ones.
Brown et al. 2020, section 2.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from zoo.settings import build, to_mapping
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import AnyPattern, Dense
from zoo.weights import gpt2
from zoo.weights.family import CONFIG, Family

MODEL_TYPE = "gpt3"


def config(settings: Mapping[str, Any], names: Collection[str] = ()) -> TransformerConfig:
    """Return the network: ``patterns`` as in recipes, one a layer, cycled; the rest as for GPT-2."""
    patterns: tuple[AnyPattern, ...] = build(
        tuple[AnyPattern, ...], settings.get("patterns", ["dense"]), f"{CONFIG}: patterns"
    )
    return dataclasses.replace(gpt2.config(settings, names), patterns=patterns)


def settings(config: TransformerConfig) -> dict[str, Any]:
    """Return what ``config.json`` says of a network; ZooError names what GPT-3's layout cannot express."""
    plain = gpt2.settings(dataclasses.replace(config, patterns=(Dense(),)))
    return {**plain, "model_type": MODEL_TYPE, "patterns": to_mapping(config.patterns)}


FAMILY = Family(
    model_type=MODEL_TYPE,
    config=config,
    settings=settings,
    links=gpt2.links,
    normal_name=gpt2.normal_name,
    copies=gpt2.FAMILY.copies,
    finish=gpt2.finish,
)
