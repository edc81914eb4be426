"""Text that finds faults, vocabularies, and what every text tokenizer must keep."""

from __future__ import annotations

import gzip
from pathlib import Path

from hypothesis import strategies

from zoo.tokenizers.base import TextTokenizer

PACKED = Path(__file__).resolve().parents[1] / "fixtures" / "bpe-vocab"

HARD_TEXTS = (
    "",
    "a",
    " ",
    "\n",
    "\x00",
    "\ufeffafter a byte order mark",
    "a\x00b\x01c\x7f\x80",
    "tabs\tand\r\nline breaks\n\n\r and\u2028more\x0b\x0c\x85",
    "e\u0301 \u00e9 \u1100\u1161 한국어 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e6\U0001f1f9",
    "שלום \u202eעולם\u202c العربية",
    "\U0010ffff\ufffd\uffff\ue000",
    "漢字かな交じり文、全角スペース\u3000。",
    "don't I'LL we've o'clock 'tis ''quoted'' rock'n'roll x''''s",
    "<|endoftext|> [MASK] <unk> ## ##ing </w>",
    "3.14159 1,000,000 ½ ² ٣ Ⅷ",
    "   many   blanks   ",
    "ﬁ İstanbul ẞ ǅ Ω",
)

texts = strategies.text(strategies.characters(exclude_categories=["Cs"]), max_size=60) | strategies.text(
    strategies.sampled_from(" \n\t'abcnstlvremd.,!?-é漢👍\u200d\u0301\x00\u3000ſİ09½"), max_size=60
)
"""Any text that UTF-8 can hold, half of them from characters that meet in tricky ways."""

CORPUS = "the cat sat on the mat; don't you see? 漢字 naïve café — “quoted” 1234 \n\n The End.\n" * 20


def unpack_vocabulary(name: str, folder: Path) -> Path:
    """Write the packed vocabulary ``gpt1`` or ``gpt2`` into ``folder`` as the original files, and return the folder."""
    for packed in (PACKED / name).glob("*.gz"):
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


def check_offsets(tokenizer: TextTokenizer, text: str) -> None:
    """Assert that offsets go with ``encode``, lie in the text, and never go back."""
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert ids.tolist() == tokenizer.encode(text).tolist()
    assert offsets.shape == (len(ids), 2)
    previous = 0
    for start, end in offsets.tolist():
        assert 0 <= start < end <= len(text)
        assert previous <= start
        previous = start


def check_stream(tokenizer: TextTokenizer, ids: list[int]) -> None:
    """Assert that streamed pieces are never empty and join to what ``decode`` gives."""
    pieces = list(tokenizer.stream(iter(ids)))
    assert all(pieces)
    assert "".join(pieces) == tokenizer.decode(ids)
