"""Fetching one file, against a server of our own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web import UNREACHABLE, Server, serving
from zoo.download import fetch, file_name
from zoo.errors import ZooError

CONTENT = b"A small public text.\n" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving({"/a.txt": CONTENT}) as running:
        yield running


def test_a_file_is_fetched_once_and_again_when_damaged(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    target = tmp_path / "new" / "folder" / "a.txt"
    for _ in range(2):
        progress = lambda done, total: told.append((done, total))  # noqa: E731  # one expression, used here only
        assert fetch(f"{server.url}/a.txt", target, sha256=SHA256, remedy="x=FILE", progress=progress) == target
    assert told[-1] == (2100, 2100)
    assert server.requests == ["/a.txt"]
    target.write_bytes(b"damaged on disk")
    fetch(f"{server.url}/a.txt", target, sha256=SHA256, remedy="x=FILE")
    assert target.read_bytes() == CONTENT
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("path", "sha256", "message"),
    [
        ("/a.txt", "0" * 64, r"a\.txt: its sha256 is [0-9a-f]{12}…, not 0{12}…: it has changed; say x=FILE$"),
        ("/missing.txt", SHA256, r"^cannot fetch http://.*/missing\.txt \(Not Found\); say x=FILE to use a copy$"),
        ("/a.txt?short", SHA256, r"\(.*2100.*\); say x=FILE"),
    ],
)
def test_failures_are_one_line_and_leave_nothing(
    server: Server, tmp_path: Path, path: str, sha256: str, message: str
) -> None:
    with pytest.raises(ZooError, match=message) as caught:
        fetch(server.url + path, tmp_path / "a.txt", sha256=sha256, remedy="x=FILE")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_network_or_a_place_to_write(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"^cannot fetch http://127\.0\.0\.1:9/a \(.*\); say x=FILE to use a copy$"):
        fetch(f"{UNREACHABLE}/a", tmp_path / "a", sha256=SHA256, remedy="x=FILE")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ZooError, match=r"file: cannot be written .*; set ZOO_HOME, or x=FILE$"):
        fetch(f"{UNREACHABLE}/a", tmp_path / "file" / "a", sha256=SHA256, remedy="x=FILE")


def test_names_of_files_are_plain() -> None:
    assert file_name("https://host/some%20dir/A%20Text.txt?raw=1#x") == "A-Text.txt"
    assert file_name("https://host/..%2F..%2F.hidden") == "hidden"
    assert file_name("https://host/") == "data"
