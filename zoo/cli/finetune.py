"""``zoo finetune``: a checkpoint and data of yours, into a checkpoint that writes like it, or tells it apart."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.cli.terminal import bold, columns, count, cut, dim, one_line, put, say, table, visible
from zoo.cli.training import target_of, train, use_threads
from zoo.cli.verb import Call, Verb, key, one_target, read_keys, read_text
from zoo.errors import ZooError, suggest

if TYPE_CHECKING:
    from zoo.classify.scores import Report
    from zoo.finetune.run import FineTuning, Prepared, View
    from zoo.train.loop import TrainResult


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo finetune`` that stand for themselves; those of ``SECTIONS`` are settings of parts."""

    head: str = key(
        "language_model",
        "what to make of the checkpoint: language_model goes on with text; classification, multi_label, pair, "
        "multiple_choice and span learn from labelled samples",
        literal=True,
    )
    method: str = key(
        "full",
        "full: every weight learns; head: only the new layer; last: the last blocks; lora: changes of low rank",
        literal=True,
    )
    context: int | None = key(None, "tokens in a row; default: the checkpoint's, or less where text is short")
    prompt: str | None = key(None, "of the samples; default: the first words of the held-out part", literal=True)
    prompt_file: str | None = key(None, "file with the prompt of the samples", literal=True)
    count: int = key(2, "of language_model: samples before and after")
    max_new_tokens: int = key(100, "length of a sample")
    temperature: float = key(0.8, "of the samples")
    out: str | None = key(None, "the new checkpoint; default checkpoints/CHECKPOINT-DATA", literal=True)
    fresh: bool = key(False, "forget what the checkpoint has learnt: the same network from scratch, to compare with")
    resume: bool = key(False, "go on with the run in out, after a stop or even kill -9")
    overwrite: bool = key(False, "replace the run in out")
    seed: int = key(0, "of new weights, batches, dropout, samples, and of what is kept for validation")
    device: str = key("auto", "auto (the GPU if there is one), cpu, cuda, cuda:1", literal=True)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = key("auto", "of the matrix products")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")


SECTIONS = ("data", "train", "method")
HEAD_KEYS = (
    ("pool=NAME", "of a head: positions that it looks at: mean, first or last; default: as the family's papers"),
    ("layer=K", "of a head: what block K reads, instead of the last hidden state"),
    (
        "generative=X",
        "of a head: weight of the loss of next tokens beside its own; default 0.5 of texts and sounds, 1 of pictures",
    ),
    ("balance=true", "of a head: rare labels count for more"),
    ("dropout=X", "of a head: on what it looks at (0.1)"),
    ("ids=plain", "of a head: no tokens of its own around texts"),
    ("symmetric=true", "of head=pair: the texts have no order, so both are read"),
    ("unknown=refuse", "of language_model: refuse characters that the tokenizer does not know; adapt rewrites them"),
)
MORE = (
    (
        "data.path=PATH",
        "your text: a file, folder, glob, .gz, CSV, TSV or JSON lines; or labelled samples: a table, one "
        "folder per class, .npz, MNIST's files, sounds with metadata.csv, SQuAD's .json",
    ),
    ("data.columns.text=NAME", "the column of a table that holds the text, if it is not called text; so label, text_b"),
    ("data.held_out=X", "part of one text that is kept for before and after (0.1)"),
    (
        "data.validation=X",
        "part of labelled samples that the best weights are chosen by (0.1); 0: none, train to the end",
    ),
    ("data.per_class=N", "learn from so many samples of each label"),
    ("data.shift=N", "pictures are moved by up to N pixels each time that they are learned from"),
    ("data.flip=true", "half of the pictures are mirrored while they are learned from"),
    ("data.test_samples=N", "measure on so many of the held-out samples"),
    ("data.label=genre", "of sounds: genre or artist of metadata.csv instead of the label"),
    ("train.epochs=X", "how often as much is read as there is to learn from (3)"),
    ("train.steps=N", "updates, instead of epochs"),
    ("train.batch=N", "rows in one forward pass (8)"),
    ("train.learning_rate=X", "at its peak; default: GPT-1's 6.25e-5 at a width of 768, up to 1e-3 for less"),
    ("train.patience=N", "stop after N evaluations without progress (3); the best weights are kept"),
    ("train.evaluate_every=N", "updates between evaluations; default: ten in the run"),
    ("train.optimizer=NAME", "adamw, muon or rms_prop; its settings: train.optimizer.weight_decay=0.01"),
    (
        "train.optimizer.layer_decay=X",
        "of adamw: each block learns so many times as fast as the one above it, e.g. 0.8",
    ),
    ("train.average=X", "decay of a running average of the weights, e.g. 0.999"),
    ("method.blocks=N", "of method=last: how many blocks learn (2)"),
    ("method.rank=N", "of method=lora: rank of the changes (8); method.alpha=X: they are scaled by alpha / rank (16)"),
)


