"""``zoo demo``: train a small model on text that every machine has, and watch it write."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.cli.files import write_bytes, write_json, write_text
from zoo.cli.page import page
from zoo.cli.pictures import complete
from zoo.cli.terminal import bold, columns, count, put, say
from zoo.cli.training import checked_recipe, describe, downloading, metric_words, read_log, train, use_threads
from zoo.cli.verb import Call, Verb, key, read_keys
from zoo.cli.writing import write
from zoo.errors import ZooError
from zoo.paths import local_checkpoint

if TYPE_CHECKING:
    from zoo.model import Model
    from zoo.run import Prepared
    from zoo.train.loop import TrainResult

RECIPE = "text/topics"
LEARNS = "A model that has never read anything learns from Python's own help texts."
PROMPTS = ("The for statement", "A class definition", "If an exception")
PICTURES = "mnist"
"""The checkpoint that completes a picture, where there is one of that name."""
COMPLETIONS = 5
HEARD = "A tune on a flute, drawn id by id from coarse to fine, after the names of its notes"
SEEN = "Its spectrogram: time to the right, frequency upwards"
CAPTION = "Digits of scikit-learn, which the model never saw: the lower half drawn five times, and as it was"
MUSIC = "music"
"""The stack that plays a piece, where there is one of that name."""
PIECE = {
    "artist": "flute",
    "genre": "folk",
    "lyrics": "do re mi fa sol fa mi re do re mi sol mi re do",
    "parallel_segments": 8,
    "temperature": (0.5, 0.85, 0.9),  # the finest first: less than the usual 0.99 hisses less
    "guidance": (1.0, 1.0, 2.0),  # the coarsest alone decides what is played
}
SECONDS, SHORT = 10.0, 1.0
PAUSE = 0.004
"""Seconds between two characters in a terminal: slow enough to be seen, fast enough to be read along."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo demo``."""

    out: str = key("outputs/demo", "folder for the model, its samples and index.html", literal=True)
    size: str | None = key(None, "size=tiny is over in seconds, and writes accordingly", literal=True)
    overwrite: bool = key(False, "train again although there is a model in out")
    seed: int = key(0, "of the first weights, the batches, dropout and samples")
    device: str = key("auto", "auto (the GPU if there is one), cpu, cuda, ...", literal=True)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = key("auto", "of the matrix products")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")


def run(call: Call) -> dict[str, Any]:
    """Train (or go on where an earlier demo was stopped), write, and show it all on a page."""
    if call.targets:
        raise ZooError(f"zoo demo takes no target, got '{call.targets[0]}'; to train a recipe: zoo train RECIPE")
    keys = read_keys(Keys, call.pairs)
    recipe = checked_recipe(RECIPE, {"train.dtype": keys.dtype}, size=keys.size, also=())
    use_threads(keys.threads)

    from zoo.loading import load
    from zoo.run import Run

    out = Path(keys.out)
    asked = Run(
        recipe=recipe,
        out=out / "text",
        seed=keys.seed,
        device=keys.device,
        resume=not keys.overwrite,
        overwrite=keys.overwrite,
        command=call.command,
    )
    prepared = asked.prepare(downloading)  # bad input is one line, so nothing is said before
    result = train(prepared, heading=f"{bold(LEARNS, sys.stderr)}\n{describe(prepared)}\n", again="the same command")
    samples = _write(load(asked.out, device=keys.device), prepared, quiet=call.json)
    document = {"samples": samples}
    write_json(out / "samples.json", document)
    drawn = _complete(out, keys)
    played = _play(out, keys, quiet=call.json)
    write_text(out / "index.html", _page(prepared, result, samples, drawn, played))
    if not call.json:
        say(_next(asked.out, out / "index.html"))
    return {
        "checkpoint": str(asked.out),
        "step": result.step,
        "tokens": result.tokens,
        "seconds": round(result.seconds, 3),
        "metrics": result.metrics,
        "page": str(out / "index.html"),
        **({"sheet": str(drawn)} if drawn else {}),
        **({"music": str(played)} if played else {}),
        **document,
    }


def _write(model: Model, prepared: Prepared, *, quiet: bool) -> list[dict[str, Any]]:
    """Draw a sample for each prompt, shown character by character."""
    chosen = prepared.run.recipe.generate
    samples = []
    if not quiet:
        say("\nIt has read enough. This is what it writes:")
    for index, prompt in enumerate(PROMPTS):
        seed = prepared.run.seed + index
        settings: dict[str, Any] = {"max_new_tokens": chosen.max_new_tokens, "temperature": chosen.temperature}
        pieces = model.stream(prompt, seed=seed, top_k=chosen.top_k, top_p=chosen.top_p, **settings)
        heard: list[str] = []
        if quiet:
            heard += pieces
        else:
            put()
            write(_slowly(_remember(pieces, heard)), prompt)
        samples.append({"index": index, "seed": seed, "prompt": prompt, "text": "".join(heard)})
    return samples


