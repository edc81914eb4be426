"""What the verbs that train have in common: checking, showing, stopping."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from zoo.cli.terminal import columns, count, one_line, say
from zoo.errors import ZooError
from zoo.paths import local_checkpoint

if TYPE_CHECKING:
    from zoo.codec import PreparedCodec
    from zoo.recipe import CodecRecipe, Recipe
    from zoo.run import Prepared
    from zoo.train.loop import TrainResult
    from zoo.train.monitor import Monitor

MOST_THREADS = 1024


class Trainable(Protocol):
    """What is ready to be trained into a folder: ``zoo.run.Prepared``, ``zoo.finetune.run.Prepared``."""

    @property
    def out(self) -> Path:
        """The run's folder."""

    def train(self, monitor: Monitor | None = None) -> TrainResult:
        """Train into it."""


def checked_recipe(name: str, overrides: Mapping[str, str], *, size: str | None, also: Sequence[str]) -> Recipe:
    """Compose and check the recipe of a model of ids; see ``checked``.

    Raises:
        ZooError: anything about it that is wrong, or a recipe of a codec.
    """
    from zoo.recipe import Recipe

    recipe = checked(name, overrides, size=size, also=also)
    if not isinstance(recipe, Recipe):
        raise ZooError(f"{name} is a codec, which draws nothing by itself; use 'zoo train {name}'")
    return recipe


def checked(name: str, overrides: Mapping[str, str], *, size: str | None, also: Sequence[str]) -> Recipe | CodecRecipe:
    """Compose and check a recipe, nothing allocated yet.

    Args:
        name: the recipe.
        overrides: ``key=value`` words for it.
        size: one of its sizes.
        also: the verb's own keys, to suggest for a misspelt one.

    Raises:
        ZooError: anything about it that is wrong.
    """
    from zoo.recipe import build, compose

    return build(compose(name, overrides, size=size, also=also))


def train(prepared: Trainable, *, heading: str = "", again: str = "the same command with resume=true") -> TrainResult:
    """Train with a progress bar (lines where nobody is looking); a signal ends the program once the run is saved.

    Args:
        prepared: what to train.
        heading: said once the run begins: bad input that only the run finds stays one line.
        again: what goes on after a stop.
    """
    from zoo.train.loop import Interrupted
    from zoo.train.monitor import monitor

    try:
        return prepared.train(monitor(heading))
    except Interrupted as stop:
        say(f"zoo: stopped and saved in {prepared.out}; {again} goes on")
        raise SystemExit(128 + stop.signal) from None


def use_threads(threads: int | None) -> None:
    """Let torch use this many processor threads.

    Raises:
        ZooError: fewer than one, or more than any machine has: starting those would crash, not fail.
    """
    if threads is None:
        return
    if not 1 <= threads <= MOST_THREADS:
        raise ZooError(f"threads must lie in 1..{MOST_THREADS}, got {threads}")
    import torch

    torch.set_num_threads(threads)


def downloading(done: int, total: int | None) -> None:
    """Show a download on standard error, where a person can see it."""
    if sys.stderr.isatty():
        share = f"{done / total:.0%}" if total else f"{done / 1e6:.1f} MB"
        end = "\n" if total and done >= total else ""
        print(f"\r  fetching data {share}", end=end, file=sys.stderr, flush=True)


def describe(prepared: Prepared | PreparedCodec) -> str:
    """Return a few lines about a run before it starts."""
    from zoo.codec import PreparedCodec

    names = ", ".join(str(entry.get("name")) for entry in prepared.corpus.describe())
    of_codec = isinstance(prepared, PreparedCodec)
    unit = {"music": "samples", "image": "pixels"}[prepared.run.recipe.modality] if of_codec else "tokens"
    amount = f", {prepared.data.train_tokens:,} {unit}" if prepared.data.train_tokens else ""
    parts = _of_codec(prepared) if isinstance(prepared, PreparedCodec) else _of_network(prepared)
    return columns([("data", f"{one_line(names)}{amount}"), *parts, ("folder", str(prepared.out))])


def _of_network(prepared: Prepared) -> list[tuple[str, str]]:
    spec, network, train = prepared.tokenizer.spec, prepared.network, prepared.run.recipe.train
    rows = train.batch * train.accumulation
    return [
        ("tokenizer", f"{spec.type}, {spec.vocabulary_size:,} ids"),
        ("model", f"{count(prepared.parameters)} parameters, {network.context} tokens of context"),
        ("training", f"{train.steps:,} steps of {rows} x {spec.ids_per_sample or network.context} tokens"),
    ]


def _of_codec(prepared: PreparedCodec) -> list[tuple[str, str]]:
    codec, train = prepared.codec, prepared.run.recipe.train
    sizes = ", ".join(f"{codec.codebook(level).codes:,}" for level in range(codec.levels))
    return [
        ("model", f"{count(prepared.parameters)} parameters"),
        ("codes", f"{sizes}, one for {', '.join(map(str, codec.hops))} samples"),
        ("training", f"{train.steps:,} steps of {train.batch * train.accumulation} crops"),
    ]


def target_of(out: Path) -> str:
    """Return the word by which a command finds a checkpoint: its name where that is enough, else its folder."""
    return shlex.quote(out.name if local_checkpoint(out.name) == out else str(out))


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run's metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def metric_words(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return metrics as (name, value) for people."""
    return [(name.replace("_", " "), _number(value)) for name, value in metrics.items()]


def _number(value: object) -> str:
    if value is None:
        return "not defined"
    return f"{value:.4g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else f"{value}"
