"""``zoo train``: a recipe, changed by the command line, into a checkpoint folder."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.cli.terminal import bold, columns, dim, put, say
from zoo.cli.training import checked, describe, downloading, metric_words, target_of, train, use_threads
from zoo.cli.verb import Call, Verb, key, one_target, read_keys
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.codec import PreparedCodec
    from zoo.recipe import CodecRecipe, Recipe
    from zoo.run import Prepared
    from zoo.train.loop import TrainResult


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo train`` that are not the recipe's."""

    size: str | None = key(None, "one of the recipe's sizes; size=tiny trains in seconds", literal=True)
    out: str | None = key(None, "the checkpoint folder; default checkpoints/RECIPE, with - for /", literal=True)
    resume: bool = key(False, "go on with the run in out, after a stop or even kill -9")
    overwrite: bool = key(False, "replace the run in out")
    init: str | None = key(None, "checkpoint whose network and tokenizer to go on from", literal=True)
    seed: int = key(0, "of the first weights, the batches and dropout")
    device: str = key("auto", "auto (the GPU if there is one), cpu, cuda, cuda:1", literal=True)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = key("auto", "of the matrix products")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")


RECIPE_KEYS = (
    ("tokenizer=NAME", "byte, bpe, gray_levels, pixel_clusters, ...: any one of 'zoo list tokenizers'"),
    ("tokenizer.vocabulary=N", "for tokenizers that learn their vocabulary"),
    ("data.path=PATH", "your text: a file, folder, glob, .gz, CSV, TSV or JSON lines; or your pictures, or sounds"),
    ("data.columns.text=NAME", "the column of a table that holds the text, if it is not called text"),
    ("data.conditional=true", "of pictures with one folder per class: learn to draw what class is asked for"),
    ("data.columns.source=NAME", "of a table of pairs, and data.columns.target; data.header=false: without names"),
    ("train.steps=N", "updates"),
    ("train.batch=N", "rows in one forward pass, of all processes together"),
    ("train.accumulation=N", "forward passes in one update"),
    ("train.learning_rate=X", "at its peak"),
    ("train.optimizer=NAME", "adamw or muon; its settings: train.optimizer.weight_decay=0.1"),
    ("train.schedule=NAME", "cosine, linear, constant or warmup_stable_decay"),
    ("train.average=X", "decay of a running average of the weights, e.g. 0.999"),
    ("train.patience=N", "stop after N evaluations without progress"),
    ("train.evaluate_every=N", "updates between evaluations on the held-out part"),
    ("train.tensorboard=true", "also write TensorBoard curves"),
    ("model.width=N", "and every other setting of the network: model.depth, model.heads, model.dropout, ..."),
)


def run(call: Call) -> dict[str, Any]:
    """Train, and say where the checkpoint is and what it reached."""
    from zoo.train.ranks import joined

    with joined():  # of several processes, the first alone comes out of it
        return _train(call)


def _train(call: Call) -> dict[str, Any]:
    from zoo.train.ranks import here

    name = one_target(call, "recipe", example="zoo train text/shakespeare_char size=tiny")
    keys, overrides = split_keys(call.pairs)
    if keys.init is not None and (taken := [key for key in overrides if key.startswith("model")]):
        raise ZooError(f"init brings its own network; leave out {taken[0]}= or init=")
    recipe = checked(name, overrides, size=keys.size, also=list(Keys.__dataclass_fields__))
    tokenizer = next((key for key in overrides if key.startswith("tokenizer")), None)

    use_threads(keys.threads)
    with here().first_then_others():  # who finds what the first has fetched or encoded
        prepared = _prepare(recipe, keys, tokenizer, call.command)  # bad input is one line, so nothing is said before
    result = train(prepared, heading=f"{bold(name)}: {recipe.summary} ({recipe.paper})\n{describe(prepared)}")
    if not call.json:
        put(str(prepared.out))
        say(_goodbye(prepared, result))
    return {
        "checkpoint": str(prepared.out),
        "step": result.step,
        "tokens": result.tokens,
        "seconds": round(result.seconds, 3),
        "metrics": result.metrics,
    }


