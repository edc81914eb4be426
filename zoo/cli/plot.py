"""Curves on a white picture: points of a few series against a common axis, for PNG files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from zoo.cli.sheet import INK, PAPER, SOFT
from zoo.cli.terminal import cut, one_line

WIDTH, HEIGHT = 960, 560
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 56, 64
LINE = (226, 226, 230)
COLOURS = ((194, 65, 12), (37, 99, 235), (21, 128, 61), (126, 34, 206))
TEXT = 17


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that belong together.

    Attributes:
        points: (across, up), ascending in the first.
        name: in the legend; empty for none.
        marked: number of the point that is drawn larger, with its value; None for no such point.
        level: drawn as a broken line without points, as something to compare with.
    """

    points: Sequence[tuple[float, float]]
    name: str = ""
    marked: int | None = None
    level: bool = False


def plot(series: Sequence[Series], *, title: str, across: str, up: str, percent: bool = False) -> Pillow.Image:
    """Return the curves over one pair of axes.

    Args:
        series: at least one point in all.
        title: above; cut if it is long.
        across, up: what the axes are.
        percent: values of ``up`` are shares, shown as percentages.
    """
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    low, high, step = scale(min(ys), max(ys))
    first, last = min(xs), max(xs)
    image = Pillow.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(TEXT)

    def place(x: float, y: float) -> tuple[float, float]:
        share = 0.5 if last == first else (x - first) / (last - first)
        return LEFT + share * (WIDTH - LEFT - RIGHT), TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def shown(value: float) -> str:
        return f"{100 * value:.4g} %" if percent else f"{value:.4g}"

    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        y = place(first, value)[1]
        draw.line((LEFT, y, WIDTH - RIGHT, y), fill=LINE)
        draw.text((LEFT - 10, y), shown(value), fill=SOFT, font=font, anchor="rm")
    for x in _some(sorted(set(xs))):
        draw.text((place(x, low)[0], HEIGHT - BOTTOM + 10), f"{x:g}", fill=SOFT, font=font, anchor="ma")
    for number, one in enumerate(series):
        _draw(draw, [place(*point) for point in one.points], COLOURS[number % len(COLOURS)], one)
        if one.marked is not None:
            x, y = place(*one.points[one.marked])
            text = shown(one.points[one.marked][1])
            half = font.getlength(text) / 2
            x = min(max(x, LEFT + half), WIDTH - RIGHT - half)
            at = (y - 14, "ms") if y - 14 - TEXT > TOP else (y + 14, "ma")  # the title stands above
            draw.text((x, at[0]), text, fill=INK, font=font, anchor=at[1])
    draw.text((LEFT, TOP - 22), cut(one_line(title), 90), fill=INK, font=font, anchor="ls")
    draw.text((WIDTH - RIGHT, HEIGHT - 14), across, fill=SOFT, font=font, anchor="rs")
    draw.text((12, 12), up, fill=SOFT, font=font, anchor="la")
    _legend(draw, font, series)
    return image


def scale(low: float, high: float) -> tuple[float, float, float]:
    """Return round ends of an axis around values, and the step between its marks."""
    spread = max(high - low, abs(high) * 1e-3, 1e-9)
    rough = spread / 5
    power = 10.0 ** _floor_log(rough)
    step = next(number * power for number in (1, 2, 5, 10) if number * power >= rough * 0.999)
    begin, end = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
    return begin, max(end, begin + step), step


def _floor_log(value: float) -> int:
    return int(f"{value:e}".split("e")[1])


def _some(values: Sequence[float], most: int = 13) -> list[float]:
    """Return about ``most`` of the values, evenly, the first among them."""
    return list(values[:: -(-len(values) // most)])


def _draw(
    draw: ImageDraw.ImageDraw, places: Sequence[tuple[float, float]], colour: tuple[int, int, int], one: Series
) -> None:
    if one.level:
        (x, y), (end, _) = places[0], places[-1]
        while x < end:
            draw.line((x, y, min(x + 8, end), y), fill=colour, width=2)
            x += 16
        return
    if len(places) > 1:
        draw.line(list(places), fill=colour, width=3, joint="curve")
    for number, (x, y) in enumerate(places):
        size = 8 if number == one.marked else 4
        draw.ellipse((x - size, y - size, x + size, y + size), fill=colour)


def _legend(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, series: Sequence[Series]
) -> None:
    x: float = WIDTH - RIGHT
    for number, one in reversed(list(enumerate(series))):
        if one.name:
            x -= font.getlength(one.name)
            draw.text((x, 12), one.name, fill=COLOURS[number % len(COLOURS)], font=font, anchor="la")
            x -= 24
