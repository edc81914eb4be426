"""Everything that a model can be evaluated by. A task is a settings class with ``run``; the command line names it."""

from __future__ import annotations

from typing import TypeAlias

from zoo.evaluate.likelihood import Likelihood
from zoo.model import Model

Task: TypeAlias = Likelihood


def choose(model: Model) -> Task:
    """Return the task that suits a model where nobody names one."""
    return Likelihood()