def _complete(out: Path, keys: Keys) -> Path | None:
    """Complete pictures, if there is a checkpoint that can; return the sheet that shows them."""
    place = local_checkpoint(PICTURES)
    if place is None:
        return None
    try:
        sheet = complete(place, ("3", "5", "8"), count=COMPLETIONS, seed=keys.seed, device=keys.device)
    except ZooError as error:  # what was trained and written is worth its page
        say(f"\nNo pictures: {error}")
        return None
    write_bytes(out / "sheet.png", sheet)
    say(f"\nAnother model, trained earlier, has seen the upper halves of three digits: {out / 'sheet.png'}")
    return out / "sheet.png"


def _play(out: Path, keys: Keys, *, quiet: bool) -> Path | None:
    """Draw a piece of music, if there is a stack that can; return its sound."""
    place = local_checkpoint(MUSIC)
    if place is None:
        return None
    from zoo.cli.songs import Beginning, draw_songs
    from zoo.loading import load
    from zoo.stack.model import Stack
    from zoo.stack.plan import Request

    folder = out / "music"
    seconds = SHORT if keys.size == "tiny" else SECONDS
    asked: dict[str, Any] = {**PIECE, "seconds": seconds, "seed": keys.seed}
    try:
        stack = load(place, device=keys.device)
        if not isinstance(stack, Stack):
            raise ZooError(f"{place} is no stack")
        say(f"\nA stack of {len(stack.tiers)} priors, trained earlier, plays {seconds:.0f} s on a {PIECE['artist']}:")
        told = {"resume": not keys.overwrite, "overwrite": keys.overwrite, "quiet": quiet}
        draw_songs(stack, Request(**asked), Beginning(), folder, {"checkpoint": MUSIC, **asked}, **told)
    except ZooError as error:  # what was trained and written is worth its page
        say(f"\nNo music: {error}")
        return None
    return folder / "000.wav"


def _remember(pieces: Iterable[str], heard: list[str]) -> Iterable[str]:
    for piece in pieces:
        heard.append(piece)
        yield piece


def _slowly(pieces: Iterable[str]) -> Iterable[str]:
    """Yield the characters of ``pieces``; in a terminal, one at a time."""
    pause = PAUSE if sys.stdout.isatty() else 0.0
    for piece in pieces:
        for character in piece:
            yield character
            if pause:
                time.sleep(pause)


def _page(
    prepared: Prepared, result: TrainResult, samples: list[dict[str, Any]], drawn: Path | None, played: Path | None
) -> str:
    recipe = prepared.run.recipe
    facts = [
        ("recipe", recipe.name),
        ("data", ", ".join(str(entry.get("name")) for entry in prepared.corpus.describe())),
        ("tokenizer", f"{prepared.tokenizer.spec.type}, {prepared.tokenizer.spec.vocabulary_size:,} ids"),
        ("parameters", count(prepared.parameters)),
        ("steps", f"{result.step:,}"),
        ("tokens read", f"{result.tokens:,}"),
        ("seconds", f"{result.seconds:,.0f}"),
        *((f"held out: {name}", value) for name, value in metric_words(result.metrics)),
    ]
    return page(
        title="zoo demo",
        lead="A small transformer, trained on this machine from nothing on Python's own help texts.",
        facts=facts,
        log=read_log(prepared.run.out),
        samples=[(str(sample["prompt"]), str(sample["text"])) for sample in samples],
        pictures=[] if drawn is None else [(f"{CAPTION} ({PICTURES})", drawn.read_bytes())],
        sounds=[] if played is None else [(f"{HEARD} ({MUSIC})", played.read_bytes())],
        spectra=[] if played is None else [(SEEN, (played.parent / "spectrogram.png").read_bytes())],
    )


def _next(folder: Path, shown: Path) -> str:
    return "\n".join(
        [
            "",
            bold("What next?", sys.stderr),
            columns(
                [
                    (f'zoo generate {shlex.quote(str(folder))} prompt="The"', "go on from your words"),
                    (f"zoo generate {shlex.quote(str(folder))} show=probabilities", "what could come next"),
                    ("zoo train text/file data.path=FILE", "a model of a text of yours"),
                    ("zoo compare text/topics tokenizer=byte,char,bpe", "what a tokenizer changes"),
                    ("zoo list", "everything else"),
                ]
            ),
            f"All of it on one page: {shown}",
        ]
    )


VERB = Verb(
    usage="demo [key=value...]",
    about="Trains a small model on text that comes with Python (466 kB), a few minutes on two processor cores, and "
    "lets it write. Stop it whenever you like; it goes on where it was. No network is needed.",
    keys=Keys,
    examples=(
        ("zoo demo", "the whole of it"),
        ("zoo demo size=tiny out=quick", "the same in seconds, with a much smaller model"),
    ),
    run=run,
)
