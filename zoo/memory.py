"""How much memory this machine has."""

from __future__ import annotations

import os
import re
from pathlib import Path


def total_bytes() -> int | None:
    """Return this machine's memory in bytes, None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return None


def available_bytes() -> int | None:
    """Return what can still be had without swapping, in bytes, None where the system does not say."""
    try:
        match = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:  # not Linux
        return None
    return int(match[1]) * 1024 if match else None
