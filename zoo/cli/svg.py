"""Small charts as SVG inside a page: lines over an axis, in the page's own colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.cli.escape import shown
from zoo.cli.plot import scale

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 720, 280, 52, 10, 34, 12
COLOURS = ("var(--held)", "var(--train)", "var(--third)", "var(--fourth)")
DOTTED = 40
"""Most points of a line whose points are drawn as dots."""

Points = Sequence[tuple[float, float]]


def lines(series: Mapping[str, Points], *, across: str, up: str) -> str:
    """Return an SVG of lines over one pair of axes, and a line of text that names them.

    Args:
        series: name to points (across, up), ascending in the first; at least one point in all.
        across, up: what the axes are.
    """
    points = [point for line in series.values() for point in line]
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    low, high, step = scale(min(y for _, y in points), max(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        share = 0.5 if first == last else (x - first) / (last - first)
        return LEFT + (WIDTH - LEFT - RIGHT) * share, TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low)

    marks = []
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        y = place(first, value)[1]
        marks.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>')
        marks.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    coloured = zip(series.values(), _colours(series), strict=True)
    drawn = [_line([place(*point) for point in line], colour) for line, colour in coloured]
    legend = ", ".join(
        f'<span style="color:{colour}">{shown(name)}</span>'
        for name, colour in zip(series, _colours(series), strict=True)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{shown(f"{up} over {across}")}">{"".join(marks)}'
        f'{"".join(drawn)}<text x="{LEFT}" y="{HEIGHT - 8}">{shown(f"{across} {first:,.4g}")}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{last:,.5g}</text></svg>'
        f'<p class="soft">{shown(up)}: {legend}</p>'
    )


def _colours(series: Mapping[str, Points]) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(len(series))]


def _line(places: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    return line + ("".join(dots) if len(places) <= DOTTED else "")
