"""``zoo generate``: let a checkpoint write, draw, or play."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.cli.asked import EVERY, Asked, read_asked
from zoo.cli.files import read_samples, refuse_taken, write_json
from zoo.cli.music import FOLDER as MUSIC_FOLDER
from zoo.cli.music import draw_music
from zoo.cli.pictures import FOLDER, draw_pictures
from zoo.cli.terminal import bar, cells, cut, dim, one_line, put, say, width
from zoo.cli.training import use_threads
from zoo.cli.verb import Call, Verb, key, one_target, read_keys, read_text
from zoo.cli.writing import write
from zoo.errors import ZooError, suggest
from zoo.settings import build
from zoo.weights.hub import locate

if TYPE_CHECKING:
    from zoo.model import Model
    from zoo.stack.model import Stack

DRAWN = {
    "image": ("pictures", "image=FILE completes one", FOLDER, draw_pictures),
    "music": ("music", "audio=FILE is gone on from", MUSIC_FOLDER, draw_music),
}
"""Modality that goes into files: what people call it, how it is continued, the default folder, and who draws it."""
SONGS = ("artist", "genre", "lyrics", "lyrics_file", "total_seconds", "codes", "pieces", "levels", "hop",
         "parallel_segments", "at_once")  # fmt: skip
"""Keys of stacks alone."""
CANDIDATES = 15
"""Tokens that ``show=probabilities`` shows."""
FILLINGS = 5
"""Candidates for each ``[MASK]``."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo generate``."""

    prompt: str | None = key(
        None, "text to go on from, taken to the letter; prompt=- reads standard input", literal=True
    )
    prompt_file: str | None = key(None, "file with the text to go on from", literal=True)
    image: str | None = key(None, "picture to complete, or a folder or glob of them", literal=True)
    keep_rows: int | None = key(None, "of image: top rows to keep; default: the upper half")
    mask: str | None = key(
        None,
        "instead of keep_rows: a picture, white where image is to be drawn anew (models of hidden pixels)",
        literal=True,
    )
    audio: str | None = key(None, "sound to go on from, or a folder or glob of them", literal=True)
    keep_seconds: float | None = key(None, "of audio: seconds of its beginning to keep; default: all")
    seconds: float | None = key(None, "of music: length of the new sound, instead of max_new_tokens")
    label: str | None = key(
        None, "class of the picture or music, for models that were told it; all: each of them", literal=True
    )
    unknown: Literal["error", "ok"] = key(
        "error", "a label that the model was not told of is an error, or (ok) no label is asked for"
    )
    artist: str | None = key(None, "of a stack of music: who plays", literal=True)
    genre: str | None = key(None, "of a stack: what kind of music", literal=True)
    lyrics: str | None = key(None, "of a stack: what is sung; lyrics=- reads standard input", literal=True)
    lyrics_file: str | None = key(None, "file with the lyrics", literal=True)
    total_seconds: float | None = key(None, "of a stack: length of the piece that the new music is a part of")
    codes: str | None = key(
        None, "of a stack: codes.npz, or the folder of an earlier run, to go on from or to make finer", literal=True
    )
    pieces: str | None = key(None, "of codes: the numbers of those to go on with, e.g. 0,3; default: all")
    levels: str | None = key(None, "of a stack: levels to draw, e.g. 2 or 1,0; default: all that are missing")
    hop: str | None = key(
        None, "of a stack: parts of a window from one to the next, the finest level first; default: 0.5,0.5,0.125"
    )
    parallel_segments: int = key(
        1, "of a stack: draw so many parts of finer levels side by side: faster, with seams (they are said)"
    )
    at_once: int | None = key(None, "of a stack: most pieces drawn side by side; default: what memory allows, up to 16")
    guidance: str = key(
        "1", "above 1: samples more typical of their label, and less varied (try 2); 1 is off; of a stack: one number, "
        "or one for each level, the finest first",
    )  # fmt: skip
    count: int = key(1, "samples; the second has the seed of the first plus 1, and so on")
    max_new_tokens: int | None = key(None, "length; default: what the recipe says, else what fits the context")
    temperature: str | None = key(
        None, "below 1 bolder towards the likely, above 1 wilder, 0 always the most likely; default: 1, of a stack "
        "0.99,0.99,0.98: one number, or one for each level, the finest first",
    )  # fmt: skip
    top_k: int = key(0, "draw among the k most likely only; 0 is off; of [MASK]: words to show, 0 is 5")
    top_p: float = key(1.0, "draw among the most likely that make up this share; 1 is off")
    min_p: float = key(0.0, "drop what is less likely than this fraction of the most likely; 0 is off")
    repetition_penalty: float = key(1.0, "above 1: what was said already becomes less likely")
    beams: int = key(1, "above 1: beam search instead of drawing")
    length_penalty: float = key(1.0, "of beam search; above 1 favours longer texts")
    stop: str | None = key(None, "end before this text", literal=True)
    truncate: Literal["error", "left"] = key("error", "a prompt longer than the context is an error, or loses its left")
    seed: int = key(0, "the same seed gives the same text")
    order: Literal["at_once", "one_by_one"] = key("at_once", "of several [MASK]: each by itself, or the surest first")
    show: Literal["text", "probabilities"] = key("text", "probabilities: what could come next, and how likely it is")
    out: str | None = key(
        None, f"folder for samples.json, pictures and sounds; default: {FOLDER}, {MUSIC_FOLDER}", literal=True
    )
    overwrite: bool = key(False, "replace the samples that are there")
    resume: bool = key(False, "keep the samples that are in out, drawn by the same command; draw what is missing")
    device: str = key("auto", "auto (the GPU if there is one), cpu, cuda, cuda:1", literal=True)
    dtype: Literal["float32", "bfloat16"] = key("float32", "of the weights")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")

    def sampling(self) -> dict[str, Any]:
        """Return the arguments of ``Model.stream`` and ``Model.draw``."""
        names = ("max_new_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "truncate", "beams")
        chosen = {name: getattr(self, name) for name in (*names, "length_penalty", "seed")}
        chosen["guidance"] = build(float, self.guidance, "guidance", from_text=True)
        chosen["temperature"] = build(float, self.temperature or "1", "temperature", from_text=True)
        return chosen | {"stop": (self.stop,) if self.stop else ()}


def run(call: Call) -> dict[str, Any]:
    """Draw samples and show them as they come."""
    target = one_target(call, "checkpoint", example='zoo generate demo prompt="Once upon a time"')
    keys = read_keys(Keys, call.pairs)
    if keys.count < 1:  # whatever is drawn, and before anything is
        raise ZooError(f"count must be at least 1, got {keys.count}")
    path = locate(target).path
    prompt = read_text(keys.prompt, keys.prompt_file, "prompt")
    lyrics = read_text(keys.lyrics, keys.lyrics_file, "lyrics")
    asked = read_asked(
        keys.image, keys.keep_rows, keys.mask, keys.label, audio=keys.audio, keep_seconds=keys.keep_seconds,
        seconds=keys.seconds, codes=keys.codes,
    )  # fmt: skip
    if keys.seconds is not None and keys.max_new_tokens is not None:
        raise ZooError("give seconds= or max_new_tokens=, not both")
    file = _samples_file(keys)
    use_threads(keys.threads)

    from zoo.loading import load

    model = load(path, device=keys.device, dtype=keys.dtype)
    asked.refuse(model.modality)
    if (stack := _stack(model, path)) is not None:
        return _songs(stack, target, prompt, lyrics, asked, keys, quiet=call.json)
    if said := [name for name in SONGS if getattr(keys, name) not in (None, 1)]:
        raise ZooError(f"{said[0]}: belongs to stacks of music, and this makes {model.modality}; leave it out")
    asked = _known(asked, model, keys)
    if model.modality in DRAWN:
        return _draw(model, target, prompt, asked, keys, quiet=call.json)
    if keys.resume and file is None:
        raise ZooError("resume=true goes on with a samples.json: say out=DIR")
    if not model.network.causal:
        return _fill(model, prompt, keys, file, quiet=call.json)
    if keys.order != "at_once":
        raise ZooError("order: this model writes from left to right; the order is a matter of models that fill [MASK]")
    if keys.show == "probabilities":
        return _probabilities(model, prompt, keys, quiet=call.json)
    begins = (prompt or "") if model.network.source_context is None else ""  # a target begins anew
    if not call.json and file is None and keys.beams == 1:
        _stream(model, prompt, keys, begins)
        return {}
    settings = {"checkpoint": str(target), "prompt": prompt or "", **_stated(keys)}
    samples = read_samples(file, settings)[: keys.count] if keys.resume and keys.beams == 1 else []
    if missing := keys.count - len(samples):
        drawn = model.draw(prompt, count=missing, **{**keys.sampling(), "seed": keys.seed + len(samples)})
        samples += [
            {"index": index, "seed": one.seed, "prompt": prompt or "", "text": one.sample, "ids": one.ids.tolist()}
            for index, one in enumerate(drawn, len(samples))
        ]
    document = {"samples": samples, "settings": settings}
    if file is not None:
        write_json(file, document)
    if not call.json:
        for sample in samples:
            _heading(sample["index"], keys)
            write([str(sample["text"])], begins)
    return document


def _known(asked: Asked, model: Model, keys: Keys) -> Asked:
    """Return what is asked, without a label that the model was not told of, if that is to be so.

    Raises:
        ZooError: such a label, and nobody has said that it does not matter.
    """
    classes: tuple[str, ...] = getattr(model.network.config, "classes", ())
    if asked.label is None or asked.label in classes or (asked.label == EVERY and classes):
        return asked
    if keys.unknown == "error":
        known = f"unknown label '{asked.label}'{suggest(asked.label, classes, nearest=3)}" if classes else (
            f"label: this model was told of no labels, got '{asked.label}'"
        )  # fmt: skip
        raise ZooError(f"{known} (unknown=ok asks for no label)")
    say(f"the model was not told of the label '{asked.label}': no label is asked for")
    return dataclasses.replace(asked, label=None)


def _draw(model: Model, target: str, prompt: str | None, asked: Asked, keys: Keys, *, quiet: bool) -> dict[str, Any]:
    """Draw pictures or music, which go into files."""
    things, hint, folder, draw = DRAWN[model.modality]
    texts = {"prompt": prompt, "stop": keys.stop, "order": keys.order != "at_once", "show": keys.show != "text"}
    names = [name for name, value in texts.items() if value]
    if names:
        raise ZooError(f"{names[0]}: belongs to models of text; this one makes {things}: {hint}")
    return draw(
        model,
        asked,
        keys.sampling(),
        keys.count,
        Path(keys.out or folder),
        {"checkpoint": target, **_stated(keys)},
        resume=keys.resume,
        overwrite=keys.overwrite,
        quiet=quiet,
    )


def _stack(model: Model, path: Path) -> Stack | None:
    """Return a stack, also of a single prior of music; None for any other model."""
    from zoo.music.prior import Prior
    from zoo.stack.model import Stack

    if isinstance(model, Stack):
        return model
    return Stack.of_prior(model, str(path)) if isinstance(model.network, Prior) else None


def _songs(
    stack: Stack, target: str, prompt: str | None, lyrics: str | None, asked: Asked, keys: Keys, *, quiet: bool
) -> dict[str, Any]:
    """Draw pieces of music, level by level."""
    from zoo.cli.songs import Beginning, draw_songs
    from zoo.stack.plan import Request

    foreign = {
        "prompt": prompt, "label": asked.label, "stop": keys.stop, "order": keys.order != "at_once",
        "show": keys.show != "text", "max_new_tokens": keys.max_new_tokens is not None,
        "repetition_penalty": keys.repetition_penalty != 1, "beams": keys.beams != 1,
        "length_penalty": keys.length_penalty != 1, "truncate": keys.truncate != "error",
    }  # fmt: skip
    if said := [name for name, value in foreign.items() if value]:
        raise ZooError(
            f"{said[0]}: a stack of music takes artist=, genre=, lyrics=, seconds=, audio= or codes= instead"
        )
    chosen: dict[str, Any] = {
        "artist": keys.artist or "", "genre": keys.genre or "", "lyrics": lyrics or "", "seconds": keys.seconds,
        "total_seconds": keys.total_seconds, "count": keys.count, "seed": keys.seed,
        "temperature": numbers("temperature", keys.temperature, float), "top_k": keys.top_k, "top_p": keys.top_p,
        "min_p": keys.min_p, "guidance": _one_or_each("guidance", keys.guidance),
        "hop": numbers("hop", keys.hop, float),
        "levels": numbers("levels", keys.levels, int), "parallel_segments": keys.parallel_segments,
        "unknown": keys.unknown == "ok", "at_once": keys.at_once,
    }  # fmt: skip
    single = {name: _one_or_each(name, getattr(keys, name)) for name in ("temperature", "hop")}
    return draw_songs(
        stack,
        Request(**{**chosen, **single}),
        Beginning(
            sounds=asked.sounds,
            names=asked.sound_names,
            codes=keys.codes,
            pieces=numbers("pieces", keys.pieces, int),
            keep_seconds=keys.keep_seconds,
        ),
        Path(keys.out or MUSIC_FOLDER),
        {
            "checkpoint": target,
            **{name: value for name, value in chosen.items() if name != "at_once"},
            "dtype": keys.dtype,
        },  # fewer at once draw the same in float32 on a CPU, and save a run that ran out of memory elsewhere
        resume=keys.resume,
        overwrite=keys.overwrite,
        quiet=quiet,
    )


def numbers(name: str, text: str | None, kind: type) -> tuple[Any, ...] | None:
    """Return numbers that people wrote with commas between them, None for nothing."""
    if text is None:
        return None
    parts = text.strip("[]() ").split(",")
    return tuple(build(kind, part.strip(), name, from_text=True) for part in parts)


def _one_or_each(name: str, text: str | None) -> float | tuple[float, ...] | None:
    """Return one number for all levels, or one for each."""
    found: tuple[float, ...] | None = numbers(name, text, float)
    return found[0] if found and len(found) == 1 else found


def _samples_file(keys: Keys) -> Path | None:
    """Return where samples.json goes, refused before anything is drawn if something is there."""
    if keys.out is None:
        return None
    file = Path(keys.out) / "samples.json"
    refuse_taken(file.parent, [file.name], allowed=keys.overwrite or keys.resume)
    return file


def _stated(keys: Keys) -> dict[str, Any]:
    """Return what decides a sample beside checkpoint and prompt, as JSON holds it."""
    return {**keys.sampling(), "stop": keys.stop, "dtype": keys.dtype}


def _stream(model: Model, prompt: str | None, keys: Keys, begins: str) -> None:
    """Write each sample while it is drawn: seed by seed, which gives the same texts as drawing them together.

    ``begins`` is what each of them begins with.
    """
    for index in range(keys.count):
        pieces = model.stream(prompt, **{**keys.sampling(), "seed": keys.seed + index})
        _heading(index, keys)
        write(pieces, begins)


def _heading(index: int, keys: Keys) -> None:
    if keys.count > 1:
        before = "\n" if index and sys.stdout.isatty() else ""
        say(before + dim(f"-- {index + 1} of {keys.count}, seed {keys.seed + index}", sys.stderr))


def _probabilities(model: Model, prompt: str | None, keys: Keys, *, quiet: bool) -> dict[str, Any]:
    """Show what could come next as a table with bars."""
    sampling = {
        name: value for name, value in keys.sampling().items() if name not in ("beams", "length_penalty", "stop")
    }
    found = model.next_token_probabilities(prompt, CANDIDATES, **sampling)
    if not quiet:
        put(probability_table([(one.text, one.probability) for one in found]))
    likely = [{"id": one.id, "text": one.text, "probability": one.probability} for one in found]
    return {"samples": [], "prompt": prompt or "", "probabilities": likely}


def _fill(model: Model, prompt: str | None, keys: Keys, file: Path | None, *, quiet: bool) -> dict[str, Any]:
    """Fill the gaps of the prompt: the text goes to standard output, what else could stand there to standard error."""
    from zoo.filling import refuse_sampling

    if keys.resume:
        raise ZooError("this model fills [MASK], which is done at once; leave out resume, or say overwrite=true")
    refuse_sampling({**keys.sampling(), "top_k": 0, "count": keys.count})
    if keys.top_k < 0:
        raise ZooError(f"top_k: must be 0 (five words) or more, got {keys.top_k}")
    filled = model.fill(prompt or "", count=keys.top_k or FILLINGS, order=keys.order)
    masks = [
        {
            "position": mask.position,
            "candidates": [{"id": one.id, "text": one.text, "probability": one.probability} for one in mask.candidates],
        }
        for mask in filled.masks
    ]
    sample = {"index": 0, "seed": keys.seed, "prompt": filled.prompt, "text": filled.text}
    document = {"samples": [{**sample, "ids": filled.ids.tolist(), "masks": masks}]}
    if file is not None:
        write_json(file, document)
    if not quiet:
        tell = put if keys.show == "probabilities" else say
        if keys.show == "text":
            write([filled.text], "")
        for number, mask in enumerate(filled.masks, 1):
            tell(dim(f"[MASK] {number} of {len(masks)}", sys.stderr if tell is say else sys.stdout))
            tell(probability_table([(one.text, one.probability) for one in mask.candidates]))
    return document


def probability_table(candidates: Sequence[tuple[str, float]]) -> str:
    """Return a line per (token, probability), with bars as long as they are likely, and what is left for all others."""
    rows = [(f'"{one_line(text)}"', probability) for text, probability in candidates]
    left = min(24, max((cells(name) for name, _ in rows), default=0))
    most = max((probability for _, probability in rows), default=1.0)
    room = width() - left - 10
    lines = []
    for name, probability in rows:
        shown = cut(name, left)
        gap = " " * (left - cells(shown))
        lines.append(f"{shown}{gap}  {probability:6.1%}  {bar(probability / most, room)}".rstrip())
    rest = 1.0 - sum(probability for _, probability in candidates)
    return "\n".join([*lines, dim(f"all others: {rest:.1%}")] if rest > 0.0005 else lines)


VERB = Verb(
    usage='generate CHECKPOINT [prompt="TEXT" | image=FILE | audio=FILE] [key=value...]',
    about="Lets a checkpoint write, draw or play: a folder, or a name that 'zoo list checkpoints' shows. Text appears "
    "as it is drawn; the same seed gives the same text. A masked language model (BERT) fills each [MASK] of the prompt "
    "instead. Pictures go to out: 000.png and so on, all on grid.png; completed ones beside the original on sheet.png. "
    "Music goes to 000.wav and so on, its ids to codes.npz, and spectrogram.png shows it.",
    keys=Keys,
    examples=(
        ('zoo generate shakespeare prompt="O God, O God!" max_new_tokens=200 temperature=0.8', "one sample"),
        ("cat chapter.txt | zoo generate novel prompt=- truncate=left count=3 top_p=0.95", "three endings of a text"),
        ('zoo generate shakespeare prompt="To be or not to " show=probabilities', "what could come next"),
        ('zoo generate text-bert prompt="He took his [MASK] and went." top_k=10', "what could stand there"),
        ("zoo generate mnist label=all count=10 guidance=2 out=digits", "ten pictures of each class"),
        ("zoo generate mnist image=seven.png keep_rows=14 count=5 out=sevens", "five ways to complete a picture"),
        ("zoo generate music-wave label=flute seconds=4 out=tunes", "four seconds of music"),
        ("zoo generate my-stack artist=flute lyrics_file=song.txt seconds=20 out=song", "a stack: level by level"),
    ),
    run=run,
)
