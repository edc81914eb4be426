"""``zoo generate`` for pictures: files, a grid of all of them, and a sheet of what was given beside what was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.asked import Asked, Prompt
from zoo.cli.files import clear_samples, read_samples, refuse_taken, write_bytes, write_json
from zoo.cli.sheet import Heads, Row, Sheet, hidden, png, sheet, square, wrapped
from zoo.cli.terminal import put, say
from zoo.errors import ZooError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as Pillow

    from zoo.model import Model
    from zoo.tokenizers.image.kept import Kept

FOLDER = "outputs/images"
"""Where pictures go if nobody says."""
BESIDE = ("grid.png", "sheet.png")
MEMORY = 1 << 30
"""Bytes that keys and values of the samples drawn at once may take."""
AT_ONCE = 64
HEADS = ("input", "completions", "original")
COLUMNS, ROWS = 16, 32
"""Most pictures side by side, and most rows of a sheet: more cannot be looked at."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Pictures to be drawn into a folder.

    Attributes:
        model: draws them.
        prompts: at least one.
        count: pictures for each.
        sampling: arguments of ``Model.draw``.
        out: the folder.
        settings: what decides the pictures: another call may go on if all of it is the same.
    """

    model: Model
    prompts: Sequence[Prompt]
    count: int
    sampling: Mapping[str, Any]
    out: Path
    settings: Mapping[str, Any]

    def draw(self, samples: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
        """Draw what is missing in ``samples``; yield them as they grow, their pictures written."""
        at_once = rows_at_once(self.model, self.sampling["guidance"])
        seed, total = self.sampling["seed"], len(self.prompts) * self.count
        while len(samples) < total:
            first, before = divmod(len(samples), self.count)
            count = min(self.count - before, at_once)
            several = at_once // self.count if count == self.count else 0
            prompts = self.prompts[first : first + max(several, 1)]
            drawn = self.model.draw(
                [prompt.given for prompt in prompts],
                count=count,
                conditions=self._conditions(prompts),
                **{**self.sampling, "seed": seed + before},
            )
            for place, one in enumerate(drawn):
                index, prompt = len(samples), prompts[place // count]
                path = self.out / f"{index:03d}.png"
                write_bytes(path, png(one.sample))
                own = {"index": index, "seed": seed + before + place % count, **prompt.stated()}
                samples.append({**own, "file": str(path), "ids": one.ids.tolist()})
            yield samples

    def grid(self, pictures: Sequence[Pillow.Image]) -> Sheet:
        """Return all pictures, a row for each prompt."""
        if len(self.prompts) == 1 or (self.count == 1 and not any(prompt.label for prompt in self.prompts)):
            return sheet(square(pictures, self.prompts[0].label or ""))
        groups = [pictures[begin : begin + self.count] for begin in range(0, len(pictures), self.count)]
        labelled = zip(self.prompts, groups, strict=True)
        return sheet([row for prompt, own in labelled for row in wrapped(own, COLUMNS, prompt.label or "")])

    def completions(self, pictures: Sequence[Pillow.Image]) -> Sheet:
        """Return what was given, what was made of it, and what it was, side by side (Chen et al. 2020, figure 1)."""
        shown = min(self.count, COLUMNS)
        rows = []
        for place, prompt in enumerate(self.prompts[:ROWS]):
            own = pictures[place * self.count : place * self.count + shown]
            rows.append(Row(tiles=[*given_and_whole(self.model, prompt.given, own)], title=prompt.label or ""))
        return sheet(rows, Heads(texts=HEADS, counts=(1, shown, 1)))

    def _conditions(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        labels = [prompt.label for prompt in prompts]
        return {"label": labels} if any(label is not None for label in labels) else {}


def draw_pictures(
    model: Model,
    asked: Asked,
    sampling: Mapping[str, Any],
    count: int,
    out: Path,
    settings: Mapping[str, Any],
    *,
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Draw pictures into ``out``: ``000.png`` and so on, ``grid.png``, for completions ``sheet.png``; samples.json.

    Args:
        model: of pictures.
        asked: what is given.
        sampling: arguments of ``Model.draw``.
        count: pictures for each prompt.
        out: the folder.
        settings: what decides the pictures beside ``asked``, as JSON holds it.
        resume: keep the pictures that are there, drawn with the same settings.
        overwrite: replace those that are there.
        quiet: say nothing.

    Raises:
        ZooError: something is in the folder and nobody said what to do about it; whatever ``Model.draw`` refuses.
    """
    refuse_taken(out, ("samples.json", *BESIDE, "000.png"), allowed=resume or overwrite)
    prompts = _prompts(model, asked)
    told = {"image": list(asked.names), "keep_rows": asked.keep_rows, "mask": str(asked.mask or ""),
            "label": asked.label, **({"count": count} if len(prompts) > 1 else {})}  # fmt: skip
    job = Job(model=model, prompts=prompts, count=count, sampling=sampling, out=out, settings={**settings, **told})
    total = len(prompts) * count
    samples = _kept(out / "samples.json", job)[:total] if resume else []
    if overwrite and not resume:
        clear_samples(out, BESIDE, ".png")
    document: dict[str, Any] = {"samples": samples, "settings": dict(job.settings)}
    for grown in job.draw(samples):
        write_json(out / "samples.json", document)
        if len(grown) < total and not quiet:
            say(f"{len(grown)} of {total} pictures drawn")
    pictures = [model.tokenizer.decode(_tensor(sample["ids"])) for sample in samples]
    sheets = {"grid": job.grid(pictures)}
    if asked.files:
        sheets["sheet"] = job.completions(pictures)
    for name, one in sheets.items():
        write_bytes(out / f"{name}.png", one.png())
        document[name] = str(out / f"{name}.png")
    write_json(out / "samples.json", document)
    if not quiet:
        _tell(job, sheets, pictures[0].size)
    return document


