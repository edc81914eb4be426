"""What ``zoo generate`` is asked about pictures and sounds: checked in full before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.data.records import Sound

LONGEST = 3600.0
"""Most seconds of sound at once."""
EVERY = "all"
"""``label=all``: every class."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What one group of pictures or sounds begins with.

    Attributes:
        name: path of the file, else the label, else nothing: what samples.json calls the prompt.
        label: class that is asked for, None for none.
        given: the part of a picture that is kept, or a sound; None for nothing.
    """

    name: str
    label: str | None
    given: Any = None

    def stated(self) -> dict[str, str]:
        """Return what samples.json says of it: the label, too, where it is not the prompt itself."""
        told = {} if self.given is None or self.label is None else {"label": self.label}
        return {"prompt": self.name, **told}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says of pictures and sounds; checked before a model is loaded.

    Attributes:
        files: pictures to complete.
        names: as people wrote them.
        keep_rows: top rows of each that are kept; None for half.
        mask: a picture that is white where pixels are to be drawn; None without.
        label: a class, ``all`` for every class, None for none.
        sounds: sounds to go on from.
        sound_names: as people wrote them.
        keep_seconds: beginning of each that is kept; None for all of it.
        seconds: length of new sound; None for what the recipe says.
    """

    files: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    keep_rows: int | None = None
    mask: Path | None = None
    label: str | None = None
    sounds: tuple[Path, ...] = ()
    sound_names: tuple[str, ...] = ()
    keep_seconds: float | None = None
    seconds: float | None = None

    def labels(self, classes: Sequence[str]) -> Sequence[str | None]:
        """Return the labels that are asked for, of a model that knows these classes: of ``all`` each of them."""
        return classes if self.label == EVERY and EVERY not in classes and classes else (self.label,)

    def refuse(self, modality: str) -> None:
        """Refuse to be asked of a model that makes something else.

        Raises:
            ZooError: name what belongs to pictures or music.
        """
        pictures, music = ("pictures", "image"), ("music", "music")
        belongings = {
            "image": (self.files, (pictures,)),
            "label": (self.label is not None, (pictures, music)),
            "audio": (self.sounds, (music,)),
            "seconds": (self.seconds is not None, (music,)),
        }
        for name, (given, owners) in belongings.items():
            if given and modality not in [kind for _, kind in owners]:
                whose = " or ".join(owner for owner, _ in owners)
                raise ZooError(f"{name}: belongs to models of {whose}, and this one makes {modality}; leave it out")


def read_asked(
    image: str | None, keep_rows: int | None, mask: str | None, label: str | None, *, audio: str | None = None,
    keep_seconds: float | None = None, seconds: float | None = None, codes: str | None = None,
) -> Asked:  # fmt: skip
    """Check what the command line says; every file is read once, and none is kept in memory.

    Raises:
        ZooError: no such file, no picture or sound, keys that do not go together.
    """
    for name, value in (("keep_rows", keep_rows), ("mask", mask)):
        if value is not None and image is None:
            raise ZooError(f"{name}: says what is kept of a picture; say which with image=FILE")
    if keep_rows is not None and mask is not None:
        raise ZooError("give keep_rows= or mask=, not both")
    if keep_rows is not None and keep_rows < 0:
        raise ZooError(f"keep_rows: must be 0 or more, got {keep_rows}")
    if image is not None and audio is not None:
        raise ZooError("give image= or audio=, not both")
    if codes is not None and audio is not None:
        raise ZooError("give audio= or codes=, not both")
    if keep_seconds is not None and audio is None and codes is None:
        raise ZooError("keep_seconds: says what is kept of a sound; say which with audio=FILE")
    for name, length in (("keep_seconds", keep_seconds), ("seconds", seconds)):
        if length is not None and not 0 < length <= LONGEST:
            raise ZooError(f"{name}: must be above 0 and at most {LONGEST:.0f}, got {length}")
    pictures, names = ((), ()) if image is None else _found(image, "image")
    sounds, sound_names = ((), ()) if audio is None else _found(audio, "sound")
    covering = None if mask is None else Path(mask).expanduser()
    if pictures:
        from zoo.data.read_image import read_image

        for path in (*pictures, *([covering] if covering else [])):
            read_image(path)
    for path in sounds:
        read_beginning(path, keep_seconds)
    return Asked(
        files=pictures, names=names, keep_rows=keep_rows, mask=covering, label=label, sounds=sounds,
        sound_names=sound_names, keep_seconds=keep_seconds, seconds=seconds,
    )  # fmt: skip


def read_beginning(path: Path, seconds: float | None) -> Sound:
    """Return the first ``seconds`` of a sound file, all of it if None.

    Raises:
        ZooError: not a sound file, damaged, or without samples.
    """
    from zoo.data.read_sound import read_sound
    from zoo.data.records import Sound
    from zoo.data.sound_file import open_sound

    if seconds is None:
        return read_sound(path)
    with open_sound(path) as sound:
        return Sound(samples=sound.part(0, max(1, round(seconds * sound.rate))), rate=sound.rate)


def _found(text: str, kind: Literal["image", "sound"]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the files that a path, a folder or a glob means, and their names as people wrote them."""
    from zoo.data.files import find
    from zoo.data.read import choose

    if not text.strip():
        raise ZooError(f"{'image' if kind == 'image' else 'audio'} is empty; name a file, a folder or a glob")
    found = find(text)
    files = found.files if found.form == "file" else choose(found, kind)
    paths = tuple(file.path for file in files)
    return paths, (text,) if found.form == "file" else tuple(map(str, paths))
