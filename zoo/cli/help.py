"""The two help pages: ``zoo --help`` and ``zoo VERB --help``."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping
from typing import Any

from zoo.cli.terminal import bold, columns, width
from zoo.cli.verb import Verb

FLAGS = (
    ("--help", "this page, or a verb's: zoo train --help"),
    ("--json", "one JSON document on standard output instead of text"),
    ("--debug", "show the traceback when something fails"),
    ("--version", "show the version"),
)

START = (
    ("zoo demo", "train here, then read"),
    ("zoo list", "what there is"),
    ("zoo train text/shakespeare_char size=tiny", "your first model, in seconds"),
    ('zoo generate text-shakespeare_char prompt="O"', "let it write"),
    ("zoo train text/file data.path=notes.txt", "any text of yours"),
)


def overview(verbs: Mapping[str, str]) -> str:
    """Return the page of ``zoo --help``.

    Args:
        verbs: name to summary.
    """
    return "\n".join(
        [
            "zoo: one transformer, and tokenizers that plug in. Train it, let it write.",
            "",
            f"{bold('Usage')}   zoo VERB [TARGET...] [key=value...]",
            "",
            bold("Verbs"),
            columns([*verbs.items()]),
            "",
            bold("Start here"),
            columns(START),
            "",
            bold("Flags"),
            columns(FLAGS),
            "",
            "Everything else is key=value, in any order; 'zoo VERB --help' lists the keys.",
        ]
    )


def verb_document(verb: Verb) -> dict[str, Any]:
    """Return what ``zoo VERB --help --json`` shows; ``more`` holds keys of the recipe and of other parts."""
    return {
        "usage": f"zoo {verb.usage}",
        "about": verb.about,
        "keys": {field.name: {"default": field.default, "meaning": field.metadata["meaning"]} for field in _keys(verb)},
        "more": dict(verb.more),
        "examples": dict(verb.examples),
    }


def verb_help(verb: Verb) -> str:
    """Return the page of ``zoo VERB --help``."""
    keys = [(f"{field.name}={_shown(field.default)}", str(field.metadata["meaning"])) for field in _keys(verb)]
    parts = [f"{bold('Usage')}   zoo {verb.usage}", "", textwrap.fill(verb.about, width(100))]
    if keys:
        parts += ["", bold("Keys and their defaults"), columns(keys)]
    if verb.more:
        parts += ["", bold(verb.more_title), columns(verb.more)]
    parts += ["", bold("Examples")]
    for command, meaning in verb.examples:
        parts += [f"  {command}", f"      {meaning}"]
    return "\n".join(parts)


def _keys(verb: Verb) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(verb.keys) if field.metadata.get("meaning")]


def _shown(default: object) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float) and default.is_integer():
        return str(int(default))
    return str(default)
