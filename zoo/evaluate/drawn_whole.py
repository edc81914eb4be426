"""Samples that are drawn whole: pictures and sounds, and the training samples that are nearest to them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.records import Records
from zoo.data.samples import samples_of
from zoo.evaluate.distances import frechet_distance, nearest
from zoo.evaluate.outcome import Exhibit, Histogram, Pictures, Sounds, Told
from zoo.evaluate.part import Data
from zoo.evaluate.sample_kinds import AT_ONCE, Drawing, Features, Named
from zoo.generate.settings import SamplingOptions
from zoo.model import Model
from zoo.tokenizers.audio.waveform import Audio, resample, to_mono
from zoo.tokenizers.image.pixels import to_pillow

SHOWN, HEARD = 12, 6
"""Pictures and sounds on the page."""
COPIED = 1.0
"""Per cent: a sample nearer to a training sample than all but so many of the held-out ones is called a copy."""
ROUNDING = 1e-3
"""Of the usual distance: vectors of the same sample may differ by so much, and held-out samples may have twins, too."""
BANDS, RATE = 64, 16_000
"""Of the log-mel statistics of a sound."""


class _Whole:
    """Samples that are drawn whole and lie in records: pictures and sounds."""

    def __init__(self, model: Model, data: Data, drawing: Drawing, records: Records[Any]) -> None:
        self._model, self._seed, self._drawing, self._records = model, data.seed, drawing, records
        self._real, self._known = list(records.held_out), list(data.some(records.train))
        self.title, self.sha256 = records.title, records.sha256
        self.notes = [
            f"copies: share of samples as near to a training sample as the nearest {COPIED:g} % of held-out ones"
        ]

    @property
    def counts(self) -> tuple[int, int]:
        return len(self._real), len(self._known)

    def beside(self, made: Sequence[Named]) -> tuple[list[Named], list[Named]]:
        real, known = ([self._like(made, at) for at in part] for part in (self._real, self._known))
        return real, known

    def _like(self, made: Sequence[Named], at: int) -> Named:
        """Return a real sample as what was drawn is compared with it."""
        return self._records.names[at], self._records[at]

    def made(self, told: Told | None) -> list[Named]:
        model, drawing = self._model, self._drawing
        if drawing.path is not None:
            return [(one.name, one.read()) for one in samples_of(_written(drawing.path), model.modality)]
        classes: tuple[str, ...] = getattr(model.config, "classes", ())
        made: list[Named] = []
        for begin in range(0, drawing.count, AT_ONCE):
            numbers = range(begin, min(begin + AT_ONCE, drawing.count))
            labels = [classes[number % len(classes)] for number in numbers] if classes else []
            conditions = {"label": labels} if labels else None
            seeds = [self._seed + number for number in numbers]
            sampling: SamplingOptions = {**drawing.sampling, "seed": self._seed + begin}
            drawn = model.draw([None] * len(numbers), conditions=conditions, seeds=seeds, **sampling)
            for place, one in enumerate(drawn):
                name = f"{numbers[place]:03d}" + (f" {labels[place]}" if labels else "")
                sample = one.sample
                made.append((name, sample if isinstance(sample, Audio) else np.atleast_3d(np.asarray(sample))))
            if told:
                told(len(made), drawing.count)
        return made

    def _copies(self, features: Features) -> dict[str, Any]:
        _, near = nearest(features.made, features.learned)
        _, usual = nearest(features.real, features.learned)
        return {
            "nearest_training_distance": float(near.mean()),
            "nearest_training_distance_held_out": float(usual.mean()),
            "copies": float((near <= np.percentile(usual, COPIED) + ROUNDING * usual.mean()).mean()),
        }

    def _neighbours(self, made: Sequence[Named], features: Features) -> tuple[list[Neighbours], Histogram]:
        """Return samples with the training samples that are nearest, those that are nearest of all first."""
        places, distances = nearest(features.made, features.learned)
        _, usual = nearest(features.real, features.learned)
        pairs = [
            Neighbours(made[at], self._like(made, self._known[places[at]]), distances[at])
            for at in np.argsort(distances)[:SHOWN]
        ]
        groups = {"samples": distances, "held out": usual}
        return pairs, Histogram(title="Distance to the nearest training sample", across="distance", groups=groups)


@dataclass(frozen=True)
class Neighbours:
    """A sample and the nearest one that was learned from."""

    sample: Named
    learned: Named
    distance: float


class DrawnPictures(_Whole):
    """Pictures."""

    def __init__(self, model: Model, data: Data, drawing: Drawing) -> None:
        super().__init__(model, data, drawing, data.images())

    def judged(self, made: Sequence[Named], features: Features) -> tuple[dict[str, Any], list[Exhibit]]:
        pairs, histogram = self._neighbours(made, features)
        beside = [
            entry
            for pair in pairs[:SHOWN]
            for entry in (
                (f"{pair.sample[0]}, {pair.distance:.3g} from:", to_pillow(pair.sample[1])),
                (f"training {pair.learned[0]}", to_pillow(pair.learned[1])),
            )
        ]
        samples = [(name, to_pillow(picture)) for name, picture in made[: 3 * SHOWN]]
        return self._copies(features), [
            Pictures(title="Samples", entries=samples),
            Pictures(title="Samples nearest to a training sample, each beside it", entries=beside),
            histogram,
        ]


class DrawnSounds(_Whole):
    """Sounds."""

    def __init__(self, model: Model, data: Data, drawing: Drawing) -> None:
        super().__init__(model, data, drawing, data.sounds())

    def _like(self, made: Sequence[Named], at: int) -> Named:
        """Return the middle of a sound, no longer than the longest that was drawn: features depend on it."""
        sound = self._records[at]
        seconds = max(len(one.samples) / one.rate for _, one in made)
        length = min(len(sound.samples), round(seconds * sound.rate))
        begin = (len(sound.samples) - length) // 2
        return self._records.names[at], dataclasses.replace(sound, samples=sound.samples[begin : begin + length])

    def judged(self, made: Sequence[Named], features: Features) -> tuple[dict[str, Any], list[Exhibit]]:
        real, learned = self.beside(made)
        few = [learned[at] for at in features.like]
        mel = [np.stack([log_mel(sound) for _, sound in some]) for some in (made, real, few)]
        metrics = {
            **self._copies(features),
            "log_mel_frechet_distance": frechet_distance(mel[0], mel[1]),
            "log_mel_frechet_distance_training": frechet_distance(mel[2], mel[1]),
        }
        pairs, histogram = self._neighbours(made, features)
        sounds = [(name, _audio(sound)) for name, sound in made[:HEARD]]
        near = [(f"nearest to {pair.sample[0]}: {pair.learned[0]}", _audio(pair.learned[1])) for pair in pairs[:2]]
        shown = Sounds(title="Samples", entries=sounds), Sounds(title="Training neighbours", entries=near), histogram
        return metrics, list(shown)


def _written(path: str) -> list[str]:
    """Return the samples in a folder that ``zoo generate`` wrote, whose grid and sheet are none; else the path."""
    try:
        samples = json.loads((Path(path) / "samples.json").read_text(encoding="utf-8"))["samples"]
        return [str(Path(path) / Path(sample["file"]).name) for sample in samples]
    except (OSError, ValueError, KeyError, TypeError):
        return [path]


def log_mel(sound: Any) -> NDArray[np.float64]:
    """Return the mean and the standard deviation over time of each band's level in dB, (2 * bands,), at 16 kHz."""
    import librosa

    samples = resample(to_mono(sound.samples), sound.rate, RATE)
    samples = np.pad(samples, (0, max(0, 2048 - len(samples))))
    power = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=2048, hop_length=512, n_mels=BANDS)
    level = 10.0 * np.log10(np.maximum(power, 1e-8)).astype(np.float64)
    return np.concatenate([level.mean(axis=1), level.std(axis=1)])


def _audio(sound: Any) -> Audio:
    return Audio(samples=to_mono(sound.samples), rate=sound.rate)
