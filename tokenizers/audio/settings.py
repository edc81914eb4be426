"""The settings of every audio tokenizer. They are light: torch comes only with ``fit`` and ``load``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from zoo.errors import ZooError
from zoo.tokenizers.base import Modality

if TYPE_CHECKING:
    from zoo.tokenizers.audio.base import AudioTokenizer

MOST_LEVELS = 65_536


@dataclass(frozen=True, kw_only=True)
class MuLaw:
    """One id for each sample, its level on a scale that is finer where it is quiet (WaveNet, section 2.2).

    Attributes:
        levels: 2 to 65,536.
        rate: samples, and so ids, per second.
    """

    modality: ClassVar[Modality] = "music"
    levels: int = 256
    rate: int = 8_000

    def __post_init__(self) -> None:
        check_levels(self.levels)

    def fit(self, samples: Iterable[Any]) -> AudioTokenizer:
        """Return the tokenizer; there is nothing to fit."""
        from zoo.tokenizers.audio.mu_law import MuLawTokenizer

        return MuLawTokenizer(levels=self.levels, rate=self.rate)

    @staticmethod
    def load(folder: Path) -> AudioTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.audio.mu_law import MuLawTokenizer

        return MuLawTokenizer.load(folder)


def check_levels(levels: int) -> None:
    """Refuse a number of levels that mu-law has no use for.

    Raises:
        ZooError: say so.
    """
    if not 2 <= levels <= MOST_LEVELS:
        raise ZooError(f"levels must be 2 to {MOST_LEVELS}, got {levels}")
