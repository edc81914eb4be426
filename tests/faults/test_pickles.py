"""Fault 6: pickles that would run code if they were unpickled. They are gone through, never run; no marker appears."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from zoo import ZooError
from zoo.weights.torch_legacy import TorchSource

CONFIG = {"model_type": "gpt2", "vocab_size": 7, "n_positions": 4, "n_embd": 4, "n_layer": 1, "n_head": 1}
STOP = b"."


class Reduced:
    """Pickles as a call of ``function(*arguments)``."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


class State:
    """Pickles with a state that BUILD sets."""

    def __reduce__(self) -> tuple[object, ...]:
        return dict, (), {"__class__": "other"}


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


STORAGE = b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + b"K\x04tQ"
SIZES = b"K\x02K\x02\x86K\x02K\x01\x86\x89"
TENSOR = name("torch._utils", "_rebuild_tensor_v2") + b"(" + STORAGE + b"K\x00" + SIZES


def tensor(hooks: bytes = b"}") -> bytes:
    return TENSOR + hooks + b"tR"


def entries(*pairs: tuple[str, bytes]) -> bytes:
    """A dictionary of what other instructions make."""
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in pairs) + b"u" + STOP


def payloads(marker: Path) -> dict[str, bytes]:
    """Pickles that make ``marker`` if they are run, or do what no dictionary of tensors does."""
    command = f"touch '{marker}'"
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    system, call = name("os", "system"), text(command) + b"\x85R"
    whole = {
        f"reduce {function.__name__} protocol {protocol}": pickle.dumps(Reduced(function, argument), protocol)
        for function, argument in ((os.system, command), (eval, code), (exec, code))
        for protocol in (0, 2, 4)
    }
    inner = pickle.dumps(Reduced(os.system, command), 2)
    nested = {
        "value": entries(("y", system + call), ("x", tensor())),
        "key": b"\x80\x02}" + system + call + tensor() + b"s" + STOP,
        "hooks of a tensor": entries(("x", tensor(system + call))),
        "reduce in reduce": entries(("x", name("collections", "OrderedDict") + system + call + b"\x85R")),
        "popen by NEWOBJ": entries(("x", name("subprocess", "Popen") + text(command) + b"\x85\x81")),
        "popen by NEWOBJ_EX": entries(("x", name("subprocess", "Popen") + text(command) + b"\x85}\x92")),
        "INST": b"(S" + repr(command).encode() + b"\nios\nsystem\n" + STOP,
        "OBJ": b"(" + system + text(command) + b"o" + STOP,
        "BUILD of attributes": pickle.dumps({"x": State()}, 2),
        "BUILD of an ordered dictionary": entries(
            ("x", name("collections", "OrderedDict") + b")R}" + text("__class__") + system + b"sb")
        ),
        "EXT1": entries(("x", b"\x82\x01" + call)),
        "EXT2": entries(("x", b"\x83\x01\x00" + call)),
        "EXT4": entries(("x", b"\x84\x01\x00\x00\x00" + call)),
        "memo": entries(("x", name("collections", "OrderedDict") + b"q\x01"), ("y", system + b"q\x01h\x01" + call)),
        "memo before it is there": entries(("x", b"h\x09" + call)),
        "dotted name": b"\x80\x04}" + text("x") + text("shutil") + text("os.system") + b"\x93" + call + b"s" + STOP,
        "name through a function": entries(
            ("x", text("torch._utils") + text("_rebuild_tensor_v2.__globals__") + b"\x93" + call)
        ),
        "name that is no text": entries(("x", text("os") + b"K\x01\x93" + call)),
        "name made of a memo": entries(("x", text("os") + b"q\x00" + text("system") + b"\x93" + call)),
        "bytes of a storage": entries(
            ("x", name("torch.storage", "_load_from_bytes") + b"B" + struct.pack("<I", len(inner)) + inner + b"\x85R")
        ),
        "module of old torch": entries(("x", b"(" + text("module") + system + text("a") + text(code) + b"tQ")),
        "storage of another type": entries(
            ("x", b"(" + text("storage") + system + text("0") + text("cpu") + b"K\x04tQ")
        ),
        "storage outside of the archive": entries(("x", tensor().replace(text("0"), text("../../0")))),
        "text instructions": b"(dS'x'\ncos\nsystem\n(S" + repr(command).encode() + b"\ntRs" + STOP,
        "python 2": b"c__builtin__\neval\n(S" + repr(code).encode() + b"\ntR" + STOP,
        "persistent id in text": b"Pos.system\n" + STOP,
        "duplicates": entries(("x", system + call + b"20"), ("y", tensor())),
        "buffers": b"\x80\x05\x97" + STOP,
        "itself": b"\x80\x02}q\x00" + text("x") + b"h\x00s" + STOP,
        "nothing": STOP,
        "no end": entries(("x", tensor()))[:-1],
        "marks": b"\x80\x02" + b"(" * 100_000 + STOP,
        "deep": b"\x80\x02)" + b"\x85" * 500_000 + STOP,
        "many": b"\x80\x02" + b"}" * 2_000_000 + STOP,
        "not a pickle": b"\xff" * 100,
    }
    return whole | nested


