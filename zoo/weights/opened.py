"""A checkpoint of any format that has been opened, a model or a codec: everything but its weights is in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from zoo.architecture import AnyNetwork, NetworkConfig, count_parameters, outline, outlined
from zoo.errors import ZooError
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.codec import Codec
from zoo.tokenizers.codecs import CodecConfig, build_codec
from zoo.weights.links import Link, own, read_into
from zoo.weights.tensors import TensorSource


def _unchanged(network: object) -> None:
    """Leave the weights as they were read."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What ``zoo.load`` makes a model from, whoever wrote the files.

    Attributes:
        where: what messages call it: the file that states the settings.
        config: the network's settings.
        source: the weights, still on disk.
        tokenizer: a ``NoTokenizer`` where the files have none.
        card: where the model comes from.
        recipe: the recipe that it was trained by, if it was trained here.
        links: the names of the weights in ``source``; None for our own.
        finish: what is left to do with the weights once they are read (a scale to fold in).
        head: what fine-tuning made of it; None where it was only trained.
    """

    where: str
    config: NetworkConfig
    source: TensorSource
    tokenizer: Tokenizer[Any]
    card: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    links: Sequence[Link] | None = None
    finish: Callable[[AnyNetwork], None] = _unchanged
    head: str | None = None

    def network(self, device: torch.device, dtype: torch.dtype) -> AnyNetwork:
        """Return the network with its weights.

        Memory is taken once, in the type and place where the network stays, and not before names and shapes are known
        to fit; then tensor after tensor is read into it.

        Raises:
            ZooError: settings and weights that do not fit each other, or weights that cannot be read.
        """
        count = len(self.source.names())
        if self.config.depth > count:
            raise ZooError(
                f"{self.where}: depth {self.config.depth} does not fit {count} tensors; get the checkpoint again"
            )
        try:
            network = outline(self.config)
        except ZooError as error:
            raise ZooError(f"{self.where}: {error}; get the checkpoint again") from None
        network.to(dtype=dtype)
        links = own(network) if self.links is None else self.links
        read_into(network, links, self.source, device=device)
        self.finish(network)
        return network


@dataclass(frozen=True, kw_only=True)
class OpenedCodec:
    """What ``zoo.load_codec`` makes a codec from, whoever wrote the files.

    Attributes:
        where: what messages call it: the file that states the settings.
        config: the codec's settings.
        source: the weights, still on disk.
        card: where the codec comes from.
        recipe: the recipe that it was trained by, if it was trained here.
        links: the names of the weights in ``source``; None for our own.
        finish: what is left to do once the weights are read (what a format has no place for).
    """

    where: str
    config: CodecConfig
    source: TensorSource
    card: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    links: Sequence[Link] | None = None
    finish: Callable[[Codec], None] = _unchanged

    def codec(self, device: torch.device) -> Codec:
        """Return the codec with its weights (float32), card and recipe, in evaluation mode.

        Raises:
            ZooError: settings and weights that do not fit each other, or weights that cannot be read.
        """
        try:
            codec: Codec = outlined(lambda: build_codec(self.config))
        except ZooError as error:
            raise ZooError(f"{self.where}: {error}; get the checkpoint again") from None
        read_into(codec, own(codec) if self.links is None else self.links, self.source, device=device)
        self.finish(codec)
        codec.card = {"parameters": count_parameters(codec), **self.card}
        codec.recipe = dict(self.recipe)
        return codec.eval()
