"""Reading without learning: evaluation and features as zoo gives them, beside the same passes of transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.limits import product_rate
from benchmarks.measure import Row, in_turn, row, seconds_of, version
from benchmarks.peers import transformers_model
from zoo.data.stream import Stream
from zoo.evaluate.language_model import evaluate
from zoo.evaluate.windows import Windows
from zoo.features.extract import features
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer

TITLE = "tokens/s of zoo evaluate and zoo embed, beside transformers on the same weights and batches"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is read.

    Attributes:
        name: of the network, for the rows.
        config: the network.
        rows: in a forward pass, each as long as the context.
        passes: that one figure is taken from.
    """

    name: str
    config: TransformerConfig
    rows: int
    passes: int


FULL = Sizes(
    name="GPT-2 124M",
    config=TransformerConfig(vocabulary=50257, context=512, width=768, depth=12, heads=12),
    rows=4,
    passes=2,
)
TINY = Sizes(
    name="tiny", config=TransformerConfig(vocabulary=300, context=32, width=32, depth=2, heads=2), rows=2, passes=2
)
Read = Callable[[], Any]


def measure(sizes: Sizes, runs: int) -> list[Row]:
    """Return tokens/s of evaluation, of the last layer's features and of those in the middle."""
    torch.manual_seed(0)
    ours = Transformer(sizes.config).eval()
    theirs = transformers_model("GPT2LMHeadModel", ours, "text")
    depth, vocabulary = sizes.config.depth, sizes.config.vocabulary
    work = {
        "evaluation": (evaluations(sizes, ours, theirs), depth, vocabulary),
        "features of the last layer": (embeddings(sizes, ours, theirs, depth), depth, 0),
        # transformers computes all layers, whichever is wanted
        "features of the middle layer": (embeddings(sizes, ours, theirs, depth // 2), depth // 2, 0),
    }
    return [
        line
        for what, (contestants, layers, columns) in work.items()
        for line in _rows(f"{sizes.name}, {what}", sizes, runs, contestants, layers, columns)
    ]


def evaluations(sizes: Sizes, ours: Transformer, theirs: Any) -> Mapping[str, Read]:
    """Return what gives the mean loss of a text: ``zoo evaluate``'s, and a plain loop over transformers' logits."""
    context = sizes.config.context
    torch.manual_seed(1)
    ids = torch.randint(sizes.config.vocabulary, (sizes.passes * sizes.rows * context + 1,))
    stream = Stream(ids=ids.numpy().astype(np.uint16), text_bytes=len(ids), lossless=True)
    data = Windows(stream, context=context, stride=context)
    rows = [batch.ids for batch in data.held_out(sizes.rows)], [batch.targets for batch in data.held_out(sizes.rows)]

    def loop() -> float:
        nats = 0.0
        with torch.inference_mode():
            for read, targets in zip(*rows, strict=True):
                logits = theirs(input_ids=read, use_cache=False).logits
                nats += float(nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))
        return nats / data.tokens

    return {
        "zoo": lambda: evaluate(ours, data, batch=sizes.rows)["loss"],
        version("transformers"): loop,
    }


def embeddings(sizes: Sizes, ours: Transformer, theirs: Any, layer: int) -> Mapping[str, Read]:
    """Return what gives a vector for each text: the mean over its bytes of what a layer reads, (texts, width)."""
    count, context = sizes.passes * sizes.rows, sizes.config.context
    tokenizer = ByteTokenizer()
    texts = [f"{number:04}" * (context // 4) for number in range(count)]
    model = SimpleNamespace(network=ours, tokenizer=tokenizer)
    ids = torch.stack([tokenizer.encode(text) for text in texts])

    def embed() -> Tensor:
        found = features(model, [("", text) for text in texts], layers=[layer], batch=sizes.rows)
        return torch.stack([torch.from_numpy(vectors[0]) for vectors in found])

    # What a block reads behind its first norm, as zoo's features are; behind the last block the last norm has been.
    norm = theirs.transformer.h[layer].ln_1 if layer < sizes.config.depth else nn.Identity()

    def loop() -> Tensor:
        means = []
        with torch.inference_mode():
            for rows in torch.split(ids, sizes.rows):
                read = theirs.transformer(input_ids=rows, use_cache=False, output_hidden_states=True)
                means.append(norm(read.hidden_states[layer]).mean(dim=1))
        return torch.cat(means)

    return {"zoo": embed, version("transformers"): loop}


def _rows(name: str, sizes: Sizes, runs: int, contestants: Mapping[str, Read], layers: int, columns: int) -> list[Row]:
    width, tokens = sizes.config.width, sizes.passes * sizes.rows * sizes.config.context
    found = [torch.as_tensor(read()) for read in contestants.values()]  # and allocations that are made once
    difference = float((found[0] - found[1]).abs().max())
    assert difference < 1e-3, f"{name}: the same weights give results that differ by {difference}"
    taken = in_turn({who: partial(seconds_of, read) for who, read in contestants.items()}, runs)
    operations = 2 * (12 * layers * width + columns) * width
    rate = max(product_rate(sizes.rows * sizes.config.context, width, 4 * width, torch.float32, runs))
    source = f"{name}: the matrix products alone, attention's left out, measured now"
    return [
        row(name, who, "tokens/s", [tokens / seconds for seconds in figures], rate / operations, source)
        for who, figures in taken.items()
    ]
