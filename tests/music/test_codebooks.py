"""Ids that begin as the codec's vectors: near ones stay near, sizes stay as drawn, lyrics are left alone."""

from __future__ import annotations

import torch
from torch.nn.functional import cosine_similarity

from tests.stack.parts import CHARACTERS, CODES, prior
from zoo.music.codebooks import Codebooks, begin_with

WIDTH = 4


def vectors() -> torch.Tensor:
    """Pairs of vectors that are nearly the same, each pair apart from the others."""
    torch.manual_seed(3)
    centres = torch.randn(CODES // 2, WIDTH) * 5
    return torch.repeat_interleave(centres, 2, dim=0) + torch.randn(CODES, WIDTH) * 0.01 + 7.0


def test_ids_of_similar_vectors_are_alike() -> None:
    top = prior(top=True)
    table = top.transformer.embedding.tokens.weight
    shift = len(CHARACTERS) + 1
    before = table.detach().clone()
    begin_with(top, Codebooks(own=vectors(), above=None))
    assert torch.equal(table[:shift], before[:shift])
    found = table[shift:].detach()
    torch.testing.assert_close(found.std(), before[shift:].std(), rtol=0.15, atol=0)
    alike = cosine_similarity(found[0::2], found[1::2])
    others = cosine_similarity(found[0::2], found[1::2].roll(1, 0))
    assert alike.min() > 0.4
    assert alike.mean() > 0.75
    assert alike.mean() > others.mean() + 0.5
    again = prior(top=True)
    begin_with(again, Codebooks(own=vectors(), above=None))
    assert torch.equal(again.transformer.embedding.tokens.weight, table)


def test_the_level_above_has_its_own_codebook() -> None:
    finer = prior(top=False)
    assert finer.above is not None
    begin_with(finer, Codebooks(own=torch.randn(CODES, WIDTH), above=vectors()))
    found = finer.above.codes.weight.detach()
    assert cosine_similarity(found[0::2], found[1::2]).mean() > 0.75
    own = finer.transformer.embedding.tokens.weight.detach()
    assert cosine_similarity(own[0::2], own[1::2]).max() < 0.99
