"""Who is taken for whom: a confusion matrix as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from zoo.cli.sheet import INK, PAPER, SOFT
from zoo.cli.terminal import cut, one_line

MARGIN, TEXT, LONGEST = 18, 15, 24
SIDE, LEAST = 56, 9
"""Pixels of a cell: of few labels, and at least."""
WIDEST = 1100
NUMBERS = 24
"""Pixels of a cell from which on its number is written into it."""
MOST = 400
"""Labels that have their names beside the matrix; of more there is no room for them."""
RIGHT, WRONG = (37, 99, 235), (194, 65, 12)


def confusion(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> Pillow.Image:
    """Return a picture of samples of each label (rows) called each label (columns).

    Cells are as dark as their share of the row: blue where samples are called what they are, orange elsewhere.

    Args:
        counts: (labels, labels).
        labels: their names, cut where they are long.
    """
    named = len(labels) <= MOST
    side = max(LEAST if named else 1, min(SIDE, WIDEST // len(labels)))
    font = ImageFont.load_default(min(TEXT, max(8, side - 1)))
    names = [cut(one_line(label), LONGEST) if named else "" for label in labels]
    room = MARGIN + math.ceil(max(font.getlength(name) for name in names)) + 8
    size = side * len(labels)
    width = max(room + size + MARGIN, 420)
    image = Pillow.new("RGB", (width, room + size + MARGIN + TEXT + 8), PAPER)
    draw = ImageDraw.Draw(image)
    for row, values in enumerate(counts):
        total = sum(values)
        for column, count in enumerate(values):
            if not (count or named):
                continue  # of very many cells only those that say something
            x, y = room + column * side, room + row * side
            share = count / total if total else 0.0
            draw.rectangle(
                (x, y, max(x, x + side - 2), max(y, y + side - 2)),
                fill=_shade(RIGHT if row == column else WRONG, share),
            )
            if count and side >= NUMBERS:
                ink = PAPER if share > 0.5 else INK
                draw.text((x + side / 2 - 1, y + side / 2 - 1), f"{count}", fill=ink, font=font, anchor="mm")
        draw.text((room - 8, room + row * side + side / 2), names[row], fill=INK, font=font, anchor="rm")
    for column, name in enumerate(names):
        _upright(image, name, room + column * side + side // 2, room - 8, font)
    foot = "rows: what samples are; columns: what they are called"
    draw.text((MARGIN, image.height - MARGIN + 4), foot, fill=SOFT, font=ImageFont.load_default(TEXT - 2), anchor="ls")
    return image


def _shade(colour: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """Return a colour that is pale for small shares and full for large ones; 0 is nearly white."""
    strength = 0.0 if share == 0 else 0.12 + 0.88 * share
    red, green, blue = (round(245 + (own - 245) * strength) for own in colour)
    return red, green, blue


def _upright(
    image: Pillow.Image, text: str, x: int, y: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    """Write a text that runs upwards and ends above (x, y)."""
    length = max(1, math.ceil(font.getlength(text)))
    line = Pillow.new("L", (length, TEXT + 6), 0)
    ImageDraw.Draw(line).text((0, (TEXT + 6) / 2), text, fill=255, font=font, anchor="lm")
    turned = line.rotate(90, expand=True)
    place = (x - turned.width // 2, y - turned.height)
    image.paste(Pillow.new("RGB", turned.size, INK), place, turned)
