"""Child processes for tests that kill: forked, so that torch need not be imported hundreds of times."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from zoo.train.loop import Interrupted
from zoo.weights import files


def start(work: Callable[[], object]) -> int:
    """Run ``work`` in a child process and return its number; it exits like the command line does."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except Interrupted as stop:
        code = 128 + stop.signal
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def finish(child: int) -> int:
    """Wait for a child and return its exit code, minus the signal's number if one killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_bytes(count: int) -> None:
    """Let this process kill itself as soon as ``count`` bytes have gone to the disk, in the middle of a file."""
    left = count
    write = files.write_all

    def limited(descriptor: int, data: memoryview) -> None:
        nonlocal left
        if len(data) > left:
            write(descriptor, data[:left])
            die()
        left -= len(data)
        write(descriptor, data)

    files.write_all = limited


def die_at_operation(number: int) -> Callable[[], int]:
    """Let this process kill itself just before operation ``number`` on the file system; return a count of them."""
    seen = 0

    def counted(operation: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal seen
            seen += 1
            if seen == number:
                die()
            return operation(*arguments, **options)

        return call

    for name in ("rename", "replace", "fsync", "mkdir", "rmdir", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    return lambda: seen


def digests(out: Path) -> dict[str, str]:
    """Return the sha256 of what a run is for."""
    return {"model": files.digest(out / "model.safetensors"), "losses": "".join(_losses(out))}


def _losses(out: Path) -> list[str]:
    lines = (out / "metrics.jsonl").read_text().splitlines(keepends=True)
    return [line.partition('"split"')[2].partition('"tokens_per_second"')[0] for line in lines]
