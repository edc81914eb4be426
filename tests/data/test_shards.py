"""Folders of ids: what is written comes back, resumes after a stop anywhere, and nothing damaged is taken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.data.shard_writer import ShardWriter, part_folder
from zoo.data.shards import Entry, Origin, Shards
from zoo.errors import ZooError

ORIGIN = Origin(
    type="vqvae", modality="music", fingerprints=("a", "b"), codes=(2048, 70_000), hops=(8, 32), rate=22_050
)
FILES = [
    ("a/one.wav", [5, 2047, 0, 1, 2, 3, 4, 5], [69_999, 1]),
    ("empty.ogg", [], []),
    ("två, {x}.flac", [7] * 12, [65_536, 2, 3]),
]


def encoded(fine: list[int], coarse: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return ids in two stretches."""
    half = len(fine) // 2
    return [
        (np.array(fine[:half], np.int64), np.array(coarse[:1], np.int64)),
        (np.array(fine[half:], np.int64), np.array(coarse[1:], np.int64)),
    ]


def add(writer: ShardWriter, number: int) -> None:
    name, fine, coarse = FILES[number]
    known = Entry(name=name, counts=(), sha256="0" * 64, artist="Bach", lyrics="la \ud83c\n")
    writer.add(known, encoded(fine, coarse), seconds=lambda: len(fine) / 10)


def written(folder: Path) -> Path:
    writer = ShardWriter(folder, ORIGIN)
    for number in range(len(FILES)):
        add(writer, number)
    writer.finish()
    return folder


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    shards = Shards(written(tmp_path / "codes"))
    assert (len(shards), shards.levels, shards.origin) == (3, 2, ORIGIN)
    assert sorted(path.name for path in shards.folder.iterdir()) == [
        "files.jsonl", "level_0.bin", "level_1.bin", "shards.json"
    ]  # fmt: skip
    for number, (name, fine, coarse) in enumerate(FILES):
        assert (shards.files[number].name, shards.files[number].seconds) == (name, len(fine) / 10)
        assert shards.files[number].lyrics == "la \ud83c\n"
        assert shards.ids(number, 0).tolist() == fine
        assert shards.ids(number, 1).tolist() == coarse
    assert shards.ids(2, 0, 3, 5).tolist() == [7, 7]
    assert [offsets.tolist() for offsets in shards.offsets] == [[0, 8, 8, 20], [0, 2, 2, 5]]
    assert isinstance(shards.level(0), np.memmap)
    assert [shards.level(level).dtype for level in range(2)] == [np.uint16, np.uint32]
    assert (tmp_path / "codes" / "level_0.bin").stat().st_size == 40
    with pytest.raises(ZooError, match="has no level 2, only 0 to 1"):
        shards.level(2)
    with pytest.raises(ZooError, match="has no file 3, only 0 to 2"):
        shards.ids(3, 0)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(finished=st.integers(0, 2), cut=st.integers(0, 400), junk=st.binary(max_size=40), lost=st.integers(0, 3))
def test_resumes_after_a_stop_at_any_byte(
    tmp_path_factory: pytest.TempPathFactory, finished: int, cut: int, junk: bytes, lost: int
) -> None:
    """A stop leaves ids of a file that no line tells of, half a line, or (a power cut) a line whose ids are lost."""
    folder = tmp_path_factory.mktemp("shards")
    whole = written(folder / "whole")
    writer = ShardWriter(folder / "codes", ORIGIN)
    for number in range(finished):
        add(writer, number)
    part = part_folder(folder / "codes")
    line = (whole / "files.jsonl").read_bytes().splitlines()[finished][:cut]
    with (part / "files.jsonl").open("ab") as stream:
        stream.write(line)
    with (part / "level_0.bin").open("ab") as stream:
        stream.write(junk)
    if lost:
        size = (part / "level_1.bin").stat().st_size
        with (part / "level_1.bin").open("r+b") as stream:
            stream.truncate(max(0, size - lost))
    again = ShardWriter(folder / "codes", ORIGIN, resume=True)
    kept = len(again.done)
    assert kept <= finished
    assert kept == finished or lost
    for number in range(kept, len(FILES)):
        add(again, number)
    again.seal()
    assert ShardWriter(folder / "codes", ORIGIN, resume=True).done == again.done  # a stop before the last moment
    again.finish()
    for name in ("shards.json", "files.jsonl", "level_0.bin", "level_1.bin"):
        assert (folder / "codes" / name).read_bytes() == (whole / name).read_bytes()
    assert not part.exists()


