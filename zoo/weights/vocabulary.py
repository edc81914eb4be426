"""The tokenizer files of a Hugging Face folder: read as ours, and written so that ``AutoTokenizer`` gives the same ids.

A tokenizer that those files cannot describe is kept in our own form in ``tokenizer/``, which others pass over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.image import palette
from zoo.tokenizers.image.pixel_clusters import PixelClustersTokenizer
from zoo.tokenizers.registry import load
from zoo.tokenizers.text.bpe import END, BpeTokenizer, Gpt2Tokenizer
from zoo.tokenizers.text.gpt1 import SUFFIX, Gpt1Tokenizer
from zoo.tokenizers.text.merges import FILES
from zoo.tokenizers.text.wordpiece import FILE as PIECES
from zoo.tokenizers.text.wordpiece import WordpieceTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.weights.files import read_json, write_file

CONFIG = "tokenizer_config.json"
WHOLE = "tokenizer.json"
OWN = "tokenizer"
GPT2_IDS = 50257


def read(folder: Path) -> Tokenizer[Any] | None:
    """Return the tokenizer in ``folder``, None if there are no such files.

    Raises:
        ZooError: files that are broken, or that cut text in a way that none of our tokenizers does.
    """
    if (folder / OWN / "spec.json").is_file():
        return load(folder / OWN)
    stated = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    whole = read_json(folder / WHOLE) if (folder / WHOLE).is_file() else None
    if (folder / PIECES).is_file() or _model(whole).get("type") == "WordPiece":
        return _wordpiece(folder, stated, whole)
    pairs = next((pair for pair in FILES if all((folder / name).is_file() for name in pair)), None)
    if pairs is None and _model(whole).get("type") != "BPE":
        if whole is not None:
            raise ZooError(f"{folder / WHOLE}: model type {_model(whole).get('type')!r} is not BPE or WordPiece")
        return None
    ids = _model(whole).get("vocab") if pairs is None else read_json(folder / pairs[0])
    if isinstance(ids, Mapping) and any(isinstance(name, str) and name.endswith(SUFFIX) for name in ids):
        _check_gpt1(folder, whole)
        return Gpt1Tokenizer.load(folder)
    _check_byte_level(folder, stated, whole)
    exact = isinstance(ids, Mapping) and len(ids) == GPT2_IDS
    return Gpt2Tokenizer.load(folder) if exact else BpeTokenizer.load(folder)


def _model(whole: Mapping[str, Any] | None) -> Mapping[str, Any]:
    model = (whole or {}).get("model")
    return model if isinstance(model, Mapping) else {}


def _wordpiece(folder: Path, stated: Mapping[str, Any], whole: Mapping[str, Any] | None) -> WordpieceTokenizer:
    normal = (whole or {}).get("normalizer")
    normal = normal if isinstance(normal, Mapping) else {}
    lowercase = stated.get("do_lower_case", normal.get("lowercase", True))
    if not isinstance(lowercase, bool):
        raise ZooError(f"{folder / CONFIG}: do_lower_case must be true or false")
    for key, usual in (("strip_accents", (None, lowercase)), ("tokenize_chinese_chars", (True,))):
        if stated.get(key, usual[0]) not in usual:
            raise ZooError(f"{folder / CONFIG}: {key}={stated[key]!r} is not supported; BERT's own is {usual[0]!r}")
    return WordpieceTokenizer.load(folder, lowercase=lowercase)


def _check_gpt1(folder: Path, whole: Mapping[str, Any] | None) -> None:
    """Refuse words that are cut in another way than GPT-1's."""
    if whole is not None and _kind(whole, "pre_tokenizer") != "BertPreTokenizer":
        raise ZooError(f"{folder / WHOLE}: only GPT-1's own way of cutting text (BertPreTokenizer) is supported")


def _check_byte_level(folder: Path, stated: Mapping[str, Any], whole: Mapping[str, Any] | None) -> None:
    """Refuse what would silently give other ids than the folder's own tokenizer."""
    if stated.get("add_prefix_space", False):
        raise ZooError(f"{folder / CONFIG}: add_prefix_space is not supported; set it to false")
    if whole is None:
        return
    cut = whole.get("pre_tokenizer")
    plain = isinstance(cut, Mapping) and not cut.get("add_prefix_space") and cut.get("use_regex", True)
    if whole.get("normalizer") is not None or not plain or _kind(whole, "pre_tokenizer") != "ByteLevel":
        raise ZooError(
            f"{folder / WHOLE}: only GPT-2's own way of cutting text (ByteLevel, no normalizer) is supported"
        )


def _kind(whole: Mapping[str, Any], part: str) -> str | None:
    value = whole.get(part)
    return value.get("type") if isinstance(value, Mapping) else None


def write(folder: Path, tokenizer: Tokenizer[Any], *, context: int) -> None:
    """Write a tokenizer's files into ``folder``.

    Args:
        folder: of the model.
        tokenizer: one that Hugging Face's classes describe is written for them, any other in our own form.
        context: most ids that the model reads.
    """
    files = _files(tokenizer, context)
    if files is None:
        tokenizer.save(folder / OWN)
        return
    for name, content in files.items():
        write_file(folder / name, [content.encode()])


def _files(tokenizer: Tokenizer[Any], context: int) -> dict[str, str] | None:
    if isinstance(tokenizer, BpeTokenizer):
        end = END if END in tokenizer.vocabulary.ids else None
        settings = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False}
        named = {"bos_token": end, "eos_token": end, "unk_token": end}
        return tokenizer.vocabulary.files() | _config({**settings, **named}, context)
    if isinstance(tokenizer, Gpt1Tokenizer) and tokenizer.words == "bert":
        settings = {"tokenizer_class": "OpenAIGPTTokenizer", "unk_token": "<unk>"}
        return tokenizer.vocabulary.files() | _config(settings, context)
    if isinstance(tokenizer, WordpieceTokenizer):
        settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": tokenizer.lowercase}
        return {PIECES: tokenizer.files[PIECES]} | _config(settings, context)
    if isinstance(tokenizer, PixelClustersTokenizer) and tokenizer.channels == 3:  # their processor knows colours only
        return {palette.HUGGING_FACE: palette.text(tokenizer.colours, (tokenizer.rows, tokenizer.columns))}
    return None


def _config(settings: Mapping[str, Any], context: int) -> dict[str, str]:
    return {CONFIG: json.dumps({**settings, "model_max_length": context}, indent=1) + "\n"}


def fits(tokenizer: Tokenizer[Any], network: TransformerConfig, where: Path) -> None:
    """Refuse a tokenizer that is not that of a network; vocabularies of text are sometimes padded to a round number.

    Raises:
        ZooError: more ids than the network has, fewer than nine tenths of them, or other pixels than it predicts.
    """
    spec = tokenizer.spec
    text = spec.modality == "text"
    count = spec.vocabulary_size if text else spec.output_vocabulary
    known = network.vocabulary if text else network.output_vocabulary or network.vocabulary
    if not (0.9 * known if text else known) <= count <= known:
        raise ZooError(
            f"{where}: the tokenizer '{spec.type}' makes {count} ids, the network {'reads' if text else 'predicts'} "
            f"{known}; use the tokenizer that the network was trained with"
        )
