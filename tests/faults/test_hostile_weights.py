"""Fault 7 for every reader of weights: lies about sizes, shapes and counts cost one line, not memory."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.test_pickles import CONFIG, archive, entries, tensor
from tests.weights import tensorflow_files as tf

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 200 << 20
"""Bytes that refusing may take beyond what loading a sound model takes."""
HPARAMS = {"n_vocab": 7, "n_ctx": 4, "n_embd": 4, "n_head": 1, "n_layer": 1}

Case = Callable[[Path], None]


def npy(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def hparams(folder: Path, **changed: object) -> None:
    (folder / "hparams.json").write_text(json.dumps({**HPARAMS, **changed}))


def npz(folder: Path, members: Iterator[tuple[str, bytes]], kind: int = zipfile.ZIP_STORED) -> None:
    hparams(folder)
    with zipfile.ZipFile(folder / "tf_variables.npz", "w", kind) as file:
        for name, content in members:
            file.writestr(name, content)


def index(folder: Path, pairs: list[tuple[bytes, bytes]]) -> None:
    hparams(folder)
    (folder / "model.ckpt.index").write_bytes(tf.table(pairs))
    (folder / "model.ckpt.data-00000-of-00001").write_bytes(bytes(16))


def torch_file(folder: Path, content: bytes, more: dict[str, bytes] | None = None) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG))
    archive(folder / "pytorch_model.bin", content, more)


def huge_hparams(folder: Path) -> None:
    hparams(folder, n_embd=1 << 30, n_vocab=1 << 40, n_layer=10**30)
    with zipfile.ZipFile(folder / "tf_variables.npz", "w") as file:
        file.writestr("model/wte.npy", npy("(1,)") + bytes(4))


def npz_of_many(folder: Path) -> None:
    content = npy("(1,)") + bytes(4)
    npz(folder, ((f"{number}.npy", content) for number in range(15_000)))


def npz_huge_catalogue(folder: Path) -> None:
    hparams(folder)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 1 << 30, 0, 0)
    with (folder / "tf_variables.npz").open("wb") as file:
        file.seek(1 << 30)
        file.write(end)


def npz_bomb(folder: Path) -> None:
    """A quarter of a gigabyte of zeros, packed; its shape is honest, but no GPT-2's."""
    hparams(folder)
    file = zipfile.ZipFile(folder / "tf_variables.npz", "w", zipfile.ZIP_DEFLATED)
    with file, file.open("model/wte.npy", "w") as member:
        member.write(npy(f"({(1 << 28) // 4},)"))
        for _ in range(1 << 4):
            member.write(bytes(1 << 24))


def npz_lying_bomb(folder: Path) -> None:
    """As small as a GPT-2's table by the list, 256 MB when unpacked."""
    npz_bomb(folder)
    path = folder / "tf_variables.npz"
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<L", len(npy("(7, 4)")) + 112)
    path.write_bytes(content)


def shapes(folder: Path, listed: object) -> None:
    (folder / "params_shapes.json").write_text(json.dumps(listed))
    for number in range(10):
        (folder / f"params_{number}.npy").write_bytes(npy("(1,)") + bytes(4))


TABLES = [[4, 4], [7, 4]]
ENTRY = (1, (2, 2), 0, 0, 16, 0)

