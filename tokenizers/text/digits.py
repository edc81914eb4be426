"""The ten digits as tokens, for arithmetic."""

from __future__ import annotations

from typing import ClassVar

from zoo.tokenizers.text.char import CharTokenizer


class DigitsTokenizer(CharTokenizer):
    """Id 0 to 9 for the digits; every other character is refused."""

    type: ClassVar[str] = "digits"

    def __init__(self) -> None:
        super().__init__("0123456789")

    def _files(self) -> dict[str, str]:
        return {}

    def _refusal(self, character: str, position: int) -> str:
        return f"character {character!r} at position {position} is not a digit 0-9; write 85+50 as 8550"
