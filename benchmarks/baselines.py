"""What simple classifiers reach on data that ``zoo finetune`` reads, split as it splits them.

They are what people would try first, and not tuned down: word and character n-grams, raw pixels and cepstra under a
logistic regression, and torchvision's AlexNet from scratch. Fine-tuning should be compared with them, also where they
win.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import librosa
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from benchmarks.measure import Row, row
from zoo.data.labelled import read_labelled
from zoo.data.records import Records, Sound
from zoo.errors import ZooError
from zoo.tokenizers.audio.waveform import to_mono

TITLE = "simple classifiers on labelled samples, to stand beside zoo finetune (--samples PATH --kind text|image|music)"
Scored = Callable[[Records[Any]], float]
"""Samples -> the share of the held-out ones whose label is named."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is learned from.

    Attributes:
        samples: where they are, as ``zoo finetune data.path=`` takes it.
        kind: what they are.
        label: the column of a table that holds the label.
        epochs: of AlexNet over the training part.
        rounds: of a logistic regression's solver, at most.
    """

    samples: str | None = None
    kind: Literal["text", "image", "music"] = "text"
    label: str = "label"
    epochs: int = 40
    rounds: int = 2000


FULL = Sizes()
TINY = Sizes(epochs=1, rounds=20)


def measure(sizes: Sizes, runs: int) -> list[Row]:
    """Return the accuracy of each; all are functions of their data, AlexNet of the run's number, too.

    Raises:
        ZooError: no samples.
    """
    if sizes.samples is None:
        raise ZooError(
            "--samples is missing: labelled texts, pictures or sounds, as zoo finetune data.path= takes them"
        )
    columns = {"label": sizes.label} if sizes.label != "label" else None
    records = read_labelled(sizes.samples, sizes.kind, columns=columns)
    what = f"{records.title}: {len(records.train):,} learned, {len(records.held_out):,} held out"
    return [
        row(what, who, "accuracy", [score(records) for score in scores])
        for who, scores in CONTESTANTS[sizes.kind](sizes, runs).items()
    ]


def _texts(sizes: Sizes, runs: int) -> dict[str, list[Scored]]:
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    characters = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 5), min_df=2)

    def score(vectorizer: TfidfVectorizer) -> Scored:
        judge = make_pipeline(vectorizer, LogisticRegression(C=10.0, max_iter=sizes.rounds))
        return lambda records: _fitted(judge, records, lambda text: text.text)

    return {"words, logistic regression": [score(words)], "characters, logistic regression": [score(characters)]}


def _pictures(sizes: Sizes, runs: int) -> dict[str, list[Scored]]:
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=sizes.rounds))

    def pixels(records: Records[Any]) -> float:
        return _fitted(judge, records, lambda picture: picture.reshape(-1) / 255.0)

    networks: list[Scored] = [partial(alexnet, epochs=sizes.epochs, seed=seed) for seed in range(runs)]
    return {"pixels, logistic regression": [pixels], "AlexNet of torchvision, from scratch": networks}


def _sounds(sizes: Sizes, runs: int) -> dict[str, list[Scored]]:
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=sizes.rounds))
    return {"MFCC, logistic regression": [lambda records: _fitted(judge, records, cepstra)]}


CONTESTANTS: Mapping[str, Callable[[Sizes, int], dict[str, list[Scored]]]] = {
    "text": _texts, "image": _pictures, "music": _sounds,
}  # fmt: skip


def _fitted(judge: Any, records: Records[Any], features: Callable[[Any], Any]) -> float:
    """Return the accuracy of a classifier of scikit-learn that learns from features of the training part."""
    named = records.label_ids()
    learned, held_out = ([features(records[index]) for index in part] for part in (records.train, records.held_out))
    judge.fit(learned, named[list(records.train)])
    return float(np.mean(judge.predict(held_out) == named[list(records.held_out)]))


def cepstra(sound: Sound) -> NDArray[np.float32]:
    """Return 20 cepstra of a sound in ten equal parts of its time, and how fast they change there: 400 features."""
    bands = librosa.feature.mfcc(y=to_mono(sound.samples), sr=sound.rate, n_mfcc=20, n_fft=512, hop_length=128)
    change = np.diff(bands, axis=1, prepend=bands[:, :1])
    both = np.concatenate((bands, change))
    places = np.linspace(0, both.shape[1], 11).astype(int)
    parts = [both[:, begin : max(end, begin + 1)] for begin, end in pairwise(places)]
    return np.concatenate([part.mean(axis=1) for part in parts]).astype(np.float32)


def alexnet(records: Records[Any], epochs: int, seed: int, rows: int = 64) -> float:
    """Return the accuracy of torchvision's AlexNet, trained from scratch on shifted pictures of at least 64 x 64."""
    from torchvision.models import alexnet as build  # slow to import

    torch.manual_seed(seed)
    pictures = torch.stack([_picture(image) for image in records])
    labels = torch.from_numpy(records.label_ids())
    network = build(num_classes=len(records.label_names))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4, weight_decay=0.01)
    learned = torch.tensor(list(records.train))
    steps = epochs * -(-len(learned) // rows)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-4, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.split(learned[torch.randperm(len(learned))], rows):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(_shifted(pictures[chosen])), labels[chosen])
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    network.eval()
    held_out = torch.tensor(list(records.held_out))
    with torch.no_grad():
        named = torch.cat([network(pictures[part]).argmax(dim=1) for part in torch.split(held_out, 256)])
    return (named == labels[held_out]).float().mean().item()


def _picture(image: NDArray[np.uint8]) -> Tensor:
    """Return a picture (3, height, width) around 0, at least 64 pixels wide and high."""
    picture = torch.from_numpy(image).permute(2, 0, 1).float().expand(3, -1, -1) / 127.5 - 1
    height, width = (max(side, 64) for side in picture.shape[1:])
    return nn.functional.interpolate(picture[None], size=(height, width), mode="bilinear")[0]


def _shifted(pictures: Tensor, most: int = 4) -> Tensor:
    """Return pictures (batch, 3, height, width), all moved by as many pixels, their edges repeated."""
    padded = nn.functional.pad(pictures, (most,) * 4, mode="replicate")
    down, right = torch.randint(2 * most + 1, (2,)).tolist()
    return padded[:, :, down : down + pictures.shape[2], right : right + pictures.shape[3]]
