"""Fault 20: archives whose members lead elsewhere, stand twice, or are not what the list says. Nothing is unpacked."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.faults.test_pickles import CONFIG, archive, entries, tensor
from zoo import ZooError
from zoo.weights.archive import Archive

NAMES = {
    "a folder up": "../../escaped",
    "a folder up inside": "x/../../escaped",
    "absolute": "/escaped",
    "a folder up on Windows": "..\\..\\escaped",
    "a drive": "C:\\escaped",
    "a share": "\\\\host\\escaped",
    "a new line": "x/data/1\n2",
    "a control character": "x/\x1b[31m",
    "no name": "",
    "another alphabet": "x/dаta",  # a Cyrillic letter
    "too long": "x/" + "n" * 2000,
}


def array(values: list[float]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(values, dtype=np.float32))
    return stream.getvalue()


def npz(folder: Path, write: Callable[[zipfile.ZipFile], object]) -> None:
    (folder / "hparams.json").write_text('{"n_vocab": 7, "n_ctx": 4, "n_embd": 4, "n_head": 1, "n_layer": 1}')
    with zipfile.ZipFile(folder / "tf_variables.npz", "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice
        file.writestr("model/wte.npy", array([1.0]))
        write(file)


def pytorch(folder: Path, write: Callable[[zipfile.ZipFile], object]) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG))
    archive(folder / "pytorch_model.bin", entries(("wte.weight", tensor())))
    with zipfile.ZipFile(folder / "pytorch_model.bin", "a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(file)


KINDS = {"npz": npz, "pytorch": pytorch}


def refused(folder: Path, message: str) -> None:
    before = set(folder.parent.rglob("*"))
    with pytest.raises(ZooError, match=message) as error:
        zoo.load(folder, device="cpu")
    assert "\n" not in str(error.value)
    assert set(folder.parent.rglob("*")) == before
    assert not Path("/escaped").exists()


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[zipfile.ZipFile], object]], Path]:
    folder = tmp_path / "deep" / "model"
    folder.mkdir(parents=True)

    def write(change: Callable[[zipfile.ZipFile], object]) -> Path:
        KINDS[request.param](folder, change)
        return folder

    return write


Make = Callable[[Callable[[zipfile.ZipFile], object]], Path]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_names_that_lead_elsewhere(make: Make, name: str) -> None:
    refused(make(lambda file: file.writestr(zipfile.ZipInfo(name), b"1")), r"no plain relative path|leads out")


def test_links(make: Make) -> None:
    info = zipfile.ZipInfo("x/link")
    info.external_attr = 0o120777 << 16
    refused(make(lambda file: file.writestr(info, "/etc/passwd")), "member 'x/link' is a link")


def test_names_that_stand_twice(make: Make) -> None:
    def twice(file: zipfile.ZipFile) -> None:
        file.writestr(file.namelist()[0], b"other")

    refused(make(twice), "stands twice")


def test_encrypted_members_and_other_ways_of_packing(make: Make) -> None:
    refused(make(lambda file: file.writestr("x/y", b"1" * 100, compress_type=zipfile.ZIP_BZIP2)), "packed in a way")


def test_files_cut_short(make: Make) -> None:
    folder = make(lambda file: None)
    (path,) = (path for path in folder.iterdir() if path.suffix != ".json")
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        refused(folder, "is no zip file, or is cut short|is no file of weights by torch")


def test_members_that_are_not_where_the_list_says(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.ones(3), b=np.zeros(3))
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02")
    for offset in (0, 7, 1 << 30):
        changed = bytearray(content)
        changed[at + 42 : at + 46] = struct.pack("<L", offset)
        path.write_bytes(changed)
        found = Archive(path)
        with pytest.raises(ZooError, match="is not where the list says"):
            found.start("b.npy")


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_that_are_longer_shorter_or_changed(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("a", b"abcdefgh" * 1000)
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02")
    for place, value in ((24, 7999), (24, 8001), (20, 5), (16, 12345)):
        changed = bytearray(content)
        changed[at + place : at + place + 4] = struct.pack("<L", value)
        path.write_bytes(changed)
        with pytest.raises(ZooError, match=r"longer than the list says|cut short or changed|lies outside|unpacked"):
            list(Archive(path).pieces("a"))


def test_tar_files_are_not_read_at_all(tmp_path: Path) -> None:
    """PyTorch's oldest files: hard links, symbolic links and names that lead out stay in the archive."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    for kind in (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.REGTYPE):
        with tarfile.open(tmp_path / "pytorch_model.bin", "w") as file:
            info = tarfile.TarInfo("../escaped")
            info.type, info.linkname = kind, "/etc/passwd"
            file.addfile(info, io.BytesIO())
        refused(tmp_path, "is a tar file, of PyTorch before 0")


def test_sound_archives_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(100_000))
    found = Archive(tmp_path / "x.npz")
    assert b"".join(found.pieces("a.npy")) == zipfile.ZipFile(tmp_path / "x.npz").read("a.npy")
    assert found.head("a.npy", 6) == b"\x93NUMPY"
    assert os.listdir(tmp_path) == ["x.npz"]
