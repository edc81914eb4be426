"""What a verb of the command line is, and how its ``key=value`` words become checked settings."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from zoo import settings
from zoo.errors import ZooError, suggest

T = TypeVar("T")
COMMON: Mapping[str, Any] = {
    "overwrite": bool, "seed": int, "device": str, "dtype": Literal["float32", "bfloat16"], "threads": int | None,
}  # fmt: skip
"""What every verb takes: where a verb draws, computes or replaces nothing, these change nothing."""


def key(default: Any, meaning: str, *, literal: bool = False) -> Any:
    """Return a dataclass field for one key of a verb.

    Args:
        default: value when the key is not given.
        meaning: its line in ``zoo VERB --help``.
        literal: people write this value for people (a prompt, a path): it is taken to the letter.
    """
    return dataclasses.field(default=default, metadata={"meaning": meaning, "literal": literal})


@dataclass(frozen=True, kw_only=True)
class Call:
    """One command line, taken apart.

    Attributes:
        targets: the words without ``=``.
        pairs: the ``key=value`` words, in order; a repeated key counts once, the last time.
        json: write one JSON document instead of text for people.
        command: the whole line, for the card.
    """

    targets: tuple[str, ...]
    pairs: Mapping[str, str]
    json: bool
    command: str


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One verb.

    Attributes:
        usage: what follows ``zoo``.
        about: a sentence or two for its help.
        keys: dataclass of its keys, made with ``key``.
        examples: (command, what it does) pairs.
        run: does it; returns the JSON document, having written text for people unless ``call.json``.
        more: keys that belong to the recipe or to other parts, (key, meaning) pairs, for the help.
        more_title: what the help says above them.
    """

    usage: str
    about: str
    keys: type
    examples: tuple[tuple[str, str], ...]
    run: Callable[[Call], Any]
    more: tuple[tuple[str, str], ...] = ()
    more_title: str = "Keys of the recipe (its own values are the defaults)"

    def known(self) -> frozenset[str]:
        """Return what its keys begin with, up to the first dot."""
        names = [*(field.name for field in dataclasses.fields(self.keys)), *COMMON, *(name for name, _ in self.more)]
        return frozenset(re.split(r"[.=]", name)[0] for name in names)


def read_keys(kind: type[T], pairs: Mapping[str, str], *, also: Sequence[str] = ()) -> T:
    """Build a verb's settings from its ``key=value`` words.

    Args:
        kind: the dataclass of its keys.
        pairs: the words.
        also: further names to suggest for a misspelt key.

    Raises:
        ZooError: unknown keys, and values that are not of the key's type.
    """
    plain_kind = cast(type, kind)  # a dataclass, which its type variable cannot say
    fields = {field.name: field for field in dataclasses.fields(plain_kind)}
    for name, text in pairs.items():
        if name in fields:
            continue
        if name not in COMMON:
            raise ZooError(f"unknown setting '{name}'{suggest(name, [*fields, *also])}")
        settings.build(COMMON[name], text, name, from_text=True)
    pairs = {name: text for name, text in pairs.items() if name in fields}
    literal = {name: text for name, text in pairs.items() if fields[name].metadata.get("literal")}
    known = settings.fields_of(plain_kind)
    checked = {
        name: settings.build(known[name][0], text, name, from_text=True)
        for name, text in pairs.items()
        if name not in literal
    }
    return kind(**checked, **literal)


def one_target(call: Call, what: str, *, example: str) -> str:
    """Return the only target of ``call``, or raise a ZooError that says which ``what`` is missing or too many."""
    if len(call.targets) == 1:
        return call.targets[0]
    if not call.targets:
        raise ZooError(f"which {what}? For example: {example}")
    raise ZooError(f"one {what} at a time, got {', '.join(call.targets)}; settings are written key=value")


def read_text(value: str | None, file: str | None, name: str) -> str | None:
    """Return a text that people gave as ``name=TEXT``, ``name=-`` (standard input) or ``name_file=FILE``.

    Raises:
        ZooError: both were given, the file cannot be read, or the bytes are not UTF-8.
    """
    if value is not None and file is not None:
        raise ZooError(f"give {name}= or {name}_file=, not both")
    if file is not None:
        try:
            data, source = Path(file).read_bytes(), file
        except OSError as error:
            raise ZooError(f"{name}_file: cannot read '{file}': {error.strerror or error}") from None
    elif value == "-":
        data, source = sys.stdin.buffer.read(), "standard input"
    else:
        return value
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ZooError(f"{source} is not UTF-8 text (byte {error.start}); convert it first") from None
