"""Beam search: the most likely continuations of one prompt, found by following the best few at every step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.generate.logits import LogitsTransform, transform, transforms_of
from zoo.generate.reader import CachedReader, PlainReader, Reader
from zoo.generate.sampler import check_prompt, device_of, evaluation_mode, no_probability, prepared
from zoo.generate.settings import SamplingSettings
from zoo.generate.window import Windows, select_conditioning
from zoo.network import Conditioning, Predictor
from zoo.transformer.linear import pack_for_drawing


@dataclass(frozen=True)
class Hypothesis:
    """A continuation.

    Attributes:
        ids: int64 (new,), an end id included.
        log_probability: of the ids after the prompt, in nats.
        score: log_probability / length ** length_penalty; hypotheses are ranked by it.
    """

    ids: Tensor
    log_probability: float
    score: float


@torch.no_grad()
def beam_search(
    network: Predictor,
    prompt: Tensor,
    settings: SamplingSettings,
    *,
    end_ids: Sequence[int] = (),
    cache: bool = True,
    conditioning: Conditioning | None = None,
    transforms: Sequence[LogitsTransform] = (),
) -> list[Hypothesis]:
    """Return up to ``settings.beams`` continuations of ``prompt`` (time,), the best first.

    Nothing is random: equal scores go to the earlier beam, then the lower id. A continuation is complete after an end
    id or after ``max_new_tokens``. The search ends when no open beam can still overtake the complete ones.
    GPT-3 (Brown et al. 2020, appendix G) uses 4 beams and a length penalty of 0.6.

    Raises:
        ZooError: see ``zoo.generate.sampler.Sampler``.
    """
    prompt = check_prompt(prompt, network, settings, 0)
    conditioning = prepared(network, conditioning)
    if cache and isinstance(network, nn.Module):
        pack_for_drawing(network, settings.beams, settings.max_new_tokens)
    search = _Search(settings, frozenset(end_ids))
    reader: Reader = CachedReader(network, None) if cache else PlainReader(network)
    windows = Windows([prompt], settings.max_new_tokens, network.context, device_of(network))
    changes = (*transforms_of(settings), *transforms)
    totals = torch.zeros(1, dtype=torch.float64)
    for length in range(1, settings.max_new_tokens + 1):
        with evaluation_mode(network):
            logits = network.head(reader.read(windows, conditioning))[:, -1].float()
        steps = transform(logits, windows.seen, changes).double().log_softmax(dim=1).cpu()
        if bool(steps.isnan().any()):
            raise ZooError(no_probability("beam search"))
        totals, parents, ids = search.advance(totals[:, None] + steps, windows.seen[:, len(prompt) :].cpu(), length)
        if not len(totals):
            break
        windows.select(parents)
        reader.select(parents)
        conditioning = None if conditioning is None else select_conditioning(conditioning, parents)
        windows.append(ids.to(logits.device))
    return search.best() or [Hypothesis(prompt[:0], 0.0, 0.0)]


class _Search:
    """The complete hypotheses so far, and the choice of those to follow."""

    def __init__(self, settings: SamplingSettings, end_ids: frozenset[int]) -> None:
        self._settings = settings
        self._end_ids = end_ids
        self._complete: list[Hypothesis] = []

    def best(self) -> list[Hypothesis]:
        """Return the complete hypotheses, the best first."""
        return sorted(self._complete, key=lambda found: -found.score)[: self._settings.beams]

    def advance(self, totals: Tensor, so_far: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """Put aside what is complete; return log-probabilities, parent beams and ids of the beams to follow.

        Args:
            totals: (beams, vocabulary) log-probabilities of every possible hypothesis of ``length`` ids.
            so_far: (beams, length - 1) ids of the beams.
        """
        beams, vocabulary = self._settings.beams, totals.shape[1]
        # Twice as many as beams are enough to fill them: at most len(end_ids) of each beam's are complete.
        wanted = min(beams * (1 + len(self._end_ids)), totals.numel())
        values, places = totals.flatten().sort(descending=True, stable=True)
        going_on: list[tuple[float, int, int]] = []
        for rank, (value, place) in enumerate(zip(values[:wanted].tolist(), places[:wanted].tolist(), strict=True)):
            if value == -math.inf:
                break
            parent, index = divmod(place, vocabulary)
            if index in self._end_ids or length == self._settings.max_new_tokens:
                if rank < beams:
                    self._put_aside(torch.cat([so_far[parent], torch.tensor([index])]), value, length)
            elif len(going_on) < beams:
                going_on.append((value, parent, index))
        if not going_on or self._settled(going_on[0][0], length):
            going_on = []
        columns = list(zip(*going_on, strict=True)) or [(), (), ()]
        return (
            torch.tensor(columns[0], dtype=torch.float64),
            torch.tensor(columns[1], dtype=torch.int64),
            torch.tensor(columns[2], dtype=torch.int64),
        )

    def _put_aside(self, ids: Tensor, total: float, length: int) -> None:
        self._complete.append(Hypothesis(ids, total, total / length**self._settings.length_penalty))

    def _settled(self, highest: float, length: int) -> bool:
        """Return True if no open beam can still enter the best: log-probabilities only fall as a hypothesis grows."""
        if len(self._complete) < self._settings.beams:
            return False
        reach = self._settings.max_new_tokens if self._settings.length_penalty > 0 else length + 1
        highest_score: float = highest / reach**self._settings.length_penalty
        return self.best()[-1].score >= highest_score