def test_what_is_there_is_replaced_only_on_request(tmp_path: Path) -> None:
    folder = written(tmp_path / "codes")
    for resume in (False, True):
        with pytest.raises(ZooError, match=r"codes is complete; choose another out=DIR, or add overwrite=true"):
            ShardWriter(folder, ORIGIN, resume=resume)
    writer = ShardWriter(folder, ORIGIN, overwrite=True)
    assert len(Shards(folder)) == 3  # until the new one is complete
    with pytest.raises(ZooError, match="complete"):
        ShardWriter(folder, ORIGIN)
    add(writer, 0)
    writer.finish()
    assert len(Shards(folder)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["codes"]

    other = Origin(type="vqvae", modality="music", fingerprints=("c",), codes=(9,), hops=(1,))
    ShardWriter(tmp_path / "new", ORIGIN)
    with pytest.raises(ZooError, match=r"new was begun and not finished; add resume=true to go on, or overwrite=true"):
        ShardWriter(tmp_path / "new", ORIGIN)
    with pytest.raises(ZooError, match="new was begun with another tokenizer"):
        ShardWriter(tmp_path / "new", other, resume=True)
    assert ShardWriter(tmp_path / "new", other, overwrite=True).done == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ZooError, match=r"mine holds 'thesis.txt', which is no part of a folder of ids"):
        ShardWriter(tmp_path / "mine", ORIGIN, overwrite=True)


def test_ids_that_the_tokenizer_does_not_have_are_not_written(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "codes", ORIGIN)
    known = Entry(name="a", counts=())
    for bad in (-1, 2048):
        with pytest.raises(ZooError, match="level 0: ids must be 0 to 2047"):
            writer.add(known, [(np.array([3, bad]), np.array([1]))])
    add(writer, 0)
    writer.finish()
    assert Shards(tmp_path / "codes").ids(0, 0).tolist() == FILES[0][1]


@pytest.mark.parametrize("name", ["shards.json", "files.jsonl", "level_0.bin", "level_1.bin"])
def test_every_cut_and_every_flipped_bit_is_refused(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path / "codes")
    path = folder / name
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ZooError) as caught:
            Shards(folder)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    if name != "shards.json":
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(ZooError, match="does not match its sha256"):
                Shards(folder)
    path.unlink()
    with pytest.raises(ZooError, match=name):
        Shards(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": [10**15, 5]}, "level_0.bin has 40 bytes, not 2000000000000000"),
        ({"counts": [-1, 5]}, "files and counts do not fit the levels"),
        ({"counts": [20]}, "files and counts do not fit the levels"),
        ({"files": 10**12}, "files.jsonl does not describe the ids beside it"),
        ({"version": 2}, "expected format 'zoo-shards' version 1"),
        ({"format": "other"}, "expected format 'zoo-shards' version 1"),
        ({"more": 1}, "unknown setting"),
        ({"sha256": {}}, "files.jsonl does not match its sha256"),
        ({"sha256": []}, "expected a mapping"),
        ({"origin": {"type": "../../etc/passwd"}}, "missing setting"),
    ],
)
def test_hostile_headers_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    folder = written(tmp_path / "codes")
    header = json.loads((folder / "shards.json").read_text())
    (folder / "shards.json").write_text(json.dumps(header | change))
    with pytest.raises(ZooError, match=message) as caught:
        Shards(folder)
    assert "\n" not in str(caught.value)


def test_ids_beyond_the_codes_are_refused_when_they_are_taken(tmp_path: Path) -> None:
    folder = written(tmp_path / "codes")
    (folder / "level_0.bin").write_bytes(b"\xff\xff" * 20)
    shards = Shards(folder, check=False)
    with pytest.raises(ZooError, match=r"level_0.bin: id 65535 of 'a/one.wav' is not among the 2048 codes"):
        shards.ids(0, 0)


def test_an_empty_folder_and_none(tmp_path: Path) -> None:
    ShardWriter(tmp_path / "codes", ORIGIN).finish()
    shards = Shards(tmp_path / "codes")
    assert (len(shards), shards.level(1).tolist()) == (0, [])
    with pytest.raises(ZooError, match=r"shards.json is missing: .*nowhere is no folder of ids"):
        Shards(tmp_path / "nowhere")
