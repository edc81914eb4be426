"""Pictures as ids: each pixel predicted from those before it, or hidden pixels from all others (Chen et al. 2020)."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from zoo.data.base import IGNORED, Batch, Corpus, SampleData, TokenData
from zoo.data.codec_pictures import CodecPictures
from zoo.data.read_image import read_images
from zoo.data.records import Image, Records
from zoo.data.seeded import Shuffled, generator
from zoo.data.sources import Manifest, Source
from zoo.data.split import split_count
from zoo.data.text import check_modality, locate
from zoo.download import Progress
from zoo.errors import ZooError
from zoo.network import NO_CLASS, Conditioning, Network
from zoo.tokenizers.base import Modality, Tokenizer
from zoo.tokenizers.codec import Codec
from zoo.tokenizers.image.base import Ids, ImageTokenizer

HELD_OUT_SEED = 0
"""Of what is hidden in the held-out pictures, which is the same in every run."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """Pictures of any kind; the tokenizer brings them to its grid.

    Attributes:
        path: folder (one folder per class, or flat), file, glob, .npz or MNIST's folder of yours; before ``source``.
        source: where the recipe's own pictures are fetched from; None if it has none.
        wanted: where a recipe without a source would have its pictures from, for the line that asks for ``path``.
        conditional: the class of a picture is given to the network; takes labels.
        unlabelled: share of the training rows whose class is kept back, so that the network can do without, and
            guidance has something to compare with (Ho and Salimans 2022, section 3.2).
        flip: mirror half of the training rows.
        hide: share of the pixels hidden in each row, for a network that sees both sides (Chen et al. 2020, section 2.1:
            0.15); None: each pixel is predicted from the start id and the pixels before it.
    """

    path: str | None = None
    source: Source | Manifest | None = None
    wanted: str = ""
    conditional: bool = False
    unlabelled: float = 0.1
    flip: bool = False
    hide: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.unlabelled < 1:
            raise ZooError(f"unlabelled must lie in [0, 1), got {self.unlabelled}")
        if self.hide is not None and not 0 < self.hide < 1:
            raise ZooError(f"hide must lie between 0 and 1, got {self.hide}")
        if self.hide is not None and self.conditional:
            raise ZooError("hide: there is no start for a class to stand at; use conditional=false, or hide=null")

    def open(self, progress: Progress | None = None) -> ImageCorpus:
        """Find and split the pictures; ``progress`` is told of a download.

        Raises:
            ZooError: no data, or not pictures: one line that names the file.
        """
        path, entries = locate(self.path, self.source, progress, wanted=self.wanted or "FOLDER")
        records = read_images(path)
        own = [{"name": records.title, "license": "not stated", "sha256": records.sha256}]
        return ImageCorpus(records, entries or own, self)


@dataclass(frozen=True, kw_only=True)
class Digits:
    """1,797 handwritten digits of 8 x 8 pixels with 17 gray levels, which come with scikit-learn (UCI, CC BY 4.0).

    Attributes:
        path: pictures of yours instead.
        conditional, unlabelled: see ``Images``.
    """

    path: str | None = None
    conditional: bool = False
    unlabelled: float = 0.1

    def open(self, progress: Progress | None = None) -> ImageCorpus:
        """Read and split the pictures."""
        like = Images(path=self.path, conditional=self.conditional, unlabelled=self.unlabelled)
        if self.path is not None:
            return like.open(progress)
        records = digits()
        return ImageCorpus(records, [{"name": records.title, "license": "CC-BY-4.0", "sha256": records.sha256}], like)


class ImageCorpus(Corpus):
    """Split pictures, before any tokenizer.

    Args:
        records: both parts.
        entries: the card's ``data``.
        settings: how rows are made of them.

    Attributes:
        classes: names of the classes, for a network that is told them; none if it is not.
    """

    modality: Modality = "image"

    def __init__(self, records: Records[Image], entries: list[dict[str, Any]], settings: Images) -> None:
        self.records = records
        self._entries = entries
        self._settings = settings
        if settings.conditional and not records.labels:
            raise ZooError(
                f"{records.title}: has no labels to be conditional on; give one folder per class, or say "
                "data.conditional=false"
            )
        self.classes = records.label_names if settings.conditional else ()

    def samples(self) -> Iterable[Image]:
        """Return the training pictures: what a tokenizer is fitted on."""
        return (self.records[index] for index in self.records.train)

    def encode(self, tokenizer: Tokenizer[Any], context: int) -> ImageData:
        """Return the ids of both parts.

        Raises:
            ZooError: a tokenizer of something else, or pictures of more ids than the context.
        """
        check_modality(tokenizer, "image")
        assert isinstance(tokenizer, ImageTokenizer)
        needed = tokenizer.spec.ids_per_sample or 0
        if needed > context:
            shape = " x ".join(map(str, tokenizer.spec.shape or ()))
            raise ZooError(f"a picture has {shape} = {needed} ids, more than model.context={context}; raise it")
        settings, records = self._settings, self.records
        classes = records.label_ids() if settings.conditional else None
        parts = [
            Part(
                ids=tokenizer.encode_many(records[index] for index in numbers),
                mirrored=tokenizer.encode_many(records[index][:, ::-1] for index in numbers) if mirror else None,
                classes=None if classes is None else classes[list(numbers)],
                numbers=np.asarray(numbers, dtype=np.int64),
            )
            for numbers, mirror in ((records.train, settings.flip), (records.held_out, False))
        ]
        rmse = tokenizer.quantization_rmse(records[index] for index in records.held_out)
        if settings.hide is not None:
            return HiddenPixels(parts[0], parts[1], tokenizer, rmse, settings)
        return NextPixel(parts[0], parts[1], tokenizer, rmse, settings)

    def crops(self, codec: Codec) -> SampleData:
        """Return both parts on the codec's grid: pictures are made smaller or larger, not cut."""
        return CodecPictures(self.records, codec, flip=self._settings.flip)

    def describe(self) -> list[dict[str, Any]]:
        """Return the card's ``data`` entries."""
        return self._entries


