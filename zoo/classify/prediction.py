"""What a model says of one sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

JOIN = "|"
"""Between the labels of a sample that has several."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says of one sample.

    Attributes:
        label: the likeliest label; of a model of several labels those with at least 0.5, joined by ``|``, perhaps none;
            of multiple choice the choice, of questions the answer.
        probability: of it; of several labels that of the least sure yes or no.
        probabilities: of every label; of questions, of the best answers.
        values: the same in the order of the labels or choices, of which two may be equal; of questions empty.
    """

    label: str
    probability: float
    probabilities: Mapping[str, float]
    values: tuple[float, ...] = ()
