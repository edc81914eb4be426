"""``zoo reconstruct``: files through ids and back, to be heard, seen and read, with figures of what was lost."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.coding import TOKENIZER_KEYS, choose_coder, read_targets, split_words
from zoo.cli.files import write_bytes, write_json, write_text
from zoo.cli.terminal import put, say, table
from zoo.cli.tokenize import progress
from zoo.cli.training import use_threads
from zoo.cli.verb import Call, Verb, key, read_keys
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.coding.coders import Coder
    from zoo.coding.scores import Return
    from zoo.data.shards import Origin
    from zoo.tokenizers.base import Modality

REPORT = "report.json"
EXAMPLE = "zoo reconstruct song.wav tokenizer=mu_law out=heard"
LONGEST_NAME = 80
"""Characters of a file's name that its round trip keeps."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo reconstruct``."""

    tokenizer: str | None = key(None, "a name, a tokenizer's folder, a codec's checkpoint, a model's", literal=True)
    out: str = key("reconstructed", f"folder for what comes back and {REPORT}", literal=True)
    overwrite: bool = key(False, "replace what is in out")
    device: str = key("auto", "where codecs compute: auto, cpu, cuda, ...")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")


def run(call: Call) -> dict[str, Any]:
    """Send files through ids and back, and say where they are and how near."""
    own, words = split_words(call.pairs)
    keys = read_keys(Keys, own)
    targets = read_targets(call.targets, example=EXAMPLE)
    out = Path(keys.out)
    if (out / REPORT).exists() and not keys.overwrite:
        raise ZooError(f"{out / REPORT} is there already; add overwrite=true or choose another out=DIR")
    use_threads(keys.threads)
    coder = choose_coder(keys.tokenizer, words, targets, device=keys.device)
    origin, told = coder.origin, progress(quiet=call.json)
    items, writer = targets.items(origin.modality), WRITERS[origin.modality]
    totals = [coder.score(level) for level in range(origin.levels)]
    files: list[dict[str, Any]] = []
    (out / REPORT).unlink(missing_ok=True)  # a report never speaks of other files than those beside it
    for number, (item, stem) in enumerate(zip(items, stems(item.path.stem for item in items), strict=True)):
        told(number, len(items), item.name)
        one = coder.there_and_back(item.path)
        scores = [coder.score(level) for level in range(origin.levels)]
        for score, total in zip(scores, totals, strict=True):
            score.add(one)
            total.join(score)
        written = writer.write(one, out, stem, origin)
        levels = [{"level": score.level, "ids": score.ids, "metrics": score.metrics()} for score in scores]
        files.append({"file": item.name, **written, "levels": levels})
    report = {
        "tokenizer": keys.tokenizer,
        **_facts(coder),
        "samples": len(files),
        "levels": [
            {"level": total.level, "ids": total.ids, "codes": codes, "hop": hop, "metrics": total.metrics()}
            for total, codes, hop in zip(totals, origin.codes, origin.hops, strict=True)
        ],
        "metrics": totals[0].metrics(),
        "files": files,
    }
    write_json(out / REPORT, report)
    if not call.json:
        put(str(out / REPORT))
        say(_table(report["levels"]))
    return {**report, "report": str(out / REPORT)}


class Writer(ABC):
    """Writes what came back of one file."""

    @abstractmethod
    def write(self, one: Return[Any], out: Path, stem: str, origin: Origin) -> dict[str, Any]:
        """Write it into ``out`` under names that begin with ``stem``; return what the report says of it."""


class TextWriter(Writer):
    """Texts, as UTF-8."""

    def write(self, one: Return[str], out: Path, stem: str, origin: Origin) -> dict[str, Any]:
        """Write ``STEM.txt``."""
        write_text(out / f"{stem}.txt", one.returned[0])
        return {"outputs": [str(out / f"{stem}.txt")]}


