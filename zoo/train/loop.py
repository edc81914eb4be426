"""The training loop: batches in, checkpoints out, and the same result however often it is stopped in between."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo import settings as plain
from zoo.data.base import Batch, SampleBatch, SampleData, TokenData
from zoo.errors import ZooError
from zoo.memory import is_exhausted
from zoo.train import precision
from zoo.train.average import Average
from zoo.train.feed import Feed
from zoo.train.log import Log, NoLog
from zoo.train.monitor import Monitor, Quiet, Report
from zoo.train.objective import Objective
from zoo.train.optimizer import restrict
from zoo.train.ranks import here
from zoo.train.settings import TrainSettings
from zoo.train.signals import Interrupted as Interrupted
from zoo.train.signals import Signals
from zoo.train.state import Progress, RunFolder, State
from zoo.transformer.recompute import recompute
from zoo.weights.files import locked, make_writable
from zoo.weights.folder import Contents, publish
from zoo.weights.tensors import load_weights, named_weights, write_tensors


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a run came to.

    Attributes:
        step: updates made.
        tokens: predicted ids they were made of.
        seconds: time they took, over all sittings.
        metrics: of the published weights on the held-out part.
    """

    step: int
    tokens: int
    seconds: float
    metrics: dict[str, Any]


class Trainer:
    """Trains a network in a folder, which is a checkpoint from its first save on.

    On the CPU with a fixed number of threads, a run that is stopped at any moment and resumed ends with the same bits
    as one that is left alone: batches are functions of the step, and so is the random state of dropout. Where several
    processes train (see ``zoo.train.ranks``), each makes one of these, and the first of them alone writes.

    Args:
        network: on its device, with its first weights; dropout and the like are found through ``train()``/``eval()``.
        data: rows to train on and the held-out part.
        settings: see ``TrainSettings``.
        contents: what the checkpoint holds beside the weights; steps, seconds and metrics are put on its card.
        out: the run's folder.
        seed: of batches and dropout.
        resume: go on from the newest complete state in ``out``, or start if there is none.
        overwrite: replace the run that is in ``out``.
        monitor: hears of the progress.
        identity: what else must be the same in a run that goes on, plain values.
        published: from the weights that learn to those of the checkpoint; None where they are the same.
    """

    def __init__(
        self,
        network: nn.Module,
        data: TokenData | SampleData,
        settings: TrainSettings,
        *,
        contents: Contents,
        out: Path,
        seed: int = 0,
        resume: bool = False,
        overwrite: bool = False,
        monitor: Monitor | None = None,
        identity: Mapping[str, Any] | None = None,
        published: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None,
    ) -> None:
        self.published = published
        self.network, self.data, self.settings, self.contents = network, data, settings, contents
        self.out, self.seed, self.resume, self.overwrite = Path(out), seed, resume, overwrite
        self.objective: Objective = settings.objective
        self.ranks = here()
        self.monitor: Monitor = monitor if monitor is not None and self.ranks.first else Quiet()
        self.identity = dict(identity or {})
        self.device = next(network.parameters()).device
        if settings.recompute:
            recompute(network)
        if settings.only:
            restrict(network, settings.only)
        self.optimizer = settings.optimizer.build(network)
        self.average = Average(network, settings.average) if settings.average else None
        self.best: dict[str, Tensor] | None = None
        self.progress = Progress(dtype=precision.choose(settings.dtype, network))
        self.folder = RunFolder(self.out)
        self.signals = Signals()
        self._saved: tuple[int, int] | None = None

    def run(self) -> TrainResult:
        """Train to the last step, or until the held-out loss no longer falls.

        Raises:
            Interrupted: by SIGINT or SIGTERM, after the run has been saved.
            ZooError: the folder is taken or cannot be written, the disk is full, or the loss is no longer finite.
        """
        with contextlib.ExitStack() as stack:
            with self.ranks.first_then_others():
                self._open(stack)
            if len(set(self.ranks.gathered([self.progress.step]))) > 1:
                raise ZooError(
                    f"{self.out}: the processes find different states there; give all of them the same folder"
                )
            self.ranks.copy_first(named_weights(self.network).values())
            with self.ranks.together():
                self._prepare(stack)
            try:
                self._train()
            except Interrupted:
                self._save()
                raise
            except Exception as error:
                if is_exhausted(error):
                    raise ZooError(self._lighter()) from error
                raise
        progress = self.progress
        return TrainResult(
            step=progress.step, tokens=progress.tokens, seconds=progress.seconds, metrics=self._metrics()
        )

    def _lighter(self) -> str:
        """Return what to do where memory ran out: the same updates from smaller batches."""
        size, times = self.settings.batch, self.settings.accumulation
        part = next((half for half in range(size // 2, 0, -1) if size % half == 0), 0)
        mend = f"say train.batch={part} train.accumulation={times * size // part}, for the same updates" if part else ""
        kept = f"; {self.out} has what was saved last" if self._saved else ""
        return f"out of memory with train.batch={size}; {mend or 'take a smaller model or context'}{kept}"

    def _open(self, stack: contextlib.ExitStack) -> None:
        """Take the folder and what is in it to go on from; ``stack`` leaves it again."""
        first = self.ranks.first
        if first:
            make_writable(self.out)
            stack.enter_context(locked(self.out))
        stack.enter_context(self.signals)
        if first:
            self.folder.begin(resume=self.resume, overwrite=self.overwrite)
        self._restore()
        if first and self._saved is None:
            stack.callback(self.folder.clear_if_unused)

    def _prepare(self, stack: contextlib.ExitStack) -> None:
        """Open what is needed from here on; ``stack`` closes it again."""
        settings, progress = self.settings, self.progress
        self.autocast = precision.autocast(precision.choose(progress.dtype, self.network), self.device)
        self.forward: Any = torch.compile(self.network) if settings.compile else self.network
        self.feed = Feed(
            self.data,
            size=settings.batch,
            seed=self.seed,
            first=progress.step * settings.accumulation,
            end=settings.steps * settings.accumulation,
            workers=settings.workers,
            ranks=self.ranks,
        )
        stack.callback(self.feed.close)
        self.log = self._log() if self.ranks.first else NoLog()
        stack.callback(self.log.close)
        self.monitor.on_start(progress.step, settings.steps)
        stack.callback(self.monitor.on_end)
        self._began = time.monotonic() - progress.seconds
        self._mark, self._waited = (time.monotonic(), progress.tokens), 0.0

    def _log(self) -> Log:
        return Log(
            self.out,
            step=self.progress.step,
            position=self.progress.log,
            warn=self.monitor.note,
            tensorboard=self.settings.tensorboard,
        )

    def _check(self) -> None:
        """Raise Interrupted in all processes if a signal has come to any."""
        if number := self.ranks.largest(self.signals.received or 0):
            raise Interrupted(number)

    def _train(self) -> None:
        settings, progress = self.settings, self.progress
        self.network.train()
        while True:
            self._check()
            over = progress.step >= settings.steps
            if progress.evaluated != progress.step and (over or _due(progress.step, settings.evaluate_every)):
                self._evaluate()
            if over or (settings.patience and progress.misses >= settings.patience):
                break
            if progress.step and _due(progress.step, settings.save_every):
                self._save()
            self._update()
        self._save()

    def _update(self) -> None:
        """Make one update; nothing changes unless its loss and its gradients are finite."""
        settings, progress, scale, ranks = self.settings, self.progress, self.scale.factor, self.ranks
        with ranks.together():
            batches = [self.feed.take() for _ in range(settings.accumulation)]
        counts = ranks.sums([sum(each) for each in zip(*map(self.objective.counts, batches), strict=True)])
        if not counts[0]:
            raise self._stopped(f"nothing to predict in the rows at {self._rows(batches)}; check the data")
        torch.manual_seed(_step_seed(self.seed, progress.step, ranks.rank))
        self.optimizer.zero()
        self.objective.begin(self.network)
        weights = torch.tensor(self.objective.weights(self.network) or (1.0,) * len(counts), device=self.device)
        losses = []
        for batch in batches:
            self._check()
            with self.autocast():
                terms = self.objective.losses(self.forward, batch.to(self.device))
                parts = torch.stack([loss / max(count, 1) for loss, count in zip(terms, counts, strict=True)])
                whole = (parts * weights).sum()
            torch.autograd.backward(whole * scale if self.scale.active else whole)
            losses.append(parts.detach())
        means = ranks.sums(torch.stack(losses).sum(dim=0).tolist())
        if not math.isfinite(sum(means)):
            bad = [batch for batch, loss in zip(batches, losses, strict=True) if not loss.isfinite().all()]
            rows = self._rows(bad) or self._rows(batches)
            raise self._stopped(f"the loss is {sum(means)} on the rows at {rows}; {_CALM}")
        finite = self._clip()
        if not finite and not self.scale.active:
            raise self._stopped(f"the gradients are not finite on the rows at {self._rows(batches)}; {_CALM}")
        rate = settings.learning_rate * settings.schedule.factor(progress.step, settings.steps)
        if finite:
            self.optimizer.step(rate)
            self.objective.settle(self.network)
        self.scale.update(finite=finite)
        progress.step += 1
        progress.tokens += int(counts[0])
        if self.average is not None:
            self.average.update(progress.step)
        if progress.step % settings.log_every == 0:
            self._report(means, rate)

    def _clip(self) -> bool:
        """Sum gradients over the processes, undo the loss scale, clip; return whether the gradients are finite."""
        gradients = [parameter.grad for parameter in self.optimizer.parameters if parameter.grad is not None]
        self.ranks.sum_in_place(gradients)
        scale, clip = self.scale.factor, self.settings.clip
        norm = torch.nn.utils.get_total_norm(gradients).item() / scale
        factor = (min(1.0, clip / (norm + 1e-6)) if clip else 1.0) / scale
        if factor != 1.0 and math.isfinite(norm):
            torch._foreach_mul_(gradients, factor)
        return math.isfinite(norm)

    def _report(self, means: Sequence[float], rate: float) -> None:
        progress, now = self.progress, time.monotonic()
        elapsed = max(1e-9, now - self._mark[0])
        speed, waiting = (progress.tokens - self._mark[1]) / elapsed, (self.feed.waited - self._waited) / elapsed
        self._mark, self._waited = (now, progress.tokens), self.feed.waited
        told = self.objective.report(means, self.network, self.data)
        figures = {"tokens_per_second": round(speed, 1), "waiting_for_data": round(waiting, 4)}
        self._record("train", {**told, "learning_rate": rate, **figures})
        self.monitor.on_step(
            Report(
                step=progress.step,
                steps=self.settings.steps,
                loss=told["loss"],
                learning_rate=rate,
                tokens_per_second=speed,
                unit=self.objective.unit,
                also=self.objective.words(told),
            )
        )

    def _record(self, split: str, values: Mapping[str, Any]) -> None:
        progress = self.progress
        seconds = round(time.monotonic() - self._began, 3)
        self.log.add({"step": progress.step, "tokens": progress.tokens, "seconds": seconds, "split": split, **values})

    def _evaluate(self) -> None:
        """Evaluate what would be published now."""
        progress, began = self.progress, time.monotonic()
        metrics = self.ranks.from_first(self._measured)
        progress.evaluated, progress.metrics = progress.step, metrics
        if metrics["loss"] < progress.best_loss:
            progress.best_step, progress.best_loss, progress.best_metrics = progress.step, metrics["loss"], metrics
            progress.misses = 0
            if self.settings.patience:
                self.best = {name: tensor.clone() for name, tensor in self._current().items()}
        else:
            progress.misses += 1
        self._record("validation", metrics)
        self.monitor.on_evaluation(progress.step, metrics)
        self._mark = (self._mark[0] + time.monotonic() - began, self._mark[1])

    def _measured(self) -> dict[str, Any]:
        with self.average.applied() if self.average is not None else contextlib.nullcontext():
            metrics = self.objective.evaluate(
                self.forward,
                self.data,
                batch=self.settings.batch,
                autocast=self.autocast,
                should_stop=self.signals.check,
            )
            if self.log.shows:
                self.objective.show(self.forward, self.data, self.log, self.progress.step)
        return metrics

    def _current(self) -> dict[str, Tensor]:
        """Return the weights as they would be published without early stopping."""
        weights = named_weights(self.network)
        return weights | self.average.state() if self.average is not None else weights

    def _metrics(self) -> dict[str, Any]:
        return self.progress.metrics if self.best is None else self.progress.best_metrics

    def _save(self) -> None:
        """Save a state to resume from, then publish the checkpoint; a failure leaves earlier ones as they are."""
        began, progress = time.monotonic(), self.progress
        if self._saved == (progress.step, progress.evaluated):
            return
        self.ranks.from_first(self._write)
        self._saved = (progress.step, progress.evaluated)
        self.monitor.on_save(progress.step)
        self._mark = (self._mark[0] + time.monotonic() - began, self._mark[1])

    def _write(self) -> None:
        progress = self.progress
        progress.seconds = time.monotonic() - self._began
        progress.scale = self.scale.state()
        tensors: dict[str, Mapping[str, Tensor]] = {
            "model": named_weights(self.network),
            "optimizer": self.optimizer.state(),
        }
        if self.average is not None:
            tensors["average"] = self.average.state()
        if self.best is not None:
            tensors["best"] = self.best
        try:
            progress.log = self.log.position()
            self.folder.save(
                State(
                    progress=progress,
                    identity=self._identity(),
                    settings=self._settings(),
                    tensors=tensors,
                )
            )
            self._saved = (progress.step, progress.evaluated)
            self.folder.tidy()
            self._publish()
        except OSError as error:
            kept = f"the state of step {self._saved[0]} is complete" if self._saved else "nothing is saved yet"
            raise ZooError(
                f"cannot save step {progress.step} to {self.out}: {error.strerror}; {kept}; "
                "make room and repeat the command with resume=true"
            ) from None

    def _publish(self) -> None:
        progress = self.progress
        shown = self.shown()
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        if self.published is not None:
            shown = self.published(shown)
            parameters = sum(weight.numel() for weight in shown.values())
        card = {
            **self.contents.card,
            "steps": progress.step if self.best is None else progress.best_step,
            "seconds": round(progress.seconds, 1),
            "metrics": self._metrics(),
        }
        publish(
            self.out,
            dataclasses.replace(self.contents, card=card),
            lambda path: write_tensors(path, shown),
            parameters,
        )

    def shown(self) -> Mapping[str, Tensor]:
        """Return the weights that count: the best ones where there is early stopping, else the newest."""
        return self.best if self.best is not None else self._current()

    def _restore(self) -> None:
        """Go on from the newest complete state, if there is one."""
        self.scale = precision.LossScale(precision.choose(self.progress.dtype, self.network))
        state = self.folder.newest(self.monitor.note)
        self.folder.tidy()
        if state is None:
            return
        if changes := _changes(state.identity, self._identity()):
            raise ZooError(
                f"{self.out} was trained with {', '.join(changes)}; resume with the same, or start in another out=DIR"
            )
        if changes := _changes({"processes": 1} | state.settings, self._settings()):
            self.monitor.note(f"going on with other training settings; before: {', '.join(changes)}")
        load_weights(self.network, state.tensors["model"], self.folder.training)
        self.optimizer.load(state.tensors["optimizer"])
        if self.average is not None:
            self.average.load(state.tensors["average"])
        self.best = (
            {name: tensor.to(self.device) for name, tensor in state.tensors["best"].items()}
            if "best" in state.tensors
            else None
        )
        self.progress = state.progress
        self.scale = precision.LossScale(precision.choose(state.progress.dtype, self.network))
        self.scale.load(state.progress.scale)
        self._saved = (state.progress.step, state.progress.evaluated)
        if self.ranks.first:
            self._publish()  # mends the checkpoint if the run was cut off between its files

    def _settings(self) -> dict[str, Any]:
        return {**plain.to_mapping(self.settings), "processes": self.ranks.count}

    def _identity(self) -> dict[str, Any]:
        tokenizer = self.contents.tokenizer
        identity = {
            "network": self.contents.network,
            "tokenizer": tokenizer.spec.fingerprint if tokenizer is not None else None,
            "data": [entry.get("sha256") for entry in self.contents.card.get("data", [])],
            "seed": self.seed,
            "optimizer": plain.tag(type(self.settings.optimizer)),
            "averaging": self.average is not None,
            **self.identity,
        }
        result: dict[str, Any] = json.loads(json.dumps(identity))
        return result

    def _stopped(self, reason: str) -> ZooError:
        """Save what there is before a fatal stop, and return the error that says why."""
        step = self.progress.step
        if step:
            self._save()
        kept = f"the weights of step {step} are saved in {self.out}" if step else "nothing has been trained yet"
        return ZooError(f"stopped before update {step + 1}: {reason}; {kept}")

    def _rows(self, batches: Sequence[Batch | SampleBatch]) -> str:
        """Return where the rows of all processes come from."""
        rows = self.ranks.gathered([index for batch in batches for index in batch.indices.tolist()])
        return ", ".join(map(str, rows[:16])) + (f" and {len(rows) - 16} more" if len(rows) > 16 else "")


_CALM = "try a smaller train.learning_rate or look at these rows"


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return ``name before (now value)`` for everything that differs."""
    changes: list[str] = []
    for name in {**before, **now}:
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            changes += _changes(old, new, f"{prefix}{name}.")
        elif old != new:
            changes.append(f"{prefix}{name} {old!r} (now {new!r})")
    return changes


def _step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of torch's generators for one update in one process."""
    words = f"update {seed} {step}" + f" {rank}" * (rank > 0)
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:7], "big")
