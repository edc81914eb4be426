"""Files on the web: fetched once, checked against their sha256, put in place whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from zoo.errors import ZooError

BLOCK = 1 << 20
TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as gone."""

Progress = Callable[[int, int | None], None]
"""Told of bytes fetched and of the total, None where the server does not say."""


def fetch(
    url: str,
    target: Path,
    *,
    sha256: str | None,
    remedy: str,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
) -> Path:
    """Return ``target``, fetched from ``url`` unless it is there already with the promised content.

    Args:
        url: http or https.
        target: the file; its folder is made.
        sha256: of the file; another content is refused. None where nobody states one: what comes whole is taken.
        remedy: the setting that names a copy of the user's, for messages: ``data.path=FILE``.
        progress: is told of the bytes.
        timeout: seconds without a byte after which the server counts as gone.

    Raises:
        ZooError: no network, another content than promised, a folder that cannot be written: one line with ``remedy``.
    """
    if target.is_file() and sha256 in (None, sha256_of(target)):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=target.parent, prefix=".fetching-")
    except OSError as error:
        raise ZooError(f"{target.parent}: cannot be written ({error.strerror}); set ZOO_HOME, or {remedy}") from None
    try:
        with os.fdopen(handle, "wb") as stream:
            got = _download(url, stream.write, progress, timeout)
        if sha256 not in (None, got):
            raise ZooError(f"{url}: its sha256 is {got[:12]}…, not {str(sha256)[:12]}…: it has changed; say {remedy}")
        os.chmod(partial, 0o644)
        os.replace(partial, target)
    except (urllib.error.URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise ZooError(f"cannot fetch {url} ({' '.join(str(reason).split())}); say {remedy} to use a copy") from None
    finally:
        Path(partial).unlink(missing_ok=True)
    return target


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file as it lies on disk."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({error.strerror or error})") from None


def file_name(url: str) -> str:
    """Return the last part of the path of ``url`` as a plain file name."""
    name = urllib.parse.unquote(urllib.parse.urlparse(url).path).rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".") or "data"


def check_name(field: str, name: str) -> None:
    """Raise ZooError unless ``name`` can be one file or folder inside another, on every system."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,150}", name):
        raise ZooError(f"{field}: {name!r} must be letters, digits, '-', '_' and '.', not starting with '.'")


def check_link(url: str, sha256: str) -> None:
    """Raise ZooError unless ``url`` is one of the web and ``sha256`` can be a file's."""
    if urllib.parse.urlparse(url).scheme not in ("http", "https"):
        raise ZooError(f"url: {url!r} must begin with http:// or https://")
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ZooError(f"sha256: {sha256!r} must be 64 lower-case hex digits")


def _download(url: str, write: Callable[[bytes], int], progress: Progress | None, timeout: float) -> str:
    """Write the content of ``url`` block by block; return its sha256."""
    hasher = hashlib.sha256()
    done = 0
    request = urllib.request.Request(url, headers={"User-Agent": "tokenzoo"})
    with urllib.request.urlopen(request, timeout=timeout) as response:
        stated = response.headers.get("Content-Length", "")
        total = int(stated) if stated.isdigit() else None
        while block := response.read(BLOCK):
            write(block)
            hasher.update(block)
            done += len(block)
            if progress:
                progress(done, total)
    if total is not None and done != total:
        raise OSError(f"the connection ended after {done} of {total} bytes")
    return hasher.hexdigest()
