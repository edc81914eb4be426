"""Bytes as tokens: the baseline that every other tokenizer has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from zoo.tokenizers import folder as folders
from zoo.tokenizers.base import TokenSpec
from zoo.tokenizers.ids import check_ids, to_tensor
from zoo.tokenizers.text.byte_level import ByteLevelTokenizer
from zoo.tokenizers.text.check import check_text


class ByteTokenizer(ByteLevelTokenizer):
    """Ids 0 to 255 are the bytes of UTF-8, id 256 ends a document (and decodes to nothing)."""

    pieces = (*(bytes([value]) for value in range(256)), b"")

    @property
    def spec(self) -> TokenSpec:
        """The facts: 257 ids, lossless."""
        return TokenSpec(
            type="byte",
            modality="text",
            vocabulary_size=257,
            end_id=256,
            lossless=True,
            fingerprint=folders.fingerprint("byte", {}),
        )

    def encode(self, sample: str) -> Tensor:
        """Return the UTF-8 bytes of ``sample``, int64 (time,); a ZooError if it holds a lone surrogate."""
        return to_tensor(np.frombuffer(check_text(sample).encode("utf-8"), dtype=np.uint8))

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """Return the text of ``ids``, shape (time,); bytes that are not UTF-8 become U+FFFD."""
        checked = check_ids(ids, len(self.pieces))
        return checked[checked < 256].astype(np.uint8).tobytes().decode("utf-8", "replace")

    def save(self, folder: Path | str) -> None:
        """Write ``spec.json``; there is nothing else to write."""
        folders.write(folder, self.spec, {})
