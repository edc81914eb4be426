"""A stand-in for the Hugging Face Hub on this machine: the addresses that huggingface_hub asks for, and ways to lie."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

LOOPBACK = "127.0.0.1"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(kw_only=True)
class Repository:
    """One model.

    Attributes:
        files: name to content.
        commit: what every revision is.
        large: names that are kept apart (LFS): a redirect leads to them, and their sum is a sha256.
        gated: whether terms must be accepted first.
        listed: name to content as the list says, where it lies.
        headers: headers to send instead of the true ones.
        cut: bytes that are missing at the end of every answer.
    """

    files: dict[str, bytes]
    commit: str = COMMIT
    large: tuple[str, ...] = ()
    gated: bool = False
    listed: dict[str, bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


@dataclass(kw_only=True)
class Hub:
    """What is served, and what was asked for."""

    url: str
    models: dict[str, Repository]
    moved: dict[str, str]
    requests: list[str]
    tokens: list[str | None]


def git_sum(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def hub() -> Iterator[Hub]:
    """Serve on the loopback interface, until the end of the block."""
    served = Hub(url="", models={}, moved={}, requests=[], tokens=[])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            served.requests.append(f"{self.command} {self.path}")
            served.tokens.append(self.headers.get("Authorization"))
            path = unquote(self.path.partition("?")[0])
            if path.startswith("/api/models/"):
                name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
                self.list(name, revision)
            elif path.startswith("/cdn/"):
                name, _, file = path.removeprefix("/cdn/").partition("//")
                self.content(served.models[name], served.models[name].files[file], {})
            else:
                name, _, rest = path.removeprefix("/").partition("/resolve/")
                revision, _, file = rest.partition("/")
                self.file(name, revision, file)

        do_HEAD = do_GET  # noqa: N815  # the library's name

        def list(self, name: str, revision: str) -> None:
            if name in served.moved:
                target = f"/api/models/{served.moved[name]}/revision/{revision}"
                return self.answer(307, b"", {"Location": target})
            repository = self.find(name, revision)
            if repository is None:
                return None
            siblings = []
            for file, content in (repository.listed or repository.files).items():
                entry: dict[str, object] = {"rfilename": file, "size": len(content), "blobId": git_sum(content)}
                if file in repository.large:
                    entry["lfs"] = {
                        "sha256": hashlib.sha256(content).hexdigest(),
                        "size": len(content),
                        "pointerSize": 130,
                    }
                siblings.append(entry)
            document = {"id": name, "modelId": name, "sha": repository.commit, "siblings": siblings, "tags": []}
            return self.answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

        def file(self, name: str, revision: str, file: str) -> None:
            if name in served.moved:
                return self.answer(307, b"", {"Location": f"/{served.moved[name]}/resolve/{revision}/{file}"})
            repository = self.find(name, revision)
            if repository is None:
                return None
            headers = {"X-Repo-Commit": repository.commit}
            if file not in repository.files:
                return self.answer(404, b"", {**headers, "X-Error-Code": "EntryNotFound"})
            content = repository.files[file]
            if file in repository.large:
                headers |= {
                    "Location": f"{served.url.replace(LOOPBACK, 'localhost')}/cdn/{name}//{file}",
                    "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                    "X-Linked-Size": str(len(content)),
                }
                return self.answer(302, b"", {**headers, **repository.headers})
            headers["ETag"] = f'"{git_sum(content)}"'
            return self.content(repository, content, {**headers, **repository.headers})

        def find(self, name: str, revision: str) -> Repository | None:
            repository = served.models.get(name)
            if repository is None:
                self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
            elif repository.gated:
                self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
                return None
            elif revision not in ("main", "v1", repository.commit):
                self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
                return None
            return repository

        def content(self, repository: Repository, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(200)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content[: len(content) - repository.cut])
            if repository.cut:
                self.close_connection = True

        def answer(self, code: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(code)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    http.daemon_threads = True
    served.url = f"http://{LOOPBACK}:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
