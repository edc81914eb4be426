"""Finding what data.path names."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from zoo.data.files import DataFile, find, open_bytes, sha256_of, sha256_of_all
from zoo.errors import ZooError


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_a_folder_is_sorted_and_its_notes_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "b.txt", "a/z.txt", "a.txt", "README.md", "LICENSE", ".git/config", ".hidden", "__pycache__/x.py")
    found = find(tmp_path)
    assert [file.name for file in found.files] == ["a.txt", "a/z.txt", "b.txt"]
    assert (found.form, found.title) == ("folder", tmp_path.name)


def test_a_glob_takes_every_match(tmp_path: Path) -> None:
    write(tmp_path, "one/README.md", "two/b.md", "two/c.txt")
    found = find(f"{tmp_path}/**/*.md")
    assert [file.name for file in found.files] == ["one/README.md", "two/b.md"]
    assert found.form == "glob"


def test_a_file_whose_name_has_magic_characters_is_found_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, "a[1]*.txt", "a1.txt")
    assert [file.name for file in find(tmp_path / "a[1]*.txt").files] == ["a[1]*.txt"]


@pytest.mark.parametrize(
    ("name", "suffix", "kind"),
    [
        ("a.CSV.gz", ".csv", "table"),
        ("a.TXT", ".txt", "text"),
        ("a.gz", "", None),
        ("x/train-images-idx3-ubyte.gz", "", "idx"),
        ("a.jpeg", ".jpeg", "image"),
        ("a.npz", ".npz", "array"),
        ("a.flac", ".flac", "sound"),
        ("a.zip", ".zip", "other"),
        ("a.xyz", ".xyz", None),
    ],
)
def test_kinds(name: str, suffix: str, kind: str | None) -> None:
    file = DataFile(path=Path(name), name=name)
    assert (file.suffix, file.kind) == (suffix, kind)


def test_what_is_not_there_is_named_with_a_near_miss(tmp_path: Path) -> None:
    write(tmp_path, "shakespeare.txt")
    with pytest.raises(ZooError, match=r"shakespear\.txt: no such file or folder; did you mean '.*shakespeare\.txt'"):
        find(tmp_path / "shakespear.txt")
    with pytest.raises(ZooError, match=r"\*\.md: no files match"):
        find(tmp_path / "*.md")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ZooError, match="holds no data files"):
        find(tmp_path / "empty")


def test_damaged_gzip_is_one_line(tmp_path: Path) -> None:
    whole = gzip.compress(b"some text " * 1000)
    for name, data in (("cut.gz", whole[:30]), ("not.gz", b"plain"), ("flip.gz", whole[:20] + b"\0\0\0" + whole[23:])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ZooError, match=f"{name}: damaged gzip file"), open_bytes(tmp_path / name) as stream:
            stream.read()


def test_hashes(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "b.txt")
    one = hashlib.sha256(b"a.txt").hexdigest()
    two = hashlib.sha256(b"b.txt").hexdigest()
    files = find(tmp_path).files
    assert sha256_of(tmp_path / "a.txt") == sha256_of_all(files[:1]) == one
    assert sha256_of_all(files) == hashlib.sha256(f"{one}  a.txt\n{two}  b.txt\n".encode()).hexdigest()
