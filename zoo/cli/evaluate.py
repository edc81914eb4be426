"""``zoo evaluate``: the right figures for a checkpoint and data, as JSON and as a page."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.cli.files import write_json, write_text
from zoo.cli.reading import data_path, said_progress
from zoo.cli.terminal import columns, dim, put, say
from zoo.cli.training import use_threads
from zoo.cli.verb import Call, Verb, key, one_target, read_keys
from zoo.errors import ZooError, suggest

if TYPE_CHECKING:
    from zoo.evaluate.outcome import Outcome
    from zoo.evaluate.part import Data
    from zoo.evaluate.tasks import Task
    from zoo.model import Model

EXAMPLE = "zoo evaluate shakespeare data.path=play.txt"
REPORT, PAGE = "report.json", "report.html"
OF_DATA = ("part", "limit", "label", "encoding")
MORE = (
    ("data.path=PATH", "text, pictures or sounds: a file, folder, glob, table, .npz, MNIST's folder"),
    ("data.part=all", "all of it instead of the held-out part"),
    ("data.limit=N", "so many pictures, sounds or questions, drawn by seed; of running text so many tokens"),
    ("data.columns.text=NAME", "the column of a table, if it is not called text; also label, text_b, choices"),
    ("task.stride=N", "likelihood: new tokens in each overlapping window (half the context; 0 for none)"),
    ("task.unknown=adapt", "likelihood: leave out or rewrite characters that the tokenizer does not know"),
    ("task.shots=K", "questions: answered examples before each, from the training part or task.shots_path=FILE"),
    ("task.question=T", "questions: how one is written, with {text} and {text_b}; also task.answer, task.separator"),
    ("task.form=NAME", "questions: choose (likeliest choice), complete (token by token) or write"),
    ("task.form.normalise=N", "choose: per_token, per_byte, total or unconditional"),
    ("task.protocol=NAME", "lambada: harness (lm-eval's), raw (GPT-2's) or cloze (GPT-3's, with task.shots=15)"),
    ("task.count=N", "samples: how many are drawn (100); task.path=FOLDER takes samples that are there"),
    ("task.given=N", "samples: tokens of held-out text that a drawn text goes on from (16)"),
    ("task.features=CHECKPOINT", "samples: whose features are compared; default: the checkpoint's own"),
    ("task.layer=K", "samples: layer of the features; default: the middle one"),
    ("task.batch=N", "rows in one forward pass"),
)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo evaluate``; those of the data and of the task have ``data.`` and ``task.`` before them."""

    task: str = key(
        "auto",
        "likelihood, classification, answers, questions, lambada or samples; auto chooses what suits",
        literal=True,
    )
    out: str = key("outputs/evaluation", f"folder for {REPORT} and {PAGE}", literal=True)
    overwrite: bool = key(False, f"replace {REPORT} in out")
    seed: int = key(0, "of whatever is drawn")
    device: str = key("auto", "auto (the GPU if there is one), cpu, cuda, ...", literal=True)
    dtype: Literal["float32", "bfloat16"] = key("float32", "of the weights")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")


def run(call: Call) -> dict[str, Any]:
    """Evaluate, and write what came of it."""
    target = one_target(call, "checkpoint", example=EXAMPLE)
    path, told, words = data_path(call.pairs, OF_DATA, example=EXAMPLE)
    own = {name: text for name, text in words.items() if not name.startswith("task.")}
    keys = read_keys(Keys, own, also=[name.partition("=")[0] for name, _ in MORE])
    out = Path(keys.out)
    if (out / REPORT).exists() and not keys.overwrite:
        raise ZooError(f"{out / REPORT} is there already; add overwrite=true or choose another out=DIR")
    of_task = {name.removeprefix("task."): text for name, text in words.items() if name not in own}
    data = _data(path, told, keys.seed)
    task = _task(keys.task, of_task)
    use_threads(keys.threads)

    from zoo.evaluate.tasks import choose
    from zoo.loading import load

    model = load(target, device=keys.device, dtype=keys.dtype)
    if task is None:
        task = choose(model)
        task = _task(_name(task), of_task) or task
    began = time.perf_counter()
    outcome = task.run(model, data, said_progress("done", quiet=call.json))
    seconds = time.perf_counter() - began
    document = _document(target, data, task, outcome, seconds)
    write_text(out / PAGE, _page(target, model, document, outcome))
    write_json(out / REPORT, document)
    if not call.json:
        put(str(out / REPORT))
        say(_shown(outcome))
        say(dim(f"The page: {out / PAGE}"))
    return document


