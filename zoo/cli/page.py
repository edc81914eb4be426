"""One self-contained HTML page: figures, a loss curve and samples. It runs no script and loads nothing."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --soft: #6b6b70; --line: #d9d9de; --paper: #fbfbfa; --card: #fff;
  --train: #9aa4b2; --held: #c2410c; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececee; --soft: #a0a0a6; --line: #38383c; --paper: #161618;
  --card: #1f1f22; --train: #6b7686; --held: #fb923c; } }
body { margin: 0 auto; max-width: 46rem; padding: 2.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; } p { margin: .3rem 0 0; }
.soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; } td { border-top: 1px solid var(--line); padding: .35rem 0; }
td:last-child { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .9rem 1rem;
  margin: .7rem 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 14px/1.5 ui-monospace, monospace; unicode-bidi: isolate; }
figure { margin: .7rem 0; } figure img { max-width: 100%; border-radius: .5rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
"""
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 280, 44, 34, 12


def page(
    *,
    title: str,
    lead: str,
    facts: Sequence[tuple[str, str]],
    log: Sequence[Mapping[str, Any]],
    samples: Sequence[tuple[str, str]],
    pictures: Sequence[tuple[str, bytes]] = (),
) -> str:
    """Return the page. Every text is shown as text, whatever it contains.

    Args:
        title: of the page.
        lead: a sentence below it.
        facts: (name, value) rows.
        log: records of metrics.jsonl.
        samples: (prompt, text that begins with it).
        pictures: (caption, PNG file): they become part of the page.
    """
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts)
    texts = "".join(f"<pre>{_sample(prompt, text)}</pre>" for prompt, text in samples)
    figures = "".join(f"<figure>{_picture(caption, file)}</figure>" for caption, file in pictures)
    shown = f"<h2>What it completes</h2>{figures}" if figures else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{escape(title)}</h1><p class="soft">{escape(lead)}</p>
<h2>What it writes</h2>{texts}
{shown}
<h2>How it learned</h2>{curve(log)}
<h2>Figures</h2><table>{rows}</table>
</body></html>
"""


def _sample(prompt: str, text: str) -> str:
    text, prompt = _visible(text), _visible(prompt)
    if prompt and text.startswith(prompt):
        return f"<b>{escape(prompt)}</b>{escape(text[len(prompt) :])}"
    return escape(text)


def _picture(caption: str, file: bytes) -> str:
    text = escape(_visible(caption))
    data = base64.b64encode(file).decode()
    return f'<img alt="{text}" src="data:image/png;base64,{data}"><figcaption class="soft">{text}</figcaption>'


def _visible(text: str) -> str:
    """Return ``text`` with the control characters that HTML forbids as their pictures: byte models write NUL."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", lambda match: chr(0x2400 + ord(match[0])), text)


def curve(log: Sequence[Mapping[str, Any]]) -> str:
    """Return an SVG of the loss over the steps: the rows trained on, and the held-out part."""
    train = [(int(record["step"]), float(record["loss"])) for record in log if record["split"] == "train"]
    held_out = [(int(record["step"]), float(record["loss"])) for record in log if record["split"] == "validation"]
    points = train + held_out
    if not points:
        return '<p class="soft">no records</p>'
    last = max(step for step, _ in points)
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    spread = max(high - low, 1e-6)

    def place(step: int, loss: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - 10) * step / max(last, 1)
        return across, TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / spread

    def path(series: Sequence[tuple[int, float]]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in series))

    grid = []
    for part in range(5):
        loss = low + spread * part / 4
        y = place(0, loss)[1]
        grid.append(f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>')
        grid.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{loss:.2f}</text>')
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="var(--held)"/>'
        for x, y in (place(*point) for point in held_out)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="loss over steps">{"".join(grid)}'
        f'<polyline points="{path(train)}" fill="none" stroke="var(--train)" stroke-width="1.5"/>'
        f'<polyline points="{path(held_out)}" fill="none" stroke="var(--held)" stroke-width="2"/>{dots}'
        f'<text x="{LEFT}" y="{HEIGHT - 8}">step 0</text>'
        f'<text x="{WIDTH - 10}" y="{HEIGHT - 8}" text-anchor="end">step {last:,}</text></svg>'
        '<p class="soft">nats per token: <span style="color:var(--train)">training rows</span>, '
        '<span style="color:var(--held)">held-out text</span></p>'
    )
