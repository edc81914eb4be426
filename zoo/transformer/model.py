"""The transformer: embedding, blocks, output. Every model of the project is an instance of this class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import cast

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.network import Cache, Conditioning
from zoo.transformer.attention import Attention, CrossAttention, SelfAttention
from zoo.transformer.block import Block
from zoo.transformer.cache import TransformerCache
from zoo.transformer.compiled import CompiledPlan, made_for
from zoo.transformer.config import TransformerConfig
from zoo.transformer.drawing import Plan, plan, plannable
from zoo.transformer.embedding import Embedding
from zoo.transformer.heads import Classification, Pooler
from zoo.transformer.initial import Role
from zoo.transformer.linear import PACKED_ROWS, Linear, Packed, linear, pack, state_of
from zoo.transformer.native import KINDS
from zoo.transformer.patterns import Cross
from zoo.transformer.recompute import Through, kept
from zoo.transformer.recording import Recording
from zoo.transformer.route import Call, Step, choose


class Transformer(nn.Module):
    """A stack of attention blocks behind ``zoo.network.Network``; ``TransformerConfig`` says which.

    Weights are drawn from torch's global generator.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = config.vocabulary
        self.output_vocabulary = config.output_vocabulary or config.vocabulary
        self.context = config.context
        self.source_context = config.encoder.context if config.encoder else None
        self.causal = config.causal
        self.labels = config.head.labels if isinstance(config.head, Classification) else ()
        self.embedding = Embedding(config)
        self.rotation = config.positions.rotation(config.head_width)
        self.blocks = nn.ModuleList(self._block(layer) for layer in range(config.depth))
        self.final_norm = config.norm.build(config.width) if config.final_norm else nn.Identity()
        self.output = None if config.tied else Linear(config.width, self.output_vocabulary, bias=False)
        transform = config.output_transform
        self.transform = transform.build(config.width, self.output_vocabulary, config.norm) if transform else None
        self.pooler = Pooler(config.width) if config.pooler else None
        self.classifier = config.head.build(config.width) if config.head else None
        self.packed_output: Packed | None = None
        self.through: Through = kept
        self.encoder = Transformer(config.encoder) if config.encoder else None
        self.draw_weights()

    def _block(self, layer: int) -> Block:
        config, pattern = self.config, self.config.pattern(layer)
        shape = {
            "width": config.width,
            "heads": config.heads,
            "key_value_heads": config.key_value_heads or config.heads,
            "head_width": config.head_width,
        }
        attention: Attention
        if isinstance(pattern, Cross):
            assert config.memory_width is not None  # the config has seen to it
            attention = CrossAttention(
                **shape,
                bias=config.bias,
                dropout=config.dropout,
                weight_dropout=config.weight_dropout,
                memory_width=config.memory_width,
            )
        else:
            attention = SelfAttention(
                **shape,
                bias=config.bias,
                dropout=config.dropout,
                weight_dropout=config.weight_dropout,
                pattern=pattern,
                rotation=self.rotation,
            )
        feedforward = config.feedforward.build(config.width, bias=config.bias, dropout=config.dropout)
        return config.block.build(config.width, config.norm, attention, feedforward)

    def layers(self) -> Iterator[Block]:
        """Yield the blocks, first to last."""
        return (cast(Block, block) for block in self.blocks)

    def block(self, layer: int) -> Block:
        """Return a block, counted from 0."""
        return cast(Block, self.blocks[layer])

    def forward(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Return logits (batch, time, output_vocabulary) of ids (batch, time); see ``zoo.network.Network``."""
        return self.head(self.hidden(ids, lengths=lengths, conditioning=conditioning, cache=cache))

    def hidden(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Return the last hidden states (batch, time, width); see ``zoo.network.Network``.

        Raises:
            ZooError: more ids than the context or the cache can hold.
        """
        for state in self._states(ids, lengths, conditioning, cache):  # noqa: B007 (one exists at a time)
            pass
        return state

    def hidden_states(
        self, ids: Tensor, *, lengths: Tensor | None = None, conditioning: Conditioning | None = None
    ) -> tuple[Tensor, ...]:
        """Return depth + 1 tensors (batch, time, width): the embedding, then each block, the last one normalised."""
        return tuple(self.states(ids, lengths=lengths, conditioning=conditioning))

    def states(
        self, ids: Tensor, *, lengths: Tensor | None = None, conditioning: Conditioning | None = None
    ) -> Iterator[Tensor]:
        """Yield what ``hidden_states`` returns, each when it is asked for."""
        return self._states(ids, lengths, conditioning, None)

    def features(
        self, ids: Tensor, *, lengths: Tensor | None = None, conditioning: Conditioning | None = None
    ) -> Iterator[Tensor]:
        """Yield depth + 1 tensors (batch, time, width): what each block reads, normalised, then the last hidden state.

        One exists at a time; see ``zoo.model.Model.features``.
        """
        states = self._states(ids, lengths, conditioning, None)
        for block, state in zip_longest(self.layers(), states):
            yield state if block is None else block.normalised(state)

    def head(self, hidden: Tensor) -> Tensor:
        """Return logits (batch, time, output_vocabulary) of hidden states (batch, time, width)."""
        if self.transform is None:
            return linear(hidden, self.output_matrix, None, self.packed_output)
        return linear(self.transform(hidden), self.output_matrix, self.transform.bias, self.packed_output)

    @property
    def output_matrix(self) -> Tensor:
        """What hidden states are compared with, (output_vocabulary, width)."""
        return self.embedding.tokens.weight[: self.output_vocabulary] if self.output is None else self.output.weight

    def pack(self, rows: int) -> None:
        """Copy the matrices into the layouts that are fastest for so many rows, where there are any.

        Compiled steps read them where they are.
        """
        functions = made_for(list(self.layers()))
        if functions is None:
            self.packed_output = pack(self.output_matrix, rows, self.packed_output)
            for module in self.blocks.modules():
                if isinstance(module, Linear):
                    module.pack(rows)
        elif self.output_matrix.dtype in KINDS and not self.config.width % functions.lanes:
            multiply, source = functions.multiply(self.output_matrix), state_of(self.output_matrix)
            self.packed_output = Packed(multiply=multiply, rows=PACKED_ROWS, source=source)

    def classify(self, hidden: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Return the head's logits of what it looks at, (batch, time, width): see ``zoo.transformer.heads``.

        Args:
            hidden: what ``hidden`` returns; of a head with a ``layer``, that layer of ``features``.
            lengths: (batch,) int64, real positions of each row; None if all are.

        Raises:
            ZooError: the network has no head.
        """
        if self.classifier is None or self.config.head is None:
            raise ZooError("this model has no head that classifies; give it one by fine-tuning")
        pooled = None if self.pooler is None or self.config.head.layer is not None else self.pooler(hidden)
        logits: Tensor = self.classifier(hidden, lengths, pooled)
        return logits

    def judge(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        whole: bool = False,
        first: int = 0,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the head's logits of ids (batch, time), and with ``whole`` the last hidden states of the same pass.

        Without ``whole``, layers above the one that the head looks at are not computed. The head sees nothing of the
        positions before ``first``.

        Raises:
            ZooError: the network has no head.
        """
        head, logits = self.config.head, None
        layer = self.config.depth if head is None or head.layer is None else head.layer
        for number, state in enumerate(self._states(ids, lengths, conditioning, None)):
            if number == layer:
                seen = state if layer == self.config.depth else cast(Block, self.blocks[layer]).normalised(state)
                logits = self.classify(seen[:, first:], lengths=None if lengths is None else lengths - first)
                if not whole:
                    return logits, None
        assert logits is not None  # the config has seen to it
        return logits, state

    def prepare(self, conditioning: Conditioning | None) -> Conditioning | None:
        """Return ``conditioning`` with the memory that the encoder makes of its ``source``."""
        if self.encoder is None or conditioning is None or conditioning.source is None:
            return conditioning
        lengths = conditioning.source_lengths
        memory = self.encoder.hidden(conditioning.source, lengths=lengths)
        return replace(conditioning, memory=memory, memory_lengths=lengths, source=None, source_lengths=None)

    def _states(
        self, ids: Tensor, lengths: Tensor | None, conditioning: Conditioning | None, cache: Cache | None
    ) -> Iterator[Tensor]:
        if cache is not None and not isinstance(cache, TransformerCache):
            raise ZooError(f"a transformer's cache comes from its new_cache, got a {type(cache).__name__}")
        conditioning = self.prepare(conditioning)
        route = choose(ids, lengths, cache, self.context)
        angles = None if self.rotation is None else self.rotation.angles(route.positions)
        call = Call(route=route, angles=angles, conditioning=conditioning)
        x = self.embedding(ids, route.positions, conditioning, lengths, cache)
        if cache is not None and isinstance(route, Step) and plannable(x) and not self.training:
            x = self._plan(cache, x[:, 0]).step(x[:, 0], call)[:, None]
        else:
            for layer, block in enumerate(self.layers()):
                yield x
                x = self.through(block, x, call, None if cache is None else cache.layers[layer])
        route.finish()
        x = self.final_norm(x)
        if self.config.condition_at_output and conditioning is not None and conditioning.added is not None:
            x = x + conditioning.added
        yield x

    def _plan(self, cache: TransformerCache, x: Tensor) -> Plan | CompiledPlan | Recording:
        """Return how steps with this cache are taken, from ``x`` (rows, width) on."""
        if cache.plan is None or not cache.plan.holds():
            if x.is_cpu:
                cache.plan = plan(self.layers(), cache.layers, len(x))
            else:
                cache.plan = Recording(self.layers(), cache.layers, self.rotation, x)
        return cache.plan

    def new_cache(self, batch: int, capacity: int | None = None) -> TransformerCache:
        """Allocate a cache for ``batch`` rows of at most ``capacity`` ids (default and limit: the context).

        Raises:
            ZooError: capacity beyond the context, or a pattern that is not causal.
        """
        capacity = self.context if capacity is None else capacity
        if not 1 <= capacity <= self.context:
            raise ZooError(f"a cache's capacity must lie in [1, {self.context}] (the context), got {capacity}")
        layers = [block.attention.new_cache(batch, capacity) for block in self.layers()]
        lengths, recent = torch.zeros(batch, dtype=torch.long), self.embedding.new_recent(batch)
        return TransformerCache(layers=layers, lengths=lengths, capacity=capacity, recent=recent)

    def draw_weights(self) -> None:
        """Draw every matrix anew by the config's initialiser; biases 0, gains 1."""
        for role, weight in self.matrices():
            self.config.initial.draw(weight, role, width=self.config.width, depth=self.config.depth)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 1:
                nn.init.ones_(parameter)

    def matrices(self) -> Iterator[tuple[Role, Tensor]]:
        """Yield every matrix with what it is for; tied matrices once."""
        yield from self.embedding.matrices()
        for block in self.layers():
            attention, feedforward = block.attention, block.feedforward
            cross = isinstance(attention, CrossAttention)
            yield Role.ATTENTION_INPUT, attention.input.weight
            if isinstance(attention, CrossAttention):
                yield Role.ATTENTION_INPUT, attention.memory_input.weight
            yield Role.CROSS_OUTPUT if cross else Role.ATTENTION_OUTPUT, attention.output.weight
            yield Role.FEEDFORWARD_INPUT, feedforward.input.weight
            yield Role.CROSS_OUTPUT if cross else Role.FEEDFORWARD_OUTPUT, feedforward.output.weight
        if self.output is not None:
            yield Role.OUTPUT, self.output.weight
        if self.transform is not None:
            yield Role.HEAD, self.transform.dense.weight
        if self.pooler is not None:
            yield Role.HEAD, self.pooler.dense.weight
        if self.classifier is not None:
            yield Role.HEAD, self.classifier.output.weight
