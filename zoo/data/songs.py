"""Pieces of music as a prior learns them: ids of a level, those of the level above, and what is said of each piece."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zoo.data.arrangement import ACCOMPANIMENTS, Accompaniment
from zoo.data.base import Corpus
from zoo.data.melodies import LICENSE, melodies, play_melodies
from zoo.data.read_sound import Readable, SoundRecords, read_sounds
from zoo.data.records import Sound
from zoo.data.shards import FILES, Shards, is_shards, read_header
from zoo.data.song_tokens import SongPart, SongTokens, check_told
from zoo.data.sound_tokens import TokenPart, encode_parts
from zoo.data.split import split_names
from zoo.data.text import check_fraction, check_modality
from zoo.download import Progress
from zoo.errors import ZooError
from zoo.music.codebooks import Codebooks
from zoo.music.config import PriorConfig
from zoo.music.names import Names, Style, Whole
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.audio.settings import Vqvae
from zoo.tokenizers.audio.vqvae.tokenizer import VqvaeTokenizer
from zoo.tokenizers.base import Modality, Tokenizer

Facts = Mapping[str, str]
"""Artist, genre and lyrics of a piece, as far as they are known."""


@dataclass(frozen=True, kw_only=True)
class Songs:
    """Pieces of music with artist, genre and lyrics, as ids of one level of a codec and of the next coarser one.

    Attributes:
        path: sound file, folder (with a metadata.csv or without) or glob of yours, or a folder that ``zoo tokenize``
            has made with the same codec.
        more: further ones; all of them are learned from.
        melodies: so many pieces of ``zoo.data.melodies`` beside them; they have solfège as lyrics, the instrument as
            artist and the family as genre. Without ``path`` at least one of each melody.
        accompaniments: that melodies may have; ``none`` for single voices.
        rate, seconds, seed: of the melodies.
        codec: of which the tokenizer is a level; for the ids of the level above.
        level: of the tokenizer.
        top: the level has none above it that its prior is told.
        genre: the column of metadata.csv that is told as the genre.
        style: how names are compared; see ``zoo.music.names``.
        unlabelled: share of the training windows that are told no artist, genre and lyrics, so that guidance works.
        codebooks: a fresh prior's ids begin as the codec's vectors (see ``zoo.music.codebooks``).
        held_out: part of one sound that training does not see (its end); of fewer than seven sounds, of each.
        held_out_windows: most windows of the held-out part that are evaluated, evenly spread over it; None for all.
    """

    path: str | None = None
    more: tuple[str, ...] = ()
    melodies: int = 0
    accompaniments: tuple[Accompaniment, ...] = ACCOMPANIMENTS
    rate: int = 22_050
    seconds: float = 12.0
    seed: int = 0
    codec: str | None = None
    level: int = 0
    top: bool = True
    genre: Literal["genre", "label"] = "genre"
    style: Style = Whole()
    unlabelled: float = 0.1
    codebooks: bool = False
    held_out: float = 0.1
    held_out_windows: int | None = None

    def __post_init__(self) -> None:
        check_fraction(self.held_out)
        if self.held_out_windows is not None and self.held_out_windows < 1:
            raise ZooError(f"held_out_windows must be at least 1, got {self.held_out_windows}")
        if not 0 <= self.unlabelled < 1:
            raise ZooError(f"unlabelled must lie in [0, 1), got {self.unlabelled}")
        least = len(melodies())
        if 0 < self.melodies < least or self.melodies < 0:
            raise ZooError(f"melodies must be 0, or at least {least}, one piece of each; got {self.melodies}")
        if not self.accompaniments:
            raise ZooError(f"accompaniments must name at least one of {', '.join(ACCOMPANIMENTS)}")
        if self.path is None and (self.more or not self.melodies):
            raise ZooError("path is missing: name a folder of sounds, or say melodies=256 for music that needs no file")

    def open(self, progress: Progress | None = None) -> SongCorpus:
        """Find and split the pieces.

        Raises:
            ZooError: no data, or not sounds: one line that names the file.
        """
        places = [place for place in (self.path, *self.more) if place is not None]
        folders = [is_shards(Path(place).expanduser()) for place in places]
        if any(folders):
            if len(places) > 1 or self.melodies:
                raise ZooError("a folder of ids stands alone; make one of all sounds with zoo tokenize")
            return SongCorpus(_Encoded(Shards(Path(places[0]).expanduser(), check=False)), self)
        found = [read_sounds(place) for place in places]
        licenses = ["not stated"] * len(found)
        if self.melodies:
            played = play_melodies(
                count=self.melodies, rate=self.rate, seconds=self.seconds, seed=self.seed,
                accompaniments=self.accompaniments,
            )  # fmt: skip
            found.append(played)
            licenses.append(LICENSE)
        return SongCorpus(_Heard(found, licenses), self)


class _Heard:
    """Sounds that are still to be encoded."""

    def __init__(self, found: Sequence[SoundRecords], licenses: Sequence[str]) -> None:
        self.records = joined(found)
        self.entries = [
            {"name": records.title, "license": license, "sha256": records.sha256}
            for records, license in zip(found, licenses, strict=True)
        ]
        self.facts: Sequence[Facts] = facts_of(self.records)
        self.names: Sequence[str] = self.records.names
        self.train: Sequence[int] = self.records.train

    def samples(self) -> Iterable[Sound]:
        return (self.records[index] for index in self.records.train)

    def seconds(self) -> Iterator[float]:
        """Yield how long each piece is."""
        for number in range(len(self.records)):
            with self.records.open(number) as sound:
                yield sound.frames / sound.rate

    def parts(self, tokenizer: AudioTokenizer, fraction: float, level: int) -> tuple[TokenPart, TokenPart]:
        return encode_parts(self.records, tokenizer, fraction=fraction, classes=None)


class _Encoded:
    """Sounds that were encoded before, with every level of their codec."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.entries = [
            {"name": shards.folder.name, "license": "not stated", "sha256": read_header(shards.folder).sha256[FILES]}
        ]
        self.facts: Sequence[Facts] = [
            {"artist": entry.artist, "genre": entry.genre, "lyrics": entry.lyrics, "label": entry.label}
            for entry in shards.files
        ]
        self.names: Sequence[str] = [entry.name for entry in shards.files]
        self.train, self._held_out = split_names(self.names)

    def samples(self) -> Iterable[Sound]:
        return ()

    def seconds(self) -> Iterator[float]:
        """Yield how long each piece is."""
        for entry in self.shards.files:
            yield entry.seconds

    def parts(self, tokenizer: AudioTokenizer, fraction: float, level: int) -> tuple[TokenPart, TokenPart]:
        origin = self.shards.origin
        if level >= origin.levels or origin.fingerprints[level] != tokenizer.spec.fingerprint:
            raise ZooError(
                f"{self.shards.folder}: its ids are not those of this codec's level {level}; make the folder again "
                "with zoo tokenize and the codec that tokenizer.path names"
            )
        self.shards.check(level)
        counts = np.diff(self.shards.offsets[level])
        whole = np.zeros_like(counts), counts
        if len(self._held_out):
            train, held_out = (np.asarray(part, dtype=np.int64) for part in (self.train, self._held_out))
            return self._part(level, train, *whole), self._part(level, held_out, *whole)
        every = np.arange(len(counts), dtype=np.int64)
        steps = np.rint(np.diff(self.shards.offsets[-1]) * (1 - fraction)).astype(np.int64)
        cut = steps * (origin.hops[-1] // origin.hops[level])  # of the coarsest level, so that all stay side by side
        return self._part(level, every, whole[0], cut), self._part(level, every, cut, counts)

    def _part(
        self, level: int, numbers: NDArray[np.int64], begins: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> TokenPart:
        """Return the pieces ``numbers``, each from its id ``begins`` to ``ends`` (files,)."""
        hop, offsets = self.shards.origin.hops[level], self.shards.offsets[level]
        return TokenPart(
            ids=self.shards.level(level),
            firsts=offsets[numbers] + begins[numbers],
            counts=(ends - begins)[numbers],
            numbers=numbers,
            starts=begins[numbers] * hop,
            totals=np.diff(offsets)[numbers] * hop,
            classes=None,
        )


class SongCorpus(Corpus):
    """Split pieces of music, before any tokenizer.

    Attributes:
        names: artists and genres of the training part, numbered from 1.
    """

    modality: Modality = "music"

    def __init__(self, found: _Heard | _Encoded, settings: Songs) -> None:
        self._found, self._settings = found, settings
        heard = [found.facts[index] for index in found.train]
        self.names = Names.learned(
            (facts.get("artist", "") for facts in heard),
            (facts.get(settings.genre, "") for facts in heard),
            settings.style,
        )

    def samples(self) -> Iterable[Sound]:
        """Return the training sounds; none of a folder of ids."""
        return self._found.samples()

    def encode(self, tokenizer: Tokenizer[Any], context: int) -> SongTokens:
        """Return the ids of both parts, of the level and of the one above.

        Raises:
            ZooError: a tokenizer of something else, or a part that is too short.
        """
        check_modality(tokenizer, "music")
        assert isinstance(tokenizer, AudioTokenizer)
        settings = self._settings
        if not settings.top:
            self._refuse_other_codec(tokenizer)
        own = self._found.parts(tokenizer, settings.held_out, settings.level)
        above: tuple[TokenPart | None, TokenPart | None] = (None, None)
        if not settings.top:
            above = self._found.parts(self._coarser, settings.held_out, settings.level + 1)
        parts = [
            SongPart(ids=ids, above=over, facts=self._found.facts, names=self._found.names, genre=settings.genre)
            for ids, over in zip(own, above, strict=True)
        ]
        return SongTokens(
            train=parts[0],
            held_out=parts[1],
            tokenizer=tokenizer,
            unlabelled=settings.unlabelled,
            held_out_windows=settings.held_out_windows,
        )

    def check(self, config: object) -> None:
        """Refuse pieces that the prior cannot be told of, before any of them is encoded.

        Raises:
            ZooError: name one, and what to do.
        """
        if isinstance(config, PriorConfig) and config.labels is not None:
            found = self._found
            artists, genres = (
                [facts.get(column, "") for facts in found.facts] for column in ("artist", self._settings.genre)
            )
            check_told(zip(found.names, found.seconds(), artists, genres, strict=True), config.labels)

    def codebooks(self, tokenizer: Tokenizer[Any]) -> Codebooks | None:
        """Return the vectors of the ids, for a prior that begins with them; None where it is to begin without."""
        if not self._settings.codebooks or not isinstance(tokenizer, VqvaeTokenizer):
            return None
        above = None if self._settings.top else self._coarser.codebook.vectors
        return Codebooks(own=tokenizer.codebook.vectors, above=above)

    def _refuse_other_codec(self, tokenizer: AudioTokenizer) -> None:
        """Refuse a level above of another codec than the tokenizer's, as ``init=`` may bring one.

        Raises:
            ZooError: say which codec it would be.
        """
        like = Vqvae(path=self._settings.codec, level=self._settings.level).fit([])
        if like.spec.fingerprint != tokenizer.spec.fingerprint:
            raise ZooError(
                f"data.codec: level {self._settings.level} of '{self._settings.codec}' is not what the prior learned; "
                "name the codec that it was trained with: data.codec=CODEC"
            )

    @functools.cached_property
    def _coarser(self) -> VqvaeTokenizer:
        """The level above."""
        tokenizer = Vqvae(path=self._settings.codec, level=self._settings.level + 1).fit([])
        assert isinstance(tokenizer, VqvaeTokenizer)
        return tokenizer

    def describe(self) -> list[dict[str, Any]]:
        """Return an entry for each place that the pieces come from."""
        return [dict(entry) for entry in self._found.entries]


def facts_of(records: SoundRecords) -> Sequence[Facts]:
    """Return what is known of each sound; its label, if nothing else says one, is that of its folder."""
    fields: Sequence[Facts] = records.fields or [{}] * len(records)
    if not records.labels:
        return fields
    return [{"label": label, **facts} for label, facts in zip(records.labels, fields, strict=True)]


def joined(found: Sequence[SoundRecords]) -> SoundRecords:
    """Return the sounds of several places as those of one, in order; each place is split by itself.

    Of a place of so few sounds that none is held out, the end of each is.
    """
    if len(found) == 1:
        return found[0]
    firsts = np.cumsum([0, *(len(records) for records in found)])

    def place(index: int) -> tuple[SoundRecords, int]:
        owner = int(np.searchsorted(firsts, index, side="right")) - 1
        return found[owner], index - int(firsts[owner])

    def every(pick: Callable[[SoundRecords], Iterable[int]]) -> list[int]:
        return [int(first) + index for first, records in zip(firsts, found, strict=False) for index in pick(records)]

    def load(index: int) -> Sound:
        records, own = place(index)
        return records[own]

    def opened(index: int) -> AbstractContextManager[Readable]:
        records, own = place(index)
        return records.open(own)

    return SoundRecords(
        title=", ".join(records.title for records in found),
        names=[f"{records.title}/{name}" for records in found for name in records.names],
        labels=[],
        train=every(lambda records: records.train),
        held_out=every(lambda records: records.held_out),
        ends=every(lambda records: () if records.held_out else records.train),
        load=load,
        open=opened,
        fields=[facts for records in found for facts in facts_of(records)],
        sha256=_sha256(*(records.sha256 for records in found)),
    )


@functools.cache
def _sha256(*sums: str) -> str:
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()
