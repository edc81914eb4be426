"""How good a model's samples are: beside held-out ones in a space of features, and beside those it learned from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.records import Records
from zoo.data.samples import samples_of
from zoo.errors import ZooError
from zoo.evaluate.distances import diversity, frechet_distance, nearest, precision_recall
from zoo.evaluate.outcome import Exhibit, Histogram, Outcome, Pictures, Sounds, Told
from zoo.evaluate.part import Data
from zoo.features.extract import check_layer, depth_of, features
from zoo.loading import load
from zoo.model import Model
from zoo.tokenizers.audio.waveform import Audio, resample, to_mono
from zoo.tokenizers.image.pixels import to_pillow

SHOWN, HEARD = 12, 6
"""Pictures and sounds on the page."""
COPIED = 1.0
"""Per cent: a sample nearer to a training sample than all but so many of the held-out ones is called a copy."""
AT_ONCE = 16
BANDS = 64
"""Of the log-mel statistics of a sound."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Fréchet distance, precision and recall, diversity, and nearest training neighbours of pictures or sounds.

    Everything is measured between features, ours (``features=CHECKPOINT`` for another's); nothing is downloaded.
    Figures compare only with the same features, data and counts, so those of training samples stand beside them: what
    perfect samples would have. Sounds are compared by log-mel statistics, too.

    Attributes:
        path: samples that are there already; None to draw ``count``.
        count: samples to draw; a model that takes classes draws them in turn.
        features: checkpoint whose features are compared; None for the model's own.
        layer: of the features; None for the middle one.
        temperature, top_k, top_p, guidance: of what is drawn.
        max_new_tokens: length of a drawn sound; None for what the recipe says.
        batch: windows in a forward pass.
    """

    path: str | None = None
    count: int = 100
    features: str | None = None
    layer: int | None = None
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    guidance: float = 1.0
    max_new_tokens: int | None = None
    batch: int = 16

    def __post_init__(self) -> None:
        if self.count < 4:
            raise ZooError(f"count: at least 4 samples are needed to be compared, got {self.count}")
        if self.batch < 1:
            raise ZooError(f"batch must be at least 1, got {self.batch}")

    def run(self, model: Model, data: Data, told: Told | None = None) -> Outcome:
        """Draw and compare; ``told`` hears how many samples are drawn.

        Raises:
            ZooError: a model of text, too few samples.
        """
        if model.modality == "text":
            raise ZooError("task=samples compares pictures and sounds; for text say task=likelihood")
        made = self._made(model, data.seed, told)
        records: Records[Any] = data.images() if model.modality == "image" else data.sounds()
        real = [(records.names[index], records[index]) for index in records.held_out]
        learned = [(records.names[index], records[index]) for index in data.some(records.train)]
        judge = model if self.features is None else load(self.features, device=str(model.device))
        if judge.modality != model.modality:
            raise ZooError(f"features: {self.features} reads {judge.modality}, the samples are {model.modality}")
        layer = depth_of(judge) // 2 if self.layer is None else check_layer(judge, self.layer)
        sets = [self._features(judge, layer, some) for some in (made, real, learned)]
        metrics = compared(*sets)
        if model.modality == "music":
            mel = [np.stack([log_mel(sound) for _, sound in some]) for some in (made, real, learned)]
            metrics |= {"log_mel_frechet_distance": frechet_distance(mel[0], mel[1])}
            metrics |= {"log_mel_frechet_distance_training": frechet_distance(mel[2], mel[1])}
        whose = "the model's own" if self.features is None else f"{self.features}'s"
        return Outcome(
            data=records.title,
            sha256=records.sha256,
            samples=len(made),
            tokens=sum(len(model.tokenizer.encode(sample)) for _, sample in made),
            metrics=metrics,
            notes=[
                f"features: {whose}, layer {layer}; figures compare only with the same features, data and counts "
                f"({len(made):,} samples, {len(real):,} held out, {len(learned):,} learned from)",
                "..._training: the same of samples that were learned from, which is what perfect ones would have",
                f"copies: share of samples nearer to a training sample than {COPIED:g} % of the held-out ones are",
            ],
            exhibits=_shown(made, learned, sets, model.modality),
        )

    def _made(self, model: Model, seed: int, told: Told | None) -> list[tuple[str, Any]]:
        if self.path is not None:
            made = [(one.name, one.read()) for one in samples_of([self.path], model.modality)]
            if len(made) < 4:
                raise ZooError(f"{self.path}: {len(made)} samples are too few to be compared; give at least 4")
            return made
        return list(self._drawn(model, seed, told))

    def _drawn(self, model: Model, seed: int, told: Told | None) -> Iterator[tuple[str, Any]]:
        classes: tuple[str, ...] = getattr(model.config, "classes", ())
        for begin in range(0, self.count, AT_ONCE):
            numbers = range(begin, min(begin + AT_ONCE, self.count))
            labels = [classes[number % len(classes)] for number in numbers] if classes else []
            drawn = model.draw(
                [None] * len(numbers),
                conditions={"label": labels} if labels else None,
                seed=seed + begin,
                temperature=self.temperature,
                top_k=self.top_k,
                top_p=self.top_p,
                guidance=self.guidance,
                max_new_tokens=self.max_new_tokens,
            )
            for place, one in enumerate(drawn):
                sample = one.sample
                yield (
                    f"{numbers[place]:03d}" + (f" {labels[place]}" if labels else ""),
                    sample if isinstance(sample, Audio) else np.atleast_3d(np.asarray(sample)),
                )
            if told:
                told(numbers[-1] + 1, self.count)

    def _features(self, judge: Model, layer: int, samples: Sequence[tuple[str, Any]]) -> NDArray[np.float32]:
        return np.stack([vector for (vector,) in features(judge, samples, layers=[layer], batch=self.batch)])


def compared(made: NDArray[Any], real: NDArray[Any], learned: NDArray[Any]) -> dict[str, Any]:
    """Return the figures of samples (n, width) beside held-out ones and ones that were learned from."""
    precision, recall = precision_recall(real, made)
    _, near = nearest(made, learned)
    _, usual = nearest(real, learned)
    return {
        "frechet_distance": frechet_distance(made, real),
        "frechet_distance_training": frechet_distance(learned, real),
        "precision": precision,
        "recall": recall,
        "diversity": diversity(made),
        "diversity_held_out": diversity(real),
        "nearest_training_distance": float(near.mean()),
        "nearest_training_distance_held_out": float(usual.mean()),
        "copies": float((near < np.percentile(usual, COPIED)).mean()),
    }


def log_mel(sound: Any) -> NDArray[np.float64]:
    """Return the mean and the standard deviation over time of each band's level in dB, (2 * bands,), at 16 kHz."""
    import librosa

    samples = resample(to_mono(sound.samples), sound.rate, RATE)
    samples = np.pad(samples, (0, max(0, 2048 - len(samples))))
    power = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=2048, hop_length=512, n_mels=BANDS)
    level = 10.0 * np.log10(np.maximum(power, 1e-8)).astype(np.float64)
    return np.concatenate([level.mean(axis=1), level.std(axis=1)])