def run(call: Call) -> dict[str, Any]:
    """Fine-tune, and show what came of it."""
    target = one_target(call, "checkpoint", example="zoo finetune shakespeare data.path=lyrics.txt head=language_model")
    own, parts = _split(call.pairs)
    names = [name.partition("=")[0] for name, _ in HEAD_KEYS]
    of_head = {name: own.pop(name) for name in names if name in own}
    keys = read_keys(Keys, own, also=[*names, *(name.partition("=")[0] for name, _ in MORE)])
    if not parts["data"].get("path"):
        raise ZooError("which data? Say data.path=PATH: a text, a table, or a folder of samples")
    if "dtype" in own:
        parts["train"] = {**parts["train"], "dtype": keys.dtype}
    asked = _asked(target, keys, of_head, parts, command=call.command)
    use_threads(keys.threads)
    prepared = asked.prepare()  # bad input is one line on standard error, so nothing is said before
    shown = _goes_on if _writes(prepared) else _tells_apart
    return shown(prepared, call)


def _writes(prepared: Prepared) -> bool:
    from zoo.finetune.material import RunningText

    return isinstance(prepared.material, RunningText)


def _goes_on(prepared: Prepared, call: Call) -> dict[str, Any]:
    """Train a model of text, and show what the checkpoint wrote before and what it writes after."""
    before = prepared.before()
    figures = [("before", f"held-out {_figures(before)}")]
    result = train(prepared, heading=f"{bold(prepared.name)}, fine-tuned\n{_describe(prepared, figures)}")
    after = prepared.after(result)
    if not call.json:
        put(str(prepared.out))
        say(_goodbye(prepared, result, before, after))
    return {
        **_document(prepared, result),
        "metrics": result.metrics,
        "before": dataclasses.asdict(before),
        "after": dataclasses.asdict(after),
    }


def _tells_apart(prepared: Prepared, call: Call) -> dict[str, Any]:
    """Train a head, and show how well it tells the held-out part apart."""
    from zoo.cli.confusion import confusion
    from zoo.cli.files import write_bytes, write_json
    from zoo.cli.sheet import png

    result = train(prepared, heading=f"{bold(prepared.name)}, fine-tuned\n{_describe(prepared, [])}")
    report = prepared.report(result)
    found = {"checkpoint": prepared.out.name, "data": prepared.material.entries[0]["name"], **report.to_mapping()}
    write_json(prepared.out / "report.json", found)
    if report.confusion:
        labels = [one.label for one in report.classes]
        write_bytes(prepared.out / "confusion.png", png(confusion(report.confusion, labels)))
    if not call.json:
        put(str(prepared.out))
        say(_told_apart(prepared, result, report))
    return {
        **_document(prepared, result),
        "metrics": report.metrics,
        "validation": result.metrics,
        **{name: found[name] for name in ("samples", "classes", "confusion")},
    }


def _document(prepared: Prepared, result: TrainResult) -> dict[str, Any]:
    return {
        "checkpoint": str(prepared.out),
        "step": result.step,
        "tokens": result.tokens,
        "seconds": round(result.seconds, 3),
    }


def _split(pairs: Mapping[str, str]) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Return this verb's own words, and those of each section as nested mappings."""
    own: dict[str, str] = {}
    parts: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name, text in pairs.items():
        section, *rest = name.split(".")
        if not rest:
            own[name] = text
            continue
        if section not in parts or not all(rest):
            raise ZooError(f"unknown setting '{name}'{_suggest(name)}")
        place = parts[section]
        for step in rest[:-1]:
            inner = place.get(step, {})
            place[step] = place = inner if isinstance(inner, dict) else {"type": inner}
        known = place.get(rest[-1])
        place[rest[-1]] = {"type": text, **known} if isinstance(known, dict) else text
    return own, parts


