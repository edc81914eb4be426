"""``zoo generate`` for a stack: pieces of music level by level, never lost, with a page that plays them."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.asked import read_beginning
from zoo.cli.files import npz, refuse_taken, write_bytes, write_json, write_text
from zoo.cli.listening import Listening
from zoo.cli.terminal import put, say
from zoo.errors import ZooError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.stack.model import Stack
    from zoo.stack.plan import Plan, Request
    from zoo.stack.run import Finished

SHOWN = 6
"""Most sounds on the picture."""
TOLD = ("artist", "genre", "lyrics", "total", "offset")
"""What stands beside codes of each piece, its ``Piece``: of our own runs, and of what ``zoo convert`` takes over."""
CODEC = "fingerprints"
"""What stands beside codes of each level, the finest first: of the tokenizer whose ids they are."""
MADE = ("samples.json", "codes.npz", "alignment.npz", "spectrogram.png", "index.html")


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What pieces go on from, as people named it.

    Attributes:
        sounds: their files; none for no sounds.
        names: of the files.
        codes: a codes.npz, or the folder of an earlier run; None for none.
        pieces: those of codes that are gone on with, by number; None for all.
        keep_seconds: of the beginning that is kept; None for all.
    """

    sounds: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    codes: str | None = None
    pieces: tuple[int, ...] | None = None
    keep_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.pieces is not None and self.codes is None:
            raise ZooError("pieces: says which of codes to go on with; say codes=FOLDER")

    def stated(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        pieces = None if self.pieces is None else list(self.pieces)
        return {"audio": list(self.names), "codes": self.codes, "pieces": pieces, "keep_seconds": self.keep_seconds}

    @functools.cached_property
    def _arrays(self) -> dict[str, Any]:
        """What the file of codes holds."""
        return {} if self.codes is None else read_codes(Path(self.codes).expanduser())

    def given(self, stack: Stack) -> dict[int, Tensor]:
        """Return the codes to begin with, by level.

        Raises:
            ZooError: unreadable files, codes of another codec.
        """
        if self.codes is None:
            sounds = [read_beginning(path, self.keep_seconds) for path in self.sounds]
            return stack.encode(sounds, self.keep_seconds) if sounds else {}
        from zoo.stack.codes import checked_codes, refuse_other_codec

        levels = {name: array for name, array in self._arrays.items() if name.startswith("level_")}
        numbers = [level for level in stack.tokenizers if f"level_{level}" in levels]
        refuse_other_codec(numbers, [str(one) for one in self._arrays.get(CODEC, ())], stack.tokenizers)
        found = checked_codes(levels, stack.tiers, self.pieces)
        if self.keep_seconds is None:
            return found
        unit = stack.tiers[0].hop
        kept = round(self.keep_seconds * stack.rate) // unit * unit
        if not kept:
            raise ZooError(f"keep_seconds: must keep an id of the coarsest level, {unit / stack.rate:.3f} s or more")
        hops = {tier.level: tier.hop for tier in stack.tiers}
        return {level: codes[:, : kept // hops[level]] for level, codes in found.items()}

    def came(self) -> list[dict[str, Any]]:
        """Return what the file of codes says of each piece beside its codes: names, lyrics, and where it begins.

        Raises:
            ZooError: not of as many pieces as there are codes.
        """
        arrays = self._arrays
        told = {name: arrays[name].tolist() for name in TOLD if name in arrays}
        rows = max(len(array) for name, array in arrays.items() if name.startswith("level_")) if told else 0
        for name, values in told.items():
            if not isinstance(values, list) or len(values) != rows:
                raise ZooError(f"codes: {name} is of other pieces than the codes, of which there are {rows}")
        if not told:
            return []
        numbers = range(rows) if self.pieces is None else self.pieces
        return [{name: values[number] for name, values in told.items()} for number in numbers]


def read_codes(path: Path) -> dict[str, Any]:
    """Return the arrays of a codes.npz, or of the one in a folder.

    Raises:
        ZooError: no such file, or none of codes.
    """
    import numpy as np

    from zoo.stack.journal import DAMAGED

    file = path / "codes.npz" if path.is_dir() else path
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files if name.startswith("level_") or name in (*TOLD, CODEC)}
    except (*DAMAGED, AttributeError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "it is no codes.npz"
        raise ZooError(f"codes: {file} cannot be read: {reason}; give codes=FILE.npz or the folder of a run") from None


def draw_songs(
    stack: Stack,
    request: Request,
    beginning: Beginning,
    out: Path,
    settings: Mapping[str, Any],
    *,
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Draw pieces into ``out``.

    The finest level goes to ``000.wav`` and so on, coarser ones to ``level_2/000.wav``, codes to ``codes.npz``, where
    the lyrics are sung to ``alignment.npz``; ``index.html`` plays and shows all of it. ``sampling/`` is what
    ``resume=true`` goes on from.

    Args:
        stack: draws them.
        request: what is asked.
        beginning: what they go on from.
        out: the folder.
        settings: what decides the pieces: another call may go on if all of it is the same.
        resume: go on with the run that is there.
        overwrite: forget it.
        quiet: say nothing.

    Raises:
        ZooError: something is in the folder and nobody said what to do about it, or other settings made it.
    """
    from zoo.stack.journal import FOLDER, Journal
    from zoo.stack.run import Finished, Progress, carry_out
    from zoo.weights.files import locked, make_writable

    refuse_taken(out, (*MADE, FOLDER, "000.wav"), allowed=resume or overwrite)
    decided = {**settings, **beginning.stated(), "weights": stack.fingerprint, "device": stack.device.type}
    make_writable(out)
    with locked(out), Journal(out) as journal:
        plan = _resumed(journal, stack, request, decided, out) if resume else None
        if plan is None:
            if resume and not overwrite:
                _refuse_foreign(out)
            given, came = beginning.given(stack), beginning.came()
            plan = stack.plan(request, given, came=came)
            journal.begin({"settings": decided, "fits": plan.fits(), "came": came}, given)
        _clear(out)  # only now, for what is gone on from may lie here; a run that goes on writes all of it anew
        if not quiet:
            for remark in plan.remarks():
                say(remark)
        writer = _Writer(stack, plan, out, decided, beginning, request)
        listening = Listening(quiet=quiet)
        with listening:
            for event in carry_out(plan, journal):
                if isinstance(event, Progress):
                    listening.hear(event)
                elif isinstance(event, Finished):
                    writer.level(event)
                    listening.say(f"level {event.level} is in {writer.place(event.level)}")
        document = writer.finish()
    if not quiet:
        count = len(document["samples"])
        say(f"{count} piece{'s' * (count > 1)} of {plan.samples / plan.rate:.2f} s; see and hear {out / 'index.html'}")
        for sample in document["samples"]:
            put(sample["file"])
    return document


def _resumed(journal: Any, stack: Stack, request: Request, decided: Mapping[str, Any], out: Path) -> Plan | None:
    """Return the plan of the run that is there, None if there is none."""
    earlier = journal.plan()
    if earlier is None:
        return None
    stated = json.loads(json.dumps(decided))
    before = earlier.get("settings")
    if not isinstance(before, dict) or not isinstance(earlier.get("fits"), dict):
        raise ZooError(f"{out} cannot be gone on with: its plan is damaged; say overwrite=true")
    for name, value in stated.items():
        if before.get(name) != value:
            raise ZooError(
                f"{out} was drawn with {name}={before.get(name)!r}, not {value!r}; repeat its command with "
                "resume=true, or choose another out=DIR"
            )
    return stack.plan(request, journal.given(), earlier["fits"], earlier.get("came") or ())


def _refuse_foreign(out: Path) -> None:
    """Refuse to go on where there is music that no run in the folder can have made.

    Raises:
        ZooError: name a file of it.
    """
    for name in (*MADE, "000.wav"):
        if (out / name).exists():
            raise ZooError(
                f"{out / name} is there, and no run that could be gone on with; say overwrite=true instead of "
                "resume=true, or choose another out=DIR"
            )


def _clear(out: Path) -> None:
    """Remove what an earlier run made, its list first."""
    for name in MADE:
        (out / name).unlink(missing_ok=True)
    for folder in (out, *out.glob("level_[0-9]*")):
        for file in folder.glob("[0-9][0-9][0-9].wav"):
            file.unlink()


class _Writer:
    """Writes what a run makes, level by level."""

    def __init__(
        self, stack: Stack, plan: Plan, out: Path, decided: Mapping[str, Any], beginning: Beginning, request: Request
    ) -> None:
        self.stack, self.plan, self.out, self.decided, self.request = stack, plan, out, decided, request
        self.finest = plan.stages[-1].tier.level
        self.codes: dict[int, Tensor] = dict(plan.given)
        self.alignments: tuple[Tensor, ...] = ()
        self.names = [name for name in beginning.names for _ in range(request.count)] or [
            beginning.codes or piece.lyrics or request.artist or request.genre for piece in plan.said
        ]

    def place(self, level: int) -> Path:
        """Return the folder of a level's sounds."""
        return self.out if level == self.finest else self.out / f"level_{level}"

    def level(self, finished: Finished) -> None:
        """Write the sounds of a level, and all codes so far."""
        from zoo.data.write_sound import write_wav

        folder = self.place(finished.level)
        folder.mkdir(parents=True, exist_ok=True)
        for index, codes in enumerate(finished.codes):
            write_wav(folder / f"{index:03d}.wav", self.stack.decode(codes, finished.level))
        self.codes[finished.level] = finished.codes
        write_bytes(self.out / "codes.npz", npz(self._arrays()))
        if finished.alignments:
            self.alignments = finished.alignments
            named = {f"alignment_{index}": one.half() for index, one in enumerate(finished.alignments)}
            write_bytes(self.out / "alignment.npz", npz(named))

    def _arrays(self) -> dict[str, Any]:
        """Return the codes so far, whose ids they are, and what was said of each piece, to go on from."""
        from zoo.stack.codes import fingerprints_of

        codes = {f"level_{level}": codes for level, codes in self.codes.items()}
        said = {name: [getattr(piece, name) for piece in self.plan.said] for name in TOLD}
        return {**codes, **said, CODEC: fingerprints_of(self.codes, self.stack.tokenizers)}

    def finish(self) -> dict[str, Any]:
        """Write the list, the picture and the page."""
        seconds = self.plan.samples / self.plan.rate
        samples = [
            {
                "index": index,
                "seed": seed,
                "prompt": self.names[index],
                "file": str(self.out / f"{index:03d}.wav"),
                "seconds": seconds,
                "codes": {f"level_{level}": codes[index].tolist() for level, codes in sorted(self.codes.items())},
            }
            for index, seed in enumerate(self.plan.seeds)
        ]
        document = {"samples": samples, "settings": dict(self.decided), "codes": str(self.out / "codes.npz")}
        picture = self._picture(samples)
        write_bytes(self.out / "spectrogram.png", picture)
        document["spectrogram"] = str(self.out / "spectrogram.png")
        write_text(self.out / "index.html", self._page(samples, picture))
        document["page"] = str(self.out / "index.html")
        write_json(self.out / "samples.json", document)
        return document

    def _picture(self, samples: Sequence[Mapping[str, Any]]) -> bytes:
        from zoo.cli.sheet import png
        from zoo.cli.spectrogram import Panel, spectrograms

        panels = [
            Panel(
                title=f"{index:03d}.wav seed {sample['seed']}",
                samples=self.stack.decode(self.codes[self.finest][index], self.finest).samples,
            )
            for index, sample in enumerate(samples[:SHOWN])
        ]
        return png(spectrograms(panels, self.stack.rate))

    def _page(self, samples: Sequence[Mapping[str, Any]], picture: bytes) -> str:
        from zoo.cli.songs_page import Piece, page

        places = [(stage.tier.level, self.place(stage.tier.level)) for stage in reversed(self.plan.stages)]
        pieces = []
        for index, sample in enumerate(samples):
            sounds = [(f"level {level}", (place / f"{index:03d}.wav").read_bytes()) for level, place in places]
            heard = self.alignments[index].numpy() if self.alignments and self.alignments[index].numel() else None
            title, sung = f"{index:03d}, seed {sample['seed']}", self._sung(index)
            pieces.append(Piece(title=title, sounds=sounds, alignment=heard, lyrics=sung))
        request = self.request
        facts = [(name, str(value)) for name, value in self.decided.items() if value not in (None, [], "")]
        return page(
            title=" · ".join(part for part in (request.artist, request.genre) if part) or "Music",
            lead=f"{self.plan.samples / self.plan.rate:.2f} seconds, drawn by {self.decided.get('checkpoint')}",
            pieces=pieces,
            seconds=self.plan.samples / self.plan.rate,
            spectrogram=picture,
            facts=facts,
            remarks=self.plan.remarks(),
        )

    def _sung(self, index: int) -> str:
        """Return the lyrics of a piece as the prior reads them, a character for each column of an alignment."""
        for stage in self.plan.stages:
            lyrics = stage.tier.config.lyrics
            if lyrics is not None and lyrics.alphabet is not None:
                return lyrics.alphabet.clean(self.plan.said[index].lyrics)
        return self.plan.said[index].lyrics
