"""Files that are there in full or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.weights import files


@given(pieces=st.lists(st.binary(max_size=200), max_size=6))
def test_written_files_hold_the_pieces_and_the_hash_is_theirs(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("pieces") / "file"
    assert files.write_file(path, pieces) == hashlib.sha256(b"".join(pieces)).hexdigest() == files.digest(path)
    assert path.read_bytes() == b"".join(pieces)
    copy = path.with_name("copy")
    assert files.copy_file(path, copy) == files.digest(path)
    assert copy.read_bytes() == path.read_bytes()


def test_a_replaced_file_is_old_or_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.replace_file(path, b"old")
    monkeypatch.setattr(files, "write_all", lambda descriptor, data: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        files.replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    monkeypatch.undo()
    files.replace_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_manifest_lists_every_file_and_verify_sees_each_change(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "inner" / "b").write_bytes(b"2")
    files.write_manifest(tmp_path, {})
    assert files.read_manifest(tmp_path) == {
        "a": hashlib.sha256(b"1").hexdigest(),
        "inner/b": hashlib.sha256(b"2").hexdigest(),
    }
    files.verify(tmp_path)
    (tmp_path / "inner" / "b").write_bytes(b"3")
    files.verify(tmp_path, ["a"])
    with pytest.raises(ZooError, match=r"inner/b does not match its sha256.*; do this"):
        files.verify(tmp_path, mend="do this")
    (tmp_path / "inner" / "b").unlink()
    with pytest.raises(ZooError, match="inner/b is missing"):
        files.verify(tmp_path)
    with pytest.raises(ZooError, match=r"other is not listed in manifest\.json"):
        files.verify(tmp_path, ["other"])


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"a":' * 100_000, "\ud800".encode("utf-8", "surrogatepass")])
def test_json_that_is_no_object_is_one_line(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ZooError, match=r"x\.json") as error:
        files.read_json(path)
    assert "\n" not in str(error.value)


def test_long_text_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"a": "b" * (17 << 20)}))
    with pytest.raises(ZooError, match="longer than 16 MB"):
        files.read_json(path)


def test_a_lock_is_held_once_and_free_again(tmp_path: Path) -> None:
    with files.locked(tmp_path):
        with pytest.raises(ZooError, match="in use by process"), files.locked(tmp_path):
            pass
        assert (tmp_path / ".lock").exists()
    assert not (tmp_path / ".lock").exists()
    with files.locked(tmp_path):
        pass
