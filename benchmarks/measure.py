"""How figures are taken: several runs, contestants in turn, so that a noisy minute hits all of them."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from zoo.errors import ZooError

CPU = torch.device("cpu")
Contestants = Mapping[str, Callable[[], float]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured figure.

    Attributes:
        name: what was measured.
        peer: whose it is: ``zoo``, a peer's name, or ``machine`` for a limit.
        unit: of the figures, e.g. ``tokens/s``.
        median, min, max: over the runs.
        limit: the most that the machine could do, same unit; None where that is not known.
        limit_source: how the limit was found.
    """

    name: str
    peer: str
    unit: str
    median: float
    min: float
    max: float
    limit: float | None = None
    limit_source: str | None = None


def row(
    name: str, peer: str, unit: str, figures: Sequence[float], limit: float | None = None, source: str | None = None
) -> Row:
    """Summarise the runs of one contestant."""
    return Row(
        name=name,
        peer=peer,
        unit=unit,
        median=statistics.median(figures),
        min=min(figures),
        max=max(figures),
        limit=limit,
        limit_source=source,
    )


def in_turn(contestants: Contestants, runs: int) -> dict[str, list[float]]:
    """Call every contestant once a round, starting with another one each time; return its figures."""
    names = list(contestants)
    figures: dict[str, list[float]] = {name: [] for name in names}
    for number in range(runs):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            figures[name].append(contestants[name]())
    return figures


def seconds(work: Callable[[], object], *, at_least: float = 0.05, device: torch.device = CPU) -> float:
    """Return the seconds that one call takes on a device, over enough calls to fill ``at_least`` seconds."""
    work()
    settle(device)
    calls, taken = 1, 0.0
    while True:
        start = time.perf_counter()
        for _ in range(calls):
            work()
        settle(device)
        taken = time.perf_counter() - start
        if taken >= at_least:
            return taken / calls
        calls *= 2


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def settle(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine() -> dict[str, Any]:
    """Describe what the figures were taken on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "accelerator": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def peer(package: str) -> ModuleType:
    """Import a peer, which is no dependency of zoo's.

    Raises:
        ZooError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ZooError(f"{package} is not installed; this benchmark needs it: pip install 'tokenzoo[bench]'") from None


def version(package: str) -> str:
    """Return ``package version`` for a row's peer."""
    return f"{package} {importlib.metadata.version(package)}"