@dataclass(frozen=True, kw_only=True)
class Part:
    """The pictures of one part.

    Attributes:
        ids: (pictures, time), as small as the vocabulary allows.
        mirrored: the same of the pictures with left and right changed (which of a codec's ids cannot be had by
            changing ids); None where nobody asks for them.
        classes: (pictures,) int64, None where there are none.
        numbers: (pictures,) int64; which sample each is, for messages.
    """

    ids: Ids
    mirrored: Ids | None
    classes: npt.NDArray[np.int64] | None
    numbers: npt.NDArray[np.int64]


class ImageData(TokenData):
    """Pictures as ids.

    Args:
        train, held_out: both parts.
        tokenizer: made the ids.
        rmse: its quantisation error on the held-out part.
        settings: how rows are made.
    """

    def __init__(self, train: Part, held_out: Part, tokenizer: ImageTokenizer, rmse: float, settings: Images) -> None:
        self._train, self._held_out, self._tokenizer, self._rmse = train, held_out, tokenizer, rmse
        self._settings = settings
        self._order = Shuffled(len(train.ids))
        self.train_tokens = train.ids.size

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        """Return ``size`` training pictures: all of them once in every round, in another order each time."""
        random = generator(seed, step)
        rows = self._order.take(step, size, seed)
        ids = self._train.ids[rows].astype(np.int64)
        if self._train.mirrored is not None:
            ids = np.where(random.random((size, 1)) < 0.5, self._train.mirrored[rows].astype(np.int64), ids)
        classes = None if self._train.classes is None else self._train.classes[rows]
        if classes is not None:
            classes = np.where(random.random(size) < self._settings.unlabelled, NO_CLASS, classes)
        return self._rows(ids, classes, self._train.numbers[rows], [random] * size)

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield every held-out picture once, ``size`` at a time."""
        part = self._held_out
        for first in range(0, len(part.ids), size):
            rows = slice(first, first + size)
            ids = part.ids[rows].astype(np.int64)
            randoms = [generator(HELD_OUT_SEED, first + row) for row in range(len(ids))]
            yield self._rows(ids, None if part.classes is None else part.classes[rows], part.numbers[rows], randoms)

    @abstractmethod
    def _rows(
        self,
        ids: npt.NDArray[np.int64],
        classes: npt.NDArray[np.int64] | None,
        numbers: npt.NDArray[np.int64],
        randoms: list[np.random.Generator],
    ) -> Batch:
        """Return the rows of pictures (rows, time), each with its generator."""


class NextPixel(ImageData):
    """Each pixel predicted from the start id and those before it: all of them have a loss, the last is never read."""

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return the contract's units of pictures; bits per dimension only where ids define them."""
        tokenizer = self._tokenizer
        images = tokens / self._train.ids.shape[1]
        per_image = nats / images
        return {
            "nats_per_image": per_image,
            "bits_per_dimension": tokenizer.bits_per_dimension(per_image),
            "bits_per_pixel": per_image / (math.log(2) * tokenizer.rows * tokenizer.columns),
            "quantization_rmse": self._rmse,
        }

    def notes(self) -> tuple[str, ...]:
        """Return whether bits per dimension are there, and what they can be compared with."""
        left = self._tokenizer.residual_bits
        if left is None:
            return (
                "bits per dimension are not defined for these ids, so no published ones compare with this model; its "
                "bits per pixel compare at an equal quantization rmse only",
            )
        if left == 0:
            return ("bits per dimension compare with published ones on the same pictures, size and held-out part",)
        return (
            f"{left:g} of the bits per dimension pay for gray levels that the tokenizer merges: an upper bound, to be "
            "compared with published ones on the same pictures, size and held-out part",
        )

    def check(self, network: Network) -> None:
        """Refuse a network that would see what it is to predict."""
        super().check(network)
        if not network.causal:
            raise ZooError("model.patterns: this network sees all pixels; use causal patterns, or data.hide=0.15")

    def _rows(
        self,
        ids: npt.NDArray[np.int64],
        classes: npt.NDArray[np.int64] | None,
        numbers: npt.NDArray[np.int64],
        randoms: list[np.random.Generator],
    ) -> Batch:
        start = self._tokenizer.spec.start_id
        assert start is not None
        read = np.concatenate([np.full((len(ids), 1), start), ids[:, :-1]], axis=1)
        return Batch(
            ids=torch.from_numpy(read),
            targets=torch.from_numpy(ids),
            indices=torch.from_numpy(numbers),
            conditioning=None if classes is None else Conditioning(classes=torch.from_numpy(classes)),
        )


