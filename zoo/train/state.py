"""The folder of a run: complete states to resume from, at least one of which survives whatever happens."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from zoo.errors import ZooError
from zoo.weights.files import read_json, remove, sync_folder, verify, write_file, write_manifest
from zoo.weights.folder import WEIGHTS
from zoo.weights.tensors import read_tensors, write_tensors

KEPT = 2
OURS = (
    "manifest.json", WEIGHTS, "config.json", "recipe.yaml", "card.yaml", "tokenizer", "metrics.jsonl", "training",
    "tensorboard", "adapter", "report.json", "confusion.png", ".publish.tmp",
)  # fmt: skip
"""What a run writes into its folder, and all that ``overwrite`` deletes."""


@dataclass(kw_only=True)
class Progress:
    """Where a run stands, beside its tensors.

    Attributes:
        step: completed updates.
        tokens: predicted ids they were made of.
        seconds: time they took, evaluations and saves included.
        evaluated: step of the last complete evaluation.
        metrics: what it found.
        best_step, best_loss, best_metrics: the evaluation with the least loss.
        misses: evaluations since then.
        dtype: number format of the matrix products, chosen once.
        scale: state of the float16 loss scale.
        log: bytes of metrics.jsonl.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    evaluated: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    best_step: int = 0
    best_loss: float = float("inf")
    best_metrics: dict[str, Any] = field(default_factory=dict)
    misses: int = 0
    dtype: str = "float32"
    scale: dict[str, float] = field(default_factory=dict)
    log: int = 0


@dataclass(frozen=True, kw_only=True)
class State:
    """All that a run needs to go on.

    Attributes:
        progress: numbers.
        identity: what must be the same in the run that goes on.
        settings: the training settings, for a word about changes.
        tensors: by file (``model``, ``optimizer``, ``average``, ``best``), then by name.
    """

    progress: Progress
    identity: dict[str, Any]
    settings: dict[str, Any]
    tensors: dict[str, Mapping[str, Tensor]]


class RunFolder:
    """``training/`` in the folder of a run.

    Args:
        out: the run's folder; exists.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.training = out / "training"

    def begin(self, *, resume: bool, overwrite: bool) -> None:
        """Check that a run may write here, and clear the way.

        Raises:
            ZooError: something is there and nobody said what to do about it.
        """
        if resume and overwrite:
            raise ZooError("resume=true and overwrite=true contradict each other; leave one out")
        present = {path.name for path in self.out.iterdir()} - {".lock", ".publish.tmp"}
        run = "config.json" in present or "training" in present
        if present and not resume and not overwrite:
            raise ZooError(
                f"{self.out} is not empty; add resume=true to go on with a run that is there, "
                "overwrite=true to replace it, or choose another out=DIR"
            )
        if present and not run:
            raise ZooError(f"{self.out} holds files but no run; choose another out=DIR")
        if resume and "config.json" in present and not self._names():
            raise ZooError(
                f"{self.out} is a checkpoint without a training state; go on from its weights with "
                f"init={self.out} and another out=DIR"
            )
        if overwrite:
            for name in OURS:
                remove(self.out / name)
        self.training.mkdir(exist_ok=True)

    def newest(self, note: Callable[[str], None]) -> State | None:
        """Return the newest complete state, None if no save was ever completed.

        Raises:
            ZooError: there are states, and all are broken.
        """
        reasons: dict[str, str] = {}
        for name in self._names():
            try:
                state = self._read(self.training / name)
            except ZooError as error:
                reasons[name] = str(error)
                continue
            for broken, reason in reasons.items():
                note(f"left out {broken}: {reason}")
                self._drop(broken)
            return state
        if reasons:
            reason = next(iter(reasons.values()))
            raise ZooError(f"{self.training} holds no complete state ({reason}); start over with overwrite=true")
        return None

    def save(self, state: State) -> None:
        """Write a state under a temporary name, rename it when it is complete and durable, and drop old ones.

        Raises:
            OSError: disk full and the like; what was there before is untouched.
        """
        attempts = [name for name in self._names() if _order(name)[0] == state.progress.step]
        name = f"step-{state.progress.step:08d}" + (f"-{_order(attempts[0])[1] + 1}" if attempts else "")
        stage = self.training / f"{name}.tmp"
        remove(stage)
        try:
            stage.mkdir()
            known = {
                f"{file}.safetensors": write_tensors(stage / f"{file}.safetensors", tensors)
                for file, tensors in state.tensors.items()
            }
            numbers = {
                "progress": dataclasses.asdict(state.progress),
                "identity": state.identity,
                "settings": state.settings,
            }
            known["state.json"] = write_file(stage / "state.json", [json.dumps(numbers, indent=1).encode()])
            write_manifest(stage, known)
            os.rename(stage, self.training / name)
        except BaseException:
            remove(stage)
            raise
        sync_folder(self.training)

    def clear_if_unused(self) -> None:
        """Leave nothing behind that would stand in the way of another try, if no state was ever saved."""
        if not self._names():
            for name in OURS:
                remove(self.out / name)

    def tidy(self) -> None:
        """Delete leftovers of cut-off saves and all but the newest states."""
        for path in self.training.glob("*.tmp"):
            remove(path)
        for name in self._names()[KEPT:]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        """Delete a state; one that is half deleted no longer has a state's name."""
        doomed = self.training / f"{name}.old.tmp"
        remove(doomed)
        os.rename(self.training / name, doomed)
        remove(doomed)

    def _names(self) -> list[str]:
        """Return the folders of states, newest first."""
        if not self.training.is_dir():
            return []
        return sorted((path.name for path in self.training.iterdir() if _NAME.fullmatch(path.name)), key=_order)[::-1]

    def _read(self, folder: Path) -> State:
        verify(folder, mend="this save was cut off or changed")
        numbers = read_json(folder / "state.json")
        try:
            progress, identity, settings = Progress(**numbers["progress"]), numbers["identity"], numbers["settings"]
        except (KeyError, TypeError) as error:
            raise ZooError(f"{folder / 'state.json'} is of another version ({error})") from None
        tensors: dict[str, Mapping[str, Tensor]] = {
            path.stem: read_tensors(path) for path in sorted(folder.glob("*.safetensors"))
        }
        return State(progress=progress, identity=identity, settings=settings, tensors=tensors)


_NAME = re.compile(r"step-(\d+)(?:-(\d+))?")


def _order(name: str) -> tuple[int, int]:
    match = _NAME.fullmatch(name)
    assert match is not None
    return int(match[1]), int(match[2] or 1)