def complete(checkpoint: Path, digits: Sequence[str], *, count: int, seed: int, device: str) -> bytes:
    """Return a sheet (a PNG file) of digits that a model of handwritten ones completes from their upper halves.

    Args:
        checkpoint: its folder.
        digits: which, one row each: held-out ones of scikit-learn, enlarged and centred as MNIST's are.
        count: completions of each.
        seed: of the first.
        device: to draw on.

    Raises:
        ZooError: the checkpoint cannot be loaded, or makes no pictures.
    """
    from zoo.data.images import digits as read_digits
    from zoo.loading import load
    from zoo.tokenizers.image.kept import Kept

    model = load(checkpoint, device=device)
    if model.modality != "image":
        raise ZooError(f"{checkpoint} makes {model.modality}, not pictures")
    records = read_digits()
    chosen = [next(index for index in records.held_out if records.labels[index] == digit) for digit in digits]
    kept = [Kept(picture=_centred(records[index])) for index in chosen]
    labels = {"label": list(digits)} if {*digits} <= {*getattr(model.config, "classes", ())} else None
    drawn = [one.sample for one in model.draw(kept, count=count, conditions=labels, seed=seed)]
    rows = [
        Row(tiles=[*given_and_whole(model, one, drawn[place * count : (place + 1) * count])])
        for place, one in enumerate(kept)
    ]
    return sheet(rows, Heads(texts=HEADS, counts=(1, count, 1))).png()


def _centred(digit: NDArray[np.uint8]) -> Pillow.Image:
    """Return a digit (8, 8, 1) as 20 x 20 pixels amid 28 x 28 black ones (LeCun et al. 1998, section III)."""
    from PIL import Image as Pillow

    image = Pillow.new("L", (28, 28))
    image.paste(Pillow.fromarray(digit[..., 0]).resize((20, 20), Pillow.Resampling.BICUBIC), (4, 4))
    return image


