"""Codecs with residual codebooks as tokenizers: EnCodec, DAC, Mimi."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from torch import Tensor

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers import tensors
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.audio.layouts import Delayed, Flattened
from zoo.tokenizers.audio.pretrained import PretrainedCodec
from zoo.tokenizers.audio.read_pretrained import CONFIG, WEIGHTS, read_codec
from zoo.tokenizers.audio.settings import Layout
from zoo.tokenizers.audio.waveform import Waveform
from zoo.tokenizers.base import TokenSpec

FILE = "layout.json"
LAYOUTS: dict[Layout, type[Flattened] | type[Delayed]] = {"flattened": Flattened, "delayed": Delayed}


class NeuralTokenizer(AudioTokenizer):
    """The codes of every step, one of each codebook, in one row of ids: see ``zoo.tokenizers.audio.layouts``.

    Ids of book k lie in [k, k + 1) * ``vocabulary_size / books``, and books take turns. Sound that does not fill a last
    step is filled up with silence, so decoding gives whole steps. ``tokens_per_second`` counts the steps of a long
    sound; a delayed one has ``(books - 1) * books`` ids more.

    Args:
        codec: encodes and decodes.
        books: how many of its codebooks are used, the coarsest first; None for all.
        layout: how their codes stand in a row.

    Raises:
        ZooError: more books than there are.
    """

    def __init__(self, codec: PretrainedCodec, *, books: int | None = None, layout: Layout = "flattened") -> None:
        used = codec.books if books is None else books
        if not 1 <= used <= codec.books:
            raise ZooError(f"books must be 1 to {codec.books}, which this codec has, got {books}")
        super().__init__(rate=codec.rate, hop=codec.hop, ids_per_hop=used)
        self.codec, self.books, self._layout = codec, used, layout
        self.layout = LAYOUTS[layout](books=used, size=codec.size)
        files = {**self._files(), WEIGHTS: tensors.fingerprint(codec.tensors)}
        self._spec = TokenSpec(
            type=codec.model_type,
            modality="music",
            vocabulary_size=self.layout.vocabulary_size,
            tokens_per_second=self.ids_per_second,
            lossless=False,
            fingerprint=folders.fingerprint(codec.model_type, files),
        )

    @classmethod
    def read(cls, name: str, path: str | Path, *, books: int | None, layout: Layout) -> Self:
        """Return the tokenizer of the codec ``name`` (encodec, dac, mimi) in a folder, or on the Hub.

        Raises:
            ZooError: see ``zoo.tokenizers.audio.read_pretrained.read_codec``; more books than there are.
        """
        return cls(read_codec(name, path), books=books, layout=layout)

    @classmethod
    def load(cls, folder: Path | str, name: str) -> Self:
        """Return the tokenizer saved in ``folder``."""
        path = Path(folder)
        match folders.read_json(path / FILE):
            case {"books": int(books), "layout": "flattened" | "delayed" as layout, **rest} if not rest:
                return cls(read_codec(name, _existing(path)), books=books, layout=layout)
        raise ZooError(f"{path / FILE}: expected 'books' (a whole number), 'layout' and nothing else")

    @property
    def spec(self) -> TokenSpec:
        """The facts that models, samplers and checkpoints rely on."""
        return self._spec

    def encode_samples(self, samples: Tensor) -> Tensor:
        """Return the ids of samples (time,)."""
        return self.layout.ids(self.codec.encode(samples, self.books))

    def decode_samples(self, ids: Tensor) -> Tensor:
        """Return the samples of the steps that are complete in ids (time,).

        Raises:
            ZooError: an id stands where it is another book's turn.
        """
        return self.codec.decode(self.layout.codes(ids))

    def count(self, seconds: float) -> int:
        """Return how many ids a sound of so many seconds has."""
        return self.layout.count(super().count(seconds) // self.books)

    def begin(self, sample: Waveform) -> Tensor:
        """Return the ids that longer sounds begin with: without what a layout writes after the last step."""
        ids = self.encode(sample)
        return ids[: len(self.layout.codes(ids)) * self.books]

    def save(self, folder: Path | str) -> None:
        """Write ``spec.json``, ``layout.json``, and the codec's ``config.json`` and ``model.safetensors``."""
        tensors.write(Path(folder) / WEIGHTS, self.codec.tensors)
        folders.write(folder, self.spec, self._files())

    def _files(self) -> dict[str, str]:
        return {
            CONFIG: json.dumps(self.codec.settings, indent=2, sort_keys=True) + "\n",
            FILE: json.dumps({"books": self.books, "layout": self._layout}) + "\n",
        }


def _existing(folder: Path) -> Path:
    if not folder.is_dir():  # never a name that the Hub is asked for
        raise ZooError(f"{folder} does not exist; a tokenizer's folder is written by its save(folder)")
    return folder
