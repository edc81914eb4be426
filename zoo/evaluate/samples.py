"""How good a model's samples are: beside held-out ones in a space of features, and beside those it learned from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.seeded import generator
from zoo.errors import ZooError
from zoo.evaluate.distances import diversity, frechet_distance, precision_recall
from zoo.evaluate.drawn_passages import DrawnPassages
from zoo.evaluate.drawn_whole import DrawnPictures, DrawnSounds
from zoo.evaluate.outcome import Outcome, Told
from zoo.evaluate.part import Data
from zoo.evaluate.sample_kinds import Drawing, Features, Kind, Named
from zoo.features.extract import check_layer, depth_of, features
from zoo.loading import load
from zoo.model import Model
from zoo.tokenizers.base import Modality

KINDS: Mapping[Modality, Callable[[Model, Data, Drawing], Kind]] = {
    "text": DrawnPassages, "image": DrawnPictures, "music": DrawnSounds,
}  # fmt: skip

LEAST = 4
"""Samples of each kind that are compared."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Fréchet distance, precision and recall, diversity, and what is copied from training samples.

    Everything is measured between features, ours (``features=CHECKPOINT`` for another's); nothing is downloaded.
    Figures compare only with the same features, data and counts, so those of training samples stand beside them: what
    perfect samples would have. Pictures and sounds are compared with the nearest training samples, and sounds by
    log-mel statistics, too; texts by the longest run of tokens that the training text has word for word.

    Attributes:
        path: samples that are there already; None to draw ``count``.
        count: samples to draw; a model that takes classes draws them in turn. Of a text, so many passages are compared.
        given: tokens of a held-out passage that a drawn text goes on from, and that are not compared; 0 begins with
            nothing.
        features: checkpoint whose features are compared; None for the model's own.
        layer: of the features; None for the middle one.
        temperature, top_k, top_p, guidance: of what is drawn.
        max_new_tokens: length of a drawn sound or text; None for what the recipe says, of a text half the context and
            at most 128 tokens.
        batch: windows in a forward pass.
    """

    path: str | None = None
    count: int = 100
    given: int = 16
    features: str | None = None
    layer: int | None = None
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    guidance: float = 1.0
    max_new_tokens: int | None = None
    batch: int = 16

    def __post_init__(self) -> None:
        if self.count < LEAST:
            raise ZooError(f"count: at least {LEAST} samples are needed to be compared, got {self.count}")
        if self.given < 0:
            raise ZooError(f"given must be 0 or more tokens, got {self.given}")
        if self.batch < 1:
            raise ZooError(f"batch must be at least 1, got {self.batch}")

    def run(self, model: Model, data: Data, told: Told | None = None) -> Outcome:
        """Draw and compare; ``told`` hears how many samples are drawn.

        Raises:
            ZooError: a model that draws nothing of its own, too few samples.
        """
        if data.part == "all":
            raise ZooError("task=samples compares what is held out with what was learned from; leave data.part out")
        drawing = Drawing(
            path=self.path,
            count=self.count,
            given=self.given,
            sampling={
                "temperature": self.temperature,
                "top_k": self.top_k,
                "top_p": self.top_p,
                "guidance": self.guidance,
                "max_new_tokens": self.max_new_tokens,
            },
        )
        kind = KINDS[model.modality](model, data, drawing)
        judge = (model if self.features is None else load(self.features, device=str(model.device))).reader
        if judge.modality != model.modality:
            raise ZooError(f"features: {self.features} reads {judge.modality}, the samples are {model.modality}")
        layer = depth_of(judge) // 2 if self.layer is None else check_layer(judge, self.layer)
        for count, part in zip(kind.counts, ("held-out", "training"), strict=True):
            if count < LEAST:
                raise ZooError(f"{kind.title}: {count} samples of its {part} part are too few; give at least {LEAST}")
        made = kind.made(told)
        if len(made) < LEAST:
            raise ZooError(
                f"{self.path or 'count'}: {len(made)} samples are too few to be compared; give at least {LEAST}"
            )
        real, learned = kind.beside(made)
        made_at, real_at, learned_at = (self._vectors(judge, layer, some) for some in (made, real, learned))
        like = sorted(generator(data.seed, 1).permutation(len(learned))[: len(made)].tolist())
        vectors = Features(made=made_at, real=real_at, learned=learned_at, like=like)
        own, exhibits = kind.judged(made, vectors)
        whose = "the model's own" if self.features is None else f"{self.features}'s"
        return Outcome(
            data=kind.title,
            sha256=kind.sha256,
            samples=len(made),
            tokens=sum(len(model.tokenizer.encode(sample)) for _, sample in made),
            metrics=compared(vectors) | own,
            notes=[
                f"features: {whose}, layer {layer}; figures compare only with the same features, data and counts "
                f"({len(made):,} samples, {len(real):,} held out, {len(learned):,} learned from)",
                f"..._training: the same of {len(like):,} samples that were learned from: what perfect ones would have",
                *kind.notes,
            ],
            exhibits=exhibits,
        )

    def _vectors(self, judge: Model, layer: int, samples: Sequence[Named]) -> NDArray[np.float32]:
        return np.stack([vector for (vector,) in features(judge, samples, layers=[layer], batch=self.batch)])


def compared(features: Features) -> dict[str, Any]:
    """Return the figures of samples beside held-out ones and ones that were learned from."""
    made, real = features.made, features.real
    precision, recall = precision_recall(real, made)
    return {
        "frechet_distance": frechet_distance(made, real),
        "frechet_distance_training": frechet_distance(features.learned[features.like], real),
        "precision": precision,
        "recall": recall,
        "diversity": diversity(made),
        "diversity_held_out": diversity(real),
    }
