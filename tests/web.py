"""A web server of our own on this machine, for tests of what fetches from the web."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UNREACHABLE = "http://127.0.0.1:9"
"""Where nothing answers."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """What is served.

    Attributes:
        url: beginning of every address.
        requests: paths asked for so far.
    """

    url: str
    requests: list[str]


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Server]:
    """Serve ``files``, path to content, on the loopback interface; a path that ends with ``?short`` breaks off."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            content = files.get(self.path.removesuffix("?short"))
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + 10 * self.path.endswith("?short")))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Server(url=f"http://127.0.0.1:{http.server_port}", requests=requests)
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
