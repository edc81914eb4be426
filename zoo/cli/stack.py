"""``zoo stack``: put a codec and the priors of its levels together into one checkpoint that plays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.convert import Type
from zoo.cli.terminal import count, put, say
from zoo.cli.verb import Call, Verb, key, read_keys
from zoo.errors import ZooError
from zoo.weights.replacing import check_target, replace_folder

if TYPE_CHECKING:
    from zoo.weights.stack import OpenedStack


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo stack``."""

    codec: str | None = key(None, "checkpoint of the codec", literal=True)
    priors: str | None = key(None, "checkpoints of the priors, coarse to fine, commas between them", literal=True)
    out: str | None = key(None, "the new folder", literal=True)
    names: str | None = key(
        None, "folder with OpenAI's v2_artist_ids.txt, v2_genre_ids.txt (and v3's), for their priors", literal=True
    )
    coarsest: int | None = key(None, "level of the first prior; default: the codec's last (0 is the finest)")
    copy: bool = key(
        True, "put the parts into the folder; false names checkpoints, which are looked up when it is used"
    )
    dtype: Type = key(
        "auto", "of the priors' weights in the folder; auto keeps what they are stored in (float16 becomes float32)"
    )
    overwrite: bool = key(False, "replace the checkpoint in out")


def run(call: Call) -> dict[str, Any]:
    """Put a stack together, and say what it is."""
    if call.targets:
        raise ZooError(f"'{call.targets[0]}': parts are named by codec= and priors=")
    keys = read_keys(Keys, call.pairs)
    for name in ("codec", "priors", "out"):
        if not getattr(keys, name):
            raise ZooError(f"{name}: is missing; e.g. zoo stack codec=music-codec priors=top,middle,fine out=DIR")
    assert keys.codec is not None
    assert keys.priors is not None
    assert keys.out is not None
    out, names = Path(keys.out), [name.strip() for name in keys.priors.split(",")]
    check_target(out, overwrite=keys.overwrite)

    import torch

    from zoo.loading import DTYPES, open_found
    from zoo.music.stack import StackConfig
    from zoo.stack.model import Stack
    from zoo.weights import jukebox_whole
    from zoo.weights import stack as stacks
    from zoo.weights.hub import locate
    from zoo.weights.stack import OpenedStack

    for name, said in (("names", keys.names is not None), ("dtype", keys.dtype != "auto")):
        if said and not keys.copy:
            raise ZooError(f"{name}: goes into the priors' own folders, so that copy must stay true")
    first, *others = (open_found(locate(name)) for name in (keys.codec, *names))
    if isinstance(first, OpenedStack) and keys.copy:
        first = first.codec
    inside = ("codec", *(f"prior {number}" for number in range(len(names))))
    words = inside if keys.copy else (keys.codec, *names)
    config = StackConfig(codec=words[0], priors=tuple(words[1:]), coarsest=keys.coarsest)
    opened = stacks.put_together(str(out), config, [first, *others], {})
    if keys.names is not None:
        opened = replace(opened, priors=jukebox_whole.named(opened.priors, Path(keys.names).expanduser()))
    stack = Stack.of(opened, device=torch.device("cpu"), dtype=torch.float32)
    stack.card = _card(opened, out.resolve().name, call.command)
    if keys.copy:
        dtype = None if keys.dtype == "auto" else DTYPES[keys.dtype]
        replace_folder(out, lambda folder: stack.write(folder, dtype))
    else:
        count_, card = stack.parameters, stack.card
        replace_folder(out, lambda folder: stacks.write(folder, config, parameters=count_, card=card, parts={}))
    if not call.json:
        put(str(out))
        say(stack.summary())
        say(f"{count(stack.parameters)} parameters in all; let it play: zoo generate {out}")
    return {"checkpoint": str(out), "levels": list(stack.levels), "parameters": stack.parameters}


def _card(opened: OpenedStack, name: str, command: str) -> dict[str, Any]:
    """Return the card of a stack: what its parts' cards say together."""
    cards: Sequence[Mapping[str, Any]] = [opened.codec.card, *(prior.card for prior in opened.priors)]
    licenses = list(dict.fromkeys(str(card["license"]) for card in cards if card.get("license")))
    data: list[Any] = []
    for card in cards:
        data += [entry for entry in card.get("data") or () if entry not in data]
    limits = list(dict.fromkeys(str(card["limits"]) for card in cards if card.get("limits")))
    return {
        "name": name,
        "modality": "music",
        "license": " and ".join(licenses) or None,
        "data": data,
        "command": command,
        "parts": [str(card.get("name") or card.get("recipe") or "?") for card in cards],
        "limits": " ".join(limits),
    }


VERB = Verb(
    usage="stack codec=CHECKPOINT priors=COARSEST,…,FINEST out=DIR",
    about="Puts a codec and the priors of its levels, trained by 'zoo train' or converted from OpenAI's files, "
    "together into one checkpoint folder that 'zoo generate' plays. A stack may end before the finest level.",
    keys=Keys,
    examples=(
        (
            "zoo stack codec=music-codec priors=music-prior,music-upsampler_1,music-upsampler_0 out=mine",
            "all",
        ),
        ("zoo stack codec=music-codec priors=music-prior out=checkpoints/top", "the coarsest level alone"),
    ),
    run=run,
)
