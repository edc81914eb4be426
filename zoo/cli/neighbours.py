"""``zoo neighbours``: what is nearest, among embedded files or among a model's own tokens."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.cli.terminal import bar, put, table
from zoo.cli.verb import Call, Verb, key, read_keys
from zoo.errors import ZooError

EXAMPLE = "zoo neighbours songs.npz songs/one.flac"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo neighbours``."""

    token: str | None = key(None, "of a checkpoint: the token whose neighbours are wanted", literal=True)
    count: int = key(10, "how many neighbours")


def run(call: Call) -> dict[str, Any]:
    """Show what is nearest."""
    keys = read_keys(Keys, call.pairs)
    target, *names = call.targets or ("",)
    if not target:
        raise ZooError(f"of what? A file of embeddings, or a checkpoint with token=TEXT, for example: {EXAMPLE}")
    from zoo.features.neighbours import of_file, of_token
    from zoo.features.store import SUFFIXES, read_embeddings

    if Path(target).suffix in SUFFIXES:
        if keys.token is not None or len(names) != 1:
            raise ZooError(f"which sample of {target}? Name one, for example: {EXAMPLE}")
        vectors, files = read_embeddings(Path(target))
        asked, found = names[0], of_file(vectors, files, names[0], keys.count)
    else:
        if keys.token is None or names:
            raise ZooError("which token? Say zoo neighbours CHECKPOINT token=TEXT")
        from zoo.loading import load

        asked, found = keys.token, of_token(load(target, device="cpu"), keys.token, keys.count)
    if not call.json:
        rows = [[f"{one.similarity:.4f}", bar(max(0.0, one.similarity), 12), one.name] for one in found]
        put(table(["cosine", "", "neighbour"], rows, right=[0]))
    return {"of": asked, "neighbours": [asdict(one) for one in found]}


VERB = Verb(
    usage="neighbours EMBEDDINGS.npz SAMPLE | CHECKPOINT token=TEXT",
    about="Shows which samples of a file that zoo embed wrote are nearest to one of them, or which tokens of a model "
    "are nearest to one in the space of its embeddings, by the cosine of the angle.",
    keys=Keys,
    examples=(
        (EXAMPLE, "sounds like this one"),
        ('zoo neighbours gpt2 token=" king"', "tokens like this one (with its blank)"),
    ),
    run=run,
)
