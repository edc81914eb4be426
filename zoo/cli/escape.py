"""Any text as HTML that shows it and does nothing else."""

from __future__ import annotations

import re
from html import escape

UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)
"""Controls that HTML forbids or nobody sees, those that turn the direction of what follows among them."""


def shown(text: str) -> str:
    """Return the HTML that shows ``text`` as text, whatever it contains.

    Control characters are shown as their pictures (byte models write NUL), and those that nobody sees, such as the ones
    that turn the direction of writing, by their numbers.
    """
    return escape(UNSEEN.sub(_sign, text))


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else f"\\u{code:04x}"
