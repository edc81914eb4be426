"""Checkpoints by name: here, in the user's cache, else fetched from the Hugging Face Hub.

Only files that are needed are fetched, all of one revision, each compared with the checksum that the Hub lists. What a
server says (names, checksums, revisions) is looked at before it becomes a path. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import re
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from zoo.errors import ZooError
from zoo.paths import CARD, checkpoint_homes, is_card_alone, local_checkpoint, missing_checkpoint
from zoo.weights.web import fetch_linked, is_link

T = TypeVar("T")
PATIENCE = 4.0
"""Seconds that the Hub has for its first answer."""
TEXT_LIMIT = 16 << 20
"""Longest JSON file (bytes) that is parsed."""
CONFIG, MANIFEST, WEIGHTS, TORCH_WEIGHTS = "config.json", "manifest.json", "model.safetensors", "pytorch_model.bin"
VOCABULARY = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "vocab.txt", "encoder.json", "vocab.bpe", "preprocessor_config.json",
)  # fmt: skip
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"


@dataclass(frozen=True, kw_only=True)
class HubId:
    """A model on the Hub.

    Attributes:
        name: ``owner/name``, or ``name`` alone for the Hub's oldest.
        revision: branch, tag or commit.
    """

    name: str
    revision: str = "main"

    @staticmethod
    def parse(text: str) -> HubId | None:
        """Return what ``owner/name`` or ``owner/name@revision`` means; None if it cannot be a model's name."""
        match = re.fullmatch(rf"((?:{_PART}/)?{_PART})(?:@([A-Za-z0-9][\w./-]{{0,99}}))?", text)
        if match is None or re.search(r"--|\.\.|\.git$", match[1]) or ".." in (match[2] or ""):
            return None
        return HubId(name=match[1], revision=match[2] or "main")

    def __str__(self) -> str:
        return self.name if self.revision == "main" else f"{self.name}@{self.revision}"


@dataclass(frozen=True, kw_only=True)
class _Listed:
    """What the Hub says of one revision: its commit, and of each file its size, sha256 or git's own sum (or None)."""

    commit: str
    files: Mapping[str, tuple[int | None, str | None]]


class _AbsentError(Exception):
    """The Hub has nothing of that name."""


class _UnreachableError(Exception):
    """The Hub cannot be asked; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where a checkpoint is.

    Attributes:
        path: its folder, or a file in it.
        card: what is known of it beside its own files: the card of its name, and what was fetched.
    """

    path: Path
    card: Mapping[str, Any] = field(default_factory=dict)


def locate(name: str | Path) -> Found:
    """Return where a checkpoint is: a path, a name that is here, else what the Hub has of that name, fetched.

    Args:
        name: a path; a name in ``./checkpoints`` or ``$ZOO_HOME/checkpoints``; ``owner/name`` or ``owner/name@branch``
            of a model on the Hub. Where a folder of that name holds a card alone, its ``source`` says what to fetch.

    Raises:
        ZooError: nothing has that name, or it cannot be fetched: one line, within some five seconds.
    """
    path = local_checkpoint(name)
    return Found(path=path) if path is not None else fetch_named(name)


def fetch_named(name: str | Path) -> Found:
    """Return what the Hub or a link has of a name, or of the card that is here under it; see ``locate``."""
    card = known_card(name)
    source = str(card.get("source") or Path(name).name) if card else str(name)
    if card and is_link(source):
        return Found(path=fetch_linked(card), card=card)
    wanted = HubId.parse(source)
    if wanted is None:
        raise missing_checkpoint(name)
    try:
        path = fetch(wanted)
    except _AbsentError as reason:
        raise missing_checkpoint(name, f", nor on the Hub{reason}") from None
    except _UnreachableError as reason:
        if card:
            raise ZooError(
                f"{wanted} is not here yet, and the Hub cannot be asked ({reason}); connect once, or give a folder"
            ) from None
        raise missing_checkpoint(name, f", and the Hub cannot be asked ({reason})") from None
    return Found(path=path, card={"name": wanted.name, "source": str(wanted), "commit": path.name, **card})


