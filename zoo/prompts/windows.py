"""The sample is one window of a prior: ids of one level, and what it is told beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.generate.padding import PaddedIds
from zoo.generate.settings import SamplingSettings
from zoo.music.prior import Prior
from zoo.music.telling import Piece, Telling
from zoo.network import Conditioning
from zoo.prompts.base import NONE, Prompts, Start
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.base import Tokenizer

WORDS = ("artist", "genre", "lyrics")


class Windows(Prompts):
    """A window begins with the prior's start id and goes on from its prompt.

    What is told are rows of numbers: ``labels`` (see ``zoo.music.config.Labels``), ``above`` (the window's ids of the
    level above) and ``lyrics`` (lyric ids). What is left out is told as unknown: no artist, no genre, no words, at the
    beginning of the shortest song that there is; ``above`` cannot be left out. In place of numbers, ``artist``,
    ``genre`` and ``lyrics`` may be words, which tell of the beginning of that song. ``zoo.generate.cascade`` tells of
    longer ones, window after window.
    """

    def __init__(self, network: Prior, tokenizer: Tokenizer[Any]) -> None:
        super().__init__(network, tokenizer)
        self.prior = network

    @property
    def end_ids(self) -> tuple[int, ...]:
        """None: a window ends where it is full."""
        return ()

    @property
    def shift(self) -> int:
        """The ids of lyrics that stand in the same vocabulary, before those of music."""
        return self.prior.config.shift

    def codes(self, ids: Tensor) -> Tensor:
        """Return the codes of ids; see ``Prior.codes_of``."""
        return self.prior.codes_of(ids)

    def start(self, prompt: Any) -> Start:
        """Return the start of a window, and the ids of a sound that it goes on from."""
        lead = torch.tensor([self.prior.start_id])
        if prompt is None or (isinstance(prompt, str) and not prompt):
            return Start(given=prompt, lead=lead, ids=NONE)
        begin = self.tokenizer.begin if isinstance(self.tokenizer, AudioTokenizer) else self.tokenizer.encode
        return Start(given=prompt, lead=lead, ids=self.prior.ids_of(begin(prompt)))

    def starts(self, prompts: Sequence[Any], conditions: Mapping[str, Any] | None) -> list[Start]:
        """Return the starts of windows, each with its row of what is told."""
        rows = self._rows(conditions, len(prompts))
        begun = [self.start(prompt) for prompt in prompts]
        return [
            Start(given=one.given, lead=one.lead, ids=one.ids, told=row) for one, row in zip(begun, rows, strict=True)
        ]

    def rows(self, padded: PaddedIds, conditions: Mapping[str, Any] | None) -> list[Start]:
        """Return the rows as they are, each with what is told."""
        rows = padded.rows()
        told = self._rows(conditions, len(rows))
        return [Start(given=None, lead=NONE, ids=row.cpu(), told=own) for row, own in zip(rows, told, strict=True)]

    def conditioning(self, starts: Sequence[Start], settings: SamplingSettings) -> Conditioning | None:
        """Return what the windows are told, side by side."""
        self.refuse_guidance(settings)
        return self._side_by_side([start.told for start in starts])

    def told(self, padded: PaddedIds, conditions: Mapping[str, Any] | None) -> Conditioning | None:
        """Return what the rows are told."""
        return self._side_by_side(self._rows(conditions, len(padded.given)))

    def _side_by_side(self, rows: Sequence[Mapping[str, Tensor]]) -> Conditioning:
        stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        if "lyrics" in stacked:
            stacked["source"] = stacked.pop("lyrics")
        return Conditioning(**stacked)

    def _rows(self, conditions: Mapping[str, Any] | None, count: int) -> list[dict[str, Tensor]]:
        """Return what each of ``count`` samples is told; one row alone is everyone's.

        Raises:
            ZooError: conditions that the prior does not take, or of another shape.
        """
        known, config = self._numbers(conditions or {}), self.prior.config
        takes = {
            "labels": config.labels and config.labels.row,
            "above": config.above and self.prior.context // config.above.ratio,
            "lyrics": config.lyrics and config.lyrics.length,
        }
        sizes = {name: size for name, size in takes.items() if size}
        given = {name: known.pop(name, None) for name in sizes}
        self.refuse(known, list(sizes))
        told = {name: self._unknown(name, size) if given[name] is None else given[name] for name, size in sizes.items()}
        rows = {name: _rows_of(name, values, sizes[name], count) for name, values in told.items()}
        return [{name: values[row] for name, values in rows.items()} for row in range(count)]

    def _unknown(self, name: str, size: int) -> Tensor:
        """Return the row that says nothing."""
        if name == "above":
            raise ZooError(
                f"this prior is told the ids of the level above: give conditions={{'above': int64 (batch, {size})}}"
            )
        row = torch.zeros(size, dtype=torch.int64)
        if name == "labels":
            row[:3] = torch.tensor([self._shortest, 0, self.prior.context * self._hop])
            row[4:] = -1
        return row

    def _numbers(self, conditions: Mapping[str, Any]) -> dict[str, Any]:
        """Return conditions with words in numbers.

        Raises:
            ZooError: names that the prior does not know, or words for what it is not told.
        """
        known, config = dict(conditions), self.prior.config
        words = {name: known.pop(name) for name in WORDS if isinstance(known.get(name), str)}
        if not words:
            return known
        telling = Telling(config=config, hop=self._hop)
        told = telling.of(Piece(**words, total=self._shortest))
        for name, asked, heard in (
            ("labels", "artist" in words or "genre" in words, config.labels),
            ("lyrics", "lyrics" in words, config.lyrics),
        ):
            if asked and (heard is None or name in known):
                why = "this prior is not told them" if heard is None else "give words or numbers, not both"
                raise ZooError(f"{', '.join(words)}: {why}")
            if asked:
                known[name] = telling.labels(told, 0) if name == "labels" else telling.lyrics(told, 0)[0]
        return known

    @property
    def _hop(self) -> int:
        return self.tokenizer.hop if isinstance(self.tokenizer, AudioTokenizer) else 1

    @property
    def _shortest(self) -> int:
        """Samples of the shortest song."""
        labels = self.prior.config.labels
        least = labels.timing.shortest * labels.timing.rate if labels and labels.timing else 0
        return max(self.prior.context * self._hop, int(least) + 1)


def _rows_of(name: str, values: Any, size: int, count: int) -> Tensor:
    """Return a condition as int64 (count, size)."""
    if not isinstance(values, Tensor) or values.dtype != torch.int64 or values.shape[-1:] != (size,):
        got = f"{values.dtype} {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise ZooError(f"{name}: expected int64 (batch, {size}), got {got}")
    rows = values.reshape(-1, size).cpu()
    if len(rows) not in (1, count):
        raise ZooError(f"{name}: expected one row, or one for each of {count} samples, got {len(rows)}")
    return rows.expand(count, size) if len(rows) == 1 else rows
