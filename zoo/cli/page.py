"""Self-contained HTML pages: figures, curves, samples. They run no script and load nothing, whatever they show."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.cli.escape import shown
from zoo.cli.svg import lines

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --soft: #6b6b70; --line: #d9d9de; --paper: #fbfbfa; --card: #fff;
  --train: #7c8798; --held: #c2410c; --third: #15803d; --fourth: #7e22ce; --heat: 194, 65, 12; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececee; --soft: #a0a0a6; --line: #38383c; --paper: #161618;
  --card: #1f1f22; --train: #8b97a8; --held: #fb923c; --third: #4ade80; --fourth: #c084fc;
  --heat: 251, 146, 60; } }
body { margin: 0 auto; max-width: 46rem; padding: 2.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; } p { margin: .3rem 0 0; }
.soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; }
td, th { border-top: 1px solid var(--line); padding: .35rem .5rem .35rem 0; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; unicode-bidi: isolate; }
td:last-child, th:last-child { text-align: right; font-variant-numeric: tabular-nums; padding-right: 0; }
td:first-child { min-width: 7rem; }
th { border: 0; font-weight: 600; } .scroll { overflow-x: auto; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .9rem 1rem;
  margin: .7rem 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 14px/1.5 ui-monospace, monospace; unicode-bidi: isolate; }
figure { margin: .7rem 0; } figcaption { unicode-bidi: isolate; overflow-wrap: anywhere; }
audio { display: block; width: 100%; margin: .4rem 0; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; } .tiles figure { margin: 0; width: 4.9rem; font-size: .75rem; }
.tiles img { width: 100%; image-rendering: pixelated; border-radius: 0; }
figure img { max-width: 100%; border-radius: .5rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"


def page(
    *,
    title: str,
    lead: str,
    facts: Sequence[tuple[str, str]],
    log: Sequence[Mapping[str, Any]],
    samples: Sequence[tuple[str, str]],
    pictures: Sequence[tuple[str, bytes]] = (),
    sounds: Sequence[tuple[str, bytes]] = (),
    spectra: Sequence[tuple[str, bytes]] = (),
) -> str:
    """Return the page of a training: what it writes, how it learned.

    Args:
        title: of the page.
        lead: a sentence below it.
        facts: (name, value) rows.
        log: records of metrics.jsonl.
        samples: (prompt, text that begins with it).
        pictures: (caption, PNG file): they become part of the page.
        sounds: (caption, WAV file): so do they.
        spectra: of the sounds, (caption, PNG file).
    """
    sections = [("What it writes", texts(samples))]
    if pictures:
        sections.append(("What it completes", "".join(picture(*one) for one in pictures)))
    if sounds:
        heard = [player(*one) for one in sounds] + [picture(*one) for one in spectra]
        sections.append(("What it plays", "".join(heard)))
    return frame(title, lead, [*sections, ("How it learned", curve(log)), ("Figures", rows(facts))])


def frame(title: str, lead: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return a page.

    Args:
        title: of the page.
        lead: a sentence below it.
        sections: (heading, HTML of the functions here); titles, leads and headings are shown as text.
    """
    body = "".join(f"<h2>{shown(heading)}</h2>{html}" for heading, html in sections)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{shown(title)}</title><style>{STYLE}</style></head><body>
<h1>{shown(title)}</h1><p class="soft">{shown(lead)}</p>
{body}
</body></html>
"""


def texts(samples: Sequence[tuple[str, str]]) -> str:
    """Return texts, each with the prompt that it begins with in bold."""
    return "".join(f"<pre>{_sample(prompt, text)}</pre>" for prompt, text in samples)


def rows(facts: Sequence[tuple[str, str]]) -> str:
    """Return (name, value) rows."""
    return (
        f"<table>{''.join(f'<tr><td>{shown(name)}</td><td>{shown(value)}</td></tr>' for name, value in facts)}</table>"
    )


def picture(caption: str, file: bytes) -> str:
    """Return a PNG file with its caption."""
    text = shown(caption)
    image = f'<img alt="{text}" src="data:image/png;base64,{base64.b64encode(file).decode()}">'
    return f'<figure>{image}<figcaption class="soft">{text}</figcaption></figure>'


def player(caption: str, file: bytes) -> str:
    """Return a WAV file with its caption, to be played."""
    source = f"data:audio/wav;base64,{base64.b64encode(file).decode()}"
    return f'<figure><figcaption>{shown(caption)}</figcaption><audio controls src="{source}"></audio></figure>'


def curve(log: Sequence[Mapping[str, Any]]) -> str:
    """Return the loss over the steps: the held-out part, and the rows trained on."""
    splits = {"held-out": "validation", "training rows": "train"}
    series = {
        name: [(float(record["step"]), float(record["loss"])) for record in log if record["split"] == split]
        for name, split in splits.items()
    }
    known = {name: points for name, points in series.items() if points}
    return lines(known, across="step", up="nats per token") if known else '<p class="soft">no records</p>'


def _sample(prompt: str, text: str) -> str:
    if prompt and text.startswith(prompt):
        return f"<b>{shown(prompt)}</b>{shown(text[len(prompt) :])}"
    return shown(text)
