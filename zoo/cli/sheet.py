"""Many small pictures on one: enlarged so that their pixels can be seen, in rows with titles, under column heads."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from zoo.cli.terminal import cut, one_line

PAPER, INK, SOFT = (255, 255, 255), (40, 40, 46), (128, 128, 136)
BLANK = (221, 225, 232)
"""Where nothing is yet: unlike most pictures' black and white."""
GAP, MARGIN, WIDE = 6, 16, 18
"""Between tiles, around all, and between groups of columns."""
SIDE, WIDTH = 112, 1800
"""Tiles are enlarged to about this many pixels, and sheets to about this width."""
TEXT = 15
LONGEST = 24
"""Characters of a title."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Pictures side by side.

    Attributes:
        tiles: of one size; one that is smaller stands at the top left of its place.
        title: shown at the left, cut if it is long.
    """

    tiles: Sequence[Pillow.Image]
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Heads:
    """What stands above columns: a text over each group of so many columns, with more room between groups."""

    texts: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A picture of pictures.

    Attributes:
        image: mode RGB.
        factor: how many times the pictures are enlarged.
    """

    image: Pillow.Image
    factor: int

    def png(self) -> bytes:
        """Return the file."""
        return png(self.image)


def png(image: Pillow.Image) -> bytes:
    """Return a PNG file of a picture as it is."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def square(tiles: Sequence[Pillow.Image], title: str = "") -> list[Row]:
    """Return rows of about as many columns as rows, all of one length where such a shape is near."""
    root = math.isqrt(max(len(tiles) - 1, 0)) + 1
    columns = next((number for number in range(root, 2 * root) if len(tiles) % number == 0), root)
    return wrapped(tiles, columns, title)


def wrapped(tiles: Sequence[Pillow.Image], columns: int, title: str = "") -> list[Row]:
    """Return rows of at most ``columns`` tiles, the title at the first."""
    begins = range(0, len(tiles), columns)
    return [Row(tiles=tiles[begin : begin + columns], title="" if begin else title) for begin in begins]


def sheet(rows: Sequence[Row], heads: Heads | None = None) -> Sheet:
    """Return the rows below each other, with a line at the foot that says how large the pictures really are."""
    heads = heads or Heads()
    font = ImageFont.load_default(TEXT)
    tiles = [tile for row in rows for tile in row.tiles]
    wide, high = max(tile.width for tile in tiles), max(tile.height for tile in tiles)
    columns = max(len(row.tiles) for row in rows)
    factor = max(1, min(SIDE // max(wide, high), WIDTH // (columns * wide)))
    titles = [cut(one_line(row.title), LONGEST) for row in rows]
    left = MARGIN + max((math.ceil(font.getlength(title)) + 2 * GAP for title in titles if title), default=0)
    top = MARGIN + (TEXT + 2 * GAP if heads.texts else 0)
    places = _columns(columns, wide * factor, heads)
    foot = f"{wide} x {high} pixels" + (f", enlarged {factor} times" if factor > 1 else "")
    width = left + max(places[-1] + wide * factor, math.ceil(font.getlength(foot))) + MARGIN
    height = top + len(rows) * (high * factor + GAP) + TEXT + MARGIN + GAP
    image = Pillow.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(image)
    column = 0
    for text, count in zip(heads.texts, heads.counts, strict=True):
        middle = (places[column] + places[column + count - 1] + wide * factor) / 2
        draw.text((left + middle, MARGIN), text, fill=INK, font=font, anchor="ma")
        column += count
    for number, (row, title) in enumerate(zip(rows, titles, strict=True)):
        y = top + number * (high * factor + GAP)
        draw.text((left - 2 * GAP, y + high * factor / 2), title, fill=INK, font=font, anchor="rm")
        for x, tile in zip(places, row.tiles, strict=False):
            size = (tile.width * factor, tile.height * factor)
            image.paste(tile.convert("RGB").resize(size, Pillow.Resampling.NEAREST), (left + x, y))
    draw.text((left, height - MARGIN), foot, fill=SOFT, font=font, anchor="ls")
    return Sheet(image, factor)


def hidden(picture: Pillow.Image, visible: Pillow.Image) -> Pillow.Image:
    """Return a picture that is blank where ``visible`` (mode L, 255 for what is seen; any size) is 0."""
    seen = visible.resize(picture.size, Pillow.Resampling.NEAREST)
    return Pillow.composite(picture.convert("RGB"), Pillow.new("RGB", picture.size, BLANK), seen)


def _columns(count: int, width: int, heads: Heads) -> list[int]:
    """Return where each of ``count`` columns begins."""
    begins = {sum(heads.counts[:number]) for number in range(1, len(heads.counts))}
    places, x = [], 0
    for column in range(count):
        x += WIDE if column in begins else 0
        places.append(x)
        x += width + GAP
    return places
