"""What masked language models (BERT) need of a tokenizer: ids that stand for something other than text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from zoo.errors import ZooError
from zoo.tokenizers.base import Tokenizer, TokenSpec

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class MaskedTokenizer(Protocol):
    """A text tokenizer with BERT's special ids. Devlin et al. 2018, section 3.

    Attributes:
        mask_id: a place to be filled, [MASK].
        class_id: begins every row, [CLS].
        separator_id: ends every part of a row, [SEP].
    """

    mask_id: int
    class_id: int
    separator_id: int

    @property
    def spec(self) -> TokenSpec:
        """See ``zoo.tokenizers.base``."""

    def encode(self, sample: str) -> Tensor:
        """Return ids (time,) of a text, in which no special id can stand."""

    def encode_with_specials(self, text: str) -> Tensor:
        """Return ids (time,) of a text in which ``[MASK]`` and its like stand for their ids."""

    def decode(self, ids: Tensor) -> str:
        """Return the text of ids (time,)."""


def masked(tokenizer: Tokenizer[Any]) -> MaskedTokenizer:
    """Return ``tokenizer`` as one that can mask.

    Raises:
        ZooError: it has no such ids.
    """
    if not isinstance(tokenizer, MaskedTokenizer):
        raise ZooError(
            f"the tokenizer '{tokenizer.spec.type}' has no [MASK], [CLS] and [SEP], which a masked language model "
            "needs; use tokenizer=wordpiece"
        )
    return tokenizer
