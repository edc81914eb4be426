"""The web as recipes name it, against a server of our own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web import UNREACHABLE, Server, serving
from zoo.data import sources
from zoo.data.sources import Manifest, Source, manifests
from zoo.data.text import Text
from zoo.errors import ZooError

CONTENT = b"A small public text.\n" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    files = ["/a.txt", "/some%20dir/A%20Text.txt", *(f"/{index}.txt" for index in range(4))]
    with serving(dict.fromkeys(files, CONTENT)) as running:
        yield running


def source(url: str, sha256: str = SHA256) -> Source:
    return Source(url=url, sha256=sha256, license="public domain", name="small")


def test_a_file_lies_below_the_home(server: Server, zoo_home: Path) -> None:
    told: list[tuple[int, int | None]] = []
    file = source(f"{server.url}/some%20dir/A%20Text.txt").fetch(lambda done, total: told.append((done, total)))
    assert file == zoo_home / "data" / "small" / "A-Text.txt"
    assert file.read_bytes() == CONTENT
    assert told[-1] == (2100, 2100)


def test_without_network() -> None:
    with pytest.raises(
        ZooError, match=r"^cannot fetch http://127\.0\.0\.1:9/a\.txt \(.*\); say data\.path=FILE to use a copy$"
    ):
        source(f"{UNREACHABLE}/a.txt").fetch()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url": "file:///etc/passwd"}, "url: 'file:///etc/passwd' must begin with http"),
        ({"sha256": "abc"}, "sha256: 'abc' must be 64"),
        ({"name": "../../x"}, r"name: '\.\./\.\./x' must be"),
        ({"name": ""}, "name: '' must be"),
    ],
)
def test_sources_check_themselves(fields: dict[str, str], message: str) -> None:
    whole = {"url": "https://x/a", "sha256": SHA256, "license": "CC0", "name": "a"} | fields
    with pytest.raises(ZooError, match=message):
        Source(**whole)


def test_a_recipe_with_a_source(server: Server, tmp_path: Path) -> None:
    settings = Text(source=source(f"{server.url}/a.txt"))
    corpus = settings.open()
    assert corpus.describe() == [
        {"name": "small", "license": "public domain", "sha256": SHA256, "url": f"{server.url}/a.txt"}
    ]
    assert corpus.documents.train[0].size == 1890
    (tmp_path / "mine.txt").write_text("my own text")
    mine = Text(path=str(tmp_path / "mine.txt"), source=settings.source).open()
    assert mine.describe()[0]["name"] == "mine.txt"
    assert len(server.requests) == 1


def test_the_list_of_books(shared_data: Path) -> None:
    assert manifests() == ["books", "mnist"]
    books = Manifest(name="books", license="public domain")
    rows = list(books._rows())
    assert len(rows) == 73
    for row in rows:
        file = shared_data / "text" / "books" / row["part"] / row["file"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == row["sha256"]
    (entry,) = books.describe()
    assert entry["url"].startswith("https://raw.githubusercontent.com/mlschmitt/classic-books-markdown/944882722e9a")
    with pytest.raises(ZooError, match="no list of files is called 'book'; did you mean 'books'"):
        Manifest(name="book", license="x")


def test_many_files(server: Server, zoo_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"train,{index}.txt,{SHA256},{server.url}/{index}.txt\n" for index in range(3))
    listed = f"part,file,sha256,url\n{rows}valid,3.txt,{SHA256},{server.url}/3.txt\n"
    monkeypatch.setattr(sources, "_manifest", lambda name: listed)
    told: list[tuple[int, int | None]] = []
    folder = Manifest(name="books", license="x").fetch(lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.txt")) == [
        "train/0.txt",
        "train/1.txt",
        "train/2.txt",
        "valid/3.txt",
    ]
