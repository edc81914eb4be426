"""A prior whose ids begin as what they stand for: the codec's vectors, in which ids of similar sounds are alike.

Without it, ids are numbers that say nothing of each other, and a prior must hear each of a thousand often enough to
find out. Ours; Jukebox draws its tables at random.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.music.prior import Prior

SHARE = 0.9
"""Part of the variance that is the codec's; the rest tells ids apart that its few features do not."""
SEED = 7
"""Of the directions that the codec's features get: the same in every process and run."""


@dataclass(frozen=True, kw_only=True)
class Codebooks:
    """The vectors of a codec's ids.

    Attributes:
        own: of the level that is predicted, float32 (codes, code_width).
        above: of the level above; None at the coarsest.
    """

    own: Tensor
    above: Tensor | None


@torch.no_grad()
def begin_with(prior: Prior, codebooks: Codebooks) -> None:
    """Let a prior's tables begin as the codec's vectors, turned into its width, as large as they were drawn.

    Args:
        prior: freshly drawn; changed in place. Ids of lyrics keep what they have.
        codebooks: of the levels whose ids it reads.
    """
    _fill(prior.transformer.embedding.tokens, codebooks.own, prior.config.shift)
    if prior.above is not None and codebooks.above is not None:
        _fill(prior.above.codes, codebooks.above, 0)


def _fill(table: nn.Embedding, vectors: Tensor, first: int) -> None:
    rows = table.weight[first : first + len(vectors)]
    size = rows.square().mean().sqrt()
    generator = torch.Generator().manual_seed(SEED)
    directions = torch.randn(vectors.shape[1], rows.shape[1], generator=generator)
    meant = _unit((vectors - vectors.mean(dim=0)) @ directions)
    apart = torch.randn(rows.shape, generator=generator)
    rows.copy_(size * (SHARE**0.5 * meant + (1 - SHARE) ** 0.5 * apart))


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.square().mean().sqrt().clamp(min=1e-12)