RATE = 16_000


def _shown(
    made: Sequence[tuple[str, Any]], learned: Sequence[tuple[str, Any]], sets: Sequence[NDArray[Any]], modality: str
) -> list[Exhibit]:
    """Return samples with the training samples that are nearest, those that are nearest of all first."""
    places, distances = nearest(sets[0], sets[2])
    _, usual = nearest(sets[1], sets[2])
    order = np.argsort(distances)
    histogram = Histogram(
        title="Distance to the nearest training sample",
        across="distance",
        groups={"samples": distances, "held out": usual},
    )
    if modality == "music":
        sounds = [(name, _audio(sound)) for name, sound in made[:HEARD]]
        near = [
            (f"nearest to {made[place][0]}: {learned[places[place]][0]}", _audio(learned[places[place]][1]))
            for place in order[:2]
        ]
        return [Sounds(title="Samples", entries=sounds), Sounds(title="Training neighbours", entries=near), histogram]
    some = order[:SHOWN]
    pairs = [
        entry
        for place in some
        for entry in (
            (f"{made[place][0]}, {distances[place]:.3g} from:", to_pillow(made[place][1])),
            (f"training {learned[places[place]][0]}", to_pillow(learned[places[place]][1])),
        )
    ]
    samples = [(name, to_pillow(picture)) for name, picture in made[: 3 * SHOWN]]
    return [
        Pictures(title="Samples", entries=samples),
        Pictures(title="Samples nearest to a training sample, each beside it", entries=pairs),
        histogram,
    ]


def _audio(sound: Any) -> Audio:
    return Audio(samples=to_mono(sound.samples), rate=sound.rate)
