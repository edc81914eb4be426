"""Samples that the original Jukebox saved: their codes and labels come back; everything else is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.faults.test_pickles import archive, payloads, stream
from zoo.errors import ZooError
from zoo.weights.jukebox_samples import find, read


def drawn(count: int = 2) -> dict[str, Any]:
    """What the original saves after its middle level: the finest is still to be drawn."""
    generator = torch.Generator().manual_seed(0)
    times = (0, 16, 4)
    codes = [torch.randint(2048, (count, time), generator=generator) for time in times]
    info = [
        {"artist": f"artist {index}", "genre": "folk, rock", "lyrics": "La la\nlà", "full_tokens": [3, 1, 4] * 1000}
        for index in range(count)
    ]
    rows = torch.tensor([[7_938_000, 128 * index, 524_288, 5, 9, -1, -1, -1, -1] for index in range(count)])
    labels = [{"y": rows.clone(), "info": info} for _ in times]
    settings = [{"temp": 0.99, "fp16": True, "max_batch_size": 16, "chunk_size": 32} for _ in times]
    return {"zs": codes, "labels": labels, "sampling_kwargs": settings, "x": torch.randn(count, 512, 1)}


def write(path: Path, value: Any, *, zipped: bool = False) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def opened(path: Path) -> Any:
    saved = find(path)
    assert saved is not None
    return saved


@pytest.mark.parametrize("zipped", [True, False])
def test_codes_and_labels(tmp_path: Path, zipped: bool) -> None:
    value = drawn()
    write(tmp_path / "data.pth.tar", value, zipped=zipped)
    samples = read(opened(tmp_path))  # the folder that it lies in will do
    assert samples.count == 2
    assert list(samples.codes) == [1, 2]
    assert all(torch.equal(codes, value["zs"][level]) for level, codes in samples.codes.items())
    assert samples.words == {
        "artist": ("artist 0", "artist 1"),
        "genre": ("folk, rock",) * 2,
        "lyrics": ("La la\nlà",) * 2,
    }
    assert samples.numbers == {"total": (7_938_000, 7_938_000), "offset": (0, 128)}
    arrays = samples.arrays()
    assert sorted(arrays) == ["artist", "genre", "level_1", "level_2", "lyrics", "offset", "total"]
    assert {str(array.dtype.kind) for array in arrays.values()} == {"i", "U"}


@pytest.mark.parametrize("zipped", [True, False])
def test_codes_cut_short_before_they_were_gone_on_with(tmp_path: Path, zipped: bool) -> None:
    """The original cuts a run by a view of it, which is then saved with gaps between its rows."""
    whole = torch.arange(3 * 16).view(3, 16)
    path = write(tmp_path / "data.pth.tar", {"zs": [whole[:, 2:9], whole[1:, :4].clone()[:0]]}, zipped=zipped)
    assert torch.equal(read(opened(path)).codes[0], whole[:, 2:9])


def test_nothing_but_codes(tmp_path: Path) -> None:
    """Labels in another form than the original's are passed over, as is what else there is."""
    codes = torch.zeros(2, 3, dtype=torch.int64)
    odd = [None, {"y": torch.zeros(2, 0, dtype=torch.int64), "info": [{"artist": 3, "genre": [], "lyrics": None}] * 2}]
    for labels in (None, [], {}, odd, [{"y": codes[:1], "info": [{}]}], [{"info": 3}]):
        samples = read(opened(write(tmp_path / "x.pt", {"zs": [codes], "labels": labels})))
        assert (samples.words, samples.numbers, samples.count) == ({}, {}, 2)


def codes(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.int64)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([], "zs is no list of codes"),
        ({"0": codes(1, 2)}, "zs is no list of codes"),
        ([codes(1, 2)] * 9, "zs is no list of codes"),
        ([codes(1, 2).float()], r"zs\[0\] is no tensor of int64 codes"),
        ([codes(1, 2), codes(4)], r"zs\[1\] is no tensor of int64 codes"),
        ([3], r"zs\[0\] is no tensor of int64 codes"),
        ([codes(1, 2) - 1], r"zs\[0\] holds -1 to -1"),
        ([codes(1, 2) + (1 << 40)], r"zs\[0\] holds 1099511627776"),
        ([codes(2, 0), codes(2, 0)], "no codes yet"),
        ([codes(2, 4), codes(3, 1)], "levels of 2 and 3 samples"),
        ([codes(1, 2).expand(1000, 2)], "not stored row by row"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_no_codes(tmp_path: Path, levels: Any, message: str, zipped: bool) -> None:
    path = write(tmp_path / "data.pth.tar", {"zs": levels}, zipped=zipped)
    with pytest.raises(ZooError, match=message) as error:
        read(opened(path))
    assert str(path) in str(error.value)


def test_other_files_are_none(tmp_path: Path) -> None:
    assert find(tmp_path) is None
    assert find(write(tmp_path / "vqvae.pth.tar", {"model": {"x": torch.ones(2)}})) is None
    assert find(write(tmp_path / "x.bin", {"zs": [codes(1, 2)]})) is None


def test_pickles_are_not_run(tmp_path: Path) -> None:
    """Neither in place of the whole file, nor as its labels."""
    marker, path = tmp_path / "marker", tmp_path / "data.pth.tar"
    good = pickle.dumps({"zs": 0}, 2)
    assert good.endswith(b"s.")
    long = ("marks", "deep", "many")  # for the reader as such
    for content in (content for title, content in payloads(marker).items() if title not in long):
        archive(path, content)
        _refused(path, marker)
        labels = b"X\x06\0\0\0labels" + content.removeprefix(b"\x80\x02")[:-1]
        path.write_bytes(stream(good[:-1] + labels + b"s."))
        _refused(path, marker)


def _refused(path: Path, marker: Path) -> None:
    """The file is refused, or passes for no file of samples; a marker is made in neither case."""

    def attempt() -> None:
        saved = find(path)
        if saved is None:
            raise ZooError("something else")
        read(saved)

    with pytest.raises(ZooError) as error:
        attempt()
    assert "\n" not in str(error.value)
    assert not marker.exists()


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    for zipped in (True, False):
        path = write(tmp_path / "data.pth.tar", drawn(), zipped=zipped)
        content = path.read_bytes()
        for length in range(0, len(content), len(content) // 40):
            path.write_bytes(content[:length])
            with pytest.raises(ZooError, match=r"data\.pth\.tar"):
                read(opened(path))
