"""Lyrics as ids, and the part of them that a window of music is told. Jukebox's code, ``data/text_processor.py``."""

from __future__ import annotations

from functools import cached_property
from string import ascii_lowercase, ascii_uppercase, digits

import torch
from anyascii import anyascii
from torch import Tensor
from torch.nn import functional

from zoo.errors import ZooError

V2 = ascii_uppercase + ascii_lowercase + digits + ".,:;!?-+'\"()[] \t\n"
"""Characters of the lyrics that ``5b_lyrics`` reads."""
V3 = V2.replace("+", "")
"""Those of ``1b_lyrics``."""
UNKNOWN = 0
"""In the place of a character: there is none."""


class Alphabet:
    """Lyrics to ids: character k of ``characters`` is id k + 1, and 0 is padding.

    Args:
        characters: all that lyrics can hold, each once.

    Raises:
        ZooError: a character stands twice.
    """

    def __init__(self, characters: str) -> None:
        if len(set(characters)) != len(characters):
            raise ZooError("characters of lyrics must each stand once")
        self.characters = characters

    def clean(self, text: str) -> str:
        """Return ``text`` in the alphabet: accents and other scripts in Latin letters, a backslash ends a line.

        What has no place even so is left out.
        """
        plain = anyascii(text).replace("\\", "\n")
        return "".join(character for character in plain if character in self._ids)

    def encode(self, text: str) -> Tensor:
        """Return the ids (characters,) of cleaned text, int64."""
        return torch.tensor([self._ids[character] for character in self.clean(text)], dtype=torch.int64)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: place + 1 for place, character in enumerate(self.characters)}


def window(ids: Tensor, length: int, *, total: int, offset: int, duration: int) -> tuple[Tensor, Tensor]:
    """Return the lyrics of a window of music: (length,) ids, and their places in ``ids``, -1 for padding.

    Lyrics are taken to be sung at an even pace; those around the middle of the window are told. Fewer than ``length``
    are padded on the left.

    Args:
        ids: of all lyrics, (characters,).
        length: ids to return.
        total: samples of the whole song.
        offset: sample at which the window begins.
        duration: samples of the window.
    """
    count = len(ids)
    if count < length:
        places = torch.arange(count)
        padding = (length - count, 0)
        return functional.pad(ids, padding, value=UNKNOWN), functional.pad(places, padding, value=-1)
    # in float32, as the original computes it while sampling: the last place can differ by one from exact arithmetic
    middle = count * (torch.tensor(offset) + torch.tensor(duration) / 2.0) / torch.tensor(total)
    first = min(max(int(middle), length // 2), count - (length - length // 2)) - length // 2
    return ids[first : first + length], torch.arange(first, first + length)
