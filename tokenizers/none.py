"""What stands in for a tokenizer where a checkpoint has none: ids go in and come out as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from zoo.errors import ZooError
from zoo.tokenizers.base import Modality, Tokenizer, TokenSpec

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

FILES: dict[Modality, str] = {
    "text": "vocab.json and merges.txt, vocab.txt, or tokenizer.json",
    "image": "preprocessor_config.json or kmeans_centers.npy",
}


class NoTokenizer(Tokenizer[Any]):
    """Says how many ids there are, and refuses to make samples of them.

    Args:
        vocabulary: number of ids.
        modality: what the ids would be.
        end_id: id that ends a sample, where the checkpoint states one.
        pad_id: id for padding, where the checkpoint states one.
    """

    def __init__(
        self, vocabulary: int, *, modality: Modality = "text", end_id: int | None = None, pad_id: int | None = None
    ) -> None:
        self._spec = TokenSpec(
            type="none",
            modality=modality,
            vocabulary_size=vocabulary,
            end_id=end_id,
            pad_id=pad_id,
            lossless=False,
            fingerprint="",
        )

    @property
    def spec(self) -> TokenSpec:
        """The number of ids, and special ones that the checkpoint states."""
        return self._spec

    def encode(self, sample: object) -> NoReturn:
        """Raise ZooError."""
        self.refuse()

    def decode(self, ids: Tensor) -> NoReturn:
        """Raise ZooError."""
        self.refuse()

    def save(self, folder: Path | str) -> NoReturn:
        """Raise ZooError."""
        self.refuse()

    def refuse(self) -> NoReturn:
        """Raise ZooError, which says what can be done without a tokenizer and how to get one."""
        files = FILES.get(self.spec.modality, "spec.json")
        raise ZooError(
            "this checkpoint has no tokenizer, so it reads and makes ids only: use generate_ids, logits, hidden_states "
            f"or class_logits, or put its tokenizer's files ({files}) beside its weights"
        )