def archive(path: Path, content: bytes, more: dict[str, bytes] | None = None) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for member, data in {"x/data.pkl": content, "x/data/0": bytes(16), **(more or {})}.items():
            file.writestr(member, data)


def stream(
    content: bytes,
    *,
    magic: int = 0x1950A86A20F9469CFC6C,
    protocol: int = 1001,
    machine: object = None,
    keys: object = ("0",),
    storages: bytes = struct.pack("<q", 4) + bytes(16),
) -> bytes:
    """A file as PyTorch wrote it before 1.6: pickles one after the other, then the storages."""
    sizes = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    before = [pickle.dumps(value, 2) for value in (magic, protocol, sizes if machine is None else machine)]
    listed = pickle.dumps(list(keys) if isinstance(keys, tuple) else keys, 2)
    return b"".join([*before, content, listed, storages])


def old_tar(path: Path, content: bytes) -> None:
    with tarfile.open(path, "w") as file:
        for member in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "model"
    place.mkdir()
    (place / "config.json").write_text(json.dumps(CONFIG))
    return place


def refuses(place: Path, marker: Path) -> None:
    with pytest.raises(ZooError) as error:
        zoo.load(place, device="cpu")
    assert "\n" not in str(error.value)
    assert not marker.exists()


def refuses_file(path: Path, marker: Path) -> None:
    with pytest.raises(ZooError) as error:
        TorchSource(path)
    assert "\n" not in str(error.value)
    assert not marker.exists()


def test_the_payloads_would_work(tmp_path: Path) -> None:
    """Else nothing is proven: unpickled, they make the marker."""
    marker = tmp_path / "marker"
    worked = []
    for title, content in payloads(marker).items():
        if title in ("marks", "deep", "many"):
            continue
        with contextlib.suppress(Exception):
            Unpickler(io.BytesIO(content)).load()
        if marker.exists():
            worked.append(title)
            marker.unlink()
    assert len(worked) >= 21, worked


class Unpickler(pickle.Unpickler):
    """As ``torch.load`` made one, without torch's storages."""

    def persistent_load(self, described: Any) -> Any:
        return described


