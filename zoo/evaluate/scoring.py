"""How likely a model holds a completion of a prompt to be: what multiple choice by likelihood rests on.

    >>> score(model, ["The capital of France is"] * 2, [" Paris", " Rome"])[0].log_likelihood

**What counts as the completion.** ``prompt + completion`` is encoded as one text, as the model would have read it in
training: a byte-pair encoding may put the end of the prompt and the beginning of the completion into one id. The ids
that end in the prompt are given; all later ones, an id across the border included, are the completion's, and their
log-probabilities are added up. So the same prompt may be given a few ids less for one completion than for another.

Completions of equal prompts are read together: what their ids have in common is read once, into a cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from zoo.architecture import AnyNetwork
from zoo.errors import ZooError
from zoo.generate.sampler import device_of, evaluation_mode
from zoo.network import Cache
from zoo.prompts import prompts_of
from zoo.tokenizers.base import TextTokenizer, Tokenizer


class Scorable(Protocol):
    """What has a network and its tokenizer: ``zoo.model.Model``."""

    @property
    def network(self) -> AnyNetwork:
        """Any causal network."""

    @property
    def tokenizer(self) -> Tokenizer[Any]:
        """Of text."""


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """What a model thinks of one completion.

    Attributes:
        log_likelihood: nats; the sum over the completion's ids, at most 0.
        tokens: number of those ids.
        bytes: of the completion, in UTF-8.
        greedy: True if each of them is the most likely id at its place.
    """

    log_likelihood: float
    tokens: int
    bytes: int
    greedy: bool


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A prompt and a completion as ids.

    Attributes:
        ids: int64 (time,), what stands before the sample included.
        first: index of the completion's first id, at least 1.
        bytes: of the completion.
    """

    ids: Tensor
    first: int
    bytes: int


