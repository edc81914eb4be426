"""Jukebox's priors as OpenAI released them (``prior_level_*.pth.tar``) and in Hugging Face's old layout.

A file holds the settings (``hps``) that it was trained with; where one does not, its sizes tell which of the released
models it is. Dhariwal et al. 2020, and the code that goes with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.music.config import Above, Alignment, Labels, PrefixedLyrics, PriorConfig, SeparateLyrics, Timing
from zoo.settings import build
from zoo.tokenizers.none import NoTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.feedforward import Mlp
from zoo.transformer.initial import JukeboxInitial
from zoo.transformer.patterns import AnyPattern, Block, Column, Cross, Dense, Prefix, PreviousBlock
from zoo.weights.family import LARGEST
from zoo.weights.jukebox_prior_names import COPIES, links
from zoo.weights.links import Renamed
from zoo.weights.opened import Opened
from zoo.weights.tensors import TensorSource
from zoo.weights.torch_legacy import TorchSource

MARK = "prior.x_emb.weight"
"""A tensor that every prior has."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The original's settings of a prior that change what it computes, under their own names."""

    level: int
    levels: int = 3
    downs_t: tuple[int, ...] = (3, 2, 2)
    strides_t: tuple[int, ...] = (2, 2, 2)
    l_bins: int = 2048
    sr: int = 44_100
    n_ctx: int = 8192
    prior_width: int
    prior_depth: int
    heads: int
    attn_order: int = 2
    blocks: int | None = 128
    m_attn: float = 0.25
    m_mlp: float = 1.0
    res_scale: bool = False
    init_scale: float = 1.0
    merged_decoder: bool = False
    y_cond_as_bias: bool = False
    labels: bool = True
    y_bins: int | tuple[int, ...] = (120, 4111)
    max_bow_genre_size: int | None = 5
    t_bins: int = 128
    min_duration: float | None = 60.0
    max_duration: float | None = 600.0
    use_tokens: bool = False
    n_tokens: int = 0
    n_vocab: int = 0
    single_enc_dec: bool = False
    prime_width: int = 128
    prime_depth: int = 3
    prime_heads: int = 1
    prime_attn_order: int = 0
    prime_blocks: int | None = None
    prime_m_attn: float = 0.25
    prime_m_mlp: float = 1.0
    prime_res_scale: bool = False
    prime_init_scale: float = 1.0
    prime_loss_fraction: float = 0.1
    alignment_layer: int | None = None
    alignment_head: int | None = None
    cond_width: int = 1024
    cond_depth: int = 16
    cond_m_conv: float = 1.0
    cond_res_scale: bool = False
    cond_dilation_growth_rate: int = 3
    cond_dilation_cycle: int | None = 8
    cond_c_res: int = 1

    def __post_init__(self) -> None:
        for name in ("res_scale", "prime_res_scale", "y_cond_as_bias"):
            if getattr(self, name):
                raise ZooError(f"{name} is not supported, and no released model has it")
        sizes = (self.n_ctx, self.prior_width, self.prior_depth, self.heads, self.l_bins, self.sr, self.blocks or 1)
        if not all(1 <= size < LARGEST for size in sizes) or not 0 <= self.level < self.levels <= 8:
            raise ZooError("a size or level is out of range")
        if not len(self.downs_t) == len(self.strides_t) == self.levels:
            raise ZooError("downs_t and strides_t must have a number for each level")


_UPSAMPLER = {"prior_width": 1920, "prior_depth": 72, "heads": 1, "init_scale": 0.4}
RELEASED: dict[str, dict[str, Any]] = {
    "upsampler_level_0": {"level": 0, **_UPSAMPLER},
    "upsampler_level_1": {"level": 1, "cond_res_scale": True, **_UPSAMPLER},
    "prior_5b": {
        "level": 2, "prior_width": 4800, "prior_depth": 72, "heads": 8, "init_scale": 0.1, "merged_decoder": True,
    },
    "prior_5b_lyrics": {
        "level": 2, "prior_width": 4800, "prior_depth": 79, "heads": 8, "attn_order": 10, "init_scale": 0.1,
        "merged_decoder": True, "min_duration": 23.8, "use_tokens": True, "n_tokens": 512, "n_vocab": 80,
        "prime_width": 1280, "prime_depth": 18, "prime_heads": 4, "prime_attn_order": 2, "prime_blocks": 32,
        "prime_init_scale": 0.7, "prime_loss_fraction": 0.4, "alignment_layer": 68, "alignment_head": 2,
    },
    "prior_1b_lyrics": {
        "level": 2, "n_ctx": 6144, "prior_width": 2048, "prior_depth": 72, "heads": 2, "attn_order": 12, "blocks": 64,
        "init_scale": 0.2, "y_bins": (604, 7898), "max_bow_genre_size": 1, "t_bins": 64, "min_duration": 17.84,
        "use_tokens": True, "n_tokens": 384, "n_vocab": 79, "single_enc_dec": True, "prime_loss_fraction": 0.4,
        "alignment_layer": 63, "alignment_head": 0,
    },
}  # fmt: skip
"""The settings of the models that OpenAI released."""


