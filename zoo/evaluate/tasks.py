"""Everything that a model can be evaluated by. A task is a settings class with ``run``; the command line names it."""

from __future__ import annotations

from typing import TypeAlias

from zoo.architecture import Headed, transformer_of
from zoo.evaluate.classification import Answers, Classification
from zoo.evaluate.likelihood import Likelihood
from zoo.evaluate.questions import Lambada, Questions
from zoo.evaluate.samples import Samples
from zoo.model import Model
from zoo.stack.model import Stack
from zoo.transformer.heads import Span

Task: TypeAlias = Likelihood | Classification | Answers | Questions | Lambada | Samples


def choose(model: Model) -> Task:
    """Return the task that suits a model where nobody names one: its head's, if it has one of its own."""
    if isinstance(model, Stack):
        return Likelihood()
    network = model.network
    config = transformer_of(network).config if isinstance(network, Headed) else None
    if config is None or config.head is None:
        return Likelihood()
    if isinstance(config.head, Span):
        return Answers()
    own = "head" in model.card or config.output_transform is None  # BERT's next sentence is no task of its own
    return Classification() if own else Likelihood()
