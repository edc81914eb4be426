"""``zoo probe``: what each layer of a checkpoint knows, measured by a logistic regression on its features."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.cli.files import write_bytes, write_json
from zoo.cli.reading import PoolName, columns_of, data_path, said_progress
from zoo.cli.terminal import bar, bold, dim, put, say, table
from zoo.cli.training import use_threads
from zoo.cli.verb import Call, Verb, key, one_target, read_keys
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.features.probe import ProbeResult

EXAMPLE = "zoo probe mnist data.path=digits/"
REPORT, PICTURE = "probe.json", "probe.png"
MORE = (
    (
        "data.path=PATH",
        "labelled samples: one folder per class, a table, .npz, MNIST's folder, sounds with metadata.csv",
    ),
    ("data.columns.label=NAME", "the column of a table that holds the label, if it is not called label"),
    ("data.columns.text=NAME", "the column with the text"),
    ("data.label=genre", "of sounds: genre or artist of metadata.csv instead of the label"),
)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo probe``; those of the data have a ``data.`` before them."""

    pool: PoolName = key("mean", "how the positions of a sample become one vector: mean, first or last")
    train_samples: int | None = key(None, "learn from so many samples, drawn by seed; default: all")
    test_samples: int | None = key(None, "test on so many held-out samples; default: all")
    out: str = key("outputs/probe", f"folder for {REPORT} and {PICTURE}", literal=True)
    overwrite: bool = key(False, f"replace {REPORT} in out")
    seed: int = key(0, "of which samples are taken")
    batch: int = key(16, "windows in one forward pass")
    device: str = key("auto", "auto (the GPU if there is one), cpu, cuda, ...", literal=True)
    dtype: Literal["float32", "bfloat16"] = key("float32", "of the weights while features are computed")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")


def run(call: Call) -> dict[str, Any]:
    """Probe, and write the figures and their curve."""
    target = one_target(call, "checkpoint", example=EXAMPLE)
    path, told, own = data_path(call.pairs, ("label",), example=EXAMPLE)
    keys = read_keys(Keys, own, also=[name.partition("=")[0] for name, _ in MORE])
    out = Path(keys.out)
    if (out / REPORT).exists() and not keys.overwrite:
        raise ZooError(f"{out / REPORT} is there already; add overwrite=true or choose another out=DIR")
    use_threads(keys.threads)

    from zoo import settings
    from zoo.data.labelled import Field, read_labelled
    from zoo.features.probe import probe
    from zoo.loading import load
    from zoo.transformer.heads import AnyPool

    field: Field = settings.build(Field, told.get("label", "label"), "data.label")
    pool: AnyPool = settings.build(AnyPool, keys.pool, "pool")
    model = load(target, device=keys.device, dtype=keys.dtype).reader
    records = read_labelled(path, model.modality, columns=columns_of(told), field=field)
    began = time.perf_counter()
    result = probe(
        model,
        records,
        pool=pool,
        train=keys.train_samples,
        test=keys.test_samples,
        seed=keys.seed,
        batch=keys.batch,
        progress=said_progress("samples read", quiet=call.json),
    )
    document = {
        "checkpoint": target,
        "data": records.title,
        "data_sha256": records.sha256,
        "layers": [asdict(score) for score in result.layers],
        "best_layer": result.best.layer,
        "train_samples": result.train_samples,
        "test_samples": result.test_samples,
        "labels": list(result.labels),
        "majority_accuracy": result.majority,
        "pool": keys.pool,
        "seed": keys.seed,
        "seconds": round(time.perf_counter() - began, 3),
    }
    write_bytes(out / PICTURE, _picture(result, target, records.title))
    write_json(out / REPORT, document)
    if not call.json:
        put(str(out / REPORT))
        say(_shown(result))
        say(dim(f"The curve: {out / PICTURE}"))
    return document


def _picture(result: ProbeResult, target: str, data: str) -> bytes:
    from zoo.cli.plot import Series, plot
    from zoo.cli.sheet import png

    layers = result.layers
    ends = (layers[0].layer, layers[-1].layer)
    curve = Series(
        points=[(score.layer, score.accuracy) for score in layers],
        name="logistic regression",
        marked=layers.index(result.best),
    )
    level = Series(points=[(end, result.majority) for end in ends], name="most frequent class", level=True)
    title = f"{Path(target).name} on {data}: {result.train_samples:,} learned from, {result.test_samples:,} tested"
    return png(plot([curve, level], title=title, across="layer", up="accuracy", percent=True))


def _shown(result: ProbeResult) -> str:
    rows: Sequence[Sequence[str]] = [
        [str(score.layer), f"{score.accuracy:.2%}", f"{score.macro_f1:.4f}", bar(score.accuracy, 30)]
        for score in result.layers
    ]
    best, last = result.best, result.layers[-1].layer
    where = "inside" if 0 < best.layer < last else "at the end"
    return "\n".join(
        [
            table(["layer", "accuracy", "macro F1", ""], rows, right=[0, 1, 2]),
            "",
            f"best: layer {bold(str(best.layer))} of 0 to {last}, {where}: {best.accuracy:.2%} "
            f"(always the same: {result.majority:.2%}; {len(result.labels)} classes, {result.test_samples:,} samples)",
        ]
    )


VERB = Verb(
    usage="probe CHECKPOINT data.path=PATH [key=value...]",
    about="Fits a logistic regression on the features of every layer, and says how many of the held-out samples it "
    "names rightly: Image GPT's experiment, for pictures, texts and sounds alike. Layer 0 is what the first block "
    "reads, the last one the final hidden state. The model itself learns nothing.",
    keys=Keys,
    more=MORE,
    more_title="Keys of the data",
    examples=(
        ("zoo probe mnist data.path=digits/ train_samples=3000 test_samples=1000", "a curve in a minute"),
        ("zoo probe gpt2 data.path=intents/ data.columns.label=category pool=last", "texts of a table"),
    ),
    run=run,
)