def released(name: str) -> PriorConfig:
    """Return the configuration of one of the released models (a key of ``RELEASED``)."""
    return config_of(build(Settings, RELEASED[name], name))


def find(path: Path) -> Path | None:
    """Return the file of an original prior: ``path`` itself, or the only one in that folder; None if there is none."""
    if path.is_dir():
        files = sorted(path.glob("prior_level_*.pth.tar"))
        return files[0] if len(files) == 1 else None
    return path if re.fullmatch(r"prior_level_\d\.(pth\.tar|pth|pt)", path.name) and path.is_file() else None


def holds_prior(source: TensorSource) -> bool:
    """Return whether a file of tensors is a prior's."""
    return MARK in source.names()


def read(path: Path) -> Opened:
    """Open a prior as the original program saves it.

    Raises:
        ZooError: the file is refused (see ``TorchSource``), or neither holds its settings nor is a released model.
    """
    source = TorchSource(path)
    settings = _settings(source, source.beside.get("hps"), path)
    try:
        config = config_of(settings)
    except ZooError as error:
        raise ZooError(f"{path}: hps: {error}") from None
    tied = config.transformer.tied
    return Opened(
        where=str(path),
        config=config,
        source=Renamed(source, lambda name: name, COPIES if tied else None),
        tokenizer=NoTokenizer(config.vocabulary, modality="music"),
        card={"name": path.name.split(".")[0], "modality": "music", "source": f"Jukebox's own {path.name}"},
        links=links(config, recomputed=bool(settings.cond_c_res)),
    )


def _settings(source: TensorSource, stated: object, path: Path) -> Settings:
    if isinstance(stated, Mapping):
        known = {name: stated[name] for name in Settings.__annotations__ if name in stated}
        for name, value in known.items():
            if not isinstance(value, bool | int | float | tuple | list | None):
                raise ZooError(f"{path}: hps.{name} is no number; use the original file")
        known = {name: value for name, value in known.items() if not (name == "y_bins" and value == 0)}
        return build(Settings, known, f"{path}: hps")
    if not holds_prior(source):
        raise ZooError(f"{path} is no prior: it has no tensor {MARK!r}")
    bins, width = source.shape(MARK) if len(source.shape(MARK)) == 2 else (0, 0)
    level = re.search(r"level_(\d)", path.name)
    for name, values in RELEASED.items():
        config = released(name).transformer
        depth = f"prior.transformer._attn_mods.{config.depth - 1}.ln_0.weight"
        deeper = f"prior.transformer._attn_mods.{config.depth}.ln_0.weight"
        sizes = (config.vocabulary, config.width) == (bins, width)
        if sizes and depth in source.names() and deeper not in source.names():
            if values["level"] != 2 and level is None:
                raise ZooError(
                    f"{path}: an upsampler's level stands in its name; call it prior_level_0 or prior_level_1"
                )
            if level is None or int(level[1]) == values["level"]:
                return build(Settings, values, name)
    raise ZooError(f"{path} holds no settings (hps), and its sizes are those of no released prior; save it with hps")


def config_of(stated: Settings) -> PriorConfig:
    """Return the network that the original's settings describe."""
    top = stated.level == stated.levels - 1
    lyric = stated.n_tokens if stated.use_tokens else 0
    prefix = lyric if stated.single_enc_dec else 0
    separate = bool(lyric and not prefix)
    context = stated.n_ctx + prefix
    predicted = stated.l_bins + (stated.n_vocab if prefix else 0)
    conditioned = not top or stated.labels
    return PriorConfig(
        transformer=TransformerConfig(
            vocabulary=predicted + (not stated.labels),
            output_vocabulary=None if stated.labels else predicted,
            context=context,
            width=stated.prior_width,
            depth=stated.prior_depth,
            heads=stated.heads,
            attention_width_ratio=stated.m_attn,
            feedforward=Mlp(activation="quick_gelu", ratio=stated.m_mlp),
            final_norm=False,
            patterns=patterns(stated.attn_order, stated.prior_depth, context, stated.blocks, prefix),
            tied=not stated.merged_decoder,
            memory_width=stated.prior_width if separate else None,
            condition_at_output=conditioned and not stated.merged_decoder,
            initial=JukeboxInitial(scale=stated.init_scale),
        ),
        labels=_labels(stated, top) if stated.labels else None,
        above=None if top else _above(stated),
        lyrics=_lyrics(stated, prefix) if lyric else None,
    )


