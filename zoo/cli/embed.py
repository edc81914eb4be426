"""``zoo embed``: what a checkpoint's layers make of files, one vector each, into one file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.cli.reading import PoolName, said_progress
from zoo.cli.terminal import dim, put, say
from zoo.cli.training import use_threads
from zoo.cli.verb import Call, Verb, key, read_keys
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.data.samples import Named

EXAMPLE = "zoo embed music-wave songs/ out=songs.npz"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo embed``."""

    out: str = key("embeddings.npz", "the file: .npz, or .parquet where pyarrow is installed", literal=True)
    layer: int | None = key(None, "0 for what the first block reads, -1 for the last; default: the middle one")
    pool: PoolName = key("mean", "how the positions of a sample become one vector: mean, first or last")
    batch: int = key(16, "windows in one forward pass")
    resume: bool = key(True, "go on where a stopped call has left off")
    overwrite: bool = key(False, "replace the file")
    device: str = key("auto", "auto (the GPU if there is one), cpu, cuda, ...", literal=True)
    dtype: Literal["float32", "bfloat16"] = key("float32", "of the weights; embeddings are float32")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")


def run(call: Call) -> dict[str, Any]:
    """Embed files, and say where the vectors are."""
    target, *words = call.targets or ("",)
    if not target:
        raise ZooError(f"which checkpoint? For example: {EXAMPLE}")
    if not words:
        raise ZooError(f"which files? For example: {EXAMPLE}")
    keys = read_keys(Keys, call.pairs)
    out = Path(keys.out)
    if out.exists() and not keys.overwrite:
        raise ZooError(f"{out} is there already; add overwrite=true or choose another out=FILE")
    use_threads(keys.threads)

    from zoo import settings
    from zoo.data.samples import samples_of
    from zoo.features.extract import check_layer, depth_of, features
    from zoo.features.store import Store, check_suffix
    from zoo.loading import load
    from zoo.transformer.heads import AnyPool
    from zoo.weights.tensors import fingerprint

    check_suffix(out)
    pool: AnyPool = settings.build(AnyPool, keys.pool, "pool")
    model = load(target, device=keys.device, dtype=keys.dtype).reader
    layer = depth_of(model) // 2 if keys.layer is None else check_layer(model, keys.layer)
    samples = samples_of(words, model.modality)
    first = next(samples, None)  # a wrong path is said before anything is written
    if first is None:
        raise ZooError(f"there is nothing to embed in {', '.join(words)}")
    facts = {"checkpoint": target, "layer": layer, "pool": keys.pool, "dtype": keys.dtype,
             "tokenizer": model.tokenizer.spec.fingerprint, "weights": fingerprint(model.network)}  # fmt: skip
    said = said_progress("samples embedded", quiet=call.json)
    with Store(out, facts, resume=keys.resume) as store:
        known = len(store.names)
        todo = _after(chain([first], samples), store.names)
        names: list[str] = []
        found = features(model, _read(todo, names), layers=[layer], pool=pool, batch=keys.batch)
        for (vector,) in found:
            store.add(names[len(store.names) - known], vector)
            said(len(store.names), 0)
        store.finish()
        count, width = store.shape
    if not call.json:
        say(f"{count:,} samples, {width} numbers each: {keys.pool} of layer {layer} of {depth_of(model)}")
        if known:
            say(dim(f"{known:,} of them were there from a call that was stopped"))
        put(str(out))
    return {"file": str(out), "samples": count, "width": width, **facts, "resumed": known}


def _after(samples: Iterator[Named], done: list[str]) -> Iterator[Named]:
    """Yield the samples that are not done yet.

    Raises:
        ZooError: what is done is not the beginning of these samples.
    """
    for name in list(done):
        one = next(samples, None)
        if one is None or one.name != name:
            raise ZooError(
                f"the stopped call had '{name}' where there is now '{one.name if one else 'nothing'}'; "
                "say resume=false to begin anew"
            )
    yield from samples


def _read(samples: Iterator[Named], names: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield (name, sample), and remember the names."""
    for one in samples:
        names.append(one.name)
        yield one.name, one.path or one.read()


VERB = Verb(
    usage="embed CHECKPOINT FILE... out=FILE.npz [layer=K] [pool=mean]",
    about="Writes one vector for each text, picture or sound: what a layer of a checkpoint makes of it, pooled over "
    "its positions. Files, folders, globs, tables (a row each) and arrays (a picture each). Thousands of files take no "
    "more memory than one, a call that was stopped goes on, and sounds of any length are read in windows. The file "
    "holds embeddings (n, width) float32 and files (n).",
    keys=Keys,
    examples=(
        (EXAMPLE, "sounds, for music information retrieval"),
        ("zoo embed mnist digits/ layer=4 out=digits.npz", "pictures"),
        ("zoo neighbours digits.npz digits/3/12.png", "then: what is nearest to one of them"),
    ),
    run=run,
)