class HiddenPixels(ImageData):
    """Hidden pixels predicted from all others; there is no start id and no shift."""

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return what the tokenizer loses: the loss is of hidden pixels alone and says nothing of a whole picture."""
        return {"quantization_rmse": self._rmse}

    def notes(self) -> tuple[str, ...]:
        """Return what the loss is of."""
        return ("the loss is of hidden pixels, all others known: not to be compared with that of next pixels",)

    def check(self, network: Network) -> None:
        """Refuse a network that sees one side only."""
        super().check(network)
        if network.causal:
            raise ZooError("data.hide: hidden pixels need model.patterns=[{type:dense,causal:false}]")

    def _rows(
        self,
        ids: npt.NDArray[np.int64],
        classes: npt.NDArray[np.int64] | None,
        numbers: npt.NDArray[np.int64],
        randoms: list[np.random.Generator],
    ) -> Batch:
        hide = self._settings.hide
        assert hide is not None
        hidden = np.stack([random.random(ids.shape[1]) < hide for random in randoms])
        hidden[~hidden.any(axis=1), 0] = True  # a row without a loss would be none
        return Batch(
            ids=torch.from_numpy(ids),
            targets=torch.from_numpy(np.where(hidden, ids, IGNORED)),
            indices=torch.from_numpy(numbers),
            conditioning=Conditioning(visible=torch.from_numpy(~hidden)),
        )


def digits() -> Records[Image]:
    """Return scikit-learn's digits, gray levels 0 ... 16 brought to 0 ... 255."""
    from sklearn.datasets import load_digits  # slow to import, and few need it

    found = load_digits()
    images = np.round(found.images * (255 / 16)).astype(np.uint8)[..., None]
    train, held_out = split_count(len(images))
    return Records(
        title="scikit-learn digits",
        names=[str(index) for index in range(len(images))],
        labels=[str(label) for label in found.target.tolist()],
        train=train,
        held_out=held_out,
        load=lambda index: images[index],
        sha256=hashlib.sha256(images.tobytes()).hexdigest(),
    )
