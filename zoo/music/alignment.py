"""Which lyric is sung when: the attention weights of one head. Dhariwal et al. 2020, section 4.2."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from zoo.errors import ZooError
from zoo.music.prior import Prior
from zoo.network import Conditioning
from zoo.transformer.attention import CrossAttention, SelfAttention


@torch.no_grad()
def alignment(prior: Prior, ids: Tensor, conditioning: Conditioning) -> Tensor:
    """Return how much each id of music attends to each lyric id, float32 (batch, time, lyrics).

    Args:
        prior: one that reads lyrics and says where its alignment is.
        ids: (batch, time) int64, a window's ids from the one that begins it.
        conditioning: see ``Prior.hidden``.

    Raises:
        ZooError: the prior reads no lyrics, or its alignment is not known.
    """
    lyrics = prior.config.lyrics
    if lyrics is None or lyrics.alignment is None:
        raise ZooError("this prior does not say which of its heads follows the lyrics")
    place, prefix = lyrics.alignment, prior.config.prefix
    x, told = prior.residual(ids, conditioning, place.layer)
    block = prior.transformer.block(place.layer)
    attention, x = block.attention, block.normalised(x)
    head = rearrange(attention.input(x), "b t (h d) -> b h t d", d=attention.head_width)
    if isinstance(attention, CrossAttention):
        assert told.memory is not None
        keys = rearrange(attention.memory_input(told.memory), "b t (h d) -> b h t d", d=attention.head_width)
        query, key = head[:, place.head], keys[:, place.head]
        visible = torch.ones(query.shape[1], key.shape[1], dtype=torch.bool, device=ids.device)
    else:
        assert isinstance(attention, SelfAttention)
        at = torch.arange(x.shape[1], device=ids.device)
        if attention.rotation is not None:
            head = attention.rotation(head, attention.rotation.angles(at))  # values are not looked at here
        shared = attention.heads // attention.key_value_heads
        query, key = head[:, place.head], head[:, attention.heads + place.head // shared]
        visible = attention.pattern.sees(at[:, None], at)
    scores = (query.float() @ key.float().mT) * attention.head_width**-0.5
    weights: Tensor = scores.masked_fill(~visible, -torch.inf).softmax(dim=-1)
    return weights[:, prefix:, : lyrics.length]
