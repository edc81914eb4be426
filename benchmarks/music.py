"""What a stack plays beside clips that it has not heard: key, onsets, loudness, timbre, and whether it does as asked.

The clips are the library's own melodies, or sounds of yours; what tells them apart (their label, else their genre) is
the instrument that a classifier listens for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray

import zoo
from benchmarks.instruments import Clip, Ear
from benchmarks.measure import Row, row
from zoo.data.arrangement import SYLLABLES, Accompaniment
from zoo.data.melodies import play_melodies
from zoo.data.read_sound import SoundRecords, read_sounds
from zoo.errors import ZooError
from zoo.stack.model import Stack

TITLE = "what the shipped stack plays, measured beside held-out clips (own melodies, or --sounds DIR with metadata.csv)"
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
"""How well each pitch class fits a key, from its first step (Krumhansl 1990, table 2.1)."""
SEGMENTS = 8
SEED = 1
"""Of the melodies' variations: not that of the recipes."""
ALONE: tuple[Accompaniment, ...] = ("none",)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is drawn: ``runs`` pieces of each instrument of the clips, and ``runs`` of every melody that is sung.

    Attributes:
        stack: what plays.
        sounds: the clips; None for ``melodies`` of the library's own.
        melodies: so many.
        seconds: of a clip, and of a piece.
        sung: melodies of each instrument whose words are sung, by the coarsest level alone.
        temperature, guidance: of the pieces, for each level, the finest first: as the guide has it.
    """

    stack: str = "music"
    sounds: Path | None = None
    melodies: int = 224
    seconds: float = 6.0
    sung: int = 2
    temperature: tuple[float, ...] = (0.5, 0.85, 0.9)
    guidance: tuple[float, ...] = (1.0, 1.0, 2.0)


FULL = Sizes()
TINY = Sizes(seconds=2.0, sung=1)


def measure(sizes: Sizes, runs: int) -> list[Row]:
    """Return the figures.

    Raises:
        ZooError: no such stack or sounds.
    """
    stack = zoo.load(sizes.stack)
    if not isinstance(stack, Stack):
        raise ZooError(f"{sizes.stack} is no stack")
    if sizes.sounds is None:
        records = play_melodies(count=sizes.melodies, rate=stack.rate, seconds=12.0, seed=SEED, accompaniments=ALONE)
    else:
        records = read_sounds(str(sizes.sounds))
    real = {part: _clips(records, numbers, stack.rate, sizes.seconds) for part, numbers in _parts(records).items()}
    ear = Ear.learn(real["train"], stack.rate)
    known = {"held-out clips": real["held out"]}
    known |= {f"codec, level {level}": _kept(stack, level, real["held out"]) for level in sorted(stack.tokenizers)}
    known["zoo"] = _drawn(stack, records, sizes, runs)
    rows = [line for who, clips in known.items() for line in _lines(who, clips, ear, stack.rate)]
    return [*rows, *_sung(stack, records, sizes, runs)]


def _kept(stack: Stack, level: int, clips: Sequence[tuple[str, Clip]]) -> list[tuple[str, Clip]]:
    """Return what a level of the codec makes of clips."""
    tokenizer = stack.tokenizers[level]
    return [(name, tokenizer.decode(tokenizer.encode(zoo.Audio(clip, stack.rate))).samples) for name, clip in clips]


def _lines(who: str, clips: Sequence[tuple[str, Clip]], ear: Ear, rate: int) -> list[Row]:
    """Return what clips are like."""
    named = np.mean([ear.name(clip) == name for name, clip in clips])
    rows = [row("clips whose instrument a classifier names", who, "share", [float(named)])]
    for name, (unit, one) in PROPERTIES.items():
        rows.append(row(name, who, unit, [one(clip, rate) for _, clip in clips]))
    return rows


def instrument(facts: Mapping[str, str]) -> str:
    """Return what a clip should sound like."""
    return facts.get("label") or facts["genre"]


def _drawn(stack: Stack, records: SoundRecords, sizes: Sizes, runs: int) -> list[tuple[str, Clip]]:
    """Return pieces of every instrument, asked for what a held-out clip of it is said to be."""
    told = {instrument(records.fields[number]): records.fields[number] for number in records.held_out}
    made: list[tuple[str, Clip]] = []
    for name, facts in sorted(told.items()):
        pieces = stack.generate(
            count=runs,
            seconds=sizes.seconds,
            conditions={key: facts[key] for key in ("artist", "genre", "lyrics") if facts.get(key)},
            temperature=sizes.temperature[-len(stack.levels) :],
            guidance=sizes.guidance[-len(stack.levels) :],
            parallel_segments=SEGMENTS,
            total_seconds=12.0 if sizes.sounds is None else 24.0,
        )
        made += [(name, piece.samples) for piece in (pieces if isinstance(pieces, list) else [pieces])]
    return made


def _sung(stack: Stack, records: SoundRecords, sizes: Sizes, runs: int) -> list[Row]:
    """Return how much of what is heard has the pitches of the words, and of the same words in the eleven other keys.

    The words are those of melodies that were held out, told to the coarsest level with what else is said of them.
    """
    shares: dict[str, list[float]] = {"as they are": [], "in other keys": []}
    for facts in _singable(records, sizes.sung):
        pitches = sorted({SYLLABLES.index(word) for word in facts["lyrics"].split()})
        pieces = stack.generate(
            count=runs,
            seconds=sizes.seconds,
            conditions={key: facts[key] for key in ("artist", "genre", "lyrics") if facts.get(key)},
            temperature=sizes.temperature[-1],
            guidance=sizes.guidance[-1],
            levels=(stack.levels[0],),
            total_seconds=12.0 if sizes.sounds is None else 24.0,
        )
        for piece in pieces if isinstance(pieces, list) else [pieces]:
            heard = pitch_classes(piece.samples, stack.rate)
            own, *others = (float(np.roll(heard, -step)[pitches].sum()) for step in range(12))
            shares["as they are"].append(own)
            shares["in other keys"].append(float(np.mean(others)))
    return [
        row(f"sound at the pitches of the words, {name}", "zoo", "share", found)
        for name, found in shares.items()
        if found
    ]


def _singable(records: SoundRecords, each: int) -> list[Mapping[str, str]]:
    """Return what is said of held-out clips whose words are names of pitches, of every instrument so many."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for number in records.held_out:
        facts = records.fields[number]
        words = facts.get("lyrics", "").split()
        if words and not set(words) - set(SYLLABLES):
            found.setdefault(instrument(facts), []).append(facts)
    return [facts for name in sorted(found) for facts in found[name][:each]]