def known_card(name: str | Path) -> dict[str, Any]:
    """Return the card of a checkpoint that is known by name and not here, ``{}`` if there is none."""
    folders = [parent / name for parent in checkpoint_homes()]
    for folder in [Path(name), *folders] if str(name).strip() and "\0" not in str(name) else []:
        if is_card_alone(folder):
            try:
                card = yaml.safe_load((folder / CARD).read_text(encoding="utf-8"))
            except (OSError, ValueError, yaml.YAMLError, RecursionError):
                return {}
            return card if isinstance(card, dict) else {}
    return {}


def fetch(wanted: HubId) -> Path:
    """Return a folder with the files of a model that loading it needs, fetched unless they are in the Hub's cache.

    Environment variables of huggingface_hub are respected: HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN, HF_HOME, ...

    Raises:
        ZooError: the server lists names that are no file names, sends other bytes than it lists, or breaks off; the
            model holds no weights that can be read; no room on the disk.
        _AbsentError, _UnreachableError: for ``locate`` to put into words.
    """
    with _silence():
        try:
            listed = _within(PATIENCE, lambda: _list(wanted))
        except _UnreachableError:
            cached = _cached(wanted)
            if cached is None:
                raise
            return cached
        for name in listed.files:
            _check_name(wanted, name)
        first = _needed_first(wanted, listed.files)
        folders = {_get(wanted, listed, name).parent for name in first}
        index = f"{first[0]}" if first and first[0].endswith(".index.json") else None
        names = _needed(wanted, listed.files, _shards(wanted, folders.pop() / index) if index else first)
        _check_room(wanted, listed, names)
        for name in names:
            path = _get(wanted, listed, name)
        return path.parent  # of config.json, which comes last: where it is, the rest is


def _list(wanted: HubId) -> _Listed:
    """Ask the Hub for a model's files."""
    from huggingface_hub import HfApi, errors

    try:
        info = HfApi().model_info(wanted.name, revision=wanted.revision, files_metadata=True, timeout=PATIENCE)
    except errors.GatedRepoError:
        raise ZooError(f"{wanted} asks for your consent: accept its terms on its page, then 'hf auth login'") from None
    except errors.RevisionNotFoundError:
        raise ZooError(f"{wanted.name} has no revision '{wanted.revision}' on the Hub; leave out @") from None
    except errors.RepositoryNotFoundError:
        raise _AbsentError(" (if it is private: 'hf auth login')") from None
    except errors.OfflineModeIsEnabled:
        raise _UnreachableError("HF_HUB_OFFLINE is set") from None
    except Exception as error:  # requests, httpx or httpx2: what it raises depends on huggingface_hub's version
        raise _UnreachableError(_reason(error)) from None
    files: dict[str, tuple[int | None, str | None]] = {}
    for sibling in info.siblings or ():
        lfs = sibling.lfs
        known = (lfs.size, lfs.sha256) if lfs is not None else (sibling.size, sibling.blob_id)
        files[str(sibling.rfilename)] = known
    if not re.fullmatch(r"[0-9a-f]{40}", info.sha or ""):
        raise ZooError(f"{wanted}: the server states no commit; is HF_ENDPOINT the address of a Hub?")
    return _Listed(commit=str(info.sha), files=files)


def _check_name(wanted: HubId, name: str) -> None:
    parts = name.split("/")
    if any(not re.fullmatch(r"[^\\\x00-\x1f\x7f:]{1,255}", part) or part in (".", "..") for part in parts):
        raise ZooError(f"{wanted} lists the file {name[:80]!r}, which is no file name inside a folder; do not use it")


def _needed_first(wanted: HubId, files: Collection[str]) -> list[str]:
    """Return the files of the weights, or the index that names them."""
    for weights in (WEIGHTS, TORCH_WEIGHTS):
        if weights in files:
            return [weights]
        if f"{weights}.index.json" in files:
            return [f"{weights}.index.json"]
    raise ZooError(f"{wanted} has neither {WEIGHTS} nor {TORCH_WEIGHTS}; no weights of it can be read")


