"""Jukebox's priors in the layout of Hugging Face's ``JukeboxModel``, which transformers had until version 4.40.

Levels count from the coarsest there: ``priors.0`` is the top prior.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import ZooError, suggest
from zoo.settings import build
from zoo.tokenizers.none import NoTokenizer
from zoo.weights import huggingface
from zoo.weights.family import CONFIG, read_settings
from zoo.weights.files import read_json
from zoo.weights.folder import read_yaml
from zoo.weights.jukebox_prior import Settings, config_of
from zoo.weights.jukebox_prior_names import COPIES, hugging_face, links
from zoo.weights.links import Link, Renamed
from zoo.weights.opened import Opened
from zoo.weights.tensors import TensorSource

ORDERS = {
    "full_dense_attention": 0,
    "raw_column_previous_row_attention": 2,
    "large_separated_enc_dec_w_lyrics": 10,
    "enc_dec_with_lyrics": 12,
}
"""Their names of the original's ``attn_order``."""


@dataclass(frozen=True, kw_only=True)
class _Prior:
    """The keys of a prior's settings that change what it computes; left out where they have the default."""

    level: int = 0
    attention_multiplier: float = 0.25
    attention_pattern: str = "enc_dec_with_lyrics"
    attn_res_scale: bool = False
    blocks: int | None = 64
    conv_res_scale: bool | None = None
    num_layers: int = 72
    hidden_size: int = 2048
    init_scale: float = 0.2
    is_encoder_decoder: bool = True
    lyric_vocab_size: int = 80
    encoder_loss_fraction: float = 0.4
    alignment_layer: int | None = 68
    alignment_head: int | None = 2
    max_duration: float = 600.0
    min_duration: float = 0.0
    max_nb_genres: int = 1
    merged_decoder: bool = True
    metadata_conditioning: bool = True
    metadata_dims: tuple[int, ...] = (604, 7898)
    mlp_multiplier: float = 1.0
    music_vocab_size: int = 2048
    n_ctx: int = 6144
    n_heads: int = 2
    nb_relevant_lyric_tokens: int = 384
    res_conv_depth: int = 3
    res_conv_width: int = 128
    res_convolution_multiplier: float = 1.0
    res_dilation_cycle: int | None = None
    res_dilation_growth_rate: int = 1
    res_downs_t: tuple[int, ...] = (3, 2, 2)
    res_strides_t: tuple[int, ...] = (2, 2, 2)
    sampling_rate: int = 44_100
    timing_dims: int = 64

    @property
    def order(self) -> int:
        """The original's number of the attention pattern."""
        if self.attention_pattern not in ORDERS:
            name = self.attention_pattern[:60]
            raise ZooError(f"attention_pattern '{name}' is not one of {', '.join(ORDERS)}{suggest(name, ORDERS)}")
        return ORDERS[self.attention_pattern]


def read(folder: Path) -> tuple[Opened, ...]:
    """Open the priors in a folder, the coarsest first.

    Raises:
        ZooError: settings that our priors do not have, files that are missing or broken.
    """
    settings = read_json(folder / CONFIG)
    source = huggingface.weights(folder)
    if settings["model_type"] == "jukebox_prior":
        return (_opened(folder, settings, source, "", levels=3),)
    stated = settings.get("prior_config_list")
    if not isinstance(stated, list) or not 1 <= len(stated) <= 8 or not all(isinstance(one, dict) for one in stated):
        raise ZooError(f"{folder / CONFIG}: prior_config_list holds no settings of priors; get the folder again")
    return tuple(
        _opened(folder, {**one, "level": level}, source, f"priors.{level}.", levels=len(stated))
        for level, one in enumerate(stated)
    )


