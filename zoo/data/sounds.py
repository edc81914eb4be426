"""Sounds of any kind: crops for codecs to learn from, and ids for networks to predict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.data.base import Corpus, SampleBatch, SampleData
from zoo.data.read_sound import SoundRecords, read_sounds
from zoo.data.recordings import Recordings
from zoo.data.records import Records, Sound
from zoo.data.seeded import generator
from zoo.data.sound_tokens import SoundTokens, encode_parts
from zoo.data.sources import Manifest, Source
from zoo.data.spans import Spans, split_spans
from zoo.data.text import check_fraction, check_modality, locate
from zoo.download import Progress
from zoo.errors import ZooError
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.tokenizers.audio.waveform import to_mono
from zoo.tokenizers.base import Modality, Tokenizer
from zoo.tokenizers.codec import Codec

Mix = Literal["equal", "random"]
Field = Literal["label", "genre", "artist"]


@dataclass(frozen=True, kw_only=True)
class Sounds:
    """Sounds of any format, rate and number of channels; codecs and tokenizers bring them to their rate.

    Attributes:
        path: sound file, folder (one folder per class, or flat; with a metadata.csv or without) or glob of yours;
            goes before ``source``.
        source: where the recipe's own sounds are fetched from; None if it has none.
        wanted: where a recipe without a source would have its sounds from, for the line that asks for ``path``.
        length: samples of a crop that a codec learns from, at the codec's rate. Shorter sounds are filled up with
            silence at their end.
        mix: how channels become one in crops: ``equal`` shares, or ``random`` ones for each crop (Jukebox's aug_blend).
            Held-out crops and ids are made of equal shares.
        conditional: the class of a sound is given to the network.
        label: what its class is: the label (a column of metadata.csv, or else its folder), the genre or the artist.
        unlabelled: share of the training windows whose class is kept back, see ``zoo.data.images.Images``.
        held_out: part of one sound that training does not see (its end); of fewer than seven sounds, of each.
        memory: megabytes of decoded sound that are kept; what is beyond is read from its file each time.
    """

    path: str | None = None
    source: Source | Manifest | None = None
    wanted: str = ""
    length: int = 65_536
    mix: Mix = "equal"
    conditional: bool = False
    label: Field = "label"
    unlabelled: float = 0.1
    held_out: float = 0.1
    memory: int = 1024

    def __post_init__(self) -> None:
        check_fraction(self.held_out)
        if not 1 <= self.length <= 1 << 28:
            raise ZooError(f"length must be 1 to {1 << 28} samples, got {self.length}")
        if not 0 <= self.unlabelled < 1:
            raise ZooError(f"unlabelled must lie in [0, 1), got {self.unlabelled}")
        if not 0 <= self.memory <= 1 << 20:
            raise ZooError(f"memory must be 0 to {1 << 20} megabytes, got {self.memory}")

    def open(self, progress: Progress | None = None) -> SoundCorpus:
        """Find and split the sounds; ``progress`` is told of a download.

        Raises:
            ZooError: no data, or not sounds: one line that names the file.
        """
        path, entries = locate(self.path, self.source, progress, wanted=self.wanted or "FOLDER")
        records = read_sounds(path)
        own = [{"name": records.title, "license": "not stated", "sha256": records.sha256}]
        return SoundCorpus(records, entries or own, self)


class SoundCorpus(Corpus):
    """Split sounds, before any tokenizer or codec.

    Args:
        records: both parts; with no held-out sounds, the end of each is held out.
        entries: the card's ``data``.
        settings: how rows are made of them.

    Attributes:
        classes: names of the classes, for a network that is told them; none if it is not.

    Raises:
        ZooError: a sound without a class, where they are asked for.
    """

    modality: Modality = "music"

    def __init__(self, records: Records[Sound], entries: list[dict[str, Any]], settings: Sounds) -> None:
        self.records = SoundRecords.of(records)
        self._entries, self._settings = entries, settings
        self._class_of = _classes(self.records, settings.label) if settings.conditional else []
        self.classes = tuple(sorted(set(self._class_of)))

    def samples(self) -> Iterable[Sound]:
        """Return the training sounds, whole even where their ends are held out: what a tokenizer is fitted on."""
        return (self.records[index] for index in self.records.train)

    def crops(self, codec: Codec) -> SoundCrops:
        """Return both parts as crops at the rate of ``codec``.

        Raises:
            ZooError: a codec of something else, a length that does not divide into its ids, or a part without samples.
        """
        if not isinstance(codec, Vqvae):
            raise ZooError(f"data: these are sounds, but the codec is for {codec.modality}")
        length, hop = self._settings.length, codec.hops[-1]
        if length % hop:
            near = max(1, round(length / hop)) * hop
            raise ZooError(f"data.length={length} is no multiple of {hop}, the codec's largest hop; say {near}")
        return SoundCrops(self.records, self._settings, rate=codec.config.rate)

    def encode(self, tokenizer: Tokenizer[Any], context: int) -> SoundTokens:
        """Return the ids of both parts.

        Raises:
            ZooError: a tokenizer of something else, or a part that is too short.
        """
        check_modality(tokenizer, "music")
        assert isinstance(tokenizer, AudioTokenizer)
        settings, number = self._settings, {name: index for index, name in enumerate(self.classes)}
        classes = np.array([number[name] for name in self._class_of], dtype=np.int64) if self.classes else None
        train, held_out = encode_parts(self.records, tokenizer, fraction=settings.held_out, classes=classes)
        return SoundTokens(
            train=train,
            held_out=held_out,
            tokenizer=tokenizer,
            context=context,
            unlabelled=settings.unlabelled,
            title=self.records.title,
        )

    def describe(self) -> list[dict[str, Any]]:
        """Return the card's ``data`` entries."""
        return self._entries


class SoundCrops(SampleData):
    """Crops of sounds: random ones to learn from, and the held-out part side by side.

    A training crop lies within one sound and may begin at any sample; all beginnings are equally likely. Where a file
    ends before its header says (an MP3 that was cut), crops from beyond are taken from its beginning.

    Args:
        records: the sounds.
        settings: length of the crops, channels, memory.
        rate: samples per second of the crops.

    Attributes:
        train_tokens: samples of the training part.

    Raises:
        ZooError: a part has no samples.
    """

    def __init__(self, records: SoundRecords, settings: Sounds, *, rate: int) -> None:
        self._length, self._random = settings.length, settings.mix == "random"
        memory = settings.memory << 20
        self._recordings = Recordings(records, rate=rate, mono=not self._random, memory=memory)
        self._train, self._held_out = split_spans(records, self._recordings.lengths, settings.held_out)
        self.train_tokens = int(self._train.counts.sum())
        self._places = np.cumsum(np.maximum(self._train.counts - self._length, 0) + 1)

    def batch(self, *, step: int, size: int, seed: int) -> SampleBatch:
        """Return ``size`` crops (size, length, 1) from anywhere in the training part; ``indices`` are sound numbers."""
        random = generator(seed, step)
        places = random.integers(0, self._places[-1], size=size)
        spans = np.searchsorted(self._places, places, side="right")
        starts = places - np.concatenate([[0], self._places])[spans]
        return self._rows(self._train, spans, starts, random)

    def held_out(self, size: int) -> Iterator[SampleBatch]:
        """Yield the held-out part side by side, ``size`` crops at a time. What is left over at the end of a sound is
        left out, but a sound shorter than a crop is filled up with silence."""
        counts = np.maximum(self._held_out.counts // self._length, 1)
        spans = np.repeat(np.arange(len(counts)), counts)
        starts = np.concatenate([np.arange(count) * self._length for count in counts])
        for first in range(0, len(spans), size):
            rows = slice(first, first + size)
            yield self._rows(self._held_out, spans[rows], starts[rows], None)

    def _rows(
        self, part: Spans, spans: NDArray[Any], starts: NDArray[Any], random: np.random.Generator | None
    ) -> SampleBatch:
        """Return crops of the stretches ``spans`` from their samples ``starts`` on; random ones where they are to be
        learned from."""
        samples = np.zeros((len(spans), self._length, 1), dtype=np.float32)
        for row, (span, start) in enumerate(zip(spans, starts, strict=True)):
            number, begin = int(part.numbers[span]), int(part.starts[span])
            count = int(min(self._length, part.counts[span] - start))
            crop = self._recordings.part(number, begin + int(start), count)
            if len(crop) < count and random is not None:  # the file ends before its header says: silence is no music
                crop = self._recordings.part(number, begin, count)
            samples[row, : len(crop), 0] = to_mono(crop, self._shares(crop.shape[1], random))
        return SampleBatch(samples=torch.from_numpy(samples), indices=torch.from_numpy(part.numbers[spans]))

    def _shares(self, channels: int, random: np.random.Generator | None) -> NDArray[Any] | None:
        if random is None or not self._random or channels == 1:
            return None
        return random.dirichlet(np.ones(channels))  # two channels: uniform


def _classes(records: SoundRecords, field: Field) -> list[str]:
    """Return the class of every sound.

    Raises:
        ZooError: one has none.
    """
    known = [row.get(field, "") for row in records.fields] or [""] * len(records)
    if field == "label" and records.labels:
        known = list(records.labels)
    if not any(known):
        other = next((name for name in ("genre", "artist") if any(row.get(name) for row in records.fields)), None)
        hint = f"say data.label={other}" if other else "give one folder per class, or a metadata.csv with labels"
        raise ZooError(f"{records.title}: has no {field} to be conditional on; {hint}, or data.conditional=false")
    if not all(known):
        bare = records.names[known.index("")]
        raise ZooError(f"{records.title}: '{bare}' has no {field}, but other sounds have; fill it in in metadata.csv")
    return known
