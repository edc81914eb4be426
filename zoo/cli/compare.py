"""``zoo compare``: one recipe, several tokenizers, the same budget, one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, get_args

from zoo.cli.terminal import bold, count, dim, put, say, table
from zoo.cli.training import checked_recipe, downloading, read_log, train, use_threads
from zoo.cli.verb import Call, Verb, key, one_target, read_keys
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.recipe import Recipe
    from zoo.run import Prepared


SECONDS = 2.0
"""Of music that is drawn with each tokenizer."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo compare`` that are not the recipe's."""

    tokenizer: str | None = key(None, "the tokenizers to compare, separated by commas", literal=True)
    size: str | None = key(None, "one of the recipe's sizes", literal=True)
    out: str | None = key(None, "folder of the runs; default outputs/compare-RECIPE", literal=True)
    resume: bool = key(False, "go on with the runs in out; finished ones are not repeated")
    overwrite: bool = key(False, "replace the runs in out")
    seed: int = key(0, "of the first weights, the batches, dropout and samples")
    device: str = key("auto", "auto, cpu, cuda, ...", literal=True)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = key("auto", "of the matrix products")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")


def run(call: Call) -> dict[str, list[dict[str, Any]]]:
    """Train the recipe once per tokenizer and show the rows side by side."""
    name = one_target(call, "recipe", example="zoo compare text/topics tokenizer=byte,char,bpe")
    own = {key: text for key, text in call.pairs.items() if key in Keys.__dataclass_fields__}
    overrides = {key: text for key, text in call.pairs.items() if key not in own}
    keys = read_keys(Keys, own)
    if "dtype" in own:
        overrides["train.dtype"] = keys.dtype
    recipes = _recipes(name, keys, overrides)
    use_threads(keys.threads)
    out = Path(keys.out or f"outputs/compare-{name.replace('/', '-')}")
    budget = next(iter(recipes.values()))
    rows_of_ids = f"{budget.train.batch * budget.train.accumulation} x {budget.model.context}"
    prepared = {
        tokenizer: _prepare(recipe, keys, out / tokenizer, call.command) for tokenizer, recipe in recipes.items()
    }
    say(f"{bold(name)} with {', '.join(recipes)}: {budget.train.steps:,} steps of {rows_of_ids} tokens each")
    rows = []
    for number, tokenizer in enumerate(recipes, 1):
        say(f"\n{bold(tokenizer)} ({number} of {len(recipes)})")
        rows.append(_row(tokenizer, prepared.pop(tokenizer), keys))
    if not call.json:
        put()
        put(show(rows))
    return {"rows": rows}


@dataclass(frozen=True, kw_only=True)
class Units:
    """How what tokenizers reach is shown side by side.

    Attributes:
        columns: head and metric of each, the first those that survive a swap.
        notes: what can be compared, in a line each.
    """

    columns: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def rank(self, row: Mapping[str, Any]) -> tuple[bool, float]:
        """Return what rows are sorted by: the first unit, those without it last, by the first that they have."""
        values = [row["metrics"].get(name) for _, name in self.columns]
        return values[0] is None, next(value for value in values if value is not None)


TEXT = Units(
    columns=(("bits/byte", "bits_per_byte"), ("nats/token", "loss")),
    notes=("bits/byte of the raw held-out text is the number to compare: a token is not the same for each",),
)
MUSIC = Units(
    columns=(("bits/second", "bits_per_second"), ("nats/token", "loss")),
    notes=("bits/second pays for the tokens alone, not for what a tokenizer loses: listen to the samples, too",),
)
IMAGES = Units(
    columns=(
        ("bits/dim", "bits_per_dimension"),
        ("bits/pixel", "bits_per_pixel"),
        ("rmse", "quantization_rmse"),
        ("nats/token", "loss"),
    ),
    notes=(
        "bits/dim pays for all 256 levels, those that a tokenizer merges too: the number to compare where there is one",
        "bits/pixel pays for the tokens alone: compare it at an equal rmse, the error (0 to 255) of decoded pictures",
    ),
)


