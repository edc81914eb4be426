"""What is compared as a sample: pictures, sounds, and passages of text; how they are drawn, and what they copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.data.records import Records
from zoo.data.samples import samples_of
from zoo.data.stream import encode
from zoo.errors import ZooError
from zoo.evaluate.copies import distinct, longest_copies
from zoo.evaluate.distances import frechet_distance, nearest
from zoo.evaluate.outcome import Exhibit, Histogram, Pictures, Sounds, Table, Texts, Told
from zoo.evaluate.part import Data
from zoo.generate.settings import SamplingOptions
from zoo.model import Model
from zoo.tokenizers.audio.waveform import Audio, resample, to_mono
from zoo.tokenizers.base import Modality, TextTokenizer
from zoo.tokenizers.image.pixels import to_pillow

SHOWN, HEARD, READ = 12, 6, 8
"""Pictures, sounds and texts on the page."""
COPIED = 1.0
"""Per cent: a sample nearer to a training sample than all but so many of the held-out ones is called a copy."""
AT_ONCE = 16
BANDS, RATE = 64, 16_000
"""Of the log-mel statistics of a sound."""
PASSAGE = 128
"""Most tokens of a passage of text where nobody says how many."""

Named = tuple[str, Any]
"""A sample with its name."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Vectors (samples, width) of what was drawn, held out, and learned from."""

    made: NDArray[Any]
    real: NDArray[Any]
    learned: NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How samples come about; see ``zoo.evaluate.samples.Samples``."""

    path: str | None
    count: int
    given: int
    sampling: SamplingOptions


class Kind(Protocol):
    """Samples of one modality.

    Attributes:
        title, sha256: of the data.
        real, learned: what is compared of the held-out and of the training part.
        notes: what people should know of the metrics, a sentence each.
    """

    title: str
    sha256: str
    real: Sequence[Named]
    learned: Sequence[Named]
    notes: Sequence[str]

    def made(self, told: Told | None) -> list[Named]:
        """Draw the samples, or read those that are there."""

    def judged(self, made: Sequence[Named], features: Features) -> tuple[dict[str, Any], list[Exhibit]]:
        """Return the figures that only this kind has, and what there is to look at."""


class _Whole:
    """Samples that are drawn whole and lie in records: pictures and sounds."""

    def __init__(self, model: Model, data: Data, drawing: Drawing, records: Records[Any]) -> None:
        self._model, self._seed, self._drawing = model, data.seed, drawing
        self.title, self.sha256 = records.title, records.sha256
        self.real = [(records.names[index], records[index]) for index in records.held_out]
        self.learned = [(records.names[index], records[index]) for index in data.some(records.train)]
        self.notes = [
            f"copies: share of samples nearer to a training sample than {COPIED:g} % of the held-out ones are"
        ]

    def made(self, told: Told | None) -> list[Named]:
        model, drawing = self._model, self._drawing
        if drawing.path is not None:
            return [(one.name, one.read()) for one in samples_of([drawing.path], model.modality)]
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
            "copies": float((near < np.percentile(usual, COPIED)).mean()),
        }

    def _neighbours(self, made: Sequence[Named], features: Features) -> tuple[list[Neighbours], Histogram]:
        """Return samples with the training samples that are nearest, those that are nearest of all first."""
        places, distances = nearest(features.made, features.learned)
        _, usual = nearest(features.real, features.learned)
        pairs = [Neighbours(made[at], self.learned[places[at]], distances[at]) for at in np.argsort(distances)]
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

    def judged(self, made: Sequence[Named], features: Features) -> tuple[dict[str, Any], list[Exhibit]]:
        mel = [np.stack([log_mel(sound) for _, sound in some]) for some in (made, self.real, self.learned)]
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


class DrawnPassages:
    """Passages of running text, as many tokens of each part as are drawn, spread evenly over it.

    Where held-out passages begin with tokens that are given, a drawn one goes on from the same; what is compared is
    what comes after them.
    """

    def __init__(self, model: Model, data: Data, drawing: Drawing) -> None:
        network, tokenizer = model.network, model.tokenizer
        if not network.causal or network.source_context is not None or not isinstance(tokenizer, TextTokenizer):
            raise ZooError("task=samples: this model writes no text of its own; say task=likelihood")
        documents = data.documents()
        self.title, self.sha256 = documents.title, documents.sha256
        if not documents.train:
            raise ZooError(
                f"{self.title}: without a training part there is nothing to compare with; leave data.part out"
            )
        held_out = encode(documents.held_out, tokenizer, key=f"{documents.key} held out").ids[: data.limit]
        self._learned = encode(documents.train, tokenizer, key=f"{documents.key} train").ids
        length = drawing.sampling.get("max_new_tokens")
        self._length = min(PASSAGE, max(1, network.context // 2)) if length is None else length
        if self._length < 1:
            raise ZooError("max_new_tokens must be at least 1 for samples to be compared")
        self._model, self._tokenizer, self._seed, self._drawing = model, tokenizer, data.seed, drawing
        spans = [self._spread(part, name) for part, name in ((held_out, "held-out"), (self._learned, "training"))]
        self._given = [self._decode(span[: drawing.given]) for span in spans[0]]
        after = [[span[drawing.given :] for span in some] for some in spans]
        self._held_out = after[0]
        self.real, self.learned = (
            [(f"passage {number}", self._decode(ids)) for number, ids in enumerate(some)] for some in after
        )
        given = f"going on from {drawing.given} tokens of held-out text" if drawing.given else "from nothing"
        self.notes = [
            f"passages of {self._length} tokens, drawn {given}; longest_copy: tokens of the longest run in a passage, "
            f"on average, that stands word for word in the {len(self._learned):,} tokens of the training text",
            "distinct_4: share of different runs among all runs of four tokens: low where texts repeat themselves",
        ]

    def made(self, told: Told | None) -> list[Named]:
        drawing = self._drawing
        if drawing.path is not None:
            found = [(one.name, one.read().text) for one in samples_of([drawing.path], "text")]
            rows = [(name, self._decode(self._ids(text)[: self._length])) for name, text in found]
            return [(name, text) for name, text in rows if text]
        made: list[Named] = []
        for begin in range(0, drawing.count, AT_ONCE):
            numbers = range(begin, min(begin + AT_ONCE, drawing.count))
            given = [self._given[number % len(self._given)] for number in numbers]
            sampling: SamplingOptions = {
                **drawing.sampling, "max_new_tokens": self._length, "truncate": "left",
            }  # fmt: skip
            seeds = [self._seed + number for number in numbers]
            drawn = self._model.draw([text or None for text in given], seeds=seeds, **sampling)
            for number, text, one in zip(numbers, given, drawn, strict=True):
                new = str(one.sample)[len(text) :]
                made.append((f"{number:03d}", new))
            if told:
                told(numbers[-1] + 1, drawing.count)
        return [(name, text) for name, text in made if text]

    def judged(self, made: Sequence[Named], features: Features) -> tuple[dict[str, Any], list[Exhibit]]:
        drawn = [self._ids(text) for _, text in made]
        runs = longest_copies(drawn, self._learned)
        copied = np.array([length for _, length in runs])
        usual = np.array([length for _, length in longest_copies(self._held_out, self._learned)])
        metrics = {
            "longest_copy": float(copied.mean()),
            "longest_copy_held_out": float(usual.mean()),
            "longest_copy_of_all": int(copied.max()),
            "distinct_4": distinct(drawn),
            "distinct_4_held_out": distinct(self._held_out),
        }
        longest = sorted(range(len(made)), key=lambda at: -runs[at][1])[:READ]
        rows = [(made[at][0], self._decode(drawn[at][runs[at][0] : sum(runs[at])]), str(runs[at][1])) for at in longest]
        groups = {"samples": copied, "held out": usual}
        return metrics, [
            Texts(title="Samples", entries=self._read(made[:READ])),
            Table(title="Longest runs that the training text has, too", head=("sample", "run", "tokens"), rows=rows),
            Histogram(title="Longest run that the training text has, too", across="tokens", groups=groups),
        ]

    def _read(self, made: Sequence[Named]) -> list[tuple[str, str]]:
        """Return (what was given, all of it) of samples."""
        if self._drawing.path is not None:
            return [("", text) for _, text in made]
        given = [self._given[int(name) % len(self._given)] for name, _ in made]
        return [(begun, begun + text) for begun, (_, text) in zip(given, made, strict=True)]

    def _spread(self, ids: NDArray[Any], part: str) -> list[NDArray[Any]]:
        """Return passages of a part, evenly spread, that do not overlap."""
        size = self._drawing.given + self._length
        count = min(self._drawing.count, len(ids) // size)
        if count < 4:
            raise ZooError(
                f"{self.title}: its {part} part has {len(ids):,} tokens, too few for four passages of {size}; "
                "say task.max_new_tokens=N and task.given=N with smaller numbers"
            )
        starts = np.linspace(0, len(ids) - size, count).astype(int)
        return [ids[start : start + size] for start in starts]

    def _ids(self, text: str) -> NDArray[np.int64]:
        return self._tokenizer.encode(text).numpy()

    def _decode(self, ids: NDArray[Any]) -> str:
        return self._tokenizer.decode(torch.from_numpy(ids.astype(np.int64)))


KINDS: Mapping[Modality, type[DrawnPictures] | type[DrawnSounds] | type[DrawnPassages]] = {
    "image": DrawnPictures, "music": DrawnSounds, "text": DrawnPassages,
}  # fmt: skip


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
