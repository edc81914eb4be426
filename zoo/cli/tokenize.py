"""``zoo tokenize``: files as ids, in one .npz file; a folder's in a mapped folder that models train on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.coding import TOKENIZER_KEYS, Item, Targets, choose_coder, read_targets, split_words
from zoo.cli.files import npz, write_bytes
from zoo.cli.terminal import one_line, put, say, table
from zoo.cli.training import use_threads
from zoo.cli.verb import Call, Verb, key, read_keys
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.coding.coders import Coder
    from zoo.data.shard_writer import ShardWriter
    from zoo.data.shards import Entry, Origin

CODES = "codes.npz"
EXAMPLE = "zoo tokenize song.wav tokenizer=mu_law out=codes"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo tokenize``."""

    tokenizer: str | None = key(None, "a name, a tokenizer's folder, a codec's checkpoint, a model's", literal=True)
    out: str = key("codes", f"folder for {CODES}; of a FOLDER, the new folder of ids", literal=True)
    overwrite: bool = key(False, "replace the ids in out")
    resume: bool = key(False, "of a FOLDER: go on where an earlier call stopped")
    device: str = key("auto", "where codecs compute: auto, cpu, cuda, ...")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")


@dataclass(frozen=True, kw_only=True)
class Done:
    """What was written.

    Attributes:
        path: the file or the folder.
        files: how many files were encoded.
        seconds: of sound.
        counts: ids at each level.
    """

    path: Path
    files: int
    seconds: float
    counts: tuple[int, ...]


def run(call: Call) -> dict[str, Any]:
    """Encode, and say where the ids are."""
    own, words = split_words(call.pairs)
    keys = read_keys(Keys, own)
    targets = read_targets(call.targets, example=EXAMPLE)
    out = Path(keys.out)
    if targets.folder is None:
        refuse_taken(out / CODES, keys)
    elif not keys.resume:
        from zoo.data.shard_writer import refuse_taken as refuse_folder

        refuse_folder(out, resume=False, overwrite=keys.overwrite)
    use_threads(keys.threads)
    coder = choose_coder(keys.tokenizer, words, targets, device=keys.device)
    told = progress(quiet=call.json)
    done = into_folder(coder, targets, out, keys, told) if targets.folder else into_file(coder, targets, out, told)
    origin = coder.origin
    levels = [
        {"level": level, "ids": count, "codes": codes, "hop": hop}
        for level, (count, codes, hop) in enumerate(zip(done.counts, origin.codes, origin.hops, strict=True))
    ]
    if not call.json:
        put(str(done.path))
        names = ("level", "ids", "codes", *(("samples an id",) if origin.modality == "music" else ()))
        rows = [[f"{row[name]:,}" for name in ("level", "ids", "codes", "hop")[: len(names)]] for row in levels]
        say(table(names, rows, right=range(len(names))))
    return {
        "tokenizer": keys.tokenizer,
        "type": origin.type,
        "modality": origin.modality,
        "codes": str(done.path),
        "files": done.files,
        "seconds": round(done.seconds, 6),
        "rate": origin.rate,
        "levels": levels,
    }


def into_file(coder: Coder[Any], targets: Targets, out: Path, told: Progress) -> Done:
    """Write the ids of files into ``codes.npz``: ``level_0`` and so on, (time,) each.

    Those of several files follow one another: ``files`` holds their names and ``level_0_offsets``, (files + 1,), where
    each begins. ``fingerprints`` and ``hops`` (one a level) and ``rate`` say what made the ids.
    """
    import numpy as np

    origin, items = coder.origin, targets.items(coder.origin.modality)
    found, seconds = [], 0.0
    for number, item in enumerate(items):
        told(number, len(items), item.name)
        encoding = coder.encode(item.path)
        found.append(encoding.join())
        seconds += encoding.seconds()
    arrays: dict[str, Any] = {}
    for level, ids in enumerate(zip(*found, strict=True)):
        arrays[f"level_{level}"] = np.concatenate(ids)
        if len(items) > 1:
            arrays[f"level_{level}_offsets"] = np.cumsum([0, *map(len, ids)])
    if len(items) > 1:
        arrays["files"] = np.array([item.name for item in items])
    arrays |= {"fingerprints": np.array(origin.fingerprints), "hops": np.array(origin.hops)}
    if origin.rate is not None:
        arrays["rate"] = np.array(origin.rate)
    write_bytes(out / CODES, npz(arrays))
    counts = tuple(len(arrays[f"level_{level}"]) for level in range(origin.levels))
    return Done(path=out / CODES, files=len(items), seconds=seconds, counts=counts)


