"""What a prompt is to a network: the beginning of a sample, the source of a target, or of a window of music."""

from __future__ import annotations

from typing import Any

from zoo.architecture import AnyNetwork
from zoo.music.prior import Prior
from zoo.prompts.base import Prompts as Prompts
from zoo.prompts.base import Start as Start
from zoo.prompts.continuing import Continuing
from zoo.prompts.translating import Translating
from zoo.prompts.windows import Windows
from zoo.tokenizers.base import Tokenizer
from zoo.transformer.model import Transformer


def prompts_of(network: AnyNetwork, tokenizer: Tokenizer[Any]) -> Prompts:
    """Return what prompts are to ``network``: sources if it has an encoder, windows of music if it is a prior.

    Raises:
        ZooError: the tokenizer does not fit the network.
    """
    if isinstance(network, Prior):
        return Windows(network, tokenizer)
    if isinstance(network, Transformer) and network.encoder is not None:
        return Translating(network, tokenizer)
    return Continuing(network, tokenizer)
