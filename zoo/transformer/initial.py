"""How weights are drawn before training, one value object a paper."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from torch import Tensor, nn

from zoo.errors import ZooError


class Role(Enum):
    """What a weight matrix is for; initialisers know matrices by their role, not by their name."""

    TOKENS = "tokens"
    POSITIONS = "positions"
    ATTENTION_INPUT = "attention_input"
    ATTENTION_OUTPUT = "attention_output"
    FEEDFORWARD_INPUT = "feedforward_input"
    FEEDFORWARD_OUTPUT = "feedforward_output"
    CROSS_OUTPUT = "cross_output"
    """Output matrices of both halves of a cross-attention layer."""
    OUTPUT = "output"
    HEAD = "head"
    """Matrices on top: transform, pooler, classifier."""


_RESIDUAL = (Role.ATTENTION_OUTPUT, Role.FEEDFORWARD_OUTPUT, Role.CROSS_OUTPUT)


@dataclass(frozen=True, kw_only=True)
class NormalInitial:
    """Every matrix from N(0, deviation^2). GPT-1 (Radford et al. 2018, section 4.1)."""

    deviation: float = 0.02

    def __post_init__(self) -> None:
        _check(self.deviation)

    def draw(self, weight: Tensor, role: Role, *, width: int, depth: int) -> None:
        """Fill ``weight`` in place."""
        nn.init.normal_(weight, std=self.deviation)


@dataclass(frozen=True, kw_only=True)
class Gpt2Initial:
    """N(0, deviation^2), matrices that write to the residual stream divided by ``sqrt(2 depth)``.

    Radford et al. 2019, section 2.3, counting two residual layers a block. OpenAI's code draws positions
    from N(0, 0.01^2); minGPT and nanoGPT use 0.02.
    """

    deviation: float = 0.02
    position_deviation: float = 0.02

    def __post_init__(self) -> None:
        _check(self.deviation)
        _check(self.position_deviation)

    def draw(self, weight: Tensor, role: Role, *, width: int, depth: int) -> None:
        """Fill ``weight`` in place."""
        deviation = self.position_deviation if role is Role.POSITIONS else self.deviation
        nn.init.normal_(weight, std=deviation / (2 * depth) ** 0.5 if role in _RESIDUAL else deviation)


@dataclass(frozen=True, kw_only=True)
class BertInitial:
    """Normal with deviation 0.02, cut at two deviations. Devlin et al. 2018, their code's ``initializer_range``."""

    deviation: float = 0.02

    def __post_init__(self) -> None:
        _check(self.deviation)

    def draw(self, weight: Tensor, role: Role, *, width: int, depth: int) -> None:
        """Fill ``weight`` in place."""
        nn.init.trunc_normal_(weight, std=self.deviation, a=-2 * self.deviation, b=2 * self.deviation)


@dataclass(frozen=True, kw_only=True)
class ImageGptInitial:
    """The values of Image GPT's code: output zero, q, k and v 1/sqrt(width), attention output 1/sqrt(width depth)."""

    def draw(self, weight: Tensor, role: Role, *, width: int, depth: int) -> None:
        """Fill ``weight`` in place."""
        deviation = {
            Role.POSITIONS: 0.01,
            Role.ATTENTION_INPUT: width**-0.5,
            Role.ATTENTION_OUTPUT: (width * depth) ** -0.5,
            Role.OUTPUT: 0.0,
        }.get(role, 0.02)
        nn.init.normal_(weight, std=deviation)


@dataclass(frozen=True, kw_only=True)
class JukeboxInitial:
    """N(0, (0.02 scale)^2), positions half of it, cross-attention layers' outputs zero. Jukebox's code."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _check(self.scale)

    def draw(self, weight: Tensor, role: Role, *, width: int, depth: int) -> None:
        """Fill ``weight`` in place."""
        deviation = {Role.POSITIONS: 0.01, Role.CROSS_OUTPUT: 0.0}.get(role, 0.02)
        nn.init.normal_(weight, std=deviation * self.scale)


Initial = NormalInitial | Gpt2Initial | BertInitial | ImageGptInitial | JukeboxInitial


def _check(deviation: float) -> None:
    if not 0 < deviation < 10:
        raise ZooError(f"a deviation must lie in (0, 10), got {deviation}")