def show(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table, the best row first, and a sample of each."""
    known = {name for row in rows for name in row["metrics"]}
    units = IMAGES if "quantization_rmse" in known else MUSIC if "bits_per_second" in known else TEXT
    ranked = sorted(rows, key=units.rank)
    shown = [
        [
            row["tokenizer"],
            f"{row['vocabulary']:,}",
            count(row["parameters"]),
            *(_unit(row["metrics"], name) for _, name in units.columns),
            f"{row['tokens_per_second']:,.0f}",
            f"{row['seconds']:,.0f}",
        ]
        for row in ranked
    ]
    head = ["tokenizer", "ids", "parameters", *(head for head, _ in units.columns), "tokens/s", "seconds"]
    parts = [table(head, shown, right=range(1, len(head)))]
    if any(row["metrics"].get("lossless") is False for row in rows):
        parts.append(dim("* this tokenizer drops part of the text, and its bits do not pay for that"))
    parts += [dim(note) for note in units.notes]
    for row in ranked:
        parts += ["", bold(f"-- {row['tokenizer']}"), row["sample"].strip()]
    return "\n".join(parts)


def _unit(metrics: Mapping[str, Any], name: str) -> str:
    value = metrics.get(name)
    if value is None:
        return "-"
    return f"{value:.3f}{'*' if name == 'bits_per_byte' and metrics.get('lossless') is False else ''}"


def _recipes(name: str, keys: Keys, overrides: Mapping[str, str]) -> dict[str, Recipe]:
    """Return the recipe with each tokenizer, all checked before the first is trained."""
    from zoo.recipe import tokenizers

    chosen = list(dict.fromkeys(part for part in (keys.tokenizer or "").split(",") if part))
    if len(chosen) < 2:
        raise ZooError(f"name at least two tokenizers: tokenizer=byte,bpe (there are {', '.join(tokenizers())})")
    also = list(Keys.__dataclass_fields__)
    return {
        choice: checked_recipe(
            name, {**_own(overrides, choice, chosen), "tokenizer": choice}, size=keys.size, also=also
        )
        for choice in chosen
    }


def _own(overrides: Mapping[str, str], choice: str, chosen: Sequence[str]) -> dict[str, str]:
    """Return the settings for one tokenizer: ``tokenizer.path=...`` is for those that have a path."""
    from zoo.settings import fields_of, tag
    from zoo.tokenizers.registry import TokenizerSettings

    fields = {tag(kind): fields_of(kind).keys() for kind in get_args(TokenizerSettings) if tag(kind) in chosen}
    others = {f"tokenizer.{name}" for own in fields.values() for name in own}
    others -= {f"tokenizer.{name}" for name in fields.get(choice, ())}
    return {key: text for key, text in overrides.items() if key not in others}


def _prepare(recipe: Recipe, keys: Keys, out: Path, command: str) -> Prepared:
    """Fit the tokenizer and encode: whatever is wrong with any of them is said before the first is trained."""
    from zoo.run import Run

    asked = Run(
        recipe=recipe,
        out=out,
        seed=keys.seed,
        device=keys.device,
        resume=keys.resume,
        overwrite=keys.overwrite,
        command=command,
    )
    return asked.prepare(downloading)


def _row(tokenizer: str, prepared: Prepared, keys: Keys) -> dict[str, Any]:
    from zoo.loading import load
    from zoo.tokenizers.audio.base import AudioTokenizer

    result, recipe, out = train(prepared), prepared.run.recipe, prepared.run.out
    sampling = {
        field.name: getattr(recipe.generate, field.name)
        for field in dataclasses.fields(recipe.generate)
        if field.name != "seed"
        and (field.name != "max_new_tokens" or recipe.modality == "text")  # pictures have a size
    }
    if isinstance(prepared.tokenizer, AudioTokenizer):
        sampling["max_new_tokens"] = prepared.tokenizer.count(SECONDS)
    sample = load(out, device=keys.device).generate(recipe.prompt or None, seed=keys.seed, **sampling)
    speeds = [record["tokens_per_second"] for record in read_log(out) if record["split"] == "train"]
    return {
        "tokenizer": tokenizer,
        "metrics": result.metrics,
        "tokens_per_second": median(speeds) if speeds else round(result.tokens / result.seconds, 1),
        "seconds": round(result.seconds, 3),
        "sample": sample if isinstance(sample, str) else _written(sample, out),
        "vocabulary": prepared.tokenizer.spec.vocabulary_size,
        "parameters": prepared.parameters,
        "checkpoint": str(out),
    }


def _written(sample: Any, out: Path) -> str:
    """Write a picture or a sound beside the run ``out``, and return the file's name."""
    from zoo.data.write_sound import write_wav
    from zoo.tokenizers.audio.waveform import Audio

    if isinstance(sample, Audio):
        write_wav(f"{out}.wav", sample)
        return f"{out}.wav"
    sample.save(f"{out}.png")
    return f"{out}.png"


VERB = Verb(
    usage="compare RECIPE tokenizer=NAME,NAME,... [key=value...]",
    about="Trains a recipe once per tokenizer, everything else the same: network, steps, rows and tokens per row. One "
    "table shows what each made of it, in bits per byte of the raw text, which no tokenizer can flatter; of pictures, "
    "in bits per dimension, or per pixel at an error. All other keys are those of zoo train.",
    keys=Keys,
    examples=(
        ("zoo compare text/topics tokenizer=byte,char,bpe", "on text that every machine has"),
        ("zoo compare image/digits tokenizer=gray_levels,image_vqvae", "on pictures that come with scikit-learn"),
        ("zoo compare text/file data.path=novel.txt tokenizer=char,word,bpe train.steps=500", "on a text of yours"),
    ),
    run=run,
)
