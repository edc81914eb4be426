"""Everything that a model can be evaluated by. A task is a settings class with ``run``; the command line names it."""

from __future__ import annotations

from typing import TypeAlias

from zoo.classify.kinds import OneLabel
from zoo.evaluate.classification import Classification
from zoo.evaluate.likelihood import Likelihood
from zoo.evaluate.questions import Lambada, Questions
from zoo.evaluate.samples import Samples
from zoo.model import Model
from zoo.transformer.model import Transformer

Task: TypeAlias = Likelihood | Classification | Questions | Lambada | Samples


def choose(model: Model) -> Task:
    """Return the task that suits a model where nobody names one: its head's, if it has one that names labels."""
    network = model.network
    if not isinstance(network, Transformer) or network.config.head is None or not network.labels:
        return Likelihood()
    own = "head" in model.card or network.config.output_transform is None  # BERT's next sentence is no task of its own
    if own and isinstance(model.classifier().kind, OneLabel):
        return Classification()
    return Likelihood()
