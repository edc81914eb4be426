"""Figures beside those of peers and of the machine's limits: ``python -m benchmarks NAME --json FILE``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Row, machine
from zoo.errors import ZooError, suggest

NAMES = (
    "limits", "training", "sampling", "reading", "imagegpt", "jukebox", "jukebox_gpu", "tokenizing", "codec", "music",
    "baselines",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark; return 0, or 2 after one line about bad input."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", help=", ".join(NAMES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--runs", type=int, default=5, help="rounds that the median is taken over (default 5)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads for everyone")
    parser.add_argument("--text", type=Path, metavar="FILE", help="text to work on (default: Python's own help texts)")
    parser.add_argument("--vocabulary", type=Path, metavar="DIR", help="tokenizing: GPT-2's encoder.json and vocab.bpe")
    parser.add_argument("--sounds", type=Path, metavar="DIR", help="music: clips with a metadata.csv")
    parser.add_argument("--stack", metavar="CHECKPOINT", help="music: what plays (default: music)")
    parser.add_argument("--samples", metavar="PATH", help="baselines: labelled samples, as zoo finetune takes them")
    parser.add_argument(
        "--kind", choices=("text", "image", "music"), help="baselines: what samples are (default: text)"
    )
    parser.add_argument("--label", metavar="COLUMN", help="baselines: the column of a table that holds the label")
    parser.add_argument("--small", action="store_true", help="jukebox_gpu: sizes that a CPU does in a minute")
    parser.add_argument("--tiny", action="store_true", help="sizes that take seconds and say nothing: to try it out")
    given = parser.parse_args(arguments)
    if given.name is None:
        print("python -m benchmarks NAME, where NAME is")
        for name in NAMES:
            print(f"  {name:<13}{importlib.import_module(f'benchmarks.{name}').TITLE}")
        return 0
    try:
        _run(given)
    except ZooError as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(given: argparse.Namespace) -> None:
    if given.name not in NAMES:
        raise ZooError(f"no benchmark '{given.name}'{suggest(given.name, NAMES)}")
    if given.runs < 1 or given.threads < 1:
        raise ZooError("--runs and --threads must be at least 1")
    if given.text is not None and not given.text.is_file():
        raise ZooError(f"--text {given.text}: no such file")
    if given.json is not None and not given.json.absolute().parent.is_dir():
        raise ZooError(f"--json {given.json}: its folder does not exist")
    torch.set_num_threads(given.threads)
    module = importlib.import_module(f"benchmarks.{given.name}")
    sizes = module.TINY if given.tiny else module.FULL
    if given.small:
        if not isinstance(sizes, type(getattr(module, "SMALL", None))):
            raise ZooError(f"--small: '{given.name}' has no such sizes")
        sizes = module.SMALL
    names = {field.name for field in fields(sizes)}
    options = ("text", "vocabulary", "sounds", "stack", "samples", "kind", "label")
    chosen = {name: vars(given)[name] for name in options if vars(given)[name] is not None}
    for name in chosen.keys() - names:
        raise ZooError(f"--{name}: '{given.name}' has no use for it")
    sizes = replace(sizes, **chosen)
    rows: list[Row] = module.measure(sizes, given.runs)
    report = {"machine": machine(), "threads": given.threads, "rows": [asdict(row) for row in rows]}
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _show(given.name, rows, given.threads)


def _show(name: str, rows: Sequence[Row], threads: int) -> None:
    table = Table(title=f"{name}, {threads} threads")
    for title in ("what", "who", "median", "min", "max", "unit", "limit", "reached"):
        words = title in {"what", "who", "unit"}
        table.add_column(title, justify="left" if words else "right", no_wrap=True)
    for row in rows:
        figures = [_number(figure) for figure in (row.median, row.min, row.max)]
        limit = [_number(row.limit), f"{row.median / row.limit:.0%}"] if row.limit else ["", ""]
        table.add_row(row.name, row.peer, *figures, row.unit, *limit)
    Console(width=max(140, Console().width)).print(table)
    for source in dict.fromkeys(row.limit_source for row in rows if row.limit_source):
        print(f"limit: {source}")


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 10_000 else f"{figure:.4g}"


if __name__ == "__main__":
    sys.exit(main())
