"""Every tokenizer by name: what recipes may ask for, and what a folder on disk may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from zoo.errors import ZooError, suggest
from zoo.settings import tag
from zoo.tokenizers import folder as folders
from zoo.tokenizers.audio.settings import Dac, Encodec, Mimi, MuLaw, Vqvae
from zoo.tokenizers.base import Modality, Tokenizer
from zoo.tokenizers.image.settings import GrayLevels, ImageVqvae, PixelClusters, RgbBytes
from zoo.tokenizers.text.settings import Bpe, Byte, Char, Digits, Gpt1, Gpt2, Word, Wordpiece

TextSettings = Byte | Char | Word | Bpe | Gpt2 | Gpt1 | Wordpiece | Digits
ImageSettings = PixelClusters | GrayLevels | RgbBytes | ImageVqvae
MusicSettings = MuLaw | Vqvae | Encodec | Dac | Mimi
TokenizerSettings = TextSettings | ImageSettings | MusicSettings
"""What a recipe's ``tokenizer`` section builds; ``.fit(samples)`` makes the tokenizer."""


def names() -> list[tuple[str, Modality]]:
    """Return (name, modality) of every tokenizer, in the order of the table above."""
    return [(tag(kind), kind.modality) for kind in get_args(TokenizerSettings)]


def load(folder: Path | str) -> Tokenizer[Any]:
    """Return the tokenizer saved in ``folder``.

    Raises:
        ZooError: the folder is incomplete, names an unknown type, or its files are not those that its spec vouches for.
    """
    spec = folders.read_spec(folder)
    kinds = {tag(kind): kind for kind in get_args(TokenizerSettings)}
    if spec.type not in kinds:
        raise ZooError(
            f"{Path(folder) / folders.SPEC}: unknown tokenizer type {spec.type!r}{suggest(spec.type, kinds)}"
        )
    tokenizer: Tokenizer[Any] = kinds[spec.type].load(Path(folder))
    if tokenizer.spec.fingerprint != spec.fingerprint:
        raise ZooError(f"{folder}: the tokenizer's files do not match the fingerprint in spec.json; restore the folder")
    if tokenizer.spec != spec:
        raise ZooError(f"{Path(folder) / folders.SPEC} does not describe the tokenizer beside it; restore the folder")
    return tokenizer
