"""Everything that makes one prior differ from another, as frozen values.

A prior is a transformer over the ids of one level of a codec. What it is told beside them is a value each: ``Labels``
(artist, genres, place in the song), ``Above`` (the ids of the next coarser level) and lyrics (``SeparateLyrics`` or
``PrefixedLyrics``). Dhariwal et al. 2020, section 4, and their code's ``hparams.py``.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar

from zoo.errors import ZooError
from zoo.music.lyrics import V2, V3, Alphabet
from zoo.music.names import Names
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import Classification, Head
from zoo.transformer.patterns import Cross, Dense, Prefix

WIDEST = 16_384
DEEPEST = 64
"""Residual blocks in a row."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Where a window stands in its song: its total length, the time since its start, and the part of it that is over.

    Attributes:
        bins: steps that each of the three is told in.
        rate: samples a second.
        shortest, longest: total lengths of songs, in seconds; a length is below ``longest``.
    """

    bins: int = 128
    rate: int = 44_100
    shortest: float = 60.0
    longest: float = 600.0

    def __post_init__(self) -> None:
        if not 1 <= self.bins <= 1 << 20:
            raise ZooError(f"bins must be 1 to {1 << 20}, got {self.bins}")
        if self.rate < 1:
            raise ZooError(f"rate must be at least 1 sample a second, got {self.rate}")
        if not 0 <= self.shortest < self.longest < math.inf:
            raise ZooError(f"shortest must lie below longest, got {self.shortest} and {self.longest} seconds")

    def check(self, total: int, offset: int) -> None:
        """Raise ZooError unless a song can have ``total`` samples and a part that begins at ``offset``."""
        if offset == 0 and total >= self.longest * self.rate:
            raise ZooError(
                f"this prior knows pieces below {self.longest:g} seconds, got {total / self.rate:g}; make fewer "
                "seconds, or set a smaller total_seconds"
            )
        if not self.shortest * self.rate <= total < self.longest * self.rate:
            raise ZooError(
                f"the whole piece must last from {self.shortest:g} to below {self.longest:g} seconds, got "
                f"{total / self.rate:g}; set total_seconds"
            )
        if not 0 <= offset < total:
            raise ZooError(f"the part begins at {offset / self.rate:g} seconds, outside of the piece")


@dataclass(frozen=True, kw_only=True)
class Labels:
    """An artist and a bag of genres, whose vectors are summed in the place of the first id.

    The first id of a window is soon far away, while an instrument is heard in every id: ``everywhere`` adds the same
    sum to all of them, as timing and the level above are added. Ours; Jukebox's priors do without.

    Attributes:
        artists: their number; number 0 is the unknown one.
        genres: their number; number 0 is the unknown one.
        slots: genres (or words of one) that a song can have.
        timing: None where a window's place in the song is not told.
        everywhere: tell them at every id of a window.
        names: which number is whose; None where that is not known.
    """

    artists: int
    genres: int
    slots: int = 1
    timing: Timing | None = None
    everywhere: bool = False
    names: Names | None = None

    def __post_init__(self) -> None:
        for name in ("artists", "genres", "slots"):
            if not 1 <= getattr(self, name) < 1 << 31:
                raise ZooError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.names is not None and (self.names.artist_count > self.artists or self.names.genre_count > self.genres):
            raise ZooError(
                f"names count {self.names.artist_count} artists and {self.names.genre_count} genres, more than the "
                f"{self.artists} and {self.genres} of the model; use the tables that it was trained with"
            )

    @property
    def row(self) -> int:
        """Numbers in a row of labels: total length, offset, window length (in samples), artist, genres."""
        return 4 + self.slots


@dataclass(frozen=True, kw_only=True)
class Above:
    """The ids of the next coarser level, stretched by transposed convolutions to one vector an id of this level.

    Section 4 of the paper; the defaults are those of the released upsamplers.

    Attributes:
        codes: ids of the level above.
        width: features of the convolutions.
        depth: residual blocks before each transposed convolution.
        ups: transposed convolutions, each of which multiplies the time by ``stride``.
        stride: even.
        dilation_growth, dilation_cycle: see ``zoo.tokenizers.audio.vqvae.config``.
        hidden_ratio: features inside a residual block, as a ratio of the width.
        scaled: what a residual block adds is divided by ``sqrt(depth)`` (the released upsampler of level 1 alone).
    """

    codes: int
    width: int = 1024
    depth: int = 16
    ups: int = 2
    stride: int = 2
    dilation_growth: int = 3
    dilation_cycle: int | None = 8
    hidden_ratio: float = 1.0
    scaled: bool = False

    def __post_init__(self) -> None:
        if self.codes < 1:
            raise ZooError(f"codes must be at least 1, got {self.codes}")
        if not 1 <= self.width <= WIDEST:
            raise ZooError(f"width must be 1 to {WIDEST}, got {self.width}")
        if not 0 <= self.depth <= DEEPEST:
            raise ZooError(f"depth must be 0 to {DEEPEST}, got {self.depth}")
        if not 1 <= self.ups <= 10 or not 2 <= self.stride <= 64 or self.stride % 2:
            raise ZooError(f"ups must be 1 to 10 and stride even, 2 to 64; got {self.ups} and {self.stride}")
        if not 1 <= self.dilation_growth <= 64 or (self.dilation_cycle or 1) < 1:
            raise ZooError(f"dilation_growth must be 1 to 64, got {self.dilation_growth}")
        if not (0 < self.hidden_ratio <= 16 and int(self.hidden_ratio * self.width) >= 1):
            raise ZooError(f"hidden_ratio must leave 1 to 16 times the width inside a block, got {self.hidden_ratio}")
        if max(self.dilations, default=1) > 1 << 20:
            raise ZooError("dilations grow beyond any window; set dilation_cycle, or a smaller depth or growth")

    @property
    def ratio(self) -> int:
        """Ids of this level that one of the level above stands for."""
        return int(self.stride**self.ups)

    @property
    def dilations(self) -> tuple[int, ...]:
        """The dilation of each residual block in a row."""
        cycle = self.dilation_cycle or max(self.depth, 1)
        return tuple(self.dilation_growth ** (block % cycle) for block in range(self.depth))


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """Where in a trained prior attention follows the lyrics as they are sung.

    Attributes:
        layer: a layer that attends to lyrics, counted from 0.
        head: of that layer.
    """

    layer: int
    head: int

    def __post_init__(self) -> None:
        if self.layer < 0 or self.head < 0:
            raise ZooError(f"layer and head count from 0, got {self.layer} and {self.head}")


@dataclass(frozen=True, kw_only=True)
class SeparateLyrics:
    """Lyrics read by a transformer of their own, whose states ``Cross`` layers attend to. Section 4.2; ``5b_lyrics``.

    Attributes:
        transformer: causal; its last id is not predicted and begins every window.
        weight: of the loss of predicting lyrics, beside that of music.
        alignment: None where it is not known.
        characters: of ids 1, 2, ...; empty for Jukebox's, where there are as many ids as it has.
    """

    transformer: TransformerConfig
    weight: float = 0.4
    alignment: Alignment | None = None
    characters: str = ""

    def __post_init__(self) -> None:
        _check_lyrics(self.weight, self.ids, self.characters)
        inner = self.transformer
        if not inner.causal or not inner.tied or inner.vocabulary != (inner.output_vocabulary or 0) + 1:
            raise ZooError(
                "lyrics.transformer must be causal and tied, with an output_vocabulary one below its vocabulary: its "
                "last id begins every window of lyrics"
            )

    @property
    def ids(self) -> int:
        """Number of lyric ids."""
        return self.transformer.vocabulary - 1

    @property
    def alphabet(self) -> Alphabet | None:
        """What turns lyrics into ids; None where that is not known."""
        return _alphabet(self.characters, self.ids)

    @property
    def length(self) -> int:
        """Lyric ids that a window of music is told."""
        return self.transformer.context


@dataclass(frozen=True, kw_only=True)
class PrefixedLyrics:
    """Lyrics at the beginning of the same sequence, in the same vocabulary. ``1b_lyrics``.

    Attributes:
        ids: number of lyric ids, which come before the music's.
        length: lyric ids that a window of music is told.
        weight: of the loss of predicting lyrics, beside that of music.
        alignment: None where it is not known.
        characters: of ids 1, 2, ...; empty for Jukebox's, where there are as many ids as it has.
    """

    ids: int
    length: int
    weight: float = 0.4
    alignment: Alignment | None = None
    characters: str = ""

    def __post_init__(self) -> None:
        _check_lyrics(self.weight, self.ids, self.characters)
        if self.ids < 1 or self.length < 1:
            raise ZooError(f"lyrics need ids and length of at least 1, got {self.ids} and {self.length}")

    @property
    def alphabet(self) -> Alphabet | None:
        """What turns lyrics into ids; None where that is not known."""
        return _alphabet(self.characters, self.ids)


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """A transformer over the ids of one level of a codec, and what it is told beside them.

    Attributes:
        transformer: reads (with ``PrefixedLyrics``: lyric ids, then) the level's ids and, where there are no labels,
            one more, with which windows begin; its context holds the lyrics, too.
        labels: None for none.
        above: None at the coarsest level.
        lyrics: None for none.
    """

    settings_name: ClassVar[str] = "prior"

    transformer: TransformerConfig
    labels: Labels | None = None
    above: Above | None = None
    lyrics: SeparateLyrics | PrefixedLyrics | None = None

    def __post_init__(self) -> None:
        inner = self.transformer
        if not inner.causal or inner.classes or inner.encoder or inner.segments:
            raise ZooError("transformer: a prior's is causal, and knows no classes, encoder or segments")
        if inner.head is not None and not isinstance(inner.head, Classification):
            raise ZooError("transformer: the head of a prior says labels of a sound: classification or multi_label")
        if (inner.output_vocabulary or inner.vocabulary) != inner.vocabulary - (self.labels is None):
            raise ZooError(
                "transformer: without labels its last id begins every window and is not predicted: output_vocabulary "
                "must be one below vocabulary; with labels they must be equal"
            )
        if self.codes < 1 or self.context < 1:
            raise ZooError("transformer: its vocabulary and context must hold the ids of music beside those of lyrics")
        separate = isinstance(self.lyrics, SeparateLyrics)
        if separate != (inner.memory_width is not None) or (separate and inner.memory_width != inner.width):
            raise ZooError("transformer: cross patterns, with memory_width = width, belong to separate lyrics")
        if self.above is not None and self.context % self.above.ratio:
            raise ZooError(f"transformer: context {self.context} is not a multiple of above's ratio {self.above.ratio}")
        if self.lyrics is not None and self.lyrics.alignment is not None:
            self._check_alignment(self.lyrics.alignment)

    def _check_alignment(self, alignment: Alignment) -> None:
        reads = (Cross,) if isinstance(self.lyrics, SeparateLyrics) else (Prefix, Dense)
        inside = alignment.layer < self.depth and alignment.head < self.heads
        if not inside or not isinstance(self.transformer.pattern(alignment.layer), reads):
            raise ZooError(f"alignment: head {alignment.head} of layer {alignment.layer} does not attend to lyrics")

    @property
    def head(self) -> Head | None:
        """What classifies beside predicting ids; None for none."""
        return self.transformer.head

    @property
    def prefix(self) -> int:
        """Lyric ids at the beginning of the transformer's own sequence."""
        return self.lyrics.length if isinstance(self.lyrics, PrefixedLyrics) else 0

    @property
    def shift(self) -> int:
        """The id of music's first code."""
        return self.lyrics.ids if isinstance(self.lyrics, PrefixedLyrics) else 0

    @property
    def output_vocabulary(self) -> int:
        """Ids that are predicted: lyrics' (with a prefix), then music's."""
        return self.transformer.output_vocabulary or self.transformer.vocabulary

    @property
    def vocabulary(self) -> int:
        """Ids that are read: those that are predicted, and the one that begins a window."""
        return self.output_vocabulary + 1

    @property
    def codes(self) -> int:
        """Ids of the level."""
        return self.output_vocabulary - self.shift

    @property
    def context(self) -> int:
        """Ids of music in a window."""
        return self.transformer.context - self.prefix

    @property
    def width(self) -> int:
        """Features of the residual stream."""
        return self.transformer.width

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self.transformer.depth

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.transformer.heads

    @property
    def causal(self) -> bool:
        """True: ids can be drawn one by one."""
        return True

    def with_codes(self, codes: int, rate: int | None = None) -> PriorConfig:
        """Return the same for a level of so many ids, below one of as many, of sound at ``rate`` (None: as it is)."""
        predicted = self.shift + codes
        begun = self.labels is None
        transformer = dataclasses.replace(
            self.transformer, vocabulary=predicted + begun, output_vocabulary=predicted if begun else None
        )
        above = None if self.above is None else dataclasses.replace(self.above, codes=codes)
        labels = self.labels
        if rate is not None and labels is not None and labels.timing is not None:
            labels = dataclasses.replace(labels, timing=dataclasses.replace(labels.timing, rate=rate))
        return dataclasses.replace(self, transformer=transformer, above=above, labels=labels)

    def with_names(self, names: Names) -> PriorConfig:
        """Return the same for these artists and genres; itself where no labels are told."""
        if self.labels is None:
            return self
        labels = dataclasses.replace(self.labels, artists=names.artist_count, genres=names.genre_count, names=names)
        return dataclasses.replace(self, labels=labels)


def _alphabet(characters: str, ids: int) -> Alphabet | None:
    own = characters or {len(V2) + 1: V2, len(V3) + 1: V3}.get(ids, "")
    return Alphabet(own) if own else None


def _check_lyrics(weight: float, ids: int, characters: str) -> None:
    if not 0 <= weight < math.inf:
        raise ZooError(f"weight must not be negative, got {weight}")
    if characters and len(characters) != ids - 1:
        raise ZooError(f"characters are {len(characters)}, and with one id for none they must make {ids}")