def _suggest(name: str) -> str:
    known = [one.partition("=")[0] for one, _ in MORE]
    return suggest(name, known, limit=0) or f"; see 'zoo finetune --help', for example {known[0]}, {known[3]}"


def _asked(
    target: str, keys: Keys, of_head: Mapping[str, str], parts: Mapping[str, dict[str, Any]], *, command: str
) -> FineTuning:
    """Check every setting, before anything is read."""
    from zoo import settings
    from zoo.finetune.course import Course
    from zoo.finetune.heads import Head
    from zoo.finetune.method import Method
    from zoo.finetune.run import FineTuning, Samples

    optimizer = parts["train"].get("optimizer")
    if isinstance(optimizer, dict):
        optimizer.setdefault("type", "adamw")  # settings of the default need not name it
    head = _named(Head, keys.head, of_head, "head")
    method = _named(Method, keys.method, parts["method"], "method")
    path = parts["data"].pop("path")  # to the letter: a file may be called "none"
    data = settings.build(head.reads, parts["data"], "data", from_text=True)
    course: Course = settings.build(Course, parts["train"], "train", from_text=True)
    samples = Samples(
        prompt=read_text(keys.prompt, keys.prompt_file, "prompt") or None,
        count=keys.count,
        max_new_tokens=keys.max_new_tokens,
        temperature=keys.temperature,
    )
    return FineTuning(
        checkpoint=target,
        data=dataclasses.replace(data, path=path),
        out=Path(keys.out or f"checkpoints/{_name(target)}-{_name(path)}"),
        head=head,
        method=method,
        train=course,
        context=keys.context,
        samples=samples,
        seed=keys.seed,
        device=keys.device,
        fresh=keys.fresh,
        resume=keys.resume,
        overwrite=keys.overwrite,
        command=command,
    )


def _named(kind: Any, name: str, values: Mapping[str, Any], what: str) -> Any:
    """Return the head or method called ``name`` with its settings."""
    from typing import get_args

    from zoo import settings

    known = {settings.tag(choice): choice for choice in get_args(kind) or (kind,)}
    if name not in known:
        raise ZooError(f"{what}: '{name}' is not among those there are{suggest(name, known)}")
    return settings.build(known[name], values, what, from_text=True)


