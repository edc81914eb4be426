"""The text that benchmarks work on: Python's own help texts, which every machine has, or a file."""

from __future__ import annotations

from pathlib import Path
from pydoc_data import topics

from zoo.errors import ZooError


def read(path: Path | None) -> str:
    """Return the text of ``path``, else Python's help texts (about 466 kB of English).

    Raises:
        ZooError: not UTF-8.
    """
    if path is None:
        return "\n\n".join(text for _, text in sorted(topics.topics.items()))
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ZooError(f"--text {path}: not UTF-8 text; convert it first") from None


def pieces(text: str, size: int = 1 << 16) -> list[str]:
    """Cut a text at line ends into pieces of about ``size`` characters."""
    found, lines, length = [], list[str](), 0
    for line in text.splitlines(keepends=True):
        lines.append(line)
        length += len(line)
        if length >= size:
            found.append("".join(lines))
            lines, length = [], 0
    return [*found, "".join(lines)] if lines else found
