"""``zoo classify``: what files are, as a fine-tuned checkpoint says it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.cli.files import write_json
from zoo.cli.terminal import cut, one_line, put, say, table
from zoo.cli.training import use_threads
from zoo.cli.verb import Call, Verb, key, read_keys
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.classify.prediction import Prediction
    from zoo.data.samples import Named
    from zoo.model import Model

EXAMPLE = "zoo classify my-digits photo.png"
COLUMNS = (
    ("data.columns.text=NAME", "the column of a table that holds the text, if it is not called text; so text_b"),
)
ROWS = "classes.json"
MOST_LABELS = 5
"""Labels beside the likeliest one that the table for people shows."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo classify``."""

    format: Literal["table", "json", "csv"] = key("table", "what is written: a table for people, JSON, or CSV")
    text: str | None = key(None, "a text of yours, beside files or instead", literal=True)
    text_b: str | None = key(
        None, "the second text, of models that compare two; or the passage of a question", literal=True
    )
    out: str | None = key(None, f"a folder for {ROWS}, beside what is written", literal=True)
    overwrite: bool = key(False, f"replace {ROWS} in out")
    batch: int = key(16, "rows that are read at once: a sample is one, or a few (choices, windows of a sound)")
    device: str = key("auto", "auto (the GPU if there is one), cpu, cuda, ...", literal=True)
    dtype: Literal["float32", "bfloat16"] = key("float32", "of the weights")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")


def run(call: Call) -> dict[str, Any]:
    """Classify, and write a row for each sample."""
    own = {name: text for name, text in call.pairs.items() if not name.startswith("data.columns.")}
    keys = read_keys(Keys, own, also=[name.partition("=")[0] for name, _ in COLUMNS])
    columns = {name.removeprefix("data.columns."): text for name, text in call.pairs.items() if name not in own}
    if not call.targets:
        raise ZooError(f"which checkpoint, and which files? For example: {EXAMPLE}")
    target, *files = call.targets
    if not files and keys.text is None:
        raise ZooError(f"which files? For example: {EXAMPLE}; or say text=TEXT")
    if keys.batch < 1:
        raise ZooError(f"batch must be at least 1, got {keys.batch}")
    kept = None if keys.out is None else Path(keys.out) / ROWS
    if kept is not None and kept.exists() and not keys.overwrite:
        raise ZooError(f"{kept} is there already; add overwrite=true or choose another out=DIR")
    use_threads(keys.threads)

    from zoo.data.read_table import check_columns
    from zoo.loading import load

    check_columns(columns)
    model = load(target, device=keys.device, dtype=keys.dtype)
    classifier = model.classifier()
    names = list(_samples(keys, files, model, columns))
    said = list(classifier.predict(((one.name, _read(one)) for one in names), batch=keys.batch))
    rows = [
        {
            "input": one.name,
            "label": found.label,
            "probability": found.probability,
            "probabilities": dict(found.probabilities),
        }
        for one, found in zip(names, said, strict=True)
    ]
    document = {"checkpoint": target, "rows": rows}
    if kept is not None:
        write_json(kept, document)
    if not call.json:
        _show(keys.format, rows, said)
    return document


def _samples(keys: Keys, files: Sequence[str], model: Model, columns: Mapping[str, str]) -> Iterator[Named]:
    from zoo.data.records import TextRow
    from zoo.data.samples import Named, samples_of

    if keys.text is not None:
        if model.modality != "text":
            raise ZooError(
                f"text: this model reads {'pictures' if model.modality == 'image' else 'sounds'}; give files"
            )
        row = TextRow(text=keys.text, text_b=keys.text_b)
        yield Named(name=keys.text, read=lambda: row)
    yield from samples_of(files, model.tokenizer.spec.modality, columns=columns)


def _read(one: Named) -> Any:
    try:
        return one.read()
    except ZooError as error:
        raise ZooError(str(error) if one.name in str(error) else f"{one.name}: {error}") from None


def _show(form: str, rows: Sequence[Mapping[str, Any]], said: Sequence[Prediction]) -> None:
    if form == "json":
        put(json.dumps({"rows": rows}, ensure_ascii=False, indent=1, allow_nan=False))
        return
    if form == "csv":
        names = list(dict.fromkeys(name for found in said for name in found.probabilities))
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["input", "label", "probability", *names])
        for row, found in zip(rows, said, strict=True):
            values = [f"{found.probabilities[name]:.6g}" if name in found.probabilities else "" for name in names]
            writer.writerow([row["input"], row["label"], f"{found.probability:.6g}", *values])
        put(stream.getvalue().removesuffix("\n"))
        return
    shown = [
        [cut(one_line(row["input"]), 48), cut(one_line(row["label"]), 32), f"{row['probability']:.3f}", _others(found)]
        for row, found in zip(rows, said, strict=True)
    ]
    put(table(["input", "label", "probability", "others"], shown, right=[2]))
    say(f"{len(rows):,} sample{'s' * (len(rows) != 1)}")


def _others(found: Prediction) -> str:
    others = sorted(found.probabilities.items(), key=lambda one: -one[1])
    named = [f"{cut(one_line(name), 24)} {value:.3f}" for name, value in others if name != found.label]
    return "  ".join(named[:MOST_LABELS])


VERB = Verb(
    usage="classify CHECKPOINT FILE... [format=table|json|csv] [key=value...]",
    about="Says what texts, pictures or sounds are, with the probability of each label, by a checkpoint that 'zoo "
    "finetune' gave a head, or one of Hugging Face's that has one. A file is a sample, a row of a table (.csv, .tsv, "
    ".jsonl) is one, and of a folder every file.",
    keys=Keys,
    more=COLUMNS,
    more_title="Keys of tables",
    examples=(
        ("zoo classify my-digits scans/", "every picture of a folder"),
        ("zoo classify my-reviews letters.csv format=csv", "a row for each row, with all probabilities"),
        ("zoo classify my-reviews text='The plot? What plot?'", "one text"),
    ),
    run=run,
)
