"""What the tensors of Jukebox's codec are called by its own program and by Hugging Face's, as links to our weights."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.weights.links import Link, same


@dataclass(frozen=True, kw_only=True)
class Names:
    """How a layout names the parts of a level's block.

    ``{step}`` counts the strided convolutions of a block from 0, ``{next}`` is one more, ``{even}`` and ``{odd}`` count
    them and the residual blocks behind them in one row; ``{block}`` counts residual blocks, ``{steps}`` is their end.
    """

    down: str
    down_block: str
    leave: str
    enter: str
    up_block: str
    up: str
    convolutions: tuple[str, str]
    codebook: str


ORIGINAL = Names(
    down="model.{step}.0",
    down_block="model.{step}.1.model.{block}.model",
    leave="model.{steps}",
    enter="model.0",
    up_block="model.{next}.0.model.{block}.model",
    up="model.{next}.1",
    convolutions=("1", "3"),
    codebook="k",
)
HUGGING_FACE = Names(
    down="downsample_block.{even}",
    down_block="downsample_block.{odd}.resnet_block.{block}",
    leave="proj_out",
    enter="proj_in",
    up_block="upsample_block.{even}.resnet_block.{block}",
    up="upsample_block.{odd}",
    convolutions=("conv1d_1", "conv1d_2"),
    codebook="codebook",
)


def links(config: VqvaeConfig, names: Names) -> list[Link]:
    """Return the names of a codec's weights; averages of codebooks have none."""
    made: list[Link] = []
    for level in range(config.levels):
        for part in range(level + 1):
            for ours, theirs in _block(config, names, level, part):
                made += _convolution(ours, theirs)
        made += _convolution(f"decoders.{level}.out", f"decoders.{level}.out")
        made.append(same(f"codebooks.{level}.vectors", f"bottleneck.level_blocks.{level}.{names.codebook}"))
        averages = (f"codebooks.{level}.{name}" for name in ("sums", "counts", "begun"))
        made += [Link(ours=name, theirs=(), views=lambda weight: ()) for name in averages]
    return made


def _convolution(ours: str, theirs: str) -> list[Link]:
    return [same(f"{ours}.{part}", f"{theirs}.{part}") for part in ("weight", "bias")]


def _block(config: VqvaeConfig, names: Names, level: int, part: int) -> list[tuple[str, str]]:
    """Return our name and theirs of each convolution of one block of an encoder and of a decoder."""
    steps, blocks = config.downs[part], config.depth * config.multipliers[level]
    encoder, decoder = (
        (f"{side}.{level}.blocks.{part}", f"{side}.{level}.level_blocks.{part}") for side in ("encoders", "decoders")
    )
    pairs = [(f"{encoder[0]}.out", f"{encoder[1]}.{names.leave.format(steps=steps)}")]
    pairs.append((f"{decoder[0]}.enter", f"{decoder[1]}.{names.enter}"))
    for step in range(steps):
        places = {"step": step, "next": step + 1, "even": 2 * step, "odd": 2 * step + 1}
        pairs.append((f"{encoder[0]}.steps.{step}.down", f"{encoder[1]}.{names.down.format(**places)}"))
        pairs.append((f"{decoder[0]}.steps.{step}.up", f"{decoder[1]}.{names.up.format(**places)}"))
        for (ours, theirs), pattern in ((encoder, names.down_block), (decoder, names.up_block)):
            for block in range(blocks):
                inside = f"{theirs}.{pattern.format(**places, block=block)}"
                own = f"{ours}.steps.{step}.residual.{block}"
                pairs += [
                    (f"{own}.{mine}", f"{inside}.{other}")
                    for mine, other in zip(("dilated", "pointwise"), names.convolutions, strict=True)
                ]
    return pairs
