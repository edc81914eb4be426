"""Samples with labels, of any kind and form that ``data.path`` may name: what classifiers and probes learn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from zoo.data.files import Found, Kind, find
from zoo.data.read import KINDS, read_rows
from zoo.data.read_image import read_images
from zoo.data.read_sound import read_sounds
from zoo.data.records import Records
from zoo.data.split import require_both
from zoo.errors import ZooError, suggest
from zoo.tokenizers.base import Modality

Field = Literal["label", "genre", "artist"]
OWN: dict[Modality, tuple[Kind, ...]] = {
    "text": ("text", "table"),
    "image": ("image", "array", "idx", "cifar", "archive"),
    "music": ("sound",),
}
"""Kinds of files that hold samples of a modality."""
BARE = "give a column 'label' or one folder per class"


def read_labelled(
    path: str,
    modality: Modality,
    *,
    columns: Mapping[str, str] | None = None,
    field: Field = "label",
    encoding: str = "utf-8",
    check: Callable[[Records[Any]], None] | None = None,
    alone: bool = False,
) -> Records[Any]:
    """Read samples of one modality with a label each, split into what is learned from and what is held out.

    Samples are ``TextRow``, ``Image`` or ``Sound`` of ``zoo.data.records``, read when they are asked for.

    Args:
        path: file, folder or glob; see ``read_rows``, ``read_images`` and ``read_sounds``.
        modality: of the samples.
        columns: our names of a table's columns to its own.
        field: what a sound's label is: its label (or folder), the genre or the artist of its metadata.csv.
        encoding: of text files and tables.
        check: refuses labels; by default what ``check_labels`` refuses, for samples with one label each.
        alone: the samples need not be enough to be split into two parts.

    Raises:
        ZooError: files of another kind or of several kinds, samples without a label, one class only, labels that are
            held out and never learned: one line that names it.
    """
    refuse_mixed(find(path), modality)
    if field != "label" and modality != "music":
        raise ZooError(f"label={field} is a column of a sound folder's metadata.csv; these samples are {modality}")
    readers: dict[Modality, Callable[[], Records[Any]]] = {
        "text": lambda: read_rows(path, columns=columns, encoding=encoding, alone=alone),
        "image": lambda: read_images(path, alone=alone),
        "music": lambda: _sounds(path, field),
    }
    records = readers[modality]()
    if not alone:
        require_both(records.train, records.held_out, path)
    (check or check_labels)(records)
    return records


def check_labels(records: Records[Any]) -> None:
    """Refuse labels that nothing can be learned from.

    Raises:
        ZooError: there are none, some are missing, all are the same, or the held-out part has some that the training
            part has not.
    """
    if not records.labels:
        raise ZooError(f"{records.title}: has no labels; {BARE}")
    bare = next((index for index, label in enumerate(records.labels) if not label.strip()), None)
    if bare is not None:
        raise ZooError(f"{records.title}, {records.names[bare]}: has no label; fill it in or take the sample out")
    known = {records.labels[index] for index in records.train}
    if len(known) < 2:
        raise ZooError(f"{records.title}: every sample is labelled '{next(iter(known))}'; there must be two classes")
    for index in records.held_out:
        if records.labels[index] not in known:
            raise ZooError(
                f"{records.title}, {records.names[index]}: the label '{records.labels[index]}' is only in the held-out "
                f"part, so it cannot be learned{suggest(records.labels[index], known, limit=0)}; move some of its "
                "samples to the training part, or take it out"
            )


def _sounds(path: str, field: Field) -> Records[Any]:
    records = read_sounds(path)
    if field == "label":
        return records
    labels = [row.get(field, "") for row in records.fields]
    if not any(labels):
        raise ZooError(f"{path}: its metadata.csv has no column '{field}' with entries")
    return dataclasses.replace(records, labels=labels)


def refuse_mixed(found: Found, modality: Modality) -> None:
    """Refuse a folder or glob with samples of several modalities, or texts and tables of texts; notes and tables beside
    pictures or sounds are no samples.

    Raises:
        ZooError: name one of each.
    """
    mine = [file for file in found.files if file.kind in OWN[modality]]
    if not mine:
        return
    kinds: Sequence[str] = [kind for other in ("image", "music") for kind in OWN[other] if other != modality]
    others = [file for file in found.files if file.kind in kinds]
    if modality == "text":
        others += [file for file in mine if file.kind != mine[0].kind]
    if others:
        raise ZooError(
            f"{found.path}: mixes {KINDS[mine[0].kind or 'other']} and {KINDS[others[0].kind or 'other']} "
            f"('{others[0].name}'); give a folder of one kind, or a glob such as '{found.path}/*{mine[0].suffix}'"
        )
