"""What ``tokenizer=NAME`` means where no recipe is at hand: a tokenizer, a codec, or the tokenizer of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from zoo.catalogue import tokenizers
from zoo.coding.coders import CodecCoder, Coder, PictureCoder, TextCoder, TokenizerCoder
from zoo.data.documents import from_file
from zoo.data.files import DataFile
from zoo.data.read_image import read_image
from zoo.data.read_sound import read_sound
from zoo.errors import ZooError, suggest
from zoo.loading import choose_device, open_found
from zoo.paths import local_checkpoint
from zoo.recipe import tokenizer_settings
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.tokenizers.base import Modality, TextTokenizer, Tokenizer
from zoo.tokenizers.codec import Codec
from zoo.tokenizers.folder import SPEC
from zoo.tokenizers.image.base import ImageTokenizer
from zoo.tokenizers.image.vqvae.network import ImageVqvae
from zoo.tokenizers.image.vqvae.tokenizer import ImageVqvaeTokenizer
from zoo.tokenizers.none import NoTokenizer
from zoo.tokenizers.registry import load
from zoo.weights.hub import locate
from zoo.weights.opened import OpenedCodec
from zoo.weights.stack import OpenedStack

READ: dict[Modality, Callable[[Path], Any]] = {
    "text": lambda path: from_file(DataFile(path=path, name=path.name)).text(),
    "image": read_image,
    "music": read_sound,
}


def choose(name: str, words: Mapping[str, str], files: Iterable[Path], *, device: str = "auto") -> Coder[Any]:
    """Return what turns files into ids and back.

    Args:
        name: a tokenizer of the registry, a tokenizer's folder, a codec's checkpoint or a stack's (all levels of the
            codec), or a model's (its tokenizer).
        words: ``tokenizer.KEY=value`` settings of the first of these.
        files: what a tokenizer that learns from samples is fitted on.
        device: where codecs compute.

    Raises:
        ZooError: nothing has that name, or nothing that turns files into ids.
    """
    if name in tokenizers():
        settings = tokenizer_settings(name, words)
        return coder_of(settings.fit(READ[settings.modality](path) for path in files))
    if words:
        raise ZooError(f"{next(iter(words))}: belongs to tokenizers by name, and '{name}' is none of them")
    if (Path(name) / SPEC).is_file():
        return coder_of(load(name))
    if local_checkpoint(name) is None and "did you mean" in (near := suggest(name, tokenizers(), limit=0)):
        raise ZooError(f"unknown tokenizer '{name}'{near}")
    opened = open_found(locate(name))
    if isinstance(opened, OpenedStack):
        opened = opened.codec
    if isinstance(opened, OpenedCodec):
        return coder_of_codec(opened.codec(choose_device(device)))
    if isinstance(opened.tokenizer, NoTokenizer):
        opened.tokenizer.refuse()
    return coder_of(opened.tokenizer)


def coder_of(tokenizer: Tokenizer[Any]) -> Coder[Any]:
    """Return the coder of a tokenizer."""
    match tokenizer:
        case AudioTokenizer():
            return TokenizerCoder(tokenizer)
        case ImageTokenizer():
            return PictureCoder(tokenizer)
        case TextTokenizer():
            return TextCoder(tokenizer)
    raise ZooError(f"the tokenizer '{tokenizer.spec.type}' reads no files")


def coder_of_codec(codec: Codec) -> Coder[Any]:
    """Return the coder of all levels of a codec."""
    match codec:
        case Vqvae():
            return CodecCoder(codec)
        case ImageVqvae():
            return PictureCoder(ImageVqvaeTokenizer(codec))
    raise ZooError(f"codecs of {codec.modality} read no files")
