"""How much memory this machine has."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def total_bytes(device: torch.device | None = None) -> int | None:
    """Return this machine's memory in bytes, or a GPU's, None where the system does not say."""
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return None


def available_bytes(device: torch.device | None = None) -> int | None:
    """Return what can still be had without swapping, in bytes, None where the system does not say.

    Args:
        device: of a GPU, what is free on it; None for the machine's own memory, within what this process may have
            (``ulimit -v``).
    """
    if device is not None and device.type == "cuda":
        import torch

        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # kept by PyTorch for reuse
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    try:
        match = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:  # not Linux
        return None
    free = int(match[1]) * 1024 if match else None
    return min((one for one in (free, _left_to_process(), _left_to_group()) if one is not None), default=None)


def _left_to_process() -> int | None:
    """Return the address space that this process may still take, None where there is no limit."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return max(limit - pages * resource.getpagesize(), 0)


GROUPS = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
"""Files of a control group, of versions 2 and 1: what a container may have, what it has, and what of."""
CACHED = re.compile(r"^(?:total_)?(?:in)?active_file (\d+)$", re.MULTILINE)
"""Pages of files, which are given up when memory is wanted."""


def _left_to_group(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return what this process's container may still take, None where there is no limit."""
    for names in GROUPS:
        try:
            most, taken, parts = ((folder / name).read_text().strip() for name in names)
        except OSError:
            continue
        if most.isdigit() and taken.isdigit():
            whole = [line for line in parts.splitlines() if line.startswith("total_")] or parts.splitlines()
            cached = sum(map(int, CACHED.findall("\n".join(whole))))
            return max(int(most) - max(int(taken) - cached, 0), 0)
    return None


def is_exhausted(error: BaseException) -> bool:
    """Return whether ``error`` is Python's, the GPU's or the CPU allocator's way of saying that memory ran out."""
    said = str(error)
    return (
        isinstance(error, MemoryError)
        or "OutOfMemory" in type(error).__name__
        or any(words in said for words in ("can't allocate memory", "CUDA error: out of memory", "_ALLOC_FAILED"))
    )