def into_folder(coder: Coder[Any], targets: Targets, out: Path, keys: Keys, told: Progress) -> Done:
    """Write the ids of a folder's files into a folder of ids, a file at a time; see ``zoo.data.shards``.

    Raises:
        ZooError: something is in ``out``, or what an earlier call left does not fit the files.
    """
    from zoo.data.shard_writer import ShardWriter, part_folder, refuse_taken
    from zoo.data.shards import Shards, is_shards
    from zoo.weights.files import locked, make_writable

    items = targets.items(coder.origin.modality)
    if keys.resume and is_shards(out):
        shards = Shards(out)
        if shards.origin == coder.origin and list(map(_known, shards.files)) == [_known_of(item) for item in items]:
            return _done(out, shards.files, coder.origin)  # stopped after the last file, before it could say so
    refuse_taken(out, resume=keys.resume, overwrite=keys.overwrite)
    make_writable(out.absolute().parent)
    make_writable(part_folder(out))
    with locked(part_folder(out)):
        writer = ShardWriter(out, coder.origin, resume=keys.resume, overwrite=keys.overwrite)
        _check_same(writer, items, targets.folder)
        with _going_on(writer, len(items)):
            for number, item in list(enumerate(items))[len(writer.done) :]:
                told(number, len(items), item.name)
                _add(writer, coder, item)
        writer.seal()
    writer.publish()
    return _done(out, writer.done, coder.origin)


def refuse_taken(file: Path, keys: Keys) -> None:
    """Refuse to replace a file of ids unasked.

    Raises:
        ZooError: it is there.
    """
    if keys.resume:
        raise ZooError("resume: goes on with the files of a FOLDER; these files are encoded in one go")
    if file.exists() and not keys.overwrite:
        raise ZooError(f"{file} is there already; add overwrite=true or choose another out=DIR")


Progress = Callable[[int, int, str], None]


def progress(*, quiet: bool, every: float = 2.0) -> Progress:
    """Return what says, every few seconds, which file is being worked on: its number, how many there are, its name."""
    last = time.monotonic()

    def tell(number: int, total: int, name: str) -> None:
        nonlocal last
        if not quiet and total > 1 and time.monotonic() - last > every:
            last = time.monotonic()
            say(f"{number + 1} of {total}: {one_line(name)}")

    return tell


def _add(writer: ShardWriter, coder: Coder[Any], item: Item) -> None:
    """Encode one file; its length is known once all of it has passed."""
    from zoo.data.shards import Entry
    from zoo.download import sha256_of

    encoding = coder.encode(item.path)
    artist, genre, lyrics, label = (item.fields.get(name, "") for name in ("artist", "genre", "lyrics", "label"))
    known = Entry(
        name=item.name,
        counts=(),
        sha256=sha256_of(item.path),
        artist=artist,
        genre=genre,
        lyrics=lyrics,
        label=label,
    )
    writer.add(known, encoding.stretches, seconds=encoding.seconds)


def _known(entry: Entry) -> tuple[str, ...]:
    """Return what must be the same for a file to be done: its name, its bytes, and what is said of it."""
    return (entry.name, entry.sha256, entry.artist, entry.genre, entry.lyrics, entry.label)


def _known_of(item: Item) -> tuple[str, ...]:
    """Return the same of a file that is to be encoded."""
    from zoo.download import sha256_of

    told = (item.fields.get(name, "") for name in ("artist", "genre", "lyrics", "label"))
    return (item.name, sha256_of(item.path), *told)


def _check_same(writer: ShardWriter, items: Sequence[Item], folder: Path | None) -> None:
    """Refuse to go on with files that are not those that were encoded before."""
    from zoo.download import sha256_of

    again = "begin again with overwrite=true"
    if len(writer.done) > len(items):
        raise ZooError(f"{folder} has fewer files than when {writer.target} was begun; {again}")
    for entry, item in zip(writer.done, items, strict=False):
        if entry.name != item.name:
            raise ZooError(f"{folder} has other files than when {writer.target} was begun: '{item.name}'; {again}")
        if entry.sha256 == sha256_of(item.path) and _known(entry) != _known_of(item):
            raise ZooError(f"'{item.name}' is said to be something else than when {writer.target} was begun; {again}")
        if entry.sha256 != sha256_of(item.path):
            raise ZooError(f"{item.path} has changed since {writer.target} was begun; {again}")


@contextmanager
def _going_on(writer: ShardWriter, total: int) -> Iterator[None]:
    """Say after a stop how to go on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        say(f"zoo: stopped after {len(writer.done)} of {total} files; the same command with resume=true goes on")
        raise


def _done(out: Path, entries: Sequence[Any], origin: Origin) -> Done:
    return Done(
        path=out,
        files=len(entries),
        seconds=sum(entry.seconds for entry in entries),
        counts=tuple(sum(entry.counts[level] for entry in entries) for level in range(origin.levels)),
    )


VERB = Verb(
    usage="tokenize FILE... | FOLDER tokenizer=NAME [key=value...]",
    about="Turns sounds, pictures or texts into ids. Those of files go into codes.npz: level_0, level_1, ... for the "
    "levels of a codec, the finest first. Those of a FOLDER go into a folder of ids with what is known about each file "
    "(metadata.csv, class folders), which is mapped into memory when models are trained on it; sounds of any length "
    "take little memory, and a stopped run goes on with resume=true.",
    keys=Keys,
    examples=(
        (EXAMPLE, "one id a sample"),
        ("zoo tokenize songs tokenizer=checkpoints/codec out=songs-codes", "a folder, all levels of a codec"),
        ("zoo tokenize cat.png tokenizer=gray_levels tokenizer.size=32", "a picture"),
        ("zoo tokenize novel.txt tokenizer=shakespeare", "by the tokenizer of a model"),
    ),
    more=TOKENIZER_KEYS,
    more_title="Keys of the tokenizer",
    run=run,
)
