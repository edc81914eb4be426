"""Everything that a model can be evaluated by. A task is a settings class with ``run``; the command line names it."""

from __future__ import annotations

from typing import TypeAlias

from zoo.evaluate.classification import Answers, Classification
from zoo.evaluate.likelihood import Likelihood
from zoo.evaluate.questions import Lambada, Questions
from zoo.evaluate.samples import Samples
from zoo.model import Model
from zoo.stack.model import Stack
from zoo.transformer.heads import Span
from zoo.transformer.model import Transformer

Task: TypeAlias = Likelihood | Classification | Answers | Questions | Lambada | Samples


def choose(model: Model) -> Task:
    """Return the task that suits a model where nobody names one: its head's, if it has one of its own."""
    if isinstance(model, Stack):
        return Likelihood()
    network = model.network
    head = network.config.head
    if head is None:
        return Likelihood()
    if isinstance(head, Span):
        return Answers()
    bert = isinstance(network, Transformer) and network.config.output_transform is not None
    own = "head" in model.card or not bert  # BERT's next sentence is no task of its own
    return Classification() if own else Likelihood()
