"""The page of a run of music: players of every level, spectrograms, and where the lyrics are sung."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from zoo.cli.escape import shown
from zoo.cli.page import frame, picture, player, rows

FIRST_HUE = 220
"""Of the colours of time, which run from blue at the beginning to red at the end."""
NARROW, WIDE = 720, 1440
LOW, HIGH = 120, 480
"""Least and most pixels of an alignment."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One piece of music.

    Attributes:
        title: of the piece.
        sounds: (name, wav file), the finest level first.
        alignment: (time, characters), how much each moment attends to each character; None where it is not known.
        lyrics: one character for each column of the alignment.
    """

    title: str
    sounds: Sequence[tuple[str, bytes]]
    alignment: NDArray[Any] | None = None
    lyrics: str = ""


def page(
    *,
    title: str,
    lead: str,
    pieces: Sequence[Piece],
    seconds: float,
    spectrogram: bytes,
    facts: Sequence[tuple[str, str]],
    remarks: Sequence[str] = (),
) -> str:
    """Return the page.

    Args:
        title: of the page.
        lead: a sentence below it.
        pieces: what to play.
        seconds: length of each piece.
        spectrogram: of the pieces, a PNG file.
        facts: (name, value) rows.
        remarks: what people should know.
    """
    sections = [(piece.title, _piece(piece, seconds)) for piece in pieces]
    sections.append(("Spectrograms", picture("the finest level of each piece, frequency upwards", spectrogram)))
    if all(piece.alignment is None for piece in pieces):
        words = dict.fromkeys(piece.lyrics for piece in pieces if piece.lyrics)
        sections += [("Lyrics", f"<pre>{shown(lyrics)}</pre>") for lyrics in words]
    notes = "".join(f'<p class="soft">{shown(remark)}</p>' for remark in remarks)
    return frame(title, lead, [*sections, ("How it was made", rows(facts) + notes)])


def _piece(piece: Piece, seconds: float) -> str:
    players = "".join(player(name, file) for name, file in piece.sounds)
    return players if piece.alignment is None else players + _sung(piece.alignment, piece.lyrics, seconds)


def _sung(alignment: NDArray[Any], lyrics: str, seconds: float) -> str:
    """Return the lyrics, each word underlined in the colour of its time, and the alignment as a picture."""
    words = []
    for match in re.finditer(r"\s+|\S+", lyrics):
        text = shown(match[0])
        if not match[0].isspace():
            time = moment(alignment[:, match.start() : match.end()]) * seconds
            hue = round(FIRST_HUE * (1 - time / seconds))
            colour = f"border-bottom:.25rem solid hsl({hue} 70% 50%)"
            text = f'<span style="{colour}" title="{time:.2f} s">{text}</span>'
        words.append(text)
    hues = ", ".join(f"hsl({FIRST_HUE * (4 - step) // 4} 70% 50%)" for step in range(5))
    scale = f'<div style="height:.5rem;border-radius:.25rem;background:linear-gradient(90deg, {hues})"></div>'
    ends = (
        '<p class="soft" style="display:flex;justify-content:space-between">'
        f"<span>0 s</span><span>{seconds:.1f} s</span></p>"
    )
    caption = "where the music looks while it is made: time to the right, the lyrics from top to bottom"
    return f'<pre style="line-height:2">{"".join(words)}</pre>{scale}{ends}{picture(caption, heat(alignment))}'


def moment(weights: NDArray[Any]) -> float:
    """Return when a word is sung, as a part of the piece in [0, 1]: the middle of the moments that look at it most."""
    heard = weights.astype(np.float64).sum(axis=1)
    if not heard.size or heard.max() <= 0:
        return 0.0
    sharp = np.where(heard >= 0.5 * heard.max(), heard, 0.0)
    return float((sharp * (np.arange(len(sharp)) + 0.5)).sum() / sharp.sum() / len(sharp))


def heat(alignment: NDArray[Any]) -> bytes:
    """Return an alignment as a PNG file, time to the right, characters downwards."""
    weights = alignment.T.astype(np.float32)
    top = max(float(np.quantile(weights, 0.995)), 1e-9)
    level = (np.sqrt(np.clip(weights / top, 0, 1)) * 255).astype(np.uint8)
    image = Pillow.fromarray(255 - level)
    size = min(max(image.width, NARROW), WIDE), min(max(image.height * 3, LOW), HIGH)
    way = Pillow.Resampling.BOX if size[0] <= image.width else Pillow.Resampling.NEAREST
    stream = io.BytesIO()
    image.resize(size, way).save(stream, "PNG")
    return stream.getvalue()
