"""PyTorch's own files: dictionaries of tensors are read as ``torch.load`` reads them; anything else is refused."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from zoo.errors import ZooError
from zoo.weights.tensors import PlacedSource
from zoo.weights.torch_legacy import TorchSource, open_saved

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


def save(value: Any, path: Path, zipped: bool, protocol: int = 2) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [dict, OrderedDict])
@pytest.mark.parametrize("zipped", [True, False])
def test_dictionaries_of_tensors(tmp_path: Path, protocol: int, kind: type, zipped: bool) -> None:
    save(kind(TENSORS), tmp_path / "x.bin", zipped, protocol)
    source = TorchSource(tmp_path / "x.bin")
    assert source.names() == list(TENSORS)
    for name, tensor in TENSORS.items():
        read = source.read(name)
        assert source.shape(name) == tuple(tensor.shape)
        assert read.dtype == tensor.dtype
        assert torch.equal(read, tensor)
    assert torch.equal(source.read("half", 1, 3), TENSORS["half"][1:3])


@pytest.mark.parametrize("zipped", [True, False])
def test_a_module_s_state(tmp_path: Path, zipped: bool) -> None:
    module = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Conv1d(7, 2, 3))
    save(module.state_dict(), tmp_path / "x.bin", zipped)
    source = TorchSource(tmp_path / "x.bin")
    assert all(torch.equal(source.read(name), tensor) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"x": torch.ones(3, 4).t()}, "a tensor is not stored row by row"),
        ({"x": torch.ones(2).expand(5, 2)}, "a tensor is not stored row by row"),
        ({"x": torch.ones(6)[::2]}, "a tensor is not stored row by row"),
        ({"epoch": 3}, "'epoch' is no tensor"),
        ({"models": {"x": torch.ones(2)}}, "'models' is no tensor"),
        ({"model": {"x": {"y": torch.ones(2)}}}, "'x' is no tensor"),
        ({"model": {}}, "it holds no dictionary of tensors"),
        ({0: torch.ones(2)}, "a key that is no text"),
        ({}, "it holds no dictionary of tensors"),
        (torch.ones(2), "it holds no dictionary of tensors"),
        ([torch.ones(2)], "it holds no dictionary of tensors"),
        ({"model": {"x": torch.ones(2)}, "odd": {1.5: 2}}, "a key that is neither text nor a number"),
        ({"model": {"x": torch.ones(2)}, "odd": {1, 2}}, "asks for .*set"),
        ({"x": torch.ones(2, dtype=torch.complex64)}, "asks for torch.ComplexFloatStorage"),
        ({"x": torch.ones(2, 2).to_sparse()}, "asks for torch"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_everything_else_is_refused(tmp_path: Path, value: Any, message: str, zipped: bool) -> None:
    save(value, tmp_path / "x.bin", zipped)
    with pytest.raises(ZooError, match=rf"x\.bin is refused: .*{message}.*; save the weights as safetensors instead"):
        TorchSource(tmp_path / "x.bin")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_what_training_saves(tmp_path: Path, zipped: bool, key: str) -> None:
    """Weights of a distributed model, its optimiser, settings with numpy's numbers: only the weights are tensors."""
    module = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    hps = {"downs": (3, 2, 2), "cycle": None, "bandwidth": {"l1": np.float64(0.1), "l2": np.float32(0.2)}, "mean": 0.5}
    whole = {key: state, "opt": optimizer.state_dict(), "step": 7, "hps": hps, "curve": [1, 2.5], "seen": np.arange(3)}
    save(whole, tmp_path / "x.pth.tar", zipped)
    source = TorchSource(tmp_path / "x.pth.tar")
    assert source.names() == ["weight", "bias"]
    assert torch.equal(source.read("weight"), module.weight)
    saved = open_saved(tmp_path / "x.pth.tar").value
    assert saved["step"] == 7
    assert saved["curve"] == [1, 2.5]
    assert {name: saved["hps"][name] for name in ("downs", "cycle", "mean")} == {
        "downs": (3, 2, 2),
        "cycle": None,
        "mean": 0.5,
    }


def test_lists_of_tensors(tmp_path: Path) -> None:
    """As Jukebox saves the codes of its samples: no state of a network, but read all the same."""
    codes = [torch.arange(6).view(2, 3), torch.arange(24).view(2, 12)]
    save({"zs": codes, "labels": [{"y": codes[0], "info": [{"artist": "x"}]}]}, tmp_path / "data.pth.tar", False)
    saved = open_saved(tmp_path / "data.pth.tar")
    assert saved.value["labels"][0]["info"] == [{"artist": "x"}]
    places = [saved.place(tensor, "zs") for tensor in saved.value["zs"]]
    source = PlacedSource({str(level): place for level, place in enumerate(places)}, saved.path)
    assert all(torch.equal(source.read(str(level)), code) for level, code in enumerate(codes))


@pytest.mark.parametrize("zipped", [True, False])
def test_every_cut_is_refused(tmp_path: Path, zipped: bool) -> None:
    save(TENSORS, tmp_path / "x.bin", zipped)
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
