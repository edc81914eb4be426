"""Linear probes: how well a straight line tells classes apart at each depth of a network that never saw the labels.

Image GPT's experiment (Chen et al. 2020, section 2.4): features of every layer from one pass over the data,
a logistic regression on each.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.records import Records
from zoo.data.seeded import generator
from zoo.errors import ZooError
from zoo.features.extract import MEAN, Featured, depth_of, features
from zoo.memory import total_bytes
from zoo.transformer.heads import AnyPool

PENALTIES = (0.003, 0.03, 0.3, 3.0)
"""sklearn's C, of which each layer takes the one that is best on a tenth of the training part, held back for that."""
ITERATIONS = 500
MOST_FOR_PENALTY = 5000
"""Training samples that the penalty is chosen on."""
Progress = Callable[[int, int], None]
Matrix = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LayerScore:
    """What the logistic regression on one layer reaches.

    Attributes:
        layer: 0 for what the first block reads, the depth for the final hidden state.
        accuracy: on the test part.
        macro_f1: mean F1 of the classes there.
        penalty: sklearn's C that was chosen.
        converged: False if the regression was stopped after ``ITERATIONS``.
    """

    layer: int
    accuracy: float
    macro_f1: float
    penalty: float
    converged: bool


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """The curve of accuracy against depth.

    Attributes:
        layers: every layer in order.
        labels: names of the classes.
        train_samples, test_samples: how many were learned from and tested on.
        majority: accuracy of always saying the test part's most frequent class.
    """

    layers: tuple[LayerScore, ...]
    labels: tuple[str, ...]
    train_samples: int
    test_samples: int
    majority: float

    @property
    def best(self) -> LayerScore:
        """The layer of the highest accuracy, the first of equals."""
        return max(self.layers, key=lambda score: score.accuracy)


def probe(
    model: Featured,
    records: Records[Any],
    *,
    pool: AnyPool = MEAN,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    batch: int = 16,
    progress: Progress | None = None,
) -> ProbeResult:
    """Fit and test a logistic regression on each layer.

    Args:
        model: not changed.
        records: labelled; see ``zoo.data.labelled``. Learned from is the training part, tested on the held-out one.
        pool: over positions.
        train, test: use so many samples of a part, drawn by ``seed``; None for all.
        seed: of those draws, and of what is held back to choose the penalty.
        batch: windows in a forward pass.
        progress: told how many samples have been read, of how many.

    Raises:
        ZooError: samples that cannot be read, too few classes in a part, features beyond the memory.
    """
    ids = records.label_ids()
    parts = [_some(part, count, seed) for part, count in ((records.train, train), (records.held_out, test))]
    known = set(ids[parts[0]].tolist())
    if len(known) < 2:
        raise ZooError(f"{records.title}: the training samples are of one class; take more (train_samples=N)")
    missing = next((int(index) for index in parts[1] if int(ids[index]) not in known), None)
    if missing is not None:
        raise ZooError(
            f"{records.title}: none of the {len(parts[0])} training samples has the label "
            f"'{records.labels[missing]}', which is tested; take more (train_samples=N)"
        )
    layers = range(depth_of(model) + 1)
    _refuse_too_large(model, sum(map(len, parts)), len(layers))
    wanted = np.concatenate(parts)
    named = ((records.names[index], records[index]) for index in wanted.tolist())
    found = features(model, named, layers=layers, pool=pool, batch=batch)
    matrices = _stack(found, len(wanted), progress)
    split = len(parts[0])
    scores = [
        _fit(layer, matrix[:split], ids[parts[0]], matrix[split:], ids[parts[1]], seed)
        for layer, matrix in enumerate(matrices)
    ]
    _, counts = np.unique(ids[parts[1]], return_counts=True)
    return ProbeResult(
        layers=tuple(scores),
        labels=records.label_names,
        train_samples=split,
        test_samples=len(parts[1]),
        majority=float(counts.max() / counts.sum()),
    )


def _some(part: Sequence[int], count: int | None, seed: int) -> NDArray[np.int64]:
    """Return the sample numbers of a part, or ``count`` of them in order."""
    numbers = np.asarray(part, dtype=np.int64)
    if count is None or count >= len(numbers):
        return numbers
    if count < 1:
        raise ZooError(f"train_samples and test_samples must be at least 1, got {count}")
    return np.sort(generator(seed, 0).permutation(numbers)[:count])


def _stack(found: Iterator[tuple[Matrix, ...]], count: int, progress: Progress | None) -> list[Matrix]:
    """Return one matrix (samples, width) a layer."""
    matrices: list[Matrix] = []
    for row, vectors in enumerate(found):
        if not matrices:
            matrices = [np.empty((count, len(vector)), dtype=np.float32) for vector in vectors]
        for matrix, vector in zip(matrices, vectors, strict=True):
            matrix[row] = vector
        if progress:
            progress(row + 1, count)
    return matrices


def _fit(
    layer: int, train: Matrix, train_ids: NDArray[np.int64], test: Matrix, test_ids: NDArray[np.int64], seed: int
) -> LayerScore:
    from sklearn.metrics import f1_score

    center, spread = train.mean(axis=0), train.std(axis=0)
    spread[spread < 1e-8] = 1.0  # a feature that never changes says nothing
    train, test = (train - center) / spread, (test - center) / spread
    penalty = _penalty(train, train_ids, seed)
    regression = _regression(train, train_ids, penalty)
    said = regression.predict(test)
    return LayerScore(
        layer=layer,
        accuracy=float((said == test_ids).mean()),
        macro_f1=float(f1_score(test_ids, said, labels=np.unique(test_ids), average="macro", zero_division=0)),
        penalty=penalty,
        converged=bool(regression.n_iter_.max() < ITERATIONS),
    )


def _penalty(features: Matrix, ids: NDArray[np.int64], seed: int) -> float:
    """Return the C that is best on a tenth of the samples, the strongest penalty of equals."""
    order = generator(seed, 1).permutation(len(ids))[:MOST_FOR_PENALTY]
    held = max(1, len(order) // 10)
    learn, check = order[held:], order[:held]
    if len(set(ids[learn].tolist())) < 2:
        return PENALTIES[1]
    scores = {
        penalty: float(
            (_regression(features[learn], ids[learn], penalty).predict(features[check]) == ids[check]).mean()
        )
        for penalty in PENALTIES
    }
    return max(PENALTIES, key=lambda penalty: scores[penalty])


def _regression(features: Matrix, ids: NDArray[np.int64], penalty: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the result says whether it converged
        return LogisticRegression(C=penalty, max_iter=ITERATIONS).fit(features, ids)


def _refuse_too_large(model: Featured, samples: int, layers: int) -> None:
    needed, memory = 4 * samples * layers * model.network.config.width, total_bytes()
    if memory is not None and 2 * needed > memory:
        raise ZooError(
            f"the features of {samples:,} samples at {layers} layers take {needed / 2**30:,.0f} GiB, this machine has "
            f"{memory / 2**30:,.0f}; take fewer with train_samples=N and test_samples=N"
        )
