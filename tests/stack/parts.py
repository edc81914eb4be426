"""A stack of random weights, small enough to draw from in a moment."""

from __future__ import annotations

from pathlib import Path

import torch

from zoo.loading import load
from zoo.model import Model
from zoo.music.config import Above, Alignment, Labels, PrefixedLyrics, PriorConfig
from zoo.music.names import Names
from zoo.music.prior import Prior
from zoo.music.stack import StackConfig
from zoo.stack.model import Stack
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.tokenizers.codecs import build_codec
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import Dense, Prefix
from zoo.weights import codecs
from zoo.weights import stack as stacks

CODES, CHARACTERS = 12, "abcdefghijklmnopqrstuvwxyz \n"
HOPS = (2, 4, 8)
RATE = 1600
CONTEXT = 16
NAMES = Names(artists={"flute": 1, "organ": 2}, genres={"hymn": 1, "folk": 2})


def codec() -> Vqvae:
    """A codec of three levels, each twice as coarse as the next, whose codes are moments of a rising, fading tone."""
    torch.manual_seed(0)
    config = VqvaeConfig(
        rate=RATE,
        downs=(1, 1, 1),
        strides=(2, 2, 2),
        codes=CODES,
        code_width=4,
        width=4,
        depth=1,
        multipliers=(1, 1, 1),
    )
    made = build_codec(config)
    assert isinstance(made, Vqvae)
    with torch.no_grad():  # as drawn, features are nearly constant, and every sound the same code
        for name, weight in made.named_parameters():
            weight.mul_(0.0 if name.endswith("bias") else 1.0 if "residual" in name else 6**0.5)
        time = torch.arange(RATE) / RATE
        heard = torch.linspace(1, 0, RATE) * torch.sin(2 * torch.pi * 400 * time**2)
        for level in range(made.levels):
            features = made.features(heard[None, :, None], level)[0]
            made.codebook(level).adopt(features[torch.linspace(0, len(features) - 1, CODES).long()])
    return made.eval()


def prior(*, top: bool) -> Prior:
    """A prior whose random weights are large enough to prefer something."""
    torch.manual_seed(1 if top else 2)
    labels = Labels(artists=3, genres=3, names=NAMES)
    size = {"width": 16, "depth": 2, "heads": 2, "tied": False}
    if top:
        ids = len(CHARACTERS) + 1
        config = PriorConfig(
            transformer=TransformerConfig(
                vocabulary=CODES + ids, context=CONTEXT + 8, patterns=(Dense(), Prefix(length=8)), **size
            ),
            labels=labels,
            lyrics=PrefixedLyrics(ids=ids, length=8, characters=CHARACTERS, alignment=Alignment(layer=1, head=0)),
        )
    else:
        config = PriorConfig(
            transformer=TransformerConfig(vocabulary=CODES, context=CONTEXT, **size),
            labels=labels,
            above=Above(codes=CODES, width=8, depth=1, ups=1),
        )
    made = Prior(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


def loaded(folder: Path) -> Stack:
    """Load the stack that ``save`` writes below ``folder``."""
    stack = load(save(folder), device="cpu")
    assert isinstance(stack, Stack)
    return stack


def save(folder: Path) -> Path:
    """Write the stack, and its parts beside it, below ``folder``; return the stack's."""
    whole = codec()
    codecs.write(folder / "codec", whole)
    names = ("top", "middle", "fine")
    for level, name in zip((2, 1, 0), names, strict=True):
        Model(prior(top=level == 2), whole.level(level)).save(folder / name)
    config = StackConfig(codec="codec", priors=names)
    parts = {name: folder / name for name in ("codec", *names)}
    stacks.write(folder / "stack", config, parameters=1, card={"name": "stack"}, parts=parts)
    return folder / "stack"
