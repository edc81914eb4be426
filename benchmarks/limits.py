"""What this machine can do at most: reading memory, and multiplying matrices of the sizes that matter here."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.measure import CPU, Row, row, seconds
from zoo.transformer.config import TransformerConfig

TITLE = "memory bandwidth and matrix products of this machine"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Working sets in megabytes, and products (rows, inner, columns)."""

    megabytes: tuple[float, ...]
    products: tuple[tuple[int, int, int], ...]


FULL = Sizes(
    # 3.2: nanoGPT's CPU model in float32; 43: its GPU model; 500: GPT-2 124M
    megabytes=(0.5, 3.2, 12.0, 43.0, 160.0, 500.0),
    # rows = batch x time: the CPU model's MLP and attention (768 = 12 x 64), the GPU model's MLP, GPT-2's, a square
    products=((768, 128, 512), (768, 128, 384), (4096, 384, 1536), (1024, 768, 3072), (2048, 2048, 2048)),
)
TINY = Sizes(megabytes=(0.5,), products=((64, 32, 32),))


def read_bandwidth(size: int, runs: int, device: torch.device = CPU) -> list[float]:
    """Return how fast ``size`` bytes of float32 are read, in bytes a second.

    A sum reads every byte once and does next to nothing else; it comes closer to the memory than a product of a matrix
    and a vector does.
    """
    numbers = torch.ones(size // 4, device=device)
    return [4 * numbers.numel() / seconds(numbers.sum, device=device) for _ in range(runs)]


def vector_product_bandwidth(size: int, runs: int) -> list[float]:
    """Return how fast ``size`` bytes of weights are multiplied by one row of input, in bytes a second."""
    columns = 512
    weights, inputs = torch.ones(max(1, size // 4 // columns), columns), torch.ones(1, columns)
    return [4 * weights.numel() / seconds(lambda: torch.nn.functional.linear(inputs, weights)) for _ in range(runs)]


def product_rate(
    rows: int, inner: int, columns: int, dtype: torch.dtype, runs: int, device: torch.device = CPU
) -> list[float]:
    """Return operations a second of a product (rows, inner) x (inner, columns); a multiply-add counts as two."""
    left, right = (torch.ones(size, inner, dtype=dtype, device=device) for size in (rows, columns))
    operations = 2 * rows * inner * columns
    product = torch.nn.functional.linear
    return [operations / seconds(lambda: product(left, right), device=device) for _ in range(runs)]


def measure(sizes: Sizes, runs: int) -> list[Row]:
    """Return the machine's ceilings."""
    rows = []
    for megabytes in sizes.megabytes:
        size = int(megabytes * 1e6)
        read = [rate / 1e9 for rate in read_bandwidth(size, runs)]
        vector = [rate / 1e9 for rate in vector_product_bandwidth(size, runs)]
        rows.append(row(f"read {megabytes:g} MB", "machine", "GB/s", read))
        source = f"reading {megabytes:g} MB"
        rows.append(row(f"matrix x vector, {megabytes:g} MB", "torch", "GB/s", vector, max(read), source))
    for shape in sizes.products:
        for dtype in (torch.float32, torch.bfloat16):
            rates = [rate / 1e9 for rate in product_rate(*shape, dtype, runs)]
            name = f"matrix product {'x'.join(map(str, shape))}, {str(dtype).removeprefix('torch.')}"
            rows.append(row(name, "machine", "GFLOP/s", rates))
    return rows


def step_seconds(config: TransformerConfig, batch: int, runs: int, dtype: torch.dtype = torch.float32) -> float:
    """Return the least seconds that the matrix products of one update take: forward, and twice that backward.

    Norms, activations, softmax, the loss, the optimiser and everything in Python come on top.
    """
    tokens, width = batch * config.context, config.width
    layer = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    products = layer * config.depth + [(width, config.vocabulary)]
    rows = torch.ones(tokens, 4 * width, dtype=dtype)
    fastest = {shape: _fastest(rows[:, : shape[0]].contiguous(), rows.new_ones(shape), runs) for shape in set(products)}
    queries = rows.new_ones(batch * config.heads, config.context, width // config.heads)
    attention = 2 * _fastest(queries, queries.transpose(1, 2), runs)
    return 3 * (sum(fastest[shape] for shape in products) + config.depth * attention)


def decoding_bytes(config: TransformerConfig, batch: int, length: float, dtype: torch.dtype = torch.float32) -> float:
    """Return the bytes that drawing one id for each of ``batch`` rows must read: all matrices once, each row's cache.

    Args:
        config: of a dense transformer.
        batch: rows.
        length: ids in the cache, on average.
        dtype: of matrices and caches.
    """
    weights = 12 * config.depth * config.width**2 + config.vocabulary * config.width
    cache = 2 * config.depth * config.width * length * batch
    return dtype.itemsize * (weights + cache)


def _fastest(left: torch.Tensor, right: torch.Tensor, runs: int) -> float:
    return min(seconds(lambda: left @ right) for _ in range(runs))
