"""What the tensors of Jukebox's priors are called by its own program, as links to our weights.

Hugging Face's old layout has the same tensors, and its names are made of these: see ``hugging_face``.
"""

from __future__ import annotations

import re

from torch import Tensor

from zoo.music.config import PriorConfig, SeparateLyrics
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import Cross
from zoo.weights.links import Link, same, transposed

COPIES = {"prior.x_out.weight": "prior.x_emb.weight"}
"""The output matrix is stored even where it is the table of ids."""


def links(config: PriorConfig, *, recomputed: bool = True) -> list[Link]:
    """Return the original's names of a prior's weights.

    Args:
        config: of the prior.
        recomputed: the conditioner was built to recompute its activations (``cond_c_res``), which changes a name.
    """
    found = _sequence(config.transformer, "transformer", "prior", begins=config.labels is None)
    if not config.transformer.tied:
        found.append(same("transformer.output.weight", "prior.x_out.weight"))
    if config.labels is not None:
        found += [_table("label_embedding.artists", "artist_emb"), _table("label_embedding.genres", "bow_genre_emb")]
        if config.labels.timing is not None:
            timing = {"total": "total_length_emb", "absolute": "absolute_pos_emb", "relative": "relative_pos_emb"}
            found += [_table(f"label_embedding.timing.{ours}", theirs) for ours, theirs in timing.items()]
    if config.above is not None:
        found += _above(config.above.ups, config.above.depth, "blocks" if recomputed else "model")
    if isinstance(config.lyrics, SeparateLyrics):
        found += _sequence(config.lyrics.transformer, "lyrics.transformer", "prime_prior", begins=True)
        found += _product("lyrics.projection", "prime_state_proj") + _both("lyrics.norm", "prime_state_ln")
        found.append(same("lyrics.output.weight", "prime_x_out.weight"))
    return found


def _sequence(config: TransformerConfig, ours: str, theirs: str, *, begins: bool) -> list[Link]:
    """Return the links of a transformer; ``begins``: its table has a last row, which begins a window."""
    table = f"{ours}.embedding.tokens.weight"
    found = [same(table, f"{theirs}.x_emb.weight")]
    if begins:

        def parts(weight: Tensor) -> tuple[Tensor, Tensor]:
            return weight[:-1], weight[-1:]

        found = [Link(ours=table, theirs=(f"{theirs}.x_emb.weight", f"{theirs}.start_token"), views=parts)]
    found.append(same(f"{ours}.embedding.positions.weight", f"{theirs}.pos_emb.pos_emb"))
    for layer in range(config.depth):
        mine, other = f"{ours}.blocks.{layer}", f"{theirs}.transformer._attn_mods.{layer}"
        found += _product(f"{mine}.attention.input", f"{other}.attn.c_attn")
        if isinstance(config.pattern(layer), Cross):
            found += _product(f"{mine}.attention.memory_input", f"{other}.attn.c_enc_kv")
        found += _product(f"{mine}.attention.output", f"{other}.attn.c_proj")
        found += _product(f"{mine}.feedforward.input", f"{other}.mlp.c_fc")
        found += _product(f"{mine}.feedforward.output", f"{other}.mlp.c_proj")
        found += _both(f"{mine}.attention_norm", f"{other}.ln_0") + _both(f"{mine}.feedforward_norm", f"{other}.ln_1")
    return found


def _above(ups: int, depth: int, blocks: str) -> list[Link]:
    """Return the links of the conditioner on the level above."""
    theirs = "conditioner_blocks.0"
    found = [same("above.codes.weight", f"{theirs}.x_emb.weight")]
    found += _both("above.enter", f"{theirs}.cond.model.0") + _both("above.norm", f"{theirs}.ln")
    for step in range(ups):
        other = f"{theirs}.cond.model.{step + 1}"
        found += _both(f"above.steps.{step}.up", f"{other}.1")
        for block in range(depth):
            mine = f"above.steps.{step}.residual.{block}"
            found += _both(f"{mine}.dilated", f"{other}.0.{blocks}.{block}.model.1")
            found += _both(f"{mine}.pointwise", f"{other}.0.{blocks}.{block}.model.3")
    return found


def _product(ours: str, theirs: str) -> list[Link]:
    return [transposed(f"{ours}.weight", f"{theirs}.w"), same(f"{ours}.bias", f"{theirs}.b")]


def _both(ours: str, theirs: str) -> list[Link]:
    return [same(f"{ours}.{part}", f"{theirs}.{part}") for part in ("weight", "bias")]


def _table(ours: str, theirs: str) -> Link:
    return same(f"{ours}.weight", f"y_emb.{theirs}.emb.weight")


HUGGING_FACE = (
    (r"^conditioner_blocks\.0\.cond\.model\.0\.", "conditioner_blocks.upsampler.proj_in."),
    (r"^conditioner_blocks\.0\.ln\.", "conditioner_blocks.layer_norm."),
    (r"^conditioner_blocks\.0\.x_emb\.", "conditioner_blocks.embed_tokens."),
    (r"^prime_state_proj\.", "encoder.proj_in."),
    (r"^prime_state_ln\.", "encoder.final_layer_norm."),
    (r"^prime_x_out\.", "encoder.lm_head."),
    (r"^prime_prior\.", "encoder."),
    (r"^y_emb\.(artist_emb|bow_genre_emb)\.emb\.", r"metadata_embedding.\1."),
    (r"^y_emb\.", "metadata_embedding."),
    (r"\.x_emb\.", ".embed_tokens."),
    (r"\.x_out\.", ".fc_proj_out."),
    (r"\.ln_([01])\.", r".layer_norm_\1."),
    (r"\.w$", ".weight"),
    (r"\.b$", ".bias"),
)
"""From the original's names to Hugging Face's, each applied where it fits."""
_STEP = re.compile(
    r"^conditioner_blocks\.0\.cond\.model\.(\d+)\.(?:0\.(?:blocks|model)\.(\d+)\.model\.([13])|1)\.(\w+)$"
)


def hugging_face(name: str) -> str:
    """Return Hugging Face's name of a tensor of the original, without the prefix ``priors.N.``."""
    if step := _STEP.match(name):
        first = 2 * (int(step[1]) - 1)
        inside = f"{first}.resnet_block.{step[2]}.conv1d_{'12'[step[3] == '3']}" if step[2] else f"{first + 1}"
        return f"conditioner_blocks.upsampler.upsample_block.{inside}.{step[4]}"
    for pattern, new in HUGGING_FACE:
        name = re.sub(pattern, new, name)
    return name
