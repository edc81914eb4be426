"""PyTorch's own files (``pytorch_model.bin``, ``.pt``, ``.pth.tar``), read without unpickling them.

Since PyTorch 1.6 such a file is a zip archive of raw storages and of a pickle that says which tensor is what part of
which storage. Before, it was pickles one after the other, and the storages behind them. Either way the pickles are gone
through by ``zoo.weights.pickles``, and tensors are then read where they are, one at a time.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from zoo.errors import ZooError
from zoo.weights.archive import Archive
from zoo.weights.pickles import PickleReader, RefusedError, Storage, StoredTensor, described_storage
from zoo.weights.tensors import Place, PlacedSource

PICKLE_LIMIT = 16 << 20
"""Longest pickles (bytes) that are gone through; those of models are below 1 MB."""
MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of a file before PyTorch 1.6."""
PROTOCOL = 1001
CONVERT = "save the weights as safetensors instead"
STATES = ("model", "state_dict")
"""Where a file of training keeps the weights, beside its step, settings and optimiser."""


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What ``torch.save`` wrote: plain values in memory, tensors still on disk.

    Attributes:
        path: the file.
        value: dictionaries, lists, tuples, text, numbers, None; each tensor is a ``StoredTensor``. It may hold itself.
        storage: key -> where in the file a storage begins, and its bytes; None if there is none.
    """

    path: Path
    value: Any
    storage: Callable[[str], tuple[int, int] | None]

    def place(self, tensor: StoredTensor, name: str) -> Place:
        """Return where a tensor is.

        Raises:
            ZooError: the file does not hold what it states, or the tensor is not stored row by row.
        """
        if not tensor.by_rows:
            raise ZooError(f"{self.path} is refused: a tensor is not stored row by row; {CONVERT}")
        return self._place(tensor, tensor.shape, name)

    def read(self, tensor: StoredTensor, name: str) -> Tensor:
        """Read a tensor, also one that is part of a larger one's rows; see ``place``."""
        span = PlacedSource({name: self._place(tensor, (tensor.span,), name)}, self.path).read(name)
        return span.as_strided(tensor.shape, tensor.strides).contiguous()

    def _place(self, tensor: StoredTensor, shape: tuple[int, ...], name: str) -> Place:
        dtype = tensor.storage.dtype
        found = self.storage(tensor.storage.key)
        if found is None or found[1] != tensor.storage.count * dtype.itemsize:
            raise ZooError(f"{self.path}: the storage of tensor {name!r} is not there in full; get the file again")
        return Place(path=self.path, offset=found[0] + tensor.offset * dtype.itemsize, shape=shape, dtype=dtype)


class TorchSource(PlacedSource):
    """The weights in a file by ``torch.save``, or in several that make up one model.

    Args:
        paths: each holds a dictionary of tensors, or a dictionary with one under ``model`` or ``state_dict``, as
            training saves it. The prefix ``module.``, which ``DistributedDataParallel`` adds, is left out.

    Raises:
        ZooError: a pickle that does more than describe plain values and tensors; a tensor that is not stored row by
            row or lies outside of its storage; a file that is not sound; a tensor in two files.
    """

    def __init__(self, *paths: Path) -> None:
        places: dict[str, Place] = {}
        beside: dict[Any, Any] = {}
        for path in paths:
            saved = open_saved(path)
            try:
                tensors = _state(saved.value)
            except RefusedError as reason:
                raise ZooError(f"{path} is refused: {reason}; {CONVERT}") from None
            for name, tensor in tensors.items():
                if name in places:
                    raise ZooError(f"{path}: tensor {name!r} is also in {places[name].path.name}; get the files again")
                places[name] = saved.place(tensor, name)
            beside |= saved.value
        super().__init__(places, paths[0] if len(paths) == 1 else paths[0].parent)
        self._beside = beside

    @property
    def beside(self) -> Mapping[str, Any]:
        """The dictionaries of plain values that a file of training holds beside the weights: its settings."""
        return {name: value for name, value in self._beside.items() if name not in STATES and isinstance(value, dict)}


