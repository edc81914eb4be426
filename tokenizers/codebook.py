"""A table of vectors that follows what it quantises: the codebook of a VQ-VAE, of sound or of pictures.

Vectors are moving averages of what they stand for (van den Oord et al. 2017, appendix A.1), and those that stand for
too little are put onto vectors of the data again (Dhariwal et al. 2020, section 3.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from einops import reduce
from torch import Tensor, distributed, nn

from zoo.errors import ZooError

LARGEST = 1 << 20
"""Most codes of a codebook: ten bits more than the largest published."""
PIECE = 1 << 20
"""Distances that are held at a time: 4 MB, which stay in a core's cache."""
JITTER = 0.01
"""Standard deviation of what is added to vectors of the data that are used several times, times sqrt(width)."""


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """What a codebook makes of its inputs.

    Attributes:
        vectors: (batch, ..., width) float32; the codes' vectors. In training, gradients pass straight through to the
            inputs; in evaluation there are none.
        ids: (batch, ...) int64.
        commitment: (batch,); mean squared difference of inputs and vectors, whose gradient moves the inputs alone.
    """

    vectors: Tensor
    ids: Tensor
    commitment: Tensor


@dataclass(kw_only=True)
class _Seen:
    """What an update needs to know of the inputs since the last one.

    Attributes:
        sums: (codes, width) sum of the inputs of each code.
        counts: (codes,) their number.
        candidates: some inputs (at most ``codes`` a forward), to restart codes on.
        distance: summed squared distance of the inputs to their vectors.
        total, squares: of all numbers of the inputs, in float64.
    """

    sums: Tensor
    counts: Tensor
    candidates: list[Tensor]
    distance: Tensor
    total: Tensor
    squares: Tensor


