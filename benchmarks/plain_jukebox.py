"""Jukebox's network drawn from as the original does: a plain PyTorch program, by the facts of its paper and release.

Every projection is ``addmm`` with a weight stored (in, out), keys and values are grown by ``cat``, softmax runs over
float32 scores, and ids come from ``Categorical``. It takes the weights of one of our networks, so that both draw from
the same distribution.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.transformer.attention import SelfAttention
from zoo.transformer.block import Block
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Block as OwnBlock
from zoo.transformer.patterns import Column, PreviousBlock


class Projection(nn.Module):
    """``x @ weight + bias``, weight (in, out)."""

    def __init__(self, source: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(source.weight.detach().T.contiguous())
        self.bias = nn.Parameter(source.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, in) -> (batch, time, out)."""
        flat = torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight)
        return flat.view(*x.shape[:-1], -1)


class Attention(nn.Module):
    """One id a call, by one of Jukebox's three functions over blocks of ``size``."""

    def __init__(self, source: SelfAttention) -> None:
        super().__init__()
        assert isinstance(source.pattern, OwnBlock | Column | PreviousBlock)
        self.pattern, self.size, self.heads = source.pattern, source.pattern.size, source.heads
        self.input, self.output = Projection(source.input), Projection(source.output)
        self.forget()

    def forget(self) -> None:
        """Begin a new sequence."""
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.position = 0

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, width) -> (batch, 1, width)."""
        query, key, value = self.input(x).chunk(3, dim=2)
        self.keys = key if self.keys is None else torch.cat((self.keys, key), dim=1)
        self.values = value if self.values is None else torch.cat((self.values, value), dim=1)
        offset = self.position % self.size
        keep = {OwnBlock: offset + 1, Column: self.position + 1, PreviousBlock: self.size + offset + 1}
        kept = keep[type(self.pattern)]
        self.keys, self.values = self.keys[:, -kept:], self.values[:, -kept:]
        result = self._attend(query, *self._seen(self.keys, self.values, offset))
        self.position += 1
        projected: Tensor = self.output(result)
        return projected

    def _seen(self, keys: Tensor, values: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        if isinstance(self.pattern, OwnBlock):
            return keys, values
        if isinstance(self.pattern, Column):
            return keys[:, offset :: self.size], values[:, offset :: self.size]
        if self.position < self.size:  # there is no block before: zeros are attended to
            nothing = torch.zeros_like(keys[:, :1])
            return nothing, nothing
        return keys[:, : self.size], values[:, : self.size]

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        split = "b t (h d) -> b h t d"
        query, keys, values = (rearrange(x, split, h=self.heads) for x in (query, keys, values))
        scale = query.shape[-1] ** -0.25
        scores = (query * scale) @ (keys * scale).transpose(2, 3)
        weights = scores.float().softmax(dim=-1).to(values.dtype)
        result: Tensor = rearrange(weights @ values, "b h t d -> b t (h d)")
        return result


class Layer(nn.Module):
    """Attention and MLP, each after a norm and added."""

    def __init__(self, source: Block) -> None:
        super().__init__()
        assert isinstance(source.attention, SelfAttention)
        self.before, self.between = source.attention_norm, source.feedforward_norm
        self.attention = Attention(source.attention)
        self.first, self.second = Projection(source.feedforward.input), Projection(source.feedforward.output)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, width) -> (batch, 1, width)."""
        x = x + self.attention(self.before(x))
        hidden = self.first(self.between(x))
        hidden = hidden * torch.sigmoid(1.702 * hidden)
        result: Tensor = x + self.second(hidden)
        return result


class PlainJukebox(nn.Module):
    """The network of ``source``, ids drawn one by one."""

    def __init__(self, source: Transformer) -> None:
        super().__init__()
        assert source.embedding.positions is not None
        self.tokens, self.positions = source.embedding.tokens, source.embedding.positions
        self.layers = [Layer(block) for block in source.layers()]

    def logits(self, previous: Tensor | None, start: Tensor, position: int) -> Tensor:
        """Return logits (batch, vocabulary) after ``previous`` (batch,), or after ``start`` (batch, width) alone."""
        x = start if previous is None else self.tokens(previous)
        x = (x + self.positions.weight[position])[:, None]
        for layer in self.layers:
            x = layer(x)
        return nn.functional.linear(x[:, 0], self.tokens.weight)

    @torch.no_grad()
    def draw(self, start: Tensor, count: int, temperature: float) -> Tensor:
        """Return ``count`` ids (batch, count) from nothing but the start vectors (batch, width)."""
        for layer in self.layers:
            layer.attention.forget()
        ids: list[Tensor] = []
        for position in range(count):
            logits = self.logits(ids[-1] if ids else None, start, position)
            # Categorical.sample by its name: torch gives that no hints
            chosen = torch.distributions.Categorical(logits=logits / temperature)
            ids.append(torch.multinomial(chosen.probs, 1)[:, 0])
        return torch.stack(ids, dim=1)