class PictureWriter(Writer):
    """Pictures, as large as the tokenizer's grid."""

    def write(self, one: Return[Any], out: Path, stem: str, origin: Origin) -> dict[str, Any]:
        """Write ``STEM.png``."""
        from zoo.cli.sheet import png

        write_bytes(out / f"{stem}.png", png(one.returned[0]))
        return {"outputs": [str(out / f"{stem}.png")]}


class SoundWriter(Writer):
    """Sounds at the tokenizer's rate, and their spectrograms beside the original's."""

    def write(self, one: Return[Any], out: Path, stem: str, origin: Origin) -> dict[str, Any]:
        """Write ``STEM.wav``, or ``STEM.level_0.wav`` and so on where there are levels, and ``STEM.png``."""
        from zoo.cli.sheet import png
        from zoo.cli.spectrogram import Panel, spectrograms
        from zoo.data.write_sound import write_wav
        from zoo.tokenizers.audio.waveform import Audio
        from zoo.weights.files import make_writable

        rate = origin.rate or 0
        make_writable(out)
        outputs, panels = [], [Panel(title=f"{stem}, original", samples=one.original.numpy())]
        for level, (returned, hop) in enumerate(zip(one.returned, origin.hops, strict=True)):
            name = f"{stem}.level_{level}.wav" if origin.levels > 1 else f"{stem}.wav"
            write_wav(out / name, Audio(samples=returned.numpy(), rate=rate))
            outputs.append(str(out / name))
            samples = "a sample an id" if hop == 1 else f"{hop} samples an id"
            title = f"level {level}, {samples}" if origin.levels > 1 else f"{origin.type}, {samples}"
            panels.append(Panel(title=title, samples=returned.numpy()))
        write_bytes(out / f"{stem}.png", png(spectrograms(panels, rate)))
        seconds = len(one.original) / rate
        return {"seconds": round(seconds, 6), "outputs": outputs, "spectrogram": str(out / f"{stem}.png")}


WRITERS: Mapping[Modality, Writer] = {"text": TextWriter(), "image": PictureWriter(), "music": SoundWriter()}


def stems(names: Iterable[str]) -> list[str]:
    """Return names for files that come back: those of the originals, safe on every system, each once."""
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^\w.,+ -]+", "-", name).strip(". ")[:LONGEST_NAME] or "file"
        stem = next(
            stem
            for number in range(1, len(taken) + 2)
            if (stem := plain if number == 1 else f"{plain}-{number}").lower() not in taken
        )
        taken.add(stem.lower())
        found.append(stem)
    return found


def _facts(coder: Coder[Any]) -> dict[str, Any]:
    origin = coder.origin
    rate = {} if origin.rate is None else {"rate": origin.rate}
    return {"type": origin.type, "modality": origin.modality, **rate, "lossless": coder.lossless}


def _table(levels: Sequence[Mapping[str, Any]]) -> str:
    names = list(levels[0]["metrics"])
    rows = [[str(row["level"]), *(_number(row["metrics"][name]) for name in names)] for row in levels]
    return table(["level", *(name.replace("_", " ") for name in names)], rows, right=range(len(names) + 1))


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


VERB = Verb(
    usage="reconstruct FILE... | FOLDER tokenizer=NAME [key=value...]",
    about="Sends sounds, pictures or texts through ids and back, and writes what returns: wav files of every level of "
    "a codec with a picture of spectrograms beside the original's, PNG files, or texts. report.json says how near they "
    "come: spectral convergence, SI-SDR and log-mel distance of sounds (in dB), the error of pictures, whether texts "
    "are whole; and which share of the codes is in use.",
    keys=Keys,
    examples=(
        (EXAMPLE, "256 levels, 8,000 times a second"),
        ("zoo reconstruct songs tokenizer=checkpoints/codec", "a folder, by every level of a codec"),
        ("zoo reconstruct cat.png tokenizer=mnist out=seen", "a picture as a model sees it"),
    ),
    more=TOKENIZER_KEYS,
    more_title="Keys of the tokenizer",
    run=run,
)