def test_pickles_in_a_zip_file(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for content in payloads(marker).values():
        archive(folder / "pytorch_model.bin", content)
        refuses(folder, marker)


def test_the_same_archive_without_a_payload_is_read(folder: Path) -> None:
    """It is refused only because a GPT-2 needs more than this tensor."""
    archive(folder / "pytorch_model.bin", entries(("wte.weight", tensor()), ("x", tensor(b"N"))))
    with pytest.raises(ZooError, match=r"does not fit this network: .*unexpected 'x'"):
        zoo.load(folder, device="cpu")


def test_pickles_that_are_the_file(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for content in payloads(marker).values():
        (folder / "pytorch_model.bin").write_bytes(content)
        refuses(folder, marker)
        old_tar(folder / "pytorch_model.bin", content)
        refuses(folder, marker)


def test_pickles_in_a_file_of_an_old_pytorch(tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "vqvae.pth.tar"
    evil = payloads(marker)
    for content in evil.values():
        path.write_bytes(stream(content))
        refuses_file(path, marker)
    path.write_bytes(stream(entries(("wte.weight", tensor()))))
    assert TorchSource(path).shape("wte.weight") == (2, 2)
    for title in ("reduce system protocol 2", "reduce eval protocol 4", "INST"):  # in place of each other pickle
        good = entries(("wte.weight", tensor()))
        whole = stream(good)
        for plain in (0x1950A86A20F9469CFC6C, 1001, ["0"]):
            path.write_bytes(whole.replace(pickle.dumps(plain, 2), evil[title]))
            refuses_file(path, marker)
        path.write_bytes(whole.replace(whole[whole.index(b"}") - 2 : whole.index(good)], evil[title]))
        refuses_file(path, marker)


GOOD = entries(("x", tensor()))
PART = STORAGE[:-2] + b"(" + text("1") + b"K\x02K\x02ttQ"  # two numbers from the third on
ROW = b"K\x00K\x02\x85K\x01\x85"


def test_parts_of_storages_of_an_old_pytorch(tmp_path: Path) -> None:
    """Before PyTorch 0.4 a part of a storage had a name of its own, and tensors had no gradients."""
    old = name("torch._utils", "_rebuild_tensor") + b"(" + PART + ROW + b"tR"
    path = tmp_path / "x.pth.tar"
    path.write_bytes(stream(entries(("x", old)), storages=struct.pack("<q4f", 4, 1, 2, 3, 4)))
    assert TorchSource(path).read("x").tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (stream(GOOD, magic=7), "no file of weights by torch.save"),
        (stream(GOOD, protocol=1002), "its protocol is not the one"),
        (stream(GOOD, machine={"little_endian": False}), "big-endian"),
        (stream(GOOD, machine=[]), "big-endian"),
        (stream(GOOD, keys=()), "its list of storages"),
        (stream(GOOD, keys=("0", "0")), "its list of storages"),
        (stream(GOOD, keys=("1",)), "its list of storages"),
        (stream(GOOD, keys={"0": 1}), "its list of storages"),
        (stream(GOOD, keys=(0,)), "its list of storages"),
        (stream(GOOD, keys=([[[]]],)), "its list of storages"),
        (stream(GOOD, storages=b""), "cut short or damaged in storage 0"),
        (stream(GOOD, storages=struct.pack("<q", 4) + bytes(15)), "cut short or damaged in storage 0"),
        (stream(GOOD, storages=struct.pack("<q", 5) + bytes(20)), "cut short or damaged in storage 0"),
        (stream(GOOD, storages=struct.pack("<q", -4) + bytes(16)), "cut short or damaged in storage 0"),
        (stream(GOOD, storages=struct.pack("<q", 4) + bytes(17)), "goes on behind its last storage"),
        (stream(GOOD.replace(b"K\x04tQ", b"J\xff\xff\xff\x7ftQ")), "cut short or damaged in storage 0"),
        (stream(GOOD.replace(b"K\x04tQ", b"J\xff\xff\xff\xfftQ")), "a part of a storage lies outside"),
        (stream(GOOD.replace(b"QK\x00", b"QK\x01")), "a tensor lies outside of its storage"),
        (stream(GOOD.replace(b"QK\x00", b"QJ\xff\xff\xff\xff")), "a tensor lies outside of its storage"),
        (stream(GOOD.replace(b"QK\x00K\x02", b"QK\x00K\x03")), "a tensor lies outside of its storage"),
        (stream(GOOD.replace(b"K\x02K\x01\x86\x89", b"K\x00K\x01\x86\x89")), "not stored row by row"),
        (stream(GOOD.replace(text("0"), text("../0"))), "a storage has a strange name"),
        (stream(entries(("x", tensor()), ("y", tensor().replace(b"Float", b"Long")))), "described in two ways"),
        (stream(entries(("x", tensor()), ("y", tensor().replace(b"K\x04tQ", b"K\x05tQ")))), "described in two ways"),
        (stream(entries(("x", TENSOR.replace(STORAGE, STORAGE[:-2] + b"K\x07tQ") + b"}tR"))), "in an unknown way"),
        (
            stream(entries(("x", TENSOR.replace(STORAGE, PART) + b"}tR"))),
            "a tensor lies outside of its storage",
        ),
        (
            stream(entries(("x", TENSOR.replace(STORAGE, PART.replace(b"K\x02K\x02tt", b"K\x03K\x02tt")) + b"}tR"))),
            "a part of a storage lies outside",
        ),
        (stream(b"\x80\x02]q\x00h\x00a" + text("x") + tensor() + b"s" + STOP), "fills something"),
        (stream(b"\x80\x02}" + text("x") + tensor() + b"a" + STOP), "fills something"),
    ],
)
def test_files_of_an_old_pytorch_that_lie(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.pth.tar").write_bytes(content)
    with pytest.raises(ZooError, match=message) as error:
        TorchSource(tmp_path / "x.pth.tar")
    assert "\n" not in str(error.value)


def test_hostile_pickles_are_refused_soon(tmp_path: Path) -> None:
    """Many values on the stack and many marks must not multiply."""
    path = tmp_path / "x.pth.tar"
    for content in (b"N" * 19_000 + b"(t0" * 190_000, b"]" * 10_000 + b"(e" * 290_000, b"(" * 19_000 + b"N1" * 290_000):
        path.write_bytes(stream(b"\x80\x02" + content + STOP))
        start = time.process_time()
        refuses_file(path, tmp_path / "marker")
        assert time.process_time() - start < 5


def test_tar_files_are_named(tmp_path: Path) -> None:
    old_tar(tmp_path / "x.pth.tar", GOOD)
    with pytest.raises(ZooError, match=r"x\.pth\.tar is a tar file, of PyTorch before 0\.1\.10"):
        TorchSource(tmp_path / "x.pth.tar")


def test_more_pickles_in_one_archive(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    evil = payloads(marker)["reduce system protocol 2"]
    good = entries(("wte.weight", tensor()))
    for more in ({"y/data.pkl": evil}, {"x/constants.pkl": evil, "x/code/x.py": b"import os"}, {"data.pkl": evil}):
        archive(folder / "pytorch_model.bin", good, more)
        refuses(folder, marker)


def test_arrays_of_objects(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    objects = np.array([Reduced(os.system, f"touch '{marker}'")] * 2, dtype=object)
    gpt2, gpt1 = tmp_path / "gpt2", tmp_path / "gpt1"
    for place in (gpt2, gpt1):
        place.mkdir()
    (gpt2 / "hparams.json").write_text('{"n_vocab": 7, "n_ctx": 4, "n_embd": 4, "n_head": 1, "n_layer": 1}')
    np.savez(gpt2 / "tf_variables.npz", **{"model/wte": objects})
    refuses(gpt2, marker)
    shapes = [[4, 4], [7, 4], *([[1]] * 12)]
    (gpt1 / "params_shapes.json").write_text(json.dumps(shapes))
    for number in range(10):
        np.save(gpt1 / f"params_{number}.npy", objects)
    (gpt1 / "hparams.json").write_text('{"n_head": 1}')
    refuses(gpt1, marker)
    for number in range(10):
        (gpt1 / f"params_{number}.npy").write_bytes(payloads(marker)["reduce eval protocol 2"])
    refuses(gpt1, marker)
