"""The recurrent baseline (LSTM, GRU or plain RNN of any depth) behind the same interface as the transformer.

The word-level model of Aesop's fables in *Generative Deep Learning* (Foster, 1st edition, chapter 6) is
``RecurrentConfig(vocabulary=4169, context=20, embedding_width=100, width=256)``. PyTorch keeps two bias vectors for
each gate where Keras keeps one, so it has 1,854,925 parameters here and 1,853,901 (4 * 256 fewer) in Keras.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo.errors import ZooError
from zoo.network import DEEPEST, Cache, Conditioning
from zoo.transformer.heads import Classification, Head


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """Settings of a recurrent network.

    Attributes:
        vocabulary: number of input ids.
        context: ids in a training window. The state has no limit, but samplers keep to this one: a recurrent network is
            at its best on as many ids as it was trained on.
        embedding_width: width of the id embeddings.
        width: width of every recurrent layer.
        depth: number of recurrent layers.
        cell: kind of layer.
        dropout: probability of dropping a feature after each layer, in [0, 1).
        output_vocabulary: number of predicted ids, ``vocabulary`` if None.
        head: classifies beside predicting ids; None for none. Its ``layer`` 0 is the embedding.
    """

    settings_name: ClassVar[str] = "recurrent"

    vocabulary: int
    context: int
    embedding_width: int
    width: int
    depth: int = 1
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    dropout: float = 0.0
    output_vocabulary: int | None = None
    head: Head | None = None

    def __post_init__(self) -> None:
        for name in ("vocabulary", "context", "embedding_width", "width", "depth"):
            if getattr(self, name) < 1:
                raise ZooError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if self.depth > DEEPEST:
            raise ZooError(f"depth: must be at most {DEEPEST}, got {self.depth}")
        if self.output_vocabulary is not None and self.output_vocabulary < 1:
            raise ZooError(f"output_vocabulary: must be at least 1, got {self.output_vocabulary}")
        if not 0.0 <= self.dropout < 1.0:
            raise ZooError(f"dropout: must lie in [0, 1), got {self.dropout}")
        if self.head is not None and self.head.layer is not None and not 0 <= self.head.layer <= self.depth:
            raise ZooError(f"head: layer must lie in 0 to {self.depth}, the depth, got {self.head.layer}")
        if self.cell not in CELLS:
            raise ZooError(f"cell: {self.cell!r} is not possible; choose one of: {', '.join(CELLS)}")


CELLS: dict[str, type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
"""The layer behind each name of ``RecurrentConfig.cell``."""


class RecurrentCache:
    """The state of every layer after the ids seen so far; its size does not depend on how many those were."""

    def __init__(self, states: Tensor, lengths: Tensor) -> None:
        """Hold ``states`` (depth, parts, batch, width), parts being 2 for an LSTM (h, c), and ``lengths`` (batch,)."""
        self.states = states
        self._lengths = lengths

    @property
    def lengths(self) -> Tensor:
        """Ids seen so far by each row, int64 (batch,) on the CPU."""
        return self._lengths

    def select(self, rows: Tensor) -> RecurrentCache:
        """Return a cache that holds copies of ``rows`` (int64, repeats allowed), in that order."""
        return RecurrentCache(
            self.states.index_select(2, rows.to(self.states.device)), self._lengths.index_select(0, rows.cpu())
        )

    def assign(self, rows: Tensor, other: Cache) -> None:
        """Overwrite ``rows`` with the rows of ``other``, in order."""
        assert isinstance(other, RecurrentCache)
        self.states[:, :, rows.to(self.states.device)] = other.states
        self._lengths[rows.cpu()] = other._lengths

    def advance(self, count: Tensor | int) -> None:
        """Add the number of ids just seen, ``count`` (batch,) or the same for every row."""
        self._lengths += count


class RecurrentNetwork(nn.Module):
    """Embedding, a stack of recurrent layers, a linear head with bias.

    Weights start as in Keras, which the fables model was trained with: embeddings uniform in [-0.05, 0.05], input
    weights and head Glorot uniform, recurrent weights orthogonal for each gate, biases 0, the
    LSTM's forget gates 1.
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = config.vocabulary
        self.output_vocabulary = config.output_vocabulary or config.vocabulary
        self.context = config.context
        self.source_context: int | None = None
        self.causal = True
        self.labels = config.head.labels if isinstance(config.head, Classification) else ()
        self.embedding = nn.Embedding(config.vocabulary, config.embedding_width)
        widths = [config.embedding_width] + [config.width] * (config.depth - 1)
        self.layers = nn.ModuleList(CELLS[config.cell](width, config.width, batch_first=True) for width in widths)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.width, self.output_vocabulary)
        below = config.embedding_width if config.head and config.head.layer == 0 else config.width
        self.classifier = config.head.build(below) if config.head else None
        self.parts = 2 if config.cell == "lstm" else 1
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        nn.init.uniform_(self.embedding.weight, -0.05, 0.05)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        if self.classifier is not None:
            nn.init.xavier_uniform_(self.classifier.output.weight)
            if self.classifier.output.bias is not None:
                nn.init.zeros_(self.classifier.output.bias)
        width = self.config.width
        for layer in self.layers:
            for name, parameter in layer.named_parameters():
                if name.startswith("bias"):
                    nn.init.zeros_(parameter)
                    if self.config.cell == "lstm" and name.startswith("bias_ih"):
                        parameter[width : 2 * width] = 1.0  # gates are packed input, forget, cell, output
                elif name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(parameter)
                else:
                    for gate in torch.split(parameter, width):
                        nn.init.orthogonal_(gate)

    def hidden(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Return the last layer's outputs (batch, time, width). See ``zoo.network.Network.hidden``.

        ``conditioning`` may hold ``start`` and ``added`` of the embedding's width.
        """
        return self._run(ids, lengths, conditioning, cache)[-1]

    def head(self, hidden: Tensor) -> Tensor:
        """Return logits (batch, time, output_vocabulary) of hidden states (batch, time, width)."""
        logits: Tensor = self.output(hidden)
        return logits

    def classify(self, hidden: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Return the head's logits of what it looks at, (batch, time, width): see ``zoo.transformer.heads``.

        Raises:
            ZooError: the network has no head.
        """
        if self.classifier is None:
            raise ZooError("this model has no head that classifies; give it one by fine-tuning")
        logits: Tensor = self.classifier(hidden, lengths, None)
        return logits

    def judge(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        whole: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the head's logits of ids (batch, time), and the last layer's outputs; see ``zoo.network.Network``."""
        head = self.config.head
        layer = len(self.layers) if head is None or head.layer is None else head.layer
        states = self._run(ids, lengths, conditioning, None, depth=None if whole else layer)
        return self.classify(states[layer], lengths=lengths), states[-1] if whole else None

    def forward(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Return logits (batch, time, output_vocabulary): column t predicts the id after ``ids[:, :t+1]``."""
        return self.head(self.hidden(ids, lengths=lengths, conditioning=conditioning, cache=cache))

    def hidden_states(
        self, ids: Tensor, *, lengths: Tensor | None = None, conditioning: Conditioning | None = None
    ) -> tuple[Tensor, ...]:
        """Return the embedding (batch, time, embedding_width), then every layer's outputs (batch, time, width)."""
        return tuple(self._run(ids, lengths, conditioning, None))

    def features(
        self, ids: Tensor, *, lengths: Tensor | None = None, conditioning: Conditioning | None = None
    ) -> Iterator[Tensor]:
        """Yield what ``hidden_states`` returns: layers read it as it is."""
        yield from self._run(ids, lengths, conditioning, None)

    def prepare(self, conditioning: Conditioning | None) -> Conditioning | None:
        """Return ``conditioning`` as it is: nothing here is the same at every step."""
        return conditioning

    def new_cache(self, batch: int, capacity: int | None = None) -> RecurrentCache:
        """Allocate the zero state of ``batch`` rows; ``capacity`` changes nothing, as the state has a fixed size."""
        weight = self.embedding.weight
        states = weight.new_zeros(len(self.layers), self.parts, batch, self.config.width)
        return RecurrentCache(states, torch.zeros(batch, dtype=torch.int64))

    def _run(
        self,
        ids: Tensor,
        lengths: Tensor | None,
        conditioning: Conditioning | None,
        cache: Cache | None,
        depth: int | None = None,
    ) -> list[Tensor]:
        """Return the embedding and the outputs of the first ``depth`` layers, of all of them by default."""
        assert cache is None or isinstance(cache, RecurrentCache)
        features = [self._embed(ids, conditioning, cache)]
        lengths = None if lengths is None else lengths.cpu()
        for index, layer in enumerate(self.layers[:depth]):
            state = None if cache is None else cache.states[index]
            outputs = _run_layer(layer, features[-1], lengths, state)
            features.append(self.dropout(outputs))
        if cache is not None:
            cache.advance(ids.shape[1] if lengths is None else lengths)
        return features

    def _embed(self, ids: Tensor, conditioning: Conditioning | None, cache: RecurrentCache | None) -> Tensor:
        embedded: Tensor = self.embedding(ids)
        if conditioning is None:
            return embedded
        if conditioning.memory is not None or conditioning.segments is not None:
            raise ZooError("a recurrent network takes no memory and no segments; use a transformer for them")
        if conditioning.start is not None:
            first = torch.ones(len(ids), dtype=torch.bool) if cache is None else cache.lengths == 0
            start = torch.where(first.to(ids.device)[:, None], conditioning.start, embedded[:, 0])
            embedded = torch.cat([start[:, None], embedded[:, 1:]], dim=1)
        return embedded if conditioning.added is None else embedded + conditioning.added


def _run_layer(layer: nn.Module, inputs: Tensor, lengths: Tensor | None, state: Tensor | None) -> Tensor:
    """Run one layer over ``inputs`` (batch, time, width), from ``state`` (parts, batch, width), updated in place.

    Rows are ``lengths`` long: each leaves the state that it had after its own last input.
    """
    given = None if state is None else _layer_state(state)
    if lengths is None:
        outputs, left = layer(inputs, given)
    else:
        # Packing takes no empty rows: they run over one input, and their state is put back below.
        packed = pack_padded_sequence(inputs, lengths.clamp(min=1), batch_first=True, enforce_sorted=False)
        outputs, left = layer(packed, given)
        outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
    if state is not None:
        updated = torch.cat(left) if isinstance(left, tuple) else left
        if lengths is not None and int(lengths.min()) == 0:
            updated = torch.where(rearrange(lengths > 0, "batch -> 1 batch 1").to(updated.device), updated, state)
        state.copy_(updated)
    result: Tensor = outputs
    return result


def _layer_state(state: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    """Return ``state`` (parts, batch, width) as PyTorch's layers take it: h, or (h, c)."""
    return (state[:1], state[1:]) if len(state) == 2 else state
