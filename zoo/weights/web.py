"""Checkpoints that their authors keep on a server of their own: one file behind a link, named by a card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.download import check_link, check_name, fetch, file_name
from zoo.errors import ZooError
from zoo.paths import home

PATIENCE = 4.0
"""Seconds that the server may be silent."""


def is_link(source: str) -> bool:
    """Return whether a card's source is a link, and no name on the Hub."""
    return re.match(r"https?://", source) is not None


def fetch_linked(card: Mapping[str, Any]) -> Path:
    """Return the file that a card's ``source`` links to, fetched into ``$ZOO_HOME/downloads`` unless it is there.

    Args:
        card: ``name``, ``source``, and ``sha256`` of the file: null where its authors state none.

    Raises:
        ZooError: no network, another content than promised, a card without a name; nothing is kept of it.
    """
    name, url, sha256 = str(card.get("name", "")), str(card["source"]), card.get("sha256")
    check_name("name", name)
    check_link(url, "0" * 64 if sha256 is None else str(sha256))
    if "license" not in card:
        raise ZooError(f"the card of {name} states no licence; it is not fetched")
    target = home() / "downloads" / name / file_name(url)
    fresh = not target.is_file()
    fetch(url, target, sha256=sha256, remedy="zoo convert FILE out=DIR", timeout=PATIENCE)
    if fresh and sha256 is None:
        _look_through(target, url)
    return target


def _look_through(path: Path, url: str) -> None:
    """Drop a file that no sum vouches for and that holds no weights: a page that says "gone", say."""
    from zoo.weights.torch_legacy import TorchSource

    try:
        TorchSource(path)
    except ZooError as error:
        path.unlink()
        raise ZooError(f"{url} does not serve what its card says: {error}") from None
