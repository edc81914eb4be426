"""PyTorch's own files: dictionaries of tensors are read as ``torch.load`` reads them; anything else is refused."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from zoo.errors import ZooError
from zoo.weights.torch_legacy import TorchSource

TENSORS = {
    "part": torch.arange(10.0)[3:7],
    "half": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).bfloat16(),
    "number": torch.tensor(2),
    "parameter": nn.Parameter(torch.ones(2)),
    "none": torch.zeros(0, 3),
    "one row": torch.ones(3, 1).t(),
    "bool": torch.tensor([[True], [False]]),
}
TENSORS["tied"] = TENSORS["part"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_dictionaries_of_tensors(tmp_path: Path, protocol: int, kind: type) -> None:
    torch.save(kind(TENSORS), tmp_path / "x.bin", pickle_protocol=protocol)
    source = TorchSource(tmp_path / "x.bin")
    assert source.names() == list(TENSORS)
    for name, tensor in TENSORS.items():
        read = source.read(name)
        assert source.shape(name) == tuple(tensor.shape)
        assert read.dtype == tensor.dtype
        assert torch.equal(read, tensor)
    assert torch.equal(source.read("half", 1, 3), TENSORS["half"][1:3])


def test_a_module_s_state(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Conv1d(7, 2, 3))
    torch.save(module.state_dict(), tmp_path / "x.bin")
    source = TorchSource(tmp_path / "x.bin")
    assert all(torch.equal(source.read(name), tensor) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"x": torch.ones(3, 4).t()}, "a tensor is not stored row by row"),
        ({"x": torch.ones(2).expand(5, 2)}, "a tensor is not stored row by row"),
        ({"x": torch.ones(6)[::2]}, "a tensor is not stored row by row"),
        ({"epoch": 3}, "'epoch' is no tensor"),
        ({"model": {"x": torch.ones(2)}}, "'model' is no tensor"),
        ({0: torch.ones(2)}, "a key that is no text"),
        ({}, "it holds no dictionary of tensors"),
        (torch.ones(2), "it holds no dictionary of tensors"),
        ([torch.ones(2)], "instruction APPEND"),
        ({"x": torch.ones(2, dtype=torch.complex64)}, "asks for torch.ComplexFloatStorage"),
        ({"x": torch.ones(2, 2).to_sparse()}, "asks for torch"),
    ],
)
def test_everything_else_is_refused(tmp_path: Path, value: Any, message: str) -> None:
    torch.save(value, tmp_path / "x.bin")
    with pytest.raises(ZooError, match=rf"x\.bin is refused: .*{message}.*; save the weights as safetensors instead"):
        TorchSource(tmp_path / "x.bin")


def test_old_layouts_are_refused(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "x.bin", _use_new_zipfile_serialization=False)
    with pytest.raises(ZooError, match="is a pickle or tar of an old PyTorch"):
        TorchSource(tmp_path / "x.bin")


def test_every_cut_is_refused(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "x.bin")
    content = (tmp_path / "x.bin").read_bytes()
    for length in range(0, len(content), len(content) // 100):
        (tmp_path / "x.bin").write_bytes(content[:length])
        with pytest.raises(ZooError, match=r"x\.bin"):
            TorchSource(tmp_path / "x.bin")


@pytest.mark.parametrize(("member", "content"), [("data/0", b"\0" * 36), ("byteorder", b"big"), ("data/0", None)])
def test_storages_that_are_not_as_stated(tmp_path: Path, member: str, content: bytes | None) -> None:
    torch.save({"x": torch.ones(10)}, tmp_path / "x.bin")
    with zipfile.ZipFile(tmp_path / "x.bin") as source, zipfile.ZipFile(tmp_path / "y.bin", "w") as target:
        for info in source.infolist():
            data = content if info.filename == f"x/{member}" else source.read(info)
            if data is not None:
                target.writestr(info.filename, data)
    with pytest.raises(ZooError, match=r"is not there in full|big-endian"):
        TorchSource(tmp_path / "y.bin")
