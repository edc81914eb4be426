"""What the verbs that turn files into ids have in common: which files, and by which tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.coding.coders import Coder
    from zoo.data.files import Kind
    from zoo.tokenizers.base import Modality

KINDS: dict[Modality, tuple[Kind, ...]] = {"text": ("text",), "image": ("image",), "music": ("sound",)}
TOKENIZER_KEYS = (
    ("tokenizer.KEY=...", "settings of a tokenizer by name: tokenizer.levels=64, tokenizer.path=CHECKPOINT"),
)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file to be encoded.

    Attributes:
        name: as people wrote it, or its path below the folder.
        path: where it is.
        fields: artist, genre, lyrics, label, as far as they are known.
    """

    name: str
    path: Path
    fields: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The files that a command line names: one folder, or files.

    Attributes:
        folder: whose files are meant, None for files by name.
        files: by name; empty for a folder.
    """

    folder: Path | None
    files: tuple[Item, ...]

    def paths(self) -> Iterable[Path]:
        """Yield what a tokenizer that learns from samples is fitted on."""
        from zoo.data.files import find

        if self.folder is None:
            yield from (item.path for item in self.files)
        else:
            known = {kind for kinds in KINDS.values() for kind in kinds}
            yield from (file.path for file in find(self.folder).files if file.kind in known)

    def items(self, modality: Modality) -> tuple[Item, ...]:
        """Return the files, those of a folder with what is known about each; only files of ``modality`` count there.

        Raises:
            ZooError: there are none in the folder, or its metadata.csv does not fit them.
        """
        from zoo.data.files import find
        from zoo.data.read import choose, class_folders
        from zoo.data.read_sound import read_sounds

        if self.folder is None:
            return self.files
        files = choose(find(self.folder), *KINDS[modality])
        labels: Sequence[str] = class_folders(files)
        fields: Sequence[Mapping[str, str]] = [{}] * len(files)
        if modality == "music":
            records = read_sounds(str(self.folder))
            labels, fields = records.labels, records.fields
        return tuple(
            Item(name=file.name, path=file.path, fields={**known, "label": label})
            for file, known, label in zip(files, fields, labels or [""] * len(files), strict=True)
        )


def read_targets(words: Sequence[str], *, example: str) -> Targets:
    """Return the files that a command line names.

    Raises:
        ZooError: none, several folders, files beside a folder, or nothing there.
    """
    from zoo.data.files import find

    if not words:
        raise ZooError(f"which files? For example: {example}")
    folders = [word for word in words if Path(word).expanduser().is_dir()]
    if folders and len(words) > 1:
        raise ZooError(f"one folder at a time, or files; '{folders[0]}' is a folder among {len(words)} targets")
    if folders:
        return Targets(folder=Path(folders[0]).expanduser(), files=())
    found = [(word, find(word)) for word in words]
    items = [
        Item(name=word if one.form == "file" else str(file.path), path=file.path, fields={})
        for word, one in found
        for file in one.files
    ]
    return Targets(folder=None, files=tuple(items))


def split_words(pairs: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the words that belong to the verb, and the ``tokenizer.KEY=value`` ones."""
    own = {name: text for name, text in pairs.items() if not name.startswith("tokenizer.")}
    return own, {name: text for name, text in pairs.items() if name not in own}


def choose_coder(name: str | None, words: Mapping[str, str], targets: Targets, *, device: str) -> Coder[Any]:
    """Return what ``tokenizer=NAME`` stands for; see ``zoo.coding.choose``.

    Raises:
        ZooError: none was named, or nothing has that name.
    """
    from zoo.catalogue import tokenizers

    if name is None:
        raise ZooError(
            f"which tokenizer? Say tokenizer=NAME: one of {', '.join(tokenizers())}; or a tokenizer's folder, "
            "a codec's checkpoint, or a model's"
        )
    from zoo.coding.choose import choose

    return choose(name, words, targets.paths(), device=device)