CASES: dict[str, Case] = {
    "numbers beyond all sense in hparams": huge_hparams,
    "a number of 5,000 digits": lambda folder: (folder / "hparams.json").write_text('{"n_vocab": ' + "9" * 5000 + "}"),
    "hparams nested too deeply": lambda folder: (folder / "hparams.json").write_text("[" * 100_000),
    "npy shape beyond its bytes": lambda folder: npz(folder, iter([("model/wte.npy", npy("(7000000000000, 4)"))])),
    "npy header of 64 kB": lambda folder: npz(folder, iter([("x.npy", npy("(1,)" + " " * 60_000))])),
    "npz of 15,000 arrays": npz_of_many,
    "npz with a list of a gigabyte": npz_huge_catalogue,
    "npz bomb": npz_bomb,
    "npz bomb that lies": npz_lying_bomb,
    "shapes that are no list": lambda folder: shapes(folder, {"a": 1}),
    "shapes beyond all sense": lambda folder: shapes(folder, [[4, 4], [1 << 39, 4], *([[1 << 39]] * 12)]),
    "negative shapes": lambda folder: shapes(folder, [[4, 4], [-7, 4], *([[1]] * 12)]),
    "shapes of a million layers": lambda folder: shapes(folder, [*TABLES, *([[1]] * 1_200_000)]),
    "shapes of 16 axes and more": lambda folder: shapes(folder, [*TABLES, *([[1] * 100] * 12)]),
    "TensorFlow shape beyond its bytes": lambda folder: index(
        folder, [(b"", tf.header(1)), (b"model/wte", tf.entry(1, (1 << 40, 1 << 40), 0, 0, 16, 0))]
    ),
    "TensorFlow offsets that overflow": lambda folder: index(
        folder, [(b"", tf.header(1)), (b"model/wte", tf.entry(1, (2, 2), 0, (1 << 64) - 8, 16, 0))]
    ),
    "TensorFlow index of 15,000 tensors": lambda folder: index(
        folder, [(b"", tf.header(1)), *((b"%07d" % number, tf.entry(*ENTRY)) for number in range(15_000))]
    ),
    "TensorFlow index of a gigabyte": lambda folder: (
        hparams(folder),
        os.truncate(os.open(folder / "model.ckpt.index", os.O_CREAT | os.O_RDWR), 1 << 30),
    )[0],
    "torch shape beyond its storage": lambda folder: torch_file(
        folder, entries(("x", tensor().replace(b"K\x02K\x02\x86", b"J\x00\x00\x00\x7fK\x02\x86")))
    ),
    "torch stride of nothing": lambda folder: torch_file(
        folder, entries(("x", tensor().replace(b"K\x02K\x01\x86", b"K\x00K\x00\x86")))
    ),
    "torch storage beyond the archive": lambda folder: torch_file(
        folder, entries(("x", tensor().replace(b"cpu" + b"K\x04", b"cpu" + b"\x8a\x06\x00\x00\x00\x00\x00\x7f")))
    ),
    "torch pickle of 32 MB": lambda folder: torch_file(folder, b"\x80\x02" + b"}" * (32 << 20) + b"."),
    "torch pickle that fills the memo": lambda folder: torch_file(
        folder, b"\x80\x04" + b")\x94\x85\x94" * 200_000 + b"."
    ),
    "torch pickle of one text": lambda folder: torch_file(
        folder, b"\x80\x02X" + struct.pack("<I", 1 << 31) + b"x" * 100 + b"."
    ),
    "torch archive of 30,000 members": lambda folder: torch_file(
        folder, entries(("x", tensor())), {f"x/data/{number}": b"" for number in range(1, 30_000)}
    ),
}

MEASURE = """
import resource, sys, time
import zoo, zoo.loading
from zoo import ZooError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for line in sys.stdin:
    began = time.process_time()  # not the clock: other programs may run
    try:
        zoo.load(line.strip(), device="cpu")
        message = "loaded"
    except ZooError as error:
        message = str(error)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(repr((message, grown << 10, time.process_time() - began)), flush=True)
"""


@pytest.fixture(scope="module")
def reader() -> Iterator[Callable[[Path], tuple[str, int, float]]]:
    """Load one folder after the other in a process of its own, and say how much it has grown at most."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", MEASURE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )

    def load(folder: Path) -> tuple[str, int, float]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{folder}\n")
        process.stdin.flush()
        message, grown, seconds = eval(process.stdout.readline(), {"__builtins__": {}})
        return message, grown, seconds

    yield load
    process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("case", CASES)
def test_lies_are_refused_without_memory(
    case: str, tmp_path: Path, reader: Callable[[Path], tuple[str, int, float]]
) -> None:
    CASES[case](tmp_path)
    message, grown, seconds = reader(tmp_path)
    assert message != "loaded"
    assert "\n" not in message
    assert str(tmp_path) in message
    assert grown < LIMIT
    assert seconds < 5