def _name(path: str) -> str:
    """Return the last part of a path without its endings, for a folder's name."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in Path(path).name.split(".")[0])


def _describe(prepared: Prepared, figures: Sequence[tuple[str, str]]) -> str:
    """Return a few lines about a run before it starts."""
    model, material, settings = prepared.model, prepared.material, prepared.settings
    names = ", ".join(str(entry.get("name")) for entry in material.entries)
    learning = "" if prepared.trainable == prepared.parameters else f", {count(prepared.trainable)} of them learn"
    rows = settings.batch * settings.accumulation
    lines = [
        ("checkpoint", f"{count(prepared.parameters)} parameters{learning}, {model.network.context} tokens of context"),
        ("data", one_line("; ".join((f"{names}, {_amount(prepared)}", *material.notes)))),
        ("training", f"{settings.steps:,} steps of {rows} {'x ' * _writes(prepared)}{_unit(prepared)}"),
        ("folder", str(prepared.out)),
        *figures,
    ]
    return columns(lines)


def _amount(prepared: Prepared) -> str:
    data: Any = prepared.material.data
    if _writes(prepared):
        return f"{data.train_tokens:,} tokens"
    parts = [f"{len(data.train):,} samples"]
    parts += [f"{len(data.validation):,} to choose by"] if len(data.validation) else []
    labels = [f"{len(data.names):,} labels"] if getattr(data, "names", ()) else []
    return ", ".join([*parts, f"{len(data.test):,} held out", *labels])


def _unit(prepared: Prepared) -> str:
    return f"{prepared.context} tokens" if _writes(prepared) else "samples"


def _told_apart(prepared: Prepared, result: TrainResult, report: Report) -> str:
    """Return the figures of a head, the classes it tells apart, and what to do next."""
    out = prepared.out
    metrics = "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in report.metrics.items())
    lines = [
        "",
        f"trained {result.step:,} steps in {result.seconds:,.0f} s; on {report.samples:,} held-out samples:",
        metrics,
    ]
    if report.classes:
        worst = sorted(report.classes, key=lambda one: one.f1)[:MOST_CLASSES]
        chosen = [one for one in report.classes if one in worst]
        rows = [
            [cut(one.label, 32), *(f"{value:.3f}" for value in (one.precision, one.recall, one.f1)), f"{one.samples:,}"]
            for one in chosen
        ]
        lines += ["", table(["label", "precision", "recall", "f1", "samples"], rows, right=[1, 2, 3, 4])]
        if len(chosen) < len(report.classes):
            lines.append(dim(f"the worst {len(chosen)} of {len(report.classes)}; all are in {out / 'report.json'}"))
    if report.confusion:
        lines += ["", f"Who is taken for whom: {out / 'confusion.png'}"]
    return "\n".join([*lines, "", f"Let it judge: {bold(f'zoo classify {target_of(out)} FILE')}"])


MOST_CLASSES = 20
"""Rows of the table of labels."""


def _figures(view: View) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {view.metrics[name]:.3f}" for name in FIGURES[:2] if name in view.metrics
    )


FIGURES = ("bits_per_byte", "loss", "bits_per_token", "accuracy")


def _goodbye(prepared: Prepared, result: TrainResult, before: View, after: View) -> str:
    """Return what was reached, before and after side by side, and what to do next."""
    out = prepared.out
    target = target_of(out)
    rows = [
        [name.replace("_", " "), f"{before.metrics[name]:.4f}", f"{after.metrics[name]:.4f}"]
        for name in FIGURES
        if name in before.metrics and name in after.metrics
    ]
    better = after.metrics["loss"] < before.metrics["loss"]
    verdict = (
        []
        if better
        else ["The held-out part is no better predicted than before: try a smaller train.learning_rate, or more text."]
    )
    return "\n".join(
        [
            "",
            f"trained {result.step:,} steps in {result.seconds:,.0f} s; on the held-out part:",
            table(["", "before", "after"], rows, right=[1, 2]),
            *verdict,
            *_pairs(before.samples, after.samples),
            "",
            f"Let it write: {bold(f'zoo generate {target} prompt={shlex.quote(prepared.prompt)}')}",
            dim(f"Details: {out / 'card.yaml'}, {out / 'metrics.jsonl'}"),
        ]
    )


def _pairs(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return each sample before and after, the same seed one below the other, the prompt in bold."""
    lines: list[str] = []
    for old, new in zip(before, after, strict=True):
        for title, sample in (("before", old), ("after", new)):
            prompt, text = visible(sample["prompt"]), visible(sample["text"])
            shown = bold(prompt) + text[len(prompt) :] if text.startswith(prompt) else text
            lines += ["", dim(f"-- {title}, seed {sample['seed']}"), shown]
    return lines


VERB = Verb(
    usage="finetune CHECKPOINT data.path=PATH [head=NAME] [method=NAME] [key=value...]",
    about="Lets a checkpoint go on learning from data of yours: from a text, and shows what it writes before and "
    "after; or with a new head from labelled texts, pictures or sounds, and shows how well it tells apart what it has "
    "not seen. Stop it with Ctrl-C whenever you like; the same command with resume=true goes on.",
    keys=Keys,
    more=(*HEAD_KEYS, *MORE),
    more_title="Keys of the head, the data and the training (default)",
    examples=(
        ("zoo finetune shakespeare data.path=lyrics.txt head=language_model", "Shakespeare's letters, your lyrics"),
        ("zoo finetune gpt2 data.path=letters/ method=last method.blocks=4 train.epochs=2", "less memory"),
        ("zoo finetune bert-base-uncased data.path=reviews.csv head=classification", "columns text and label"),
        (
            "zoo finetune mnist data.path=digits/ head=classification method=head",
            "one folder per class; a new layer only",
        ),
        (
            "zoo finetune music data.path=songs/ data.label=genre head=classification",
            "sounds with metadata.csv",
        ),
    ),
    run=run,
)
