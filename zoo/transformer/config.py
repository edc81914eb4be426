"""Everything that makes one transformer differ from another, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from zoo.errors import ZooError
from zoo.network import DEEPEST
from zoo.transformer.block import BlockKind, PreNorm
from zoo.transformer.feedforward import FeedForwardKind, Mlp
from zoo.transformer.heads import Head, OutputTransform
from zoo.transformer.initial import Gpt2Initial, Initial
from zoo.transformer.norm import LayerNorm, Norm
from zoo.transformer.patterns import AnyPattern, Cross, Dense
from zoo.transformer.position import Learned, Positions


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """A transformer: GPT-1 to GPT-3, BERT, Image GPT and Jukebox's priors are values of this class.

    Attributes:
        vocabulary: number of input ids.
        context: largest number of positions.
        width: features of the residual stream.
        depth: number of blocks.
        heads: attention heads.
        key_value_heads: heads of keys and values, shared by groups of queries (Ainslie et al. 2023); None: ``heads``.
        output_vocabulary: number of ids that can be predicted, None for ``vocabulary``.
        attention_width_ratio: features of all heads together, as a ratio of the width (Jukebox: 0.25).
        feedforward: ``Mlp`` or ``GatedMlp``.
        norm: ``LayerNorm`` or ``RMSNorm``.
        block: ``PreNorm`` (GPT-2) or ``PostNorm`` (GPT-1, BERT).
        final_norm: normalise after the last block (GPT-2 onwards).
        embedding_norm: normalise the embedding (BERT).
        recent: token vectors, each position's own included, that are mixed before the first layer (``Recent``); 0 for
            none.
        positions: ``Learned``, ``Rotary`` or ``NoPositions``.
        patterns: one attention pattern a layer, cycled over the depth.
        tied: the output matrix is the token embedding's.
        bias: linear layers have biases (the output matrix never has).
        dropout: probability, on attention weights, on what each half of a block adds, and on the embedding.
        attention_dropout: probability on attention weights alone, None for ``dropout``. At 0 attention is fused, which
            long contexts without a GPU are several times faster with.
        segments: number of token types (BERT: 2), 0 for none.
        classes: names of the classes that can be asked for, in the order of their vectors; none by default.
        output_transform: a layer before the output matrix (BERT's masked LM), None for none.
        pooler: a layer over the first position (BERT), on which ``head`` then stands.
        head: classifies beside predicting ids; None for none.
        memory_width: features of the memory that ``Cross`` layers attend to.
        encoder: the transformer that makes the memory from source ids; None where memory comes from elsewhere.
        condition_at_output: add the per-position condition again before the output (Jukebox's upsamplers).
        initial: how weights are drawn.
    """

    settings_name: ClassVar[str] = "transformer"

    vocabulary: int
    context: int
    width: int
    depth: int
    heads: int
    key_value_heads: int | None = None
    output_vocabulary: int | None = None
    attention_width_ratio: float = 1.0
    feedforward: FeedForwardKind = Mlp()
    norm: Norm = LayerNorm()
    block: BlockKind = PreNorm()
    final_norm: bool = True
    embedding_norm: bool = False
    recent: int = 0
    positions: Positions = Learned()
    patterns: tuple[AnyPattern, ...] = (Dense(),)
    tied: bool = True
    bias: bool = True
    dropout: float = 0.0
    attention_dropout: float | None = None
    segments: int = 0
    classes: tuple[str, ...] = ()
    output_transform: OutputTransform | None = None
    pooler: bool = False
    head: Head | None = None
    memory_width: int | None = None
    encoder: TransformerConfig | None = None
    condition_at_output: bool = False
    initial: Initial = Gpt2Initial()

    def __post_init__(self) -> None:
        for name in ("vocabulary", "context", "width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise ZooError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.depth > DEEPEST:
            raise ZooError(f"depth must be at most {DEEPEST}, got {self.depth}")
        if self.attention_width < 1 or self.attention_width % self.heads:
            raise ZooError(
                f"the attention width {self.attention_width} (width {self.width} x {self.attention_width_ratio}) "
                f"is not a multiple of heads {self.heads}"
            )
        if self.key_value_heads is not None and (self.key_value_heads < 1 or self.heads % self.key_value_heads):
            raise ZooError(f"heads {self.heads} is not a multiple of key_value_heads {self.key_value_heads}")
        for name, value in (("dropout", self.dropout), ("attention_dropout", self.weight_dropout)):
            if not 0 <= value < 1:
                raise ZooError(f"{name} must lie in [0, 1), got {value}")
        if not (self.recent == 0 or 2 <= self.recent <= 256):
            raise ZooError(f"recent must be 0 for none or 2 to 256 token vectors, got {self.recent}")
        if self.segments < 0:
            raise ZooError(f"segments must not be negative, got {self.segments}")
        if len(set(self.classes)) != len(self.classes):
            raise ZooError(f"classes must be different names, got {', '.join(self.classes)}")
        if self.output_vocabulary is not None and self.output_vocabulary < 1:
            raise ZooError(f"output_vocabulary must be at least 1, got {self.output_vocabulary}")
        if self.tied and (self.output_vocabulary or 0) > self.vocabulary:
            raise ZooError(f"output_vocabulary {self.output_vocabulary} exceeds the tied vocabulary {self.vocabulary}")
        self._check_patterns()
        if self.encoder is not None and self.encoder.width != self.memory_width:
            raise ZooError(f"the encoder's width {self.encoder.width} is not memory_width {self.memory_width}")
        self.positions.rotation(self.head_width)
        if self.head is not None and self.head.layer is not None and not 0 <= self.head.layer <= self.depth:
            raise ZooError(f"head: layer must lie in 0 to {self.depth}, the depth, got {self.head.layer}")

    def _check_patterns(self) -> None:
        if not self.patterns:
            raise ZooError("patterns must name at least one attention pattern")
        if (self.memory_width is None) == any(isinstance(pattern, Cross) for pattern in self.patterns):
            raise ZooError("memory_width belongs to cross patterns: give both or neither")
        for pattern in self.patterns:
            if not isinstance(pattern, Cross):
                pattern.check(self.context)

    @property
    def weight_dropout(self) -> float:
        """Probability of dropout on attention weights."""
        return self.dropout if self.attention_dropout is None else self.attention_dropout

    @property
    def attention_width(self) -> int:
        """Features of all query heads together."""
        return int(self.attention_width_ratio * self.width)

    @property
    def head_width(self) -> int:
        """Features of one head."""
        return self.attention_width // self.heads

    @property
    def causal(self) -> bool:
        """True if no position sees a later one, so that ids can be drawn one by one."""
        return all(isinstance(pattern, Cross) or pattern.causal for pattern in self.patterns)

    def pattern(self, layer: int) -> AnyPattern:
        """Return the pattern of ``layer``."""
        return self.patterns[layer % len(self.patterns)]