def _prepare(recipe: Recipe | CodecRecipe, keys: Keys, tokenizer: str | None, command: str) -> Prepared | PreparedCodec:
    from zoo.codec import CodecRun
    from zoo.recipe import CodecRecipe
    from zoo.run import Run

    kind: Callable[..., Run | CodecRun] = (
        CodecRun if isinstance(recipe, CodecRecipe) else partial(Run, asked_tokenizer=tokenizer)
    )
    asked = kind(
        recipe=recipe,
        out=Path(keys.out or f"checkpoints/{recipe.name.replace('/', '-')}"),
        seed=keys.seed,
        device=keys.device,
        init=keys.init,
        resume=keys.resume,
        overwrite=keys.overwrite,
        command=command,
    )
    return asked.prepare(downloading)


def split_keys(pairs: Mapping[str, str]) -> tuple[Keys, dict[str, str]]:
    """Return this verb's keys, and the words that are the recipe's.

    Raises:
        ZooError: a value of the wrong type.
    """
    own = {name: text for name, text in pairs.items() if name in Keys.__dataclass_fields__}
    overrides = {name: text for name, text in pairs.items() if name not in own}
    if "dtype" in own:
        overrides["train.dtype"] = own["dtype"]
    return read_keys(Keys, own), overrides


_DOES = {"text": "write", "image": "draw", "music": "play"}


def _goodbye(prepared: Prepared | PreparedCodec, result: TrainResult) -> str:
    """Return what was reached, and what to do next."""
    run = prepared.run
    return "\n".join(
        [
            "",
            f"trained {result.step:,} steps in {result.seconds:,.0f} s; on the held-out part:",
            columns(metric_words(result.metrics)),
            *(dim(note) for note in prepared.data.notes()),
            "",
            _next(run.recipe, target_of(run.out)),
            dim(f"Details: {run.out / 'card.yaml'}, {run.out / 'metrics.jsonl'}"),
        ]
    )


def _next(recipe: Recipe | CodecRecipe, target: str) -> str:
    from zoo.recipe import CodecRecipe

    if isinstance(recipe, CodecRecipe):
        return f"Hear or see what it keeps: {bold(f'zoo reconstruct FILE tokenizer={target}')}"
    prompt = f" prompt={shlex.quote(recipe.prompt)}" if recipe.prompt else ""
    return f"Let it {_DOES[recipe.modality]}: {bold(f'zoo generate {target}{prompt}')}"


VERB = Verb(
    usage="train RECIPE [key=value...]",
    about="Trains a recipe on its own data, or yours, into a checkpoint folder. Stop it with Ctrl-C whenever you like; "
    "the same command with resume=true goes on, and ends with the same weights as if it had never stopped.",
    keys=Keys,
    more=RECIPE_KEYS,
    examples=(
        ("zoo train text/shakespeare_char size=tiny", "a first model, in seconds"),
        ("zoo train text/file data.path=novel.txt out=checkpoints/novel", "a model of a text of yours"),
        ("zoo train text/file data.path=novel.txt tokenizer=char train.steps=500", "with another tokenizer"),
        ("zoo train text/seq2seq data.path=phrases.tsv", "from a source to its target, from a table of such pairs"),
        ("zoo train image/folder data.path=photos/ out=checkpoints/photos", "of pictures of yours"),
        ("zoo train music/vqvae data.path=songs/ out=checkpoints/codec", "a codec of sounds of yours: a tokenizer"),
        ("torchrun --nproc-per-node 2 -m zoo train text/file data.path=novel.txt", "in two processes, or on two GPUs"),
        ("zoo train text/file data.path=letters/ init=novel out=checkpoints/letters", "go on from a model you have"),
    ),
    run=run,
)
