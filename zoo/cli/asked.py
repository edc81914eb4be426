"""What ``zoo generate`` is asked about pictures: checked in full before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.errors import ZooError


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says of pictures; checked before a model is loaded.

    Attributes:
        files: pictures to complete.
        names: as people wrote them.
        keep_rows: top rows of each that are kept; None for half.
        mask: a picture that is white where pixels are to be drawn; None without.
        label: a class, ``all`` for every class, None for none.
    """

    files: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    keep_rows: int | None = None
    mask: Path | None = None
    label: str | None = None

    def refuse(self, modality: str) -> None:
        """Refuse to be asked of a model that makes something else.

        Raises:
            ZooError: name what belongs to pictures.
        """
        given = {"image": self.files, "label": self.label is not None}
        names = [name for name, value in given.items() if value]
        if names:
            raise ZooError(f"{names[0]}: belongs to models of pictures, and this one makes {modality}; leave it out")


def read_asked(image: str | None, keep_rows: int | None, mask: str | None, label: str | None) -> Asked:
    """Check what the command line says; every file is read once, and none is kept in memory.

    Raises:
        ZooError: no such file, no picture, keys that do not go together.
    """
    for name, value in (("keep_rows", keep_rows), ("mask", mask)):
        if value is not None and image is None:
            raise ZooError(f"{name}: says what is kept of a picture; say which with image=FILE")
    if keep_rows is not None and mask is not None:
        raise ZooError("give keep_rows= or mask=, not both")
    if keep_rows is not None and keep_rows < 0:
        raise ZooError(f"keep_rows: must be 0 or more, got {keep_rows}")
    if image is None:
        return Asked(label=label)

    from zoo.data.files import find
    from zoo.data.read import choose
    from zoo.data.read_image import read_image

    if not image.strip():
        raise ZooError("image is empty; name a file, a folder or a glob")
    found = find(image)
    files = found.files if found.form == "file" else choose(found, "image")
    paths = tuple(file.path for file in files)
    covering = None if mask is None else Path(mask).expanduser()
    for path in (*paths, *([covering] if covering else [])):
        read_image(path)
    names = (image,) if found.form == "file" else tuple(map(str, paths))
    return Asked(files=paths, names=names, keep_rows=keep_rows, mask=covering, label=label)
