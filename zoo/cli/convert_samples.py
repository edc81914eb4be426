"""``zoo convert`` of samples that the original Jukebox has saved: their codes, from which they can be gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.files import npz, write_bytes
from zoo.cli.terminal import bold, one_line, put, say, table
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.weights.torch_legacy import Saved

FILE = "codes.npz"


def check_target(out: Path, *, overwrite: bool) -> None:
    """Refuse to replace codes unasked.

    Raises:
        ZooError: they are there.
    """
    if (out / FILE).exists() and not overwrite:
        raise ZooError(f"{out / FILE} is there already; choose another out=DIR, or add overwrite=true")


def convert(saved: Saved, out: Path, *, quiet: bool) -> dict[str, Any]:
    """Write ``codes.npz`` into ``out``, which has been checked; return the verb's JSON document.

    It holds ``level_0``, ``level_1``, ... (the finest first), int64 (samples, time), of the levels that were drawn; and
    where the file says it ``artist``, ``genre`` and ``lyrics``, and in samples of sound ``total`` and ``offset``.

    Raises:
        ZooError: the file holds no codes, or the folder cannot be written to.
    """
    from zoo.weights import jukebox_samples

    samples = jukebox_samples.read(saved)
    write_bytes(out / FILE, npz(samples.arrays()))
    levels = [{"level": level, "ids": codes.shape[1]} for level, codes in samples.codes.items()]
    told = [
        {name: values[index] for name, values in (*samples.words.items(), *samples.numbers.items())}
        for index in range(samples.count)
    ]
    if not quiet:
        put(str(out / FILE))
        say(f"{bold(str(samples.count))} sample{'s' * (samples.count != 1)} of Jukebox")
        say(table(("level", "ids"), [[str(row["level"]), f"{row['ids']:,}"] for row in levels], right=range(2)))
        for index, one in enumerate(told):
            words = [f"{name} {value!s:.60}" for name, value in one.items() if value not in ("", None)]
            say(one_line(f"{index:03d}: {', '.join(words) or 'no labels'}"))
    return {"codes": str(out / FILE), "samples": told, "levels": levels}
