"""What a stack is made of: a codec, and a prior for each of its levels. Dhariwal et al. 2020."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from zoo.errors import ZooError


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """The parts of a stack by name: folders in its own, or checkpoints elsewhere.

    Attributes:
        codec: makes sound of the codes of each level.
        priors: the coarsest level's first, then each next finer one's.
        coarsest: level of the first prior; a codec's finest is 0. None for the codec's last.
    """

    settings_name: ClassVar[str] = "stack"

    codec: str
    priors: tuple[str, ...]
    coarsest: int | None = None

    def __post_init__(self) -> None:
        for name in (self.codec, *self.priors):
            if not name.strip() or name.startswith(("/", "~", "\\")) or ".." in name.split("/") or "\0" in name:
                raise ZooError(f"'{name[:80]}' names no part of a stack: a folder in it, or a checkpoint by name")
        if not 1 <= len(self.priors) <= 64:
            raise ZooError(f"a stack has 1 to 64 priors, got {len(self.priors)}")
        if self.coarsest is not None and not len(self.priors) <= self.coarsest + 1 <= 64:
            raise ZooError(f"coarsest is level {self.coarsest}, below which there are not {len(self.priors)} priors")