def open_saved(path: Path) -> Saved:
    """Open a file by ``torch.save`` of any age; nothing of its tensors is read.

    Raises:
        ZooError: no such file, or one that is refused: see ``TorchSource``.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(2)
        return _open_zip(path) if begin == b"PK" else _open_stream(path)
    except RefusedError as reason:
        raise ZooError(f"{path} is refused: {reason}; {CONVERT}") from None
    except OSError as error:
        raise ZooError(f"{path} cannot be read: {error.strerror or error}") from None


def _state(value: object) -> dict[str, StoredTensor]:
    """Return the dictionary of tensors that a file holds."""
    if isinstance(value, dict):
        value = next((value[key] for key in STATES if isinstance(value.get(key), dict)), value)
    if not isinstance(value, dict) or not value:
        raise RefusedError("it holds no dictionary of tensors")
    for name, tensor in value.items():
        if not isinstance(name, str):
            raise RefusedError("a dictionary has a key that is no text")
        if not isinstance(tensor, StoredTensor):
            raise RefusedError(f"{name[:80]!r} is no tensor in a dictionary of tensors")
    bare = {name.removeprefix("module."): tensor for name, tensor in value.items()}
    return bare if all(name.startswith("module.") for name in value) else value


def _open_zip(path: Path) -> Saved:
    archive = Archive(path)
    pickles = [name for name in archive.sizes if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise ZooError(f"{path} is no file of weights by torch.save (no single data.pkl); {CONVERT}")
    root = pickles[0].removesuffix("data.pkl")
    if archive.sizes[pickles[0]] > PICKLE_LIMIT:
        raise ZooError(f"{path}: its pickle is longer than {PICKLE_LIMIT >> 20} MB; {CONVERT}")
    if f"{root}byteorder" in archive.sizes and archive.head(f"{root}byteorder", 8) != b"little":
        raise ZooError(f"{path} was written on a big-endian machine; {CONVERT}")
    value = PickleReader().read(io.BytesIO(archive.head(pickles[0], PICKLE_LIMIT)))

    def storage(key: str) -> tuple[int, int] | None:
        member = f"{root}data/{key}"
        if member not in archive.sizes or not archive.stored(member):
            return None
        return archive.start(member), archive.sizes[member]

    return Saved(path=path, value=value, storage=storage)


def _open_stream(path: Path) -> Saved:
    """Open a file before PyTorch 1.6: magic, protocol, machine, value, the keys of its storages; then these."""
    with path.open("rb") as file:
        content = io.BytesIO(file.read(PICKLE_LIMIT))
    described: dict[str, Storage] = {}

    def persistent(value: object) -> Storage:
        storage = described_storage(value)
        same = described.setdefault(storage.key, storage)
        if (same.dtype, same.count) != (storage.dtype, storage.count):
            raise RefusedError("a storage is described in two ways")
        return storage

    reader = PickleReader(persistent)
    if content.getvalue()[257:262] == b"ustar":
        raise ZooError(f"{path} is a tar file, of PyTorch before 0.1.10 or of something else; {CONVERT}")
    if not _begins(reader, content):
        raise ZooError(f"{path} is no file of weights by torch.save; {CONVERT}")
    if reader.read(content) != PROTOCOL:
        raise RefusedError("its protocol is not the one that PyTorch wrote")
    machine = reader.read(content)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise RefusedError("it was written on a big-endian machine")
    value, keys = reader.read(content), reader.read(content)
    return Saved(path=path, value=value, storage=_storages(path, keys, described, content.tell()).get)


def _begins(reader: PickleReader, content: io.BytesIO) -> bool:
    try:
        magic = reader.read(content)
    except RefusedError:
        return False
    return type(magic) is int and magic == MAGIC


def _storages(path: Path, keys: object, described: Mapping[str, Storage], begin: int) -> dict[str, tuple[int, int]]:
    """Return where each storage is: they stand one after the other, each behind the number of its numbers."""
    listed = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not isinstance(keys, list) or not listed or sorted(keys) != sorted(described):
        raise RefusedError("its list of storages is not that of its tensors")
    places, size = {}, path.stat().st_size
    with path.open("rb") as file:
        for key in keys:
            file.seek(begin)
            count = int.from_bytes(file.read(8), "little", signed=True)
            begin, length = begin + 8, described[key].count * described[key].dtype.itemsize
            if count != described[key].count or begin + length > size:
                raise ZooError(f"{path} is cut short or damaged in storage {key}; get the file again")
            places[key] = (begin, length)
            begin += length
    if begin != size:
        raise ZooError(f"{path} goes on behind its last storage; get the file again")
    return places
