"""Published vocabularies: where their files are, fetched once into ``$ZOO_HOME/tokenizers``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo.download import fetch
from zoo.paths import home


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The files of one tokenizer on the web.

    Attributes:
        name: of its folder below ``$ZOO_HOME/tokenizers``.
        base: address of the folder that holds the files.
        files: name to sha256.
    """

    name: str
    base: str
    files: Mapping[str, str]

    def fetch(self) -> Path:
        """Return the folder with the files, those missing or damaged fetched.

        Raises:
            ZooError: no network, or another content than promised: one line that names ``tokenizer.path``.
        """
        folder = home() / "tokenizers" / self.name
        for file, sha256 in self.files.items():
            fetch(f"{self.base}/{file}", folder / file, sha256=sha256, remedy="tokenizer.path=FOLDER")
        return folder


GPT2 = Vocabulary(
    name="gpt2",
    base="https://openaipublic.blob.core.windows.net/gpt-2/encodings/main",
    files={
        "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
        "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    },
)
GPT1 = Vocabulary(
    name="gpt1",
    base="https://huggingface.co/openai-community/openai-gpt/resolve/main",
    files={
        "vocab.json": "fdf49b19e7de236852091da09b84a7a3cd5e7b0e79916376cf45f6b8127b8078",
        "merges.txt": "0ea9b51ae695073cd871e0358f7016311d671a7ff3963e367d5236522f294725",
    },
)