def _opened(folder: Path, stated: Mapping[str, Any], source: TensorSource, prefix: str, *, levels: int) -> Opened:
    where = folder / CONFIG
    try:
        config = config_of(_settings(stated, levels))
    except ZooError as error:
        raise ZooError(f"{where}: {prefix}{error}") from None

    def alone(name: str) -> str | None:
        return name.removeprefix(prefix) if name.startswith(prefix) else None

    copies = {hugging_face(copy): hugging_face(other) for copy, other in COPIES.items()}
    return Opened(
        where=str(where),
        config=config,
        source=Renamed(source, alone, copies if config.transformer.tied else None),
        tokenizer=NoTokenizer(config.vocabulary, modality="music"),
        card={
            "name": f"{folder.resolve().name}{'-' if prefix else ''}{prefix.strip('.').replace('.', '-')}",
            "modality": "music",
            "source": "Hugging Face jukebox layout",
        }
        | read_yaml(folder / huggingface.CARD),
        links=[_renamed(link) for link in links(config)],
    )


def _renamed(link: Link) -> Link:
    return Link(ours=link.ours, theirs=tuple(map(hugging_face, link.theirs)), views=link.views)


def _settings(stated: Mapping[str, Any], levels: int) -> Settings:
    """Return the original's settings of a prior that Hugging Face's describe."""
    prior = read_settings(_Prior, stated)
    if not 0 <= prior.level < levels or not len(prior.res_downs_t) == len(prior.res_strides_t) == levels:
        raise ZooError(f"level must lie in [0, {levels}), and res_downs_t and res_strides_t have {levels} numbers")
    lyrics = prior.nb_relevant_lyric_tokens
    encoder: dict[str, Any] = {}
    if lyrics and not prior.is_encoder_decoder:
        inner = stated.get("encoder_config")
        if not isinstance(inner, Mapping):
            raise ZooError("encoder_config is missing, and the prior reads lyrics apart")
        encoder = _encoder(read_settings(_Prior, inner))
    timing = {"t_bins": prior.timing_dims, "min_duration": prior.min_duration, "max_duration": prior.max_duration}
    known = {
        "level": levels - 1 - prior.level,
        "levels": levels,
        # Both count a level's own convolutions from its end of the row, they from the coarse one.
        "downs_t": _turned(prior.res_downs_t),
        "strides_t": _turned(prior.res_strides_t),
        "l_bins": prior.music_vocab_size,
        "sr": prior.sampling_rate,
        "n_ctx": prior.n_ctx,
        "prior_width": prior.hidden_size,
        "prior_depth": prior.num_layers,
        "heads": prior.n_heads,
        "attn_order": prior.order,
        "blocks": prior.blocks,
        "m_attn": prior.attention_multiplier,
        "m_mlp": prior.mlp_multiplier,
        "res_scale": prior.attn_res_scale,
        "init_scale": prior.init_scale,
        "merged_decoder": prior.merged_decoder,
        "labels": prior.metadata_conditioning,
        "y_bins": prior.metadata_dims,
        "max_bow_genre_size": prior.max_nb_genres,
        **timing,
        "use_tokens": lyrics > 0,
        "n_tokens": lyrics,
        "n_vocab": prior.lyric_vocab_size,
        "single_enc_dec": prior.is_encoder_decoder,
        "prime_loss_fraction": prior.encoder_loss_fraction,
        "cond_width": prior.res_conv_width,
        "cond_depth": prior.res_conv_depth,
        "cond_m_conv": prior.res_convolution_multiplier,
        "cond_res_scale": bool(prior.conv_res_scale),
        "cond_dilation_growth_rate": prior.res_dilation_growth_rate,
        "cond_dilation_cycle": prior.res_dilation_cycle,
        **({"alignment_layer": prior.alignment_layer, "alignment_head": prior.alignment_head} if lyrics else {}),
        **encoder,
    }
    return build(Settings, known, CONFIG)


def _turned(values: tuple[int, ...]) -> tuple[int, ...]:
    """Return what their level k uses, ``values[k]``, where the original's ``level + 1`` looks it up."""
    return (values[0], *reversed(values[1:]))


def _encoder(inner: _Prior) -> dict[str, Any]:
    return {
        "prime_width": inner.hidden_size,
        "prime_depth": inner.num_layers,
        "prime_heads": inner.n_heads,
        "prime_attn_order": inner.order,
        "prime_blocks": inner.blocks,
        "prime_m_attn": inner.attention_multiplier,
        "prime_m_mlp": inner.mlp_multiplier,
        "prime_res_scale": inner.attn_res_scale,
        "prime_init_scale": inner.init_scale,
    }