def _labels(stated: Settings, top: bool) -> Labels:
    bins = stated.y_bins if isinstance(stated.y_bins, tuple) else ()
    if len(bins) != 2:
        raise ZooError("y_bins must be the numbers of genres and of artists")
    timing = None
    if top:
        if stated.min_duration is None or stated.max_duration is None:
            raise ZooError("min_duration and max_duration must be numbers where labels are told")
        timing = Timing(bins=stated.t_bins, rate=stated.sr, shortest=stated.min_duration, longest=stated.max_duration)
    return Labels(genres=bins[0], artists=bins[1], slots=stated.max_bow_genre_size or 1, timing=timing)


def _above(stated: Settings) -> Above:
    return Above(
        codes=stated.l_bins,
        width=stated.cond_width,
        depth=stated.cond_depth,
        ups=stated.downs_t[stated.level + 1],
        stride=stated.strides_t[stated.level + 1],
        dilation_growth=stated.cond_dilation_growth_rate,
        dilation_cycle=stated.cond_dilation_cycle,
        hidden_ratio=stated.cond_m_conv,
        scaled=stated.cond_res_scale,
    )


def _lyrics(stated: Settings, prefix: int) -> SeparateLyrics | PrefixedLyrics:
    alignment = None
    if stated.alignment_layer is not None and stated.alignment_head is not None:
        alignment = Alignment(layer=stated.alignment_layer, head=stated.alignment_head)
    weight = stated.prime_loss_fraction
    if prefix:
        return PrefixedLyrics(ids=stated.n_vocab, length=prefix, weight=weight, alignment=alignment)
    encoder = TransformerConfig(
        vocabulary=stated.n_vocab + 1,
        output_vocabulary=stated.n_vocab,
        context=stated.n_tokens,
        width=stated.prime_width,
        depth=stated.prime_depth,
        heads=stated.prime_heads,
        attention_width_ratio=stated.prime_m_attn,
        feedforward=Mlp(activation="quick_gelu", ratio=stated.prime_m_mlp),
        final_norm=False,
        patterns=patterns(stated.prime_attn_order, stated.prime_depth, stated.n_tokens, stated.prime_blocks, 0),
        initial=JukeboxInitial(scale=stated.prime_init_scale),
    )
    return SeparateLyrics(transformer=encoder, weight=weight, alignment=alignment)


def patterns(order: int, depth: int, context: int, blocks: int | None, prefix: int) -> tuple[AnyPattern, ...]:
    """Return the attention pattern of each layer for the original's ``attn_order``.

    Args:
        order: 0 to 12; those with its attention functions 4 and 5, which no released model has, are refused.
        depth: layers.
        context: positions, those of lyrics in the same sequence included.
        blocks: into which they are cut.
        prefix: lyric ids at the beginning of the sequence.

    Raises:
        ZooError: an order that there is none of, or blocks that do not divide the context.
    """
    functions = _functions(order, depth)
    if functions == (0,):
        return (Dense(),)
    if blocks is None or context % blocks:
        raise ZooError(f"blocks {blocks} must divide the {context} positions")
    size = context // blocks
    made: dict[int, AnyPattern] = {
        0: Dense(), 1: Block(size=size), 2: Column(size=size), 3: PreviousBlock(size=size), 6: Cross(),
    }  # fmt: skip
    if prefix:
        made[7] = Prefix(length=(prefix // blocks + 1) * blocks)  # so the original: times blocks, not times their size
    if missing := {function for function in functions if function not in made}:
        raise ZooError(
            f"attn_order {order} has attention function {min(missing)}, which no released model of its kind has"
        )
    return tuple(made[function] for function in functions)


def _functions(order: int, depth: int) -> tuple[int, ...]:
    """Return the number of the attention function of each layer, cycled over the depth."""
    three, longer = (1, 2, 3), (1, 2, 3) * 3
    cycles: dict[int, Sequence[int]] = {
        0: (0,), 1: (1, 2), 2: three, 3: (1, 4), 4: (1, 5), 5: (1, 4, 1, 1), 6: (*three, 6), 7: (*three * 5, 6),
        8: (*longer, 6), 9: (*three, 0), 10: (*longer, *((*longer, 6) * 7)),
    }  # fmt: skip
    special = {11: (6, 6, 0), 12: (7, 7, 0)}
    if order in special:
        return tuple((special[order] if layer % 16 == 15 else three)[layer % 3] for layer in range(depth))
    if order not in cycles:
        raise ZooError(f"attn_order must be 0 to 12, got {order}")
    return tuple(cycles[order])
