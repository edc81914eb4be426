"""Models that know one thing for certain, and small real ones, for the tests of prompting."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from tests.generate.networks import FunctionNetwork
from zoo.architecture import NetworkConfig, build_network
from zoo.model import Model
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.transformer.config import TransformerConfig

SURE = 30.0


class Knowing(FunctionNetwork):
    """After each text, the character that ``say`` gives is certain; where it gives none, all are equally likely."""

    source_context = None
    causal = True

    def __init__(self, say: Callable[[str], str], context: int) -> None:
        size = ByteTokenizer().spec.vocabulary_size
        super().__init__(self._logits, size, context)
        self.say = say
        self.config = SimpleNamespace(segments=0, head=None)

    def _logits(self, window: list[int]) -> Tensor:
        told = bytes(index for index in window if index < 256).decode("utf-8", "replace")
        next_text = self.say(told).encode()[:1]
        logits = torch.zeros(self.vocabulary)
        if next_text:
            logits[next_text[0]] = SURE
        return logits

    def eval(self) -> Knowing:
        return self


def knowing(say: Callable[[str], str], context: int = 1024) -> Model:
    """Return a model of bytes that goes on as ``say`` says."""
    return Model(cast(Any, Knowing(say, context)), ByteTokenizer())


def random_model(tokenizer: Tokenizer[Any] | None = None, config: NetworkConfig | None = None, seed: int = 0) -> Model:
    """Return an untrained model, its logits blown up so that likelihoods differ well."""
    tokenizer = tokenizer or ByteTokenizer()
    torch.manual_seed(seed)
    network = build_network(
        config
        or TransformerConfig(
            vocabulary=tokenizer.spec.vocabulary_size, context=128, width=16, depth=2, heads=2, tied=False
        )
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(4)
    return Model(network, tokenizer)
