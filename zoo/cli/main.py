"""``zoo VERB [TARGET...] [key=value...]``: take a command line apart, run its verb, say in one line what failed."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from zoo import __version__
from zoo.cli.help import overview, verb_document, verb_help
from zoo.cli.terminal import visible
from zoo.cli.verb import Call, Verb
from zoo.errors import ZooError, suggest
from zoo.memory import is_exhausted

VERBS = {
    "list": "show recipes, checkpoints and tokenizers",
    "demo": "train a small model on this machine and watch it write",
    "train": "train a recipe into a checkpoint folder",
    "finetune": "let a checkpoint go on learning, from texts, pictures or sounds of yours",
    "classify": "say what texts, pictures or sounds are, with a fine-tuned checkpoint",
    "generate": "write with a checkpoint",
    "tokenize": "turn sounds, pictures or texts into ids",
    "reconstruct": "see and hear what comes back from ids",
    "evaluate": "measure a checkpoint on data: the right figures, and a page of them",
    "embed": "one vector for each text, picture or sound",
    "neighbours": "what is nearest among such vectors, or among tokens",
    "probe": "what each layer of a checkpoint knows",
    "compare": "train one recipe with several tokenizers, and compare them",
    "pull": "fetch a checkpoint by name, once, for use without a network",
    "convert": "write a checkpoint in another format",
    "stack": "put a codec and priors of music together into one checkpoint",
}
"""Verb to summary; the verb's module is ``zoo.cli.<verb>``, imported only when it is asked for."""

LIGHTER = {
    "train": "take a smaller model or train.batch",
    "finetune": "take a smaller train.batch or context, or say method=last or method=lora",
    "generate": "draw less at once (count=1; of music at_once=1), less of it (max_new_tokens, seconds), or say "
    "dtype=bfloat16",
    "evaluate": "halve task.batch, or say dtype=bfloat16",
    "classify": "halve batch, or say dtype=bfloat16",
    "embed": "halve batch, or say dtype=bfloat16",
}
"""What takes less memory, by verb."""
FLAGS = ("--help", "--version", "--json", "--debug")
INTERRUPTED, TERMINATED = 130, 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 2 bad input, 1 our fault, 130 and 143 after a signal."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    for stream in (sys.stdout, sys.stderr):  # the same bytes in every locale
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    try:
        with _termination():
            code = _run(words)
            sys.stdout.flush()  # here, where a reader that has left can still be dealt with
            return code
    except ZooError as error:
        return _failed(str(error), 2, debug)
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED, debug)
    except BrokenPipeError:  # the reader has seen enough: `zoo list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f": '{error.filename}'" if error.filename else ""
        return _failed(f"{error.strerror or error}{where}", 2, debug)
    except SystemExit as error:  # a signal, or a part of ours that ends the program on purpose
        return error.code if isinstance(error.code, int) else 1
    except Exception as error:
        if is_exhausted(error):
            return _failed(f"out of memory; {LIGHTER.get(_verb(words), 'try a smaller model')}", 2, debug)
        hint = "" if debug else "; rerun with --debug to see where"
        return _failed(f"internal error: {type(error).__name__}: {error}{hint}", 1, debug, kind="zoo: ")


def _run(words: list[str]) -> int:
    flags = [word for word in words if word.startswith("-") and word != "-"]
    for flag in flags:
        if flag not in (*FLAGS, "-h"):
            raise ZooError(_refuse_flag(flag))
    as_json = "--json" in flags
    if "--version" in flags:
        return _show({"version": __version__} if as_json else f"zoo {__version__}")
    plain = [word for word in words if word not in flags]
    wants_help = "--help" in flags or "-h" in flags
    if plain[:1] == ["help"]:
        plain, wants_help = plain[1:], True
    if not plain:
        return _show({"verbs": VERBS} if as_json else overview(VERBS))
    name = plain[0]
    if name not in VERBS:
        raise ZooError(f"unknown verb '{name}'{suggest(name, VERBS)}")
    verb: Verb = importlib.import_module(f"zoo.cli.{name}").VERB
    if wants_help:
        return _show(verb_document(verb) if as_json else verb_help(verb))
    targets, pairs = _take_apart(plain[1:], verb.known())
    document: Any = verb.run(Call(targets=targets, pairs=pairs, json=as_json, command=shlex.join(["zoo", *words])))
    return _show(document) if as_json else 0


def _show(result: Any) -> int:
    """Print a text as it is, anything else as JSON; return the exit code of success."""
    print(result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, allow_nan=False))
    return 0


def _take_apart(words: Sequence[str], known: Collection[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Split words into targets and ``key=value`` pairs; everything after the first ``=`` is the value.

    A word that begins with none of the ``known`` keys is a target if a file or folder has that name.
    """
    targets: list[str] = []
    pairs: dict[str, str] = {}
    for word in words:
        match = re.match(r"([A-Za-z_][\w.]*)=(.*)", word, re.DOTALL)
        if match and (match[1].split(".")[0] in known or not os.path.exists(word)):
            pairs[match[1]] = match[2]
        elif match := re.match(r"([+~]+)[\w./@]+(=|$)", word):
            raise ZooError(f"'{word}': write key=value, without '{match[1]}'")
        else:
            targets.append(word)
    return tuple(targets), pairs


def _refuse_flag(flag: str) -> str:
    name, _, value = flag.lstrip("-").partition("=")
    near = suggest(flag, FLAGS)
    if near.startswith("; did you mean") and not value:
        return f"unknown flag '{flag}'{near}"
    return f"unknown flag '{flag}'; settings are written without dashes: {name.replace('-', '_')}={value or 'VALUE'}"


def _failed(message: str, code: int, debug: bool, *, kind: str = "zoo: error: ") -> int:
    if debug:
        traceback.print_exc()
    print(kind + visible(" ".join(message.split())), file=sys.stderr, flush=True)
    return code


def _verb(words: Sequence[str]) -> str:
    return next((word for word in words if not word.startswith("-")), "")


@contextmanager
def _termination() -> Iterator[None]:
    """End with code 143 on SIGTERM, by way of every ``finally``."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
