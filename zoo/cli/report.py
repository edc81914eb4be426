"""An evaluation as one self-contained HTML page: figures, notes, curves, pictures, players."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.cli.escape import shown
from zoo.cli.page import frame, picture, player, rows, texts
from zoo.cli.sheet import png
from zoo.cli.svg import lines
from zoo.evaluate import outcome as found

if TYPE_CHECKING:
    from zoo.tokenizers.audio.waveform import Audio

MOST_NATS = 8.0
"""Nats of a token that is shaded most."""
SIDE = 96
"""Pixels that small pictures are enlarged to, at least."""
LARGEST = 64
"""Classes of the largest matrix that is shown as a picture with numbers."""


def report(title: str, lead: str, facts: Sequence[tuple[str, str]], outcome: found.Outcome) -> str:
    """Return the page of an evaluation; every text in it is shown as text.

    Args:
        title: of the page.
        lead: a sentence below it.
        facts: (name, value) of what was evaluated on what.
        outcome: what came of it.
    """
    figures = rows([(name.replace("_", " "), number(value)) for name, value in outcome.metrics.items()])
    notes = "".join(f'<p class="soft">{shown(note)}.</p>' for note in outcome.notes)
    sections = [("Figures", figures + notes)]
    sections += [(exhibit.title, exhibited(exhibit)) for exhibit in outcome.exhibits]
    return frame(title, lead, [*sections, ("What was evaluated", rows(facts))])


def number(value: Any) -> str:
    """Return a figure for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    return "not defined" if value is None else str(value)


def exhibited(exhibit: found.Exhibit) -> str:
    """Return the HTML of what is to be looked at."""
    match exhibit:
        case found.Texts():
            return texts(exhibit.entries)
        case found.Surprise():
            return _surprise(exhibit)
        case found.Pictures():
            tiles = (picture(name, png(_enlarged(image))) for name, image in exhibit.entries)
            return f'<div class="tiles">{"".join(tiles)}</div>'
        case found.Sounds():
            return "".join(player(name, wav(audio)) for name, audio in exhibit.entries)
        case found.Table():
            return _table(exhibit.head, exhibit.rows)
        case found.Histogram():
            return lines(exhibit.shares(), across=exhibit.across, up="share")
        case found.Matrix():
            return _matrix(exhibit)


def wav(audio: Audio) -> bytes:
    """Return a 16-bit WAV file."""
    import soundfile

    stream = io.BytesIO()
    soundfile.write(stream, audio.samples, audio.rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def _surprise(exhibit: found.Surprise) -> str:
    pieces = []
    for text, nats in exhibit.pieces:
        share = min(nats / MOST_NATS, 1.0)
        colour = f' style="background:rgba(var(--heat),{0.75 * share:.2f})"' if share >= 0.02 else ""
        pieces.append(f'<span{colour} title="{nats:.2f} nats">{shown(text)}</span>')
    return f"<pre>{''.join(pieces)}</pre>"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{shown(cell)}</th>" for cell in head)
    below = "".join(f"<tr>{''.join(f'<td>{shown(cell)}</td>' for cell in row)}</tr>" for row in body)
    return f'<div class="scroll"><table><tr>{top}</tr>{below}</table></div>'


def _matrix(exhibit: found.Matrix) -> str:
    if len(exhibit.labels) > LARGEST:
        return f'<p class="soft">{len(exhibit.labels)} classes are too many to be shown here.</p>'
    cells: list[str] = []
    totals = exhibit.counts.sum(axis=1)
    for name, row, total in zip(exhibit.labels, exhibit.counts.tolist(), totals.tolist(), strict=True):
        shares = [count / total if total else 0.0 for count in row]
        cells.append(
            f"<tr><th>{shown(name)}</th>"
            + "".join(
                f'<td style="text-align:center;background:rgba(var(--heat),{0.75 * share:.2f})">{count or ""}</td>'
                for count, share in zip(row, shares, strict=True)
            )
            + "</tr>"
        )
    top = "".join(f'<th style="text-align:center">{shown(name)}</th>' for name in exhibit.labels)
    caption = '<p class="soft">Rows: what it is. Columns: what the model says.</p>'
    return f'<div class="scroll"><table><tr><th></th>{top}</tr>{"".join(cells)}</table></div>{caption}'


def _enlarged(image: Any) -> Any:
    from PIL import Image as Pillow

    factor = max(1, -(-SIDE // max(image.size)))
    return image.resize((image.width * factor, image.height * factor), Pillow.Resampling.NEAREST)


def facts_of(mapping: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, value) rows of plain values."""
    return [(name.replace("_", " "), number(value)) for name, value in mapping.items() if value not in (None, "")]
