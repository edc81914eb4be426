"""What the tensors of text models are called in their authors' files, from their names in Hugging Face's layout."""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import Tensor

Original = Callable[[str], tuple[str, Callable[[Tensor], Tensor]]]
"""Hugging Face's name of a tensor -> its original name, and a view of it in its original shape."""


def _same(view: Tensor) -> Tensor:
    return view


def _one_more(view: Tensor) -> Tensor:
    """(in, out) -> (1, in, out): both were convolutions of width 1."""
    return view[None]


def gpt1_original(name: str) -> tuple[str, Callable[[Tensor], Tensor]]:
    """GPT-1's files have no names, only an order: Hugging Face's names stand for themselves."""
    return name, _one_more if re.search(r"c_(attn|proj|fc)\.weight$", name) else _same


def gpt2_original(name: str) -> tuple[str, Callable[[Tensor], Tensor]]:
    """``transformer.h.0.attn.c_attn.weight`` is ``model/h0/attn/c_attn/w``."""
    path, _, last = name.removeprefix("transformer.").rpartition(".")
    path = re.sub(r"^h\.(\d+)\.", r"h\1/", path).replace(".", "/")
    if path in ("wte", "wpe"):
        return f"model/{path}", _same
    if "ln_" in path:
        return f"model/{path}/{'g' if last == 'weight' else 'b'}", _same
    return f"model/{path}/{last[0]}", _one_more if last == "weight" else _same


def bert_original(name: str) -> tuple[str, Callable[[Tensor], Tensor]]:
    """``bert.encoder.layer.0.output.dense.weight`` is ``bert/encoder/layer_0/output/dense/kernel``, turned round."""
    path, _, last = name.rpartition(".")
    path = re.sub(r"\.layer\.(\d+)\.", r".layer_\1.", path).replace(".", "/")
    if path.endswith("_embeddings"):
        return path, _same
    if path.endswith("LayerNorm"):
        return f"{path}/{'gamma' if last == 'weight' else 'beta'}", _same
    if path in ("cls/predictions", "cls/seq_relationship"):
        return f"{path}/output_{'weights' if last == 'weight' else 'bias'}", _same
    return (f"{path}/kernel", Tensor.t) if last == "weight" else (f"{path}/bias", _same)


def gpt1_names(depth: int) -> list[str]:
    """Return Hugging Face's names of GPT-1's tensors in the order of its files."""
    block = [
        f"{part}.{last}"
        for part in ("attn.c_attn", "attn.c_proj", "ln_1", "mlp.c_fc", "mlp.c_proj", "ln_2")
        for last in ("weight", "bias")
    ]
    tables = ["transformer.positions_embed.weight", "transformer.tokens_embed.weight"]
    return tables + [f"transformer.h.{layer}.{name}" for layer in range(depth) for name in block]