def given_and_whole(model: Model, kept: Kept | None, made: Sequence[Pillow.Image]) -> Iterator[Pillow.Image]:
    """Yield the visible part of a picture as the tokenizer shows it, what was made of it, and the whole picture."""
    import numpy as np
    from PIL import Image as Pillow

    assert kept is not None
    spec = model.tokenizer.spec
    whole = model.tokenizer.decode(model.tokenizer.encode(kept.picture))
    rows, columns, *_ = spec.shape or (1, 1)
    seen = kept.visible(model.tokenizer).numpy().reshape(rows, columns, -1).all(axis=2)
    yield hidden(whole, Pillow.fromarray(np.where(seen, 255, 0).astype(np.uint8)))
    yield from made
    yield whole


def rows_at_once(model: Model, guidance: float = 1.0) -> int:
    """Return how many samples to draw at once: as many as fit the memory that is set aside for keys and values."""
    weight = next(model.network.parameters())
    each = 2 * getattr(model.config, "depth", 1) * model.config.context * model.config.width * weight.element_size()
    return max(1, min(AT_ONCE, MEMORY // (each * (1 if guidance == 1 else 2))))


def _prompts(model: Model, asked: Asked) -> list[Prompt]:
    """Return what pictures begin with: each file with each label."""
    from zoo.data.read_image import read_image
    from zoo.tokenizers.image.base import ImageTokenizer
    from zoo.tokenizers.image.kept import Kept
    from zoo.tokenizers.image.pixels import to_grid
    from zoo.tokenizers.none import NoTokenizer

    labels, tokenizer = asked.labels(getattr(model.config, "classes", ())), model.tokenizer
    if not asked.files:
        return [Prompt(name=label or "", label=label) for label in labels]
    if isinstance(tokenizer, NoTokenizer):
        tokenizer.refuse()
    if not isinstance(tokenizer, ImageTokenizer):
        raise ZooError(f"image: the tokenizer '{tokenizer.spec.type}' reads no pictures")
    mask = None if asked.mask is None else read_image(asked.mask)
    prompts = []
    for name, path in zip(asked.names, asked.files, strict=True):
        small = to_grid(read_image(path), tokenizer.rows, tokenizer.columns, tokenizer.channels)
        kept = Kept(picture=small, rows=asked.keep_rows, mask=mask)
        prompts += [Prompt(name=name, label=label, given=kept) for label in labels]
    return prompts


def _kept(file: Path, job: Job) -> list[dict[str, Any]]:
    """Return the samples that an earlier call left, their pictures written again where they are gone.

    Raises:
        ZooError: a file that is none of ours, or pictures that were drawn with other settings.
    """
    samples = read_samples(file, job.settings)
    try:
        for index, sample in enumerate(samples):
            picture = job.model.tokenizer.decode(_tensor(sample["ids"]))
            sample |= {"index": index, "file": str(job.out / f"{index:03d}.png")}
            if not Path(sample["file"]).exists():
                write_bytes(Path(sample["file"]), png(picture))
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise ZooError(f"{file} cannot be gone on with: it is not what generate wrote; use overwrite=true") from None
    return samples


def _tensor(ids: Any) -> Any:
    import torch

    return torch.tensor(ids, dtype=torch.int64)


def _tell(job: Job, sheets: Mapping[str, Sheet], size: tuple[int, int]) -> None:
    """Say where the pictures are: the sheets on standard output."""
    total = len(job.prompts) * job.count
    say(f"{total} picture{'s' * (total > 1)} of {size[0]} x {size[1]} pixels in {job.out}; on the sheets they are "
        f"enlarged {' and '.join(sorted({str(one.factor) for one in sheets.values()}))} times")  # fmt: skip
    if "sheet" in sheets and (len(job.prompts) > ROWS or job.count > COLUMNS):
        say(f"sheet.png shows at most {ROWS} of the inputs and {COLUMNS} of their completions")
    for name in sheets:
        put(str(job.out / f"{name}.png"))