def _shards(wanted: HubId, index: Path) -> list[str]:
    """Return the index's own name and those of the files that it names."""
    try:
        if index.stat().st_size > TEXT_LIMIT:
            raise ValueError
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ZooError(f"{wanted}: its {index.name} does not say which files hold the weights") from None
    return [index.name, *sorted(map(str, names))]


def _needed(wanted: HubId, files: Collection[str], weights: list[str]) -> list[str]:
    """Return every file to fetch, config.json last."""
    if CONFIG not in files:
        raise ZooError(f"{wanted} has no {CONFIG}; this is no model that can be loaded")
    own = (name for name in files if name in (CARD, MANIFEST, "recipe.yaml") or re.fullmatch(r"tokenizer/[^/]+", name))
    more = own if MANIFEST in files else (name for name in VOCABULARY if name in files)
    for name in weights:
        if name not in files or "/" in name:
            raise ZooError(f"{wanted}: its index names {name[:80]!r}, which it does not have; do not use it")
    return [*sorted(more), *weights, CONFIG]


def _check_room(wanted: HubId, listed: _Listed, names: list[str]) -> None:
    from huggingface_hub import constants, try_to_load_from_cache

    missing = [
        name for name in names if not isinstance(try_to_load_from_cache(wanted.name, name, revision=listed.commit), str)
    ]
    size = sum(listed.files[name][0] or 0 for name in missing)
    place = Path(constants.HF_HUB_CACHE)
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if size > free:
        raise ZooError(
            f"{wanted} takes {size / 1e9:.2f} GB, and {place} has {free / 1e9:.2f}; make room, or set HF_HOME"
        )


def _get(wanted: HubId, listed: _Listed, name: str) -> Path:
    """Return one file of the listed commit, fetched and compared with the listed sum if it is not in the cache."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    cached = try_to_load_from_cache(wanted.name, name, revision=listed.commit)
    if isinstance(cached, str):
        return Path(cached)
    try:
        # The library makes paths of these two headers; it checks only one.
        stated = get_hf_file_metadata(hf_hub_url(wanted.name, name, revision=wanted.revision), timeout=PATIENCE)
        if not re.fullmatch(r"[\w.-]{1,128}", stated.etag or "") or stated.commit_hash != listed.commit:
            raise ZooError(f"{wanted}: the server does not know {name} as it listed it; try again")
        path = Path(hf_hub_download(wanted.name, name, revision=wanted.revision, etag_timeout=PATIENCE))
    except ZooError:
        raise
    except Exception as error:  # see _list
        raise ZooError(f"{wanted}: {name} cannot be fetched ({_reason(error)}); try again") from None
    size, digest = listed.files[name]
    if (size is not None and path.stat().st_size != size) or (digest and _digest(path, len(digest)) != digest):
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise ZooError(f"{wanted}: {name} is not the file that the Hub lists (cut short or changed); try again")
    return path


def _digest(path: Path, length: int) -> str:
    """Return a file's sha256, or for sums of 40 digits git's: the sha1 of a header and the content."""
    with path.open("rb") as file:
        if length == 64:
            return hashlib.file_digest(file, "sha256").hexdigest()
        running = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        while piece := file.read(1 << 20):
            running.update(piece)
        return running.hexdigest()


def _cached(wanted: HubId) -> Path | None:
    """Return the folder of a model that was fetched before, None if there is none with weights."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(wanted.name, CONFIG, revision=wanted.revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    names = (WEIGHTS, f"{WEIGHTS}.index.json", TORCH_WEIGHTS, f"{TORCH_WEIGHTS}.index.json")
    return folder if any((folder / name).is_file() for name in names) else None


def _within(seconds: float, work: Callable[[], T]) -> T:
    """Return what ``work`` returns, or give up: a name server that does not answer keeps no promise about time."""
    answers: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            answers.put((work(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise _UnreachableError(f"no answer in {seconds:.0f} seconds") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]  # there was no error, so this is T


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split())
    return words.split(" (Request ID")[0][:160] or type(error).__name__


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the library's advice off standard error: what matters is said in one line."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
