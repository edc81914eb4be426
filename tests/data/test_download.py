"""Fetching, against a server of our own."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from zoo.data import download
from zoo.data.download import Manifest, Source, manifests
from zoo.data.text import Text
from zoo.errors import ZooError

CONTENT = b"A small public text.\n" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) + (10 if self.path.startswith("/short") else 0)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    requests: list[str] = []
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Recording", (Handler,), {"requests": requests}))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", requests
    http.shutdown()
    thread.join()
    http.server_close()


def source(url: str, sha256: str = SHA256) -> Source:
    return Source(url=url, sha256=sha256, license="public domain", name="small")


def test_a_file_is_fetched_once(server: tuple[str, list[str]], zoo_home: Path) -> None:
    base, requests = server
    told: list[tuple[int, int | None]] = []
    file = source(f"{base}/some%20dir/A%20Text.txt").fetch(lambda done, total: told.append((done, total)))
    assert file == zoo_home / "data" / "small" / "A-Text.txt"
    assert file.read_bytes() == CONTENT
    assert told[-1] == (2100, 2100)
    source(f"{base}/some%20dir/A%20Text.txt").fetch()
    assert len(requests) == 1
    file.write_bytes(b"damaged on disk")
    assert source(f"{base}/some%20dir/A%20Text.txt").fetch().read_bytes() == CONTENT
    assert len(requests) == 2
    assert [path.name for path in file.parent.iterdir()] == ["A-Text.txt"]


@pytest.mark.parametrize(
    ("path", "sha256", "message"),
    [
        ("/a.txt", "0" * 64, r"a\.txt: its sha256 is [0-9a-f]{12}…, not 0{12}…: it has changed; say data\.path=FILE"),
        ("/missing.txt", SHA256, r"cannot fetch http://.*/missing\.txt \(Not Found\); say data\.path=FILE"),
        ("/short.txt", SHA256, r"\(.*2100.*\); say data\.path=FILE"),
    ],
)
def test_failures_are_one_line_and_leave_nothing(
    server: tuple[str, list[str]], zoo_home: Path, path: str, sha256: str, message: str
) -> None:
    with pytest.raises(ZooError, match=message) as caught:
        source(server[0] + path, sha256).fetch()
    assert "\n" not in str(caught.value)
    assert list((zoo_home / "data" / "small").iterdir()) == []


def test_without_network() -> None:
    with pytest.raises(
        ZooError, match=r"^cannot fetch http://127\.0\.0\.1:9/a\.txt \(.*\); say data\.path=FILE to use a copy$"
    ):
        source("http://127.0.0.1:9/a.txt").fetch()


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "file"))
    with pytest.raises(ZooError, match=r"cannot be written .*; set ZOO_HOME"):
        source("http://127.0.0.1:9/a.txt").fetch()


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


def test_a_recipe_with_a_source(server: tuple[str, list[str]], tmp_path: Path) -> None:
    settings = Text(source=source(f"{server[0]}/a.txt"))
    corpus = settings.open()
    assert corpus.describe() == [
        {"name": "small", "license": "public domain", "sha256": SHA256, "url": f"{server[0]}/a.txt"}
    ]
    assert corpus.documents.train[0].size == 1890
    (tmp_path / "mine.txt").write_text("my own text")
    mine = Text(path=str(tmp_path / "mine.txt"), source=settings.source).open()
    assert mine.describe()[0]["name"] == "mine.txt"
    assert len(server[1]) == 1


def test_the_list_of_books(shared_data: Path) -> None:
    assert manifests() == ["books"]
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


def test_many_files(server: tuple[str, list[str]], zoo_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"train,{index}.txt,{SHA256},{server[0]}/{index}.txt\n" for index in range(3))
    listed = f"part,file,sha256,url\n{rows}valid,3.txt,{SHA256},{server[0]}/3.txt\n"
    monkeypatch.setattr(download, "_manifest", lambda name: listed)
    told: list[tuple[int, int | None]] = []
    folder = Manifest(name="books", license="x").fetch(lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.txt")) == [
        "train/0.txt",
        "train/1.txt",
        "train/2.txt",
        "valid/3.txt",
    ]
