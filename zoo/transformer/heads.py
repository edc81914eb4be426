"""What stands on top of the blocks beside the vocabulary: BERT's transform and pooler, and heads that classify."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.transformer.feedforward import ActivationName, activation
from zoo.transformer.linear import Linear
from zoo.transformer.norm import Norm


@dataclass(frozen=True, kw_only=True)
class OutputTransform:
    """A layer between the last hidden state and the output matrix, which then has a bias: ``norm(act(dense(x)))``.

    Devlin et al. 2018, section 3.1 (masked LM), as in their code.
    """

    activation: ActivationName = "gelu"

    def build(self, width: int, vocabulary: int, norm: Norm) -> Transform:
        """Return the module."""
        return Transform(width, vocabulary, norm, self.activation)


class Transform(nn.Module):
    """(batch, time, width) -> (batch, time, width), and the bias of the logits that follow."""

    def __init__(self, width: int, vocabulary: int, norm: Norm, name: ActivationName) -> None:
        super().__init__()
        self.dense = Linear(width, width)
        self.norm = norm.build(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.activate = activation(name)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, time, width) -> (batch, time, width)."""
        result: Tensor = self.norm(self.activate(self.dense(hidden)))
        return result


class Pooler(nn.Module):
    """``tanh(dense(first position))``. Devlin et al. 2018, their code's ``pooled_output``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, time, width) -> (batch, width)."""
        return torch.tanh(self.dense(hidden[:, 0]))


@dataclass(frozen=True, kw_only=True)
class First:
    """The first position: BERT's [CLS]."""

    def __call__(self, hidden: Tensor, lengths: Tensor | None) -> Tensor:
        """(batch, time, width) -> (batch, width)."""
        return hidden[:, 0]


@dataclass(frozen=True, kw_only=True)
class Last:
    """The last real position, which in a causal model has seen all others: GPT-1's extract token, GPT-2."""

    def __call__(self, hidden: Tensor, lengths: Tensor | None) -> Tensor:
        """(batch, time, width) -> (batch, width)."""
        if lengths is None:
            return hidden[:, -1]
        return hidden[torch.arange(len(hidden), device=hidden.device), lengths.to(hidden.device) - 1]


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean over the real positions: Image GPT (Chen et al. 2020, section 2.3)."""

    def __call__(self, hidden: Tensor, lengths: Tensor | None) -> Tensor:
        """(batch, time, width) -> (batch, width)."""
        if lengths is None:
            return hidden.mean(dim=1)
        lengths = lengths.to(hidden.device)
        real = rearrange(torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None], "b t -> b t 1")
        return hidden.where(real, 0).sum(dim=1) / lengths[:, None]


AnyPool = First | Last | Mean
"""How the positions of a sequence (batch, time, width), right-padded beyond ``lengths`` (batch,), become one vector."""


@dataclass(frozen=True, kw_only=True)
class Classification:
    """One of ``labels`` for a sequence: ``linear(dropout(pooled))``.

    Attributes:
        labels: their names, in the order of the logits.
        pool: which positions are looked at; of no effect after a pooler, which looks at the first.
        bias: of the linear layer (BERT has one, GPT-2 and Image GPT none).
        dropout: probability, on the pooled vector.
        layer: what is looked at: what block ``layer`` reads behind its first norm, as ``Transformer.features`` has it;
            None for the last hidden state, behind a pooler where there is one.
    """

    labels: tuple[str, ...]
    pool: AnyPool = Last()
    bias: bool = True
    dropout: float = 0.1
    layer: int | None = None

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ZooError(f"labels must be different names, at least one, got {', '.join(self.labels) or 'none'}")
        _check_dropout(self.dropout)

    def build(self, width: int) -> PooledHead:
        """Return the module: logits (batch, labels)."""
        return PooledHead(width, len(self.labels), self.pool, self.bias, self.dropout)


@dataclass(frozen=True, kw_only=True)
class MultiLabel(Classification):
    """Any number of ``labels`` for a sequence: the same layer, each of whose logits is a yes or no of its own."""


@dataclass(frozen=True, kw_only=True)
class MultipleChoice:
    """A score for each of several sequences, of which one is right: softmax over a question's choices.

    Radford et al. 2018, section 3.3 (figure 1, multiple choice).

    Attributes:
        pool: which positions are looked at.
        dropout: probability, on the pooled vector.
        layer: see ``Classification``.
    """

    pool: AnyPool = Last()
    dropout: float = 0.1
    layer: int | None = None

    def __post_init__(self) -> None:
        _check_dropout(self.dropout)

    def build(self, width: int) -> PooledHead:
        """Return the module: logits (batch, 1)."""
        return PooledHead(width, 1, self.pool, True, self.dropout)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Where an answer begins and ends: two logits a position. Devlin et al. 2018, section 4.2.

    Attributes:
        dropout: probability, on the hidden states.
        layer: see ``Classification``.
    """

    dropout: float = 0.0
    layer: int | None = None

    def __post_init__(self) -> None:
        _check_dropout(self.dropout)

    def build(self, width: int) -> PositionHead:
        """Return the module: logits (batch, time, 2) of start and end."""
        return PositionHead(width, 2, self.dropout)


Head = Classification | MultiLabel | MultipleChoice | Span


class PooledHead(nn.Module):
    """Logits of a whole sequence."""

    def __init__(self, width: int, count: int, pool: AnyPool, bias: bool, dropout: float) -> None:
        super().__init__()
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.output = Linear(width, count, bias=bias)

    def forward(self, hidden: Tensor, lengths: Tensor | None, pooled: Tensor | None) -> Tensor:
        """Return (batch, count) from hidden states (batch, time, width), or from what a pooler made of them."""
        features = self.pool(hidden, lengths) if pooled is None else pooled
        logits: Tensor = self.output(self.dropout(features))
        return logits


class PositionHead(nn.Module):
    """Logits of every position."""

    def __init__(self, width: int, count: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = Linear(width, count)

    def forward(self, hidden: Tensor, lengths: Tensor | None, pooled: Tensor | None) -> Tensor:
        """Return (batch, time, count) from hidden states (batch, time, width)."""
        logits: Tensor = self.output(self.dropout(hidden))
        return logits


def _check_dropout(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise ZooError(f"dropout must lie in [0, 1), got {dropout}")