def _parts(records: SoundRecords) -> Mapping[str, Sequence[int]]:
    return {"train": records.train, "held out": records.held_out}


def _clips(records: SoundRecords, numbers: Iterable[int], rate: int, seconds: float) -> list[tuple[str, Clip]]:
    """Return the sounds in clips of ``seconds`` with their instruments."""
    found, length = [], round(seconds * rate)
    for number in numbers:
        sound = records[number]
        samples = librosa.resample(sound.samples.mean(axis=1), orig_sr=sound.rate, target_sr=rate)
        for begin in range(0, len(samples) - length + 1, length):
            found.append((instrument(records.fields[number]), samples[begin : begin + length].astype(np.float32)))
    return found


def pitch_classes(clip: Clip, rate: int) -> NDArray[Any]:
    """Return the share of each of the twelve pitch classes, from C up, of music tuned to 440 Hz."""
    chroma = librosa.feature.chroma_cqt(y=clip, sr=rate, tuning=0.0)
    weight = librosa.feature.rms(y=clip)[0][: chroma.shape[1]]
    heard = (chroma[:, : len(weight)] ** 2 * weight).sum(axis=1)
    shares: NDArray[Any] = heard / (heard.sum() + 1e-9)
    return shares


def key_strength(clip: Clip, rate: int) -> float:
    """Return how well the clip fits the key that it fits best: the correlation with that key's profile."""
    heard = pitch_classes(clip, rate)
    fits = [np.corrcoef(np.roll(profile, step), heard)[0, 1] for profile in (MAJOR, MINOR) for step in range(12)]
    return float(np.max(np.nan_to_num(fits)))


def onset_rate(clip: Clip, rate: int) -> float:
    """Return how many notes begin in a second, by librosa's rule (Boeck et al. 2012), without what it compiles.

    A frame is an onset where the spectral flux is the largest of the last 30 ms, and 0.07 of its range above its mean
    over 100 ms to either side.
    """
    hop = 512
    flux = librosa.onset.onset_strength(y=clip, sr=rate, hop_length=hop)
    flux = flux - flux.min()
    if not flux.any():
        return 0.0
    flux /= flux.max()
    short, long = int(0.03 * rate // hop), int(0.10 * rate // hop)
    found, frame = 0, 0
    while frame < len(flux):
        largest = flux[max(0, frame - short) : frame + 1].max()
        mean = flux[max(0, frame - long) : frame + long + 1].mean()
        onset = bool(flux[frame] == largest and flux[frame] >= mean + 0.07)
        found += onset
        frame += 1 + onset * short
    return found / (len(clip) / rate)


def loudness(clip: Clip, rate: int) -> float:
    """Return the root mean square in decibels below full scale."""
    return float(20 * np.log10(np.sqrt(np.mean(clip**2)) + 1e-9))


def centroid(clip: Clip, rate: int) -> float:
    """Return the mean frequency, weighted by magnitude and loudness."""
    spectrum = np.abs(librosa.stft(clip))
    frequencies = librosa.fft_frequencies(sr=rate)
    return float((spectrum * frequencies[:, None]).sum() / (spectrum.sum() + 1e-9))


PROPERTIES: Mapping[str, tuple[str, Callable[[Clip, int], float]]] = {
    "key strength": ("correlation", key_strength),
    "onsets": ("1/s", onset_rate),
    "loudness": ("dB", loudness),
    "spectral centroid": ("Hz", centroid),
}