def score(model: Scorable, prompts: Sequence[str], completions: Sequence[str], *, batch: int = 16) -> list[Likelihood]:
    """Return how likely each completion is after its prompt: the same in any batch, up to rounding.

    Args:
        model: causal, of text.
        prompts: what is given; may be empty, then the model begins as it does without a prompt.
        completions: one for each prompt, at least one character. A blank between the two belongs to either of them.
        batch: rows in a forward pass.

    Raises:
        ZooError: a model that cannot be asked, or a text that is empty, longer than the context or not representable.
    """
    if len(prompts) != len(completions):
        raise ZooError(f"one completion for each prompt: got {len(prompts)} prompts and {len(completions)} completions")
    if batch < 1:
        raise ZooError(f"batch must be at least 1, got {batch}")
    tokenizer = text_tokenizer(model)
    lead = lead_of(model)
    rows = [
        _row(tokenizer, lead, prompt, completion, model.network.context)
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    found: list[Likelihood | None] = [None] * len(rows)
    with evaluation_mode(model.network), torch.inference_mode():
        for groups in _batches(prompts, rows, batch):
            for index, likelihood in _read(model.network, rows, groups):
                found[index] = likelihood
    return [likelihood for likelihood in found if likelihood is not None]


def text_tokenizer(model: Scorable) -> TextTokenizer:
    """Return the model's tokenizer.

    Raises:
        ZooError: the model cannot go on with text.
    """
    if not isinstance(model.tokenizer, TextTokenizer):
        raise ZooError(f"prompting is for models of text, this one makes {model.tokenizer.spec.modality}")
    if not model.network.causal:
        raise ZooError("this model reads both ways, so it has no likelihood of what comes next; use a causal model")
    if model.network.source_context is not None:
        raise ZooError("this model turns a source into a target; prompting needs a model of running text")
    return model.tokenizer


def lead_of(model: Scorable) -> tuple[list[int], list[int]]:
    """Return the ids that stand before every text, and those that do before a text of which nothing is given."""
    start = model.tokenizer.spec.start_id
    return ([] if start is None else [start]), prompts_of(model.network, model.tokenizer).start("").lead.tolist()


def _row(
    tokenizer: TextTokenizer, lead: tuple[list[int], list[int]], prompt: str, completion: str, context: int
) -> _Row:
    if not completion:
        raise ZooError(f"nothing to score after the prompt ...{prompt[-40:]!r}: the completion is empty")
    ids, offsets = tokenizer.encode_with_offsets(prompt + completion)
    given = int((offsets[:, 1] <= len(prompt)).sum())
    if given == len(ids):
        raise ZooError(f"the tokenizer leaves nothing of the completion {completion!r}; write it in another way")
    before = torch.tensor(lead[0] if given else lead[1], dtype=torch.int64)
    if (read := len(before) + len(ids) - 1) > context:
        raise ZooError(
            f"a prompt and its completion {completion[:40]!r} take {read} tokens, more than the context of {context}; "
            "shorten the prompt, or give fewer examples"
        )
    return _Row(ids=torch.cat([before, ids]), first=len(before) + given, bytes=len(completion.encode()))


def _batches(prompts: Sequence[str], rows: Sequence[_Row], size: int) -> Iterator[list[list[int]]]:
    """Yield groups of rows (by number) with the same prompt, about ``size`` rows at a time, of similar lengths."""
    by_prompt: dict[tuple[str, int], list[int]] = {}
    for index, prompt in enumerate(prompts):  # of equal prompts, an id across the border can leave one without any
        by_prompt.setdefault((prompt, int(rows[index].ids[0])), []).append(index)
    groups = [group[begin : begin + size] for group in by_prompt.values() for begin in range(0, len(group), size)]
    groups.sort(key=lambda group: max(len(rows[index].ids) for index in group))
    waiting: list[list[int]] = []
    for group in groups:
        if waiting and sum(map(len, waiting)) + len(group) > size:
            yield waiting
            waiting = []
        waiting.append(group)
    if waiting:
        yield waiting


def _read(
    network: AnyNetwork, rows: Sequence[_Row], groups: Sequence[Sequence[int]]
) -> Iterator[tuple[int, Likelihood]]:
    """Read what each group has in common once, then the rest of each row; yield row numbers with likelihoods."""
    order = [index for group in groups for index in group]
    shared = [_common(rows, group) for group in groups]
    capacity = max(len(rows[index].ids) for index in order) - 1
    cache = network.new_cache(len(groups), capacity)
    heads = [rows[group[0]].ids[:count] for group, count in zip(groups, shared, strict=True)]
    hidden = _hidden(network, heads, cache)
    owner = torch.tensor([number for number, group in enumerate(groups) for _ in group])
    rests = [rows[index].ids[shared[int(number)] : -1] for index, number in zip(order, owner, strict=True)]
    further = _hidden(network, rests, cache.select(owner)) if any(map(len, rests)) else None
    for place, (index, number) in enumerate(zip(order, owner.tolist(), strict=True)):
        row, count = rows[index], shared[number]
        states = [hidden[number, row.first - 1 : count]]  # the id after the common part is predicted at its end
        if further is not None and len(rests[place]):
            states.append(further[place, max(0, row.first - 1 - count) : len(rests[place])])
        yield index, _likelihood(network, torch.cat(states), row)


def _common(rows: Sequence[_Row], group: Sequence[int]) -> int:
    """Return how many ids the rows of a group have in common, at most up to the first completion's beginning."""
    most = min(rows[index].first for index in group)
    first = rows[group[0]].ids[:most]
    for index in group[1:]:
        differ = (rows[index].ids[: len(first)] != first).nonzero()
        first = first[: int(differ[0])] if len(differ) else first
    return len(first)


def _hidden(network: AnyNetwork, rows: Sequence[Tensor], cache: Cache) -> Tensor:
    """Return hidden states (rows, longest, width) of ids of any lengths, which the cache then holds."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(device_of(network))
    ragged = None if bool((lengths == ids.shape[1]).all()) else lengths
    return network.hidden(ids, lengths=ragged, cache=cache)


def _likelihood(network: AnyNetwork, states: Tensor, row: _Row) -> Likelihood:
    """Return the likelihood of a row's completion from the states (ids, width) that predict it."""
    targets = row.ids[row.first :].to(states.device)
    logs = network.head(states[None])[0].float().log_softmax(dim=-1)
    return Likelihood(
        log_likelihood=float(logs.gather(1, targets[:, None]).double().sum()),
        tokens=len(targets),
        bytes=row.bytes,
        greedy=bool((logs.argmax(dim=-1) == targets).all()),
    )