class Codebook(nn.Module):
    """Vectors that stand for their nearest inputs.

    In training, ``forward`` only remembers what it sees; ``settle`` makes the update. All state is in buffers, so that
    a stopped training goes on bit by bit. With ``torch.distributed`` initialised, the codebooks of all processes stay
    equal: what they saw is summed, and what is drawn is drawn by the first of them.

    Args:
        codes: number of vectors.
        width: of a vector.
        decay: of the moving averages, in [0, 1).
        threshold: codes whose moving count of inputs is below this are restarted.
    """

    vectors: Tensor
    sums: Tensor
    counts: Tensor
    begun: Tensor

    def __init__(self, *, codes: int, width: int, decay: float = 0.99, threshold: float = 1.0) -> None:
        super().__init__()
        check(codes=codes, width=width, decay=decay, threshold=threshold)
        self.codes, self.width, self.decay, self.threshold = codes, width, decay, threshold
        self.register_buffer("vectors", torch.zeros(codes, width))
        self.register_buffer("sums", torch.zeros(codes, width))
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("begun", torch.zeros((), dtype=torch.uint8))
        self._seen: _Seen | None = None
        self._health: dict[str, Tensor] = {}

    @torch.no_grad()
    def adopt(self, vectors: Tensor, *, count: float = 1.0) -> None:
        """Take over the vectors of a trained codebook of which nothing else is known.

        Args:
            vectors: (codes, width).
            count: the moving count that every code is given; Jukebox: the ids of a batch divided by the codes.
        """
        self.vectors.copy_(vectors)
        self.sums.copy_(self.vectors * count)
        self.counts.fill_(count)
        self.begun.fill_(1)

    @torch.no_grad()
    def nearest(self, inputs: Tensor) -> Tensor:
        """Return the code nearest to each of ``inputs``, (n, width); of equals the first. Int64 of shape (n,)."""
        with torch.autocast(inputs.device.type, enabled=False):
            vectors = self.vectors.float()
            # |x|^2 is the same for all codes
            squares = vectors.square().sum(1)
            ids = inputs.new_empty(len(inputs), dtype=torch.int64)
            rows = max(1, PIECE // self.codes)
            for start in range(0, len(inputs), rows):
                piece = inputs[start : start + rows].float()
                ids[start : start + rows] = torch.addmm(squares, piece, vectors.t(), alpha=-2).argmin(1)
        return ids

    def lookup(self, ids: Tensor) -> Tensor:
        """Return the vectors (..., width) of ``ids`` (...).

        Raises:
            ZooError: one of them is no code.
        """
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < self.codes:
            raise ZooError(f"ids must be 0 to {self.codes - 1}, got {int(ids.min())} to {int(ids.max())}")
        return nn.functional.embedding(ids, self.vectors)

    def forward(self, inputs: Tensor) -> Quantized:
        """Quantise ``inputs``, (batch, ..., width); in training, remember them for ``settle``.

        The first inputs in training become the first vectors.
        """
        inputs = inputs.float()
        flat = inputs.detach().reshape(-1, self.width)
        if self.training and not self.begun:
            self._begin(flat)
        ids = self.nearest(flat)
        found = nn.functional.embedding(ids, self.vectors)
        if self.training:
            self._remember(flat, ids, found)
        found = found.view_as(inputs)
        commitment = reduce((inputs - found).square(), "batch ... -> batch", "mean")
        vectors = inputs + (found - inputs).detach() if self.training else found
        return Quantized(vectors=vectors, ids=ids.view(inputs.shape[:-1]), commitment=commitment)

    @torch.no_grad()
    def settle(self, candidates: Tensor | None = None) -> None:
        """Update the vectors with all that was seen since the last update, and forget it.

        Args:
            candidates: (codes, width); code i is restarted on row i. None: inputs seen, drawn at random.
        """
        seen, self._seen = self._seen, None
        if seen is None:
            return
        candidates = _from_first(self._drawn(torch.cat(seen.candidates)) if candidates is None else candidates)
        for part in (seen.sums, seen.counts, seen.distance, seen.total, seen.squares):
            _sum_over_processes(part)
        self.sums.lerp_(seen.sums, 1 - self.decay)
        self.counts.lerp_(seen.counts, 1 - self.decay)
        alive = self.counts >= self.threshold
        means = self.sums / self.counts.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
        vectors = torch.where(alive[:, None], means, candidates)
        self._health = self._measure(seen, vectors - self.vectors, alive)
        self.vectors.copy_(vectors)

    def forget(self) -> None:
        """Drop what was seen since the last update."""
        self._seen = None

    def health(self) -> dict[str, float]:
        """Return how the codebook fared at the last update; empty before the first.

        ``usage``: share of codes that are alive: whose moving count reaches the threshold. ``used_now``: share of
        codes that some input chose. ``entropy``: of the inputs' codes, nats (at most ln(codes)). ``restarts``: codes
        put onto an input. ``dead``: codes that no input chose. ``change``: root mean square change of the vectors.
        ``fit``: mean squared distance of an input to its vector. ``spread``: standard deviation of the inputs' numbers.
        """
        return {name: float(value) for name, value in self._health.items()}

    @torch.no_grad()
    def _begin(self, inputs: Tensor) -> None:
        vectors = _from_first(self._drawn(inputs))
        if bool(vectors.isfinite().all()):  # else the loss is not finite, and the step will not count
            self.adopt(vectors)

    @torch.no_grad()
    def _drawn(self, inputs: Tensor) -> Tensor:
        """Return ``codes`` of the inputs at random: each once where there are enough, else moved a little."""
        missing = self.codes - len(inputs)
        if missing > 0:
            inputs = inputs.repeat(math.ceil(self.codes / len(inputs)), 1)
            inputs = inputs + torch.randn_like(inputs) * (JITTER / math.sqrt(self.width))
        return inputs[torch.randperm(len(inputs), device=inputs.device)[: self.codes]]

    @torch.no_grad()
    def _remember(self, inputs: Tensor, ids: Tensor, found: Tensor) -> None:
        if self._seen is None:
            zero = inputs.new_zeros((), dtype=torch.float64)
            self._seen = _Seen(
                sums=torch.zeros_like(self.sums),
                counts=torch.zeros_like(self.counts),
                candidates=[],
                distance=zero,
                total=zero.clone(),
                squares=zero.clone(),
            )
        seen = self._seen
        seen.sums.index_add_(0, ids, inputs)
        seen.counts += torch.bincount(ids, minlength=self.codes)
        seen.candidates.append(self._drawn(inputs))
        seen.distance += (inputs - found).square().sum(dtype=torch.float64)
        seen.total += inputs.sum(dtype=torch.float64)
        seen.squares += inputs.square().sum(dtype=torch.float64)

    def _measure(self, seen: _Seen, change: Tensor, alive: Tensor) -> dict[str, Tensor]:
        rows = seen.counts.sum()
        share = seen.counts / rows
        numbers = rows.double() * self.width
        variance = seen.squares / numbers - (seen.total / numbers).square()
        used = seen.counts > 0
        return {
            "usage": alive.float().mean(),
            "used_now": used.float().mean(),
            "entropy": -torch.xlogy(share, share).sum(),
            "restarts": (~alive).sum(),
            "dead": (~used).sum(),
            "change": change.square().mean().sqrt(),
            "fit": seen.distance / rows,
            "spread": variance.clamp_min(0).sqrt(),
        }


def check(*, codes: int, width: int, decay: float, threshold: float) -> None:
    """Refuse settings that no codebook has.

    Raises:
        ZooError: say which one, and what it may be.
    """
    if not 2 <= codes <= LARGEST:
        raise ZooError(f"codes must be 2 to {LARGEST}, got {codes}")
    if not 1 <= width <= 1 << 16:
        raise ZooError(f"a code's width must be 1 to {1 << 16}, got {width}")
    if not 0 <= decay < 1:
        raise ZooError(f"decay must be at least 0 and below 1, got {decay}")
    if not 0 < threshold < math.inf:
        raise ZooError(f"threshold must be above 0 and finite, got {threshold}")


def _from_first(values: Tensor) -> Tensor:
    """Return the first process's ``values``, the same shape everywhere."""
    if distributed.is_available() and distributed.is_initialized():
        values = values.contiguous()
        distributed.broadcast(values, 0)
    return values


def _sum_over_processes(values: Tensor) -> None:
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(values)
