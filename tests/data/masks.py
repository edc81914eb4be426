"""A tokenizer whose ids tell where in the text they stand, for tests of masked text."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.tokenizers.base import TokenSpec

PAD, CLASS, SEPARATOR, MASK, STOP, QUOTE, FIRST = range(7)


class Places:
    """Ids from ``FIRST`` on are words; ``STOP`` reads ``.`` and ``QUOTE`` reads ``"``."""

    class_id, separator_id, mask_id = CLASS, SEPARATOR, MASK

    def __init__(self, vocabulary: int) -> None:
        self.spec = TokenSpec(
            type="places",
            modality="text",
            vocabulary_size=vocabulary,
            end_id=SEPARATOR,
            pad_id=PAD,
            lossless=False,
            fingerprint="places",
        )

    def encode(self, sample: str) -> Tensor:
        return torch.tensor([{".": STOP, '"': QUOTE}.get(character, FIRST) for character in sample])

    def encode_with_specials(self, text: str) -> Tensor:
        return self.encode(text)

    def decode(self, ids: Tensor) -> str:
        return "".join({STOP: ".", QUOTE: '"'}.get(index, "w") for index in ids.tolist())
