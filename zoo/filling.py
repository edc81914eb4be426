"""From a text with ``[MASK]`` in it to the text with words in their places: what BERT does instead of writing on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.architecture import AnyNetwork
from zoo.drawing import Drawn, TokenProbability
from zoo.errors import ZooError, suggest
from zoo.generate.fill import Gap, Order, fill_gaps
from zoo.generate.logits import Allow
from zoo.network import Conditioning
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.masked import MaskedTokenizer, masked
from zoo.transformer.model import Transformer

EXAMPLE = "The capital of France is [MASK]."
NO_EFFECT: Mapping[str, Any] = {
    "max_new_tokens": None,
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "beams": 1,
    "length_penalty": 1.0,
    "guidance": 1.0,
    "truncate": "error",
    "count": 1,
    "stop": (),
}
"""Settings of sampling that mean nothing where words are filled in, with their defaults."""


@dataclass(frozen=True, kw_only=True)
class FilledMask:
    """What could stand at one ``[MASK]``.

    Attributes:
        position: of its id in ``Filled.ids``.
        candidates: the most likely first; the first of them was put there.
    """

    position: int
    candidates: tuple[TokenProbability, ...]


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A text whose gaps are filled.

    Attributes:
        prompt: as it was given.
        text: the prompt with each ``[MASK]`` replaced by the likeliest piece of text.
        ids: what the network read, [CLS] and [SEP] included, with the gaps filled; int64 (time,).
        masks: in the order of the text.
    """

    prompt: str
    text: str
    ids: Tensor
    masks: tuple[FilledMask, ...]


def refuse_sampling(settings: Mapping[str, Any]) -> None:
    """Refuse settings that would change how ids are drawn: nothing is. The seed may be any.

    Raises:
        ZooError: name them, or an unknown one.
    """
    for name in settings:
        if name not in NO_EFFECT and name != "seed":
            raise ZooError(f"unknown setting '{name}'{suggest(name, NO_EFFECT)}")
    meant = [name for name, default in NO_EFFECT.items() if settings.get(name, default) != default]
    if meant:
        raise ZooError(
            f"this model fills [MASK] with what is likeliest, nothing is drawn; leave out {', '.join(meant)}"
        )


class Filler:
    """Fills gaps with one network.

    Args:
        network: on its device, in evaluation mode, not causal.
        tokenizer: knows [MASK], [CLS] and [SEP].

    Raises:
        ZooError: a causal network, or a tokenizer without these.
    """

    def __init__(self, network: AnyNetwork, tokenizer: Tokenizer[Any]) -> None:
        if network.causal:
            raise ZooError("this model writes on from a text and fills no gaps; use generate")
        self.network = network
        self.tokenizer: MaskedTokenizer = masked(tokenizer)

    def fill(self, text: str, *, count: int = 5, order: Order = "at_once") -> Filled:
        """Return ``text`` with its gaps filled; see ``zoo.model.Model.fill``."""
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ZooError(f"count: must be a whole number of at least 1, got {count!r}")
        if order not in ("at_once", "one_by_one"):
            raise ZooError(f"order: {order!r} is not possible{suggest(str(order), ['at_once', 'one_by_one'])}")
        ids = self._read(text)
        gaps = (ids == self.tokenizer.mask_id).nonzero()[:, 0].tolist()
        if not gaps:
            raise ZooError(
                f"this model fills gaps and does not write on: say where with [MASK], as in prompt={EXAMPLE!r}"
            )
        known = torch.arange(self.network.output_vocabulary) < self.tokenizer.spec.vocabulary_size
        filled, found = fill_gaps(
            self.network,
            ids,
            gaps,
            count=min(count, self.tokenizer.spec.vocabulary_size),
            order=order,
            conditioning=self._conditioning(ids),
            transforms=() if bool(known.all()) else (Allow(known),),
        )
        return Filled(
            prompt=text, text=self._written(text, filled, gaps), ids=filled, masks=tuple(map(self._mask, found))
        )

    def draw(self, prompts: Sequence[Any], sampling: Mapping[str, Any], count: int, stop: object) -> list[Drawn]:
        """Return the filled prompts as samples. Nothing is drawn: a text has one best filling, whatever the seed.

        Raises:
            ZooError: settings that would change how ids are drawn; more than one sample.
        """
        refuse_sampling({**sampling, "count": count, "stop": stop or ()})
        filled = [self.fill("" if prompt is None else prompt) for prompt in prompts]
        seed = int(sampling.get("seed", 0))
        return [Drawn(prompt=one.prompt, seed=seed, ids=one.ids, sample=one.text) for one in filled]

    def _read(self, text: str) -> Tensor:
        """Return the ids of ``[CLS] text [SEP]``; a [CLS] or a last [SEP] in the text itself is not doubled."""
        ids: list[int] = self.tokenizer.encode_with_specials(text).tolist()
        begin, end = self.tokenizer.class_id, self.tokenizer.separator_id
        return torch.tensor([begin] * (ids[:1] != [begin]) + ids + [end] * (ids[-1:] != [end]))

    def _conditioning(self, ids: Tensor) -> Conditioning | None:
        """Return segments: 0 up to the first [SEP], 1 after it, as the model was trained."""
        kinds = self.network.config.segments if isinstance(self.network, Transformer) else 0
        if not kinds:
            return None
        ended = (ids == self.tokenizer.separator_id).long()
        segments = (ended.cumsum(0) - ended).clamp(max=kinds - 1)
        return Conditioning(segments=segments[None].to(next(self.network.parameters()).device))

    def _written(self, text: str, ids: Tensor, gaps: Sequence[int]) -> str:
        """Return the user's own text with the pieces in their places: letter case and blanks stay as they are.

        A piece that belongs to the word or mark before it (``##s``, a comma) takes the place of the blank, too.
        """
        decode = self.tokenizer.decode
        written, *rest = text.split(decode(torch.tensor([self.tokenizer.mask_id])))
        for position, after in zip(gaps, rest, strict=True):
            before, piece = decode(ids[position - 1 : position]), decode(ids[position : position + 1])
            joined = decode(ids[position - 1 : position + 1]) == before + piece
            written = (written.rstrip() if joined else written) + piece + after
        return written

    def _mask(self, gap: Gap) -> FilledMask:
        return FilledMask(
            position=gap.position,
            candidates=tuple(
                TokenProbability(id=index, text=self.tokenizer.decode(torch.tensor([index])), probability=probability)
                for index, probability in zip(gap.ids.tolist(), gap.probabilities.tolist(), strict=True)
            ),
        )
