"""Published vocabularies: fetched once, from a server of our own, and used by the tokenizers without a path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tokenizers.samples import unpack_vocabulary
from tests.web import UNREACHABLE, serving
from zoo.errors import ZooError
from zoo.tokenizers.base import TextTokenizer
from zoo.tokenizers.text import vocabularies
from zoo.tokenizers.text.settings import Gpt1, Gpt2
from zoo.tokenizers.text.vocabularies import Vocabulary

ORIGINALS = {"gpt1": ("encoder_bpe_40000.json", "vocab_40000.bpe"), "gpt2": ("encoder.json", "vocab.bpe")}
"""The same contents in the fixtures, in the order of the vocabulary's files."""


@pytest.mark.parametrize(
    ("settings", "published", "constant"), [(Gpt1(), vocabularies.GPT1, "GPT1"), (Gpt2(), vocabularies.GPT2, "GPT2")]
)
def test_a_vocabulary_is_fetched_once(
    settings: Gpt1 | Gpt2,
    published: Vocabulary,
    constant: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    zoo_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    packed = unpack_vocabulary(published.name, tmp_path)
    contents = [(packed / name).read_bytes() for name in ORIGINALS[published.name]]
    with serving({f"/{name}": content for name, content in zip(published.files, contents, strict=True)}) as server:
        monkeypatch.setattr(vocabularies, constant, replace(published, base=server.url))
        fetched = settings.fit([])
        assert server.requests == [f"/{name}" for name in published.files]
        folder = zoo_home / "tokenizers" / published.name
        assert sorted(path.name for path in folder.iterdir()) == sorted(published.files)
        (folder / next(iter(published.files))).write_text("{}")
        assert settings.fit([]).spec == fetched.spec
        assert len(server.requests) == 3  # only what was damaged
    expected: TextTokenizer = request.getfixturevalue(published.name)
    assert fetched.spec == expected.spec
    assert fetched.encode("The thing about love is").tolist() == expected.encode("The thing about love is").tolist()
    assert settings.fit([]).spec == expected.spec  # without the server


@pytest.mark.parametrize(
    ("settings", "published", "constant"), [(Gpt1(), vocabularies.GPT1, "GPT1"), (Gpt2(), vocabularies.GPT2, "GPT2")]
)
def test_without_network_the_setting_is_named(
    settings: Gpt1 | Gpt2, published: Vocabulary, constant: str, zoo_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabularies, constant, replace(published, base=UNREACHABLE))
    first = next(iter(published.files))
    with pytest.raises(ZooError, match=rf"^cannot fetch .*/{first} \(.*\); say tokenizer\.path=FOLDER to use a copy$"):
        settings.fit([])
    assert list((zoo_home / "tokenizers" / published.name).iterdir()) == []


def test_where_the_files_are() -> None:
    assert vocabularies.GPT2.base == "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main"
    assert vocabularies.GPT1.base == "https://huggingface.co/openai-community/openai-gpt/resolve/main"
    assert list(vocabularies.GPT2.files) == ["encoder.json", "vocab.bpe"]
    assert list(vocabularies.GPT1.files) == ["vocab.json", "merges.txt"]