def _data(path: str, told: Mapping[str, Any], seed: int) -> Data:
    from zoo import settings
    from zoo.evaluate.part import Data

    build: Data = settings.build(Data, {"path": path, **told, "seed": seed}, "data", from_text=True)
    return build


def _task(name: str, values: Mapping[str, str]) -> Task | None:
    """Return the task called ``name``, None for ``auto``."""
    from typing import get_args

    from zoo import settings
    from zoo.evaluate.tasks import Task as AnyTask

    if name == "auto":
        return None
    known = {settings.tag(kind): kind for kind in get_args(AnyTask) or (AnyTask,)}
    if name not in known:
        raise ZooError(f"task: '{name}' is not among those there are{suggest(name, ['auto', *known])}")
    nested: dict[str, Any] = {}
    for dotted, text in values.items():
        first, *rest = dotted.split(".")
        if not rest:
            nested[first] = {"type": text, **nested[first]} if isinstance(nested.get(first), dict) else text
        else:
            before = nested.get(first, {})
            nested[first] = {**(before if isinstance(before, dict) else {"type": before}), ".".join(rest): text}
    task: Task = settings.build(known[name], nested, "task", from_text=True)
    return task


def _name(task: Task) -> str:
    from zoo import settings

    return settings.tag(type(task))


def _document(target: str, data: Data, task: Task, outcome: Outcome, seconds: float) -> dict[str, Any]:
    from zoo import settings
    from zoo.evaluate.part import described

    return {
        "checkpoint": target,
        "data": outcome.data,
        "samples": outcome.samples,
        "tokens": outcome.tokens,
        "metrics": dict(outcome.metrics),
        "task": settings.to_mapping(task),
        "data_sha256": outcome.sha256,
        **described(data),
        "notes": list(outcome.notes),
        "seconds": round(seconds, 3),
        **({"rows": [dict(row) for row in outcome.rows]} if outcome.rows else {}),
    }


def _page(target: str, model: Model, document: Mapping[str, Any], outcome: Outcome) -> str:
    from zoo.cli.report import facts_of, report

    card = model.card
    facts = {
        "checkpoint": target,
        "name": str(card.get("name") or ""),
        "parameters": model.parameters,
        "license": str(card.get("license") or ""),
        "tokenizer": f"{model.tokenizer.spec.type}, {model.tokenizer.spec.vocabulary_size:,} ids",
        "task": document["task"]["type"],
        "data": document["data"],
        "data sha256": document["data_sha256"],
        "part": document["part"],
        "samples": document["samples"],
        "tokens": document["tokens"],
        "seconds": document["seconds"],
        "limits": str(card.get("limits") or ""),
    }
    name = Path(target).name
    return report(f"{name} on {outcome.data}", _lead(outcome), facts_of(facts), outcome)


def _lead(outcome: Outcome) -> str:
    return f"{outcome.samples:,} sample{'s' * (outcome.samples != 1)}, {outcome.tokens:,} tokens"


def _shown(outcome: Outcome) -> str:
    from zoo.cli.report import number

    figures = [(name.replace("_", " "), number(value)) for name, value in outcome.metrics.items()]
    return "\n".join([_lead(outcome), columns(figures), *(dim(f"{note}.") for note in outcome.notes)])


VERB = Verb(
    usage="evaluate CHECKPOINT data.path=PATH [task=NAME] [key=value...]",
    about="Measures a checkpoint on data, in the units that suit both: perplexity and bits per byte of text, nats and "
    "bits per dimension of pictures, bits per second of sound. Writes report.json, and report.html, a page that needs "
    "nothing else.",
    keys=Keys,
    more=MORE,
    more_title="Keys of the data and of the task",
    examples=(
        (EXAMPLE, "perplexity and bits per byte of the last tenth"),
        ("zoo evaluate gpt2 data.path=wiki.test.txt data.part=all out=outputs/wiki", "of all of a text"),
        ("zoo evaluate gpt2 data.path=lambada.jsonl data.part=all task=lambada task.protocol=raw", "last words"),
        ("zoo evaluate gpt2 data.path=quiz.csv task=questions task.shots=5", "five examples, then the question"),
        ("zoo evaluate mnist data.path=digits/ task=samples task.count=200", "Frechet distance, precision, recall"),
        ("zoo evaluate mnist data.path=digits/ data.limit=500", "nats per picture, bits per dimension"),
    ),
    run=run,
)
