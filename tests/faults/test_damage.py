"""Faults 4, 5, 7 and 11: files that are cut short, changed, made to harm, or full of NaN."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
import torch

from tests.faults.processes import digests
from tests.train import small
from zoo.errors import ZooError
from zoo.train.state import RunFolder
from zoo.weights.files import files_below
from zoo.weights.folder import read, write
from zoo.weights.tensors import named_weights, read_tensors


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("damage") / "run"
    small.trainer(out).run()
    return out


def load(folder: Path) -> None:
    read(folder).tensors()


def refused(folder: Path) -> str:
    with pytest.raises(ZooError) as error:
        load(folder)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_every_cut_of_the_weights_is_refused(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(run, folder)
    whole = (run / "model.safetensors").read_bytes()
    for percent in range(100):
        (folder / "model.safetensors").write_bytes(whole[: len(whole) * percent // 100])
        assert "model.safetensors" in refused(folder)


def test_every_cut_of_a_state_falls_back_to_the_one_before(run: Path, tmp_path: Path) -> None:
    whole = (run / "training" / "step-00000020" / "model.safetensors").read_bytes()
    for percent in range(100):
        folder = tmp_path / str(percent)
        shutil.copytree(run / "training", folder / "training")
        (folder / "training" / "step-00000020" / "model.safetensors").write_bytes(whole[: len(whole) * percent // 100])
        notes: list[str] = []
        state = RunFolder(folder).newest(notes.append)
        assert state is not None
        assert state.progress.step == 15
        assert len(notes) == 1


def test_a_run_with_a_damaged_state_ends_like_an_undamaged_one(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(run, folder)
    (folder / "training" / "step-00000020" / "optimizer.safetensors").write_bytes(b"\0" * 100)
    small.trainer(folder, resume=True).run()
    assert digests(folder) == digests(run)


def test_a_run_without_any_whole_state_is_refused(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(run, folder)
    for state in (folder / "training").iterdir():
        (state / "state.json").unlink()
    with pytest.raises(ZooError, match=r"no complete state.*overwrite=true"):
        small.trainer(folder, resume=True).run()


def test_a_thousand_flipped_bits_are_all_seen(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "flipped"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("training", "metrics.jsonl"))
    draw = random.Random(3)
    names = files_below(folder)
    assert {"manifest.json", "card.yaml", "recipe.yaml", "config.json", "model.safetensors"} == set(names)
    for index in range(1000):
        path = folder / (draw.choice(names) if index % 2 else "model.safetensors")
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        refused(folder)
        path.write_bytes(whole)
    load(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused_by_name(tmp_path: Path, value: float) -> None:
    tensors = {name: tensor.clone() for name, tensor in named_weights(small.network()).items()}
    tensors["blocks.0.attention.input.weight"][3, 2] = value
    write(tmp_path / "bad", small.contents(), tensors)
    assert "'blocks.0.attention.input.weight' has 1 value" in refused(tmp_path / "bad")


def _file(path: Path, header: object, data: bytes = b"", *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def _entry(start: int, stop: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


HOSTILE = {
    "empty": (b"", b"", None),
    "header of 2^63 bytes": ({}, b"", 1 << 63),
    "header longer than the file": ({}, b"", 1000),
    "long header": (b" " * (9 << 20), b"", None),
    "no object": ([], b"", None),
    "no JSON": (b"{nan", b"", None),
    "deep": (b"[" * 100_000, b"", None),
    "a hole": ({"a": _entry(0, 4, [1]), "b": _entry(8, 12, [1])}, b"\0" * 12, None),
    "an overlap": ({"a": _entry(0, 8, [2]), "b": _entry(4, 12, [2])}, b"\0" * 12, None),
    "bytes left over": ({"a": _entry(0, 4, [1])}, b"\0" * 12, None),
    "too few bytes": ({"a": _entry(0, 40, [10])}, b"\0" * 12, None),
    "a name twice": (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b"\0" * 4,
        None,
    ),
    "wrong shape": ({"a": _entry(0, 4, [2])}, b"\0" * 4, None),
    "wrong dtype": ({"a": _entry(0, 4, [1], "F64")}, b"\0" * 4, None),
    "unknown dtype": ({"a": _entry(0, 4, [1], "X9")}, b"\0" * 4, None),
    "negative shape": ({"a": _entry(0, 4, [-1, -1])}, b"\0" * 4, None),
    "overflowing shape": ({"a": _entry(0, 0, [1 << 40, 1 << 40])}, b"", None),
    "backward offsets": ({"a": _entry(4, 0, [1])}, b"\0" * 4, None),
    "a float as size": ({"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}, b"\0" * 4, None),
    "a million tensors": (
        b"{" + b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(200_000)) + b"}",
        b"",
        None,
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_are_refused(tmp_path: Path, case: str) -> None:
    header, data, length = HOSTILE[case]
    path = _file(tmp_path / "model.safetensors", header, data, length=length)
    if case == "empty":
        path.write_bytes(b"")
    with pytest.raises(ZooError, match=r"model\.safetensors is no sound safetensors file") as error:
        read_tensors(path)
    assert "\n" not in str(error.value)


def test_a_sound_file_of_the_same_making_is_read(tmp_path: Path) -> None:
    header = {"a": _entry(0, 4, [1]), "b": _entry(4, 12, [2]), "__metadata__": {"format": "pt"}}
    tensors = read_tensors(_file(tmp_path / "model.safetensors", header, b"\0\0\x80\x3f" * 3))
    assert torch.equal(tensors["a"], torch.ones(1))
    assert torch.equal(tensors["b"], torch.ones(2))
