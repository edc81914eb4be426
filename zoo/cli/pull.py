"""``zoo pull``: a checkpoint by name into the user's own folder of checkpoints, where every verb finds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.cli.convert import Type, convert
from zoo.cli.terminal import put, say
from zoo.cli.training import use_threads
from zoo.cli.verb import Call, Verb, key, one_target, read_keys
from zoo.errors import ZooError
from zoo.paths import home, local_checkpoint
from zoo.weights.replacing import check_target


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo pull``."""

    out: str | None = key(None, "the folder; default: $ZOO_HOME/checkpoints/NAME", literal=True)
    dtype: Type = key("auto", "of the weights; auto keeps what they are stored in (float16 becomes float32)")
    overwrite: bool = key(False, "fetch again what is there")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")


def run(call: Call) -> dict[str, Any]:
    """Fetch, convert, and say where the folder is."""
    name = one_target(call, "checkpoint", example="zoo pull gpt2")
    keys = read_keys(Keys, call.pairs)
    folder = Path(name.rpartition("@")[0] or name).name
    if not folder or folder in (".", ".."):
        raise ZooError(f"'{name}' is no name; say zoo pull NAME or zoo pull OWNER/NAME")
    out = Path(keys.out) if keys.out else home() / "checkpoints" / folder
    if not keys.out and (out / "manifest.json").is_file() and not keys.overwrite:
        if not call.json:
            put(str(out))
            say("it was there already; overwrite=true fetches it again")
        return {"checkpoint": str(out), "fetched": False}
    check_target(out, overwrite=keys.overwrite)
    use_threads(keys.threads)

    from zoo.loading import open_found
    from zoo.weights.hub import Found, fetch_named

    here = local_checkpoint(name)
    found = Found(path=here) if here is not None and here.resolve() != out.resolve() else fetch_named(name)
    return {**convert(open_found(found), out, "zoo", keys.dtype, call), "fetched": True}


VERB = Verb(
    usage="pull NAME [key=value...]",
    about="Fetches a checkpoint that 'zoo list checkpoints' names, or a model on the Hugging Face Hub, into "
    "$ZOO_HOME/checkpoints/NAME, in our format. From then on its name is enough, without a network; out=DIR says "
    "another folder. Set HF_ENDPOINT for a mirror, HF_TOKEN for what is private.",
    keys=Keys,
    examples=(
        ("zoo pull gpt2", "GPT-2 with 124 million parameters"),
        ("zoo pull google-bert/bert-base-uncased", "any model on the Hub of a kind that is known"),
        ("zoo pull gpt2 out=models/gpt2", "into a folder of your choice"),
        ("zoo pull gpt2-xl dtype=bfloat16", "half the disk, and half the memory with dtype=bfloat16 later"),
    ),
    run=run,
)
