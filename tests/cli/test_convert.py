"""``zoo convert`` and ``zoo pull``: what they write, what they refuse before any work, and nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import zoo as library
from tests.cli.conftest import Zoo
from zoo.weights import openai
from zoo.weights.files import files_below


def logits(folder: Path) -> torch.Tensor:
    return library.load(folder, device="cpu").logits(torch.tensor([[1, 2, 3]]))


def test_our_own_format_in_half_the_size(zoo: Zoo, checkpoint: Path, tmp_path: Path) -> None:
    done = zoo("convert", str(checkpoint), "out=half", "dtype=bfloat16", "--json")
    assert done.document == {
        "checkpoint": "half",
        "format": "zoo",
        "dtype": "bfloat16",
        "parameters": library.load(checkpoint, device="cpu").parameters,
    }
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (checkpoint, tmp_path / "half")]
    assert sizes[1] < 0.6 * sizes[0]
    card = library.load(tmp_path / "half", device="cpu").card
    assert card["converted"] == f"zoo convert {checkpoint} out=half dtype=bfloat16 --json"
    assert card["data"] == library.load(checkpoint, device="cpu").card["data"]
    torch.testing.assert_close(logits(tmp_path / "half"), logits(checkpoint), atol=0.1, rtol=0.1)
    assert zoo("convert", "half", "out=whole", "--json").document["dtype"] == "bfloat16"  # as it is stored


def test_what_a_format_cannot_say_is_refused_before_anything_is_written(
    zoo: Zoo, checkpoint: Path, tmp_path: Path
) -> None:
    for to in ("huggingface", "openai"):
        done = zoo("convert", str(checkpoint), "out=there", f"to={to}")
        assert done.code == 2
        assert "cannot express" in done.err
        assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which checkpoint? For example: zoo convert gpt2"),
        (["absent", "out=a"], "no checkpoint 'absent'"),
        (["absent"], "where to? Say out=DIR"),
        (["absent", "out=taken"], "taken is not empty; choose another out=DIR, or add overwrite=true"),
        (["absent", "out=taken", "overwrite=true"], "taken holds 'thesis.txt', which is no part of a checkpoint"),
        (["absent", "out=file"], "file is a file; choose another out=DIR"),
        (["absent", "out=a", "to=tensorflow"], "to: 'tensorflow' is not possible"),
        (["absent", "out=a", "dtype=int8"], "dtype: 'int8' is not possible"),
        (["absent", "out=a", "two", "words"], "one checkpoint at a time"),
        (["absent", "out=a", "ovewrite=true"], "unknown setting 'ovewrite'; did you mean 'overwrite'?"),
    ],
)
def test_bad_input(zoo: Zoo, tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("")
    done = zoo("convert", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"zoo: error: {message}")
    assert done.err.count("\n") == 1
    assert files_below(tmp_path) == ["file", "taken/thesis.txt"]


def test_a_checkpoint_that_is_there_is_replaced_whole_on_request(zoo: Zoo, checkpoint: Path, tmp_path: Path) -> None:
    assert zoo("convert", str(checkpoint), "out=a").code == 0
    before = logits(tmp_path / "a")
    (tmp_path / "a" / "vocab.json").write_text("{}")  # of another format
    assert zoo("convert", "a", "out=a", "overwrite=true").err.startswith("zoo: error: a is the checkpoint to be conv")
    assert zoo("convert", str(checkpoint), "out=a").code == 2
    assert zoo("convert", str(checkpoint), "out=a", "overwrite=true").code == 0
    assert torch.equal(logits(tmp_path / "a"), before)
    assert not (tmp_path / "a" / "vocab.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failure_leaves_what_was_there(
    zoo: Zoo, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert zoo("convert", str(checkpoint), "out=a").code == 0
    before = {name: (tmp_path / "a" / name).read_bytes() for name in files_below(tmp_path / "a")}

    def fail(*arguments: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.weights.folder.write_manifest", fail)
    for out in ("a", "b"):
        done = zoo("convert", str(checkpoint), f"out={out}", "overwrite=true")
        assert (done.code, done.err) == (
            2,
            f"zoo: error: cannot write {out}: No space left on device; choose another out=DIR\n",
        )
    assert {name: (tmp_path / "a" / name).read_bytes() for name in files_below(tmp_path / "a")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_known_before_reading(
    zoo: Zoo, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("zoo.cli.convert.shutil.disk_usage", lambda place: usage)
    done = zoo("convert", str(checkpoint), "out=a/b/c")
    assert done.code == 2
    assert "a/b/c would take 0.00 GB, and" in done.err
    assert list(tmp_path.iterdir()) == []


def test_openai_s_files_carry_the_vocabulary(zoo: Zoo, tmp_path: Path) -> None:
    from zoo.model import Model
    from zoo.tokenizers.text.bpe import BpeTokenizer
    from zoo.transformer.config import TransformerConfig
    from zoo.transformer.model import Transformer

    tokenizer = BpeTokenizer.fit(["the cat sat on the mat, the dog on the log"] * 9, vocabulary=270)
    network = Transformer(
        TransformerConfig(vocabulary=tokenizer.spec.vocabulary_size, context=16, width=8, depth=2, heads=2)
    )
    network.draw_weights()
    Model(network, tokenizer).save("own")
    assert zoo("convert", "own", "out=theirs", "to=openai").code == 0
    assert files_below(tmp_path / "theirs") == ["encoder.json", "hparams.json", "tf_variables.npz", "vocab.bpe"]
    stated = json.loads((tmp_path / "theirs" / "hparams.json").read_text())
    assert stated == {
        "n_vocab": tokenizer.spec.vocabulary_size, "n_ctx": 16, "n_embd": 8, "n_head": 2, "n_layer": 2
    }  # fmt: skip
    back = library.load(tmp_path / "theirs", device="cpu")
    assert torch.equal(back.tokenizer.encode("the cat"), tokenizer.encode("the cat"))
    assert torch.equal(logits(tmp_path / "theirs"), logits(tmp_path / "own"))
    assert openai.FILES["bpe"][0] == ("vocab.json", "encoder.json")


def test_pull_of_what_is_here_copies_it(zoo: Zoo, checkpoint: Path, tmp_path: Path, zoo_home: Path) -> None:
    done = zoo("pull", str(checkpoint), "--json")
    folder = zoo_home / "checkpoints" / checkpoint.name
    assert done.document["checkpoint"] == str(folder)
    assert done.document["fetched"] is True
    assert torch.equal(logits(folder), logits(checkpoint))
    assert zoo("pull", checkpoint.name, "--json").document == {"checkpoint": str(folder), "fetched": False}


def test_pull_into_a_folder_of_ones_own(zoo: Zoo, checkpoint: Path, tmp_path: Path, zoo_home: Path) -> None:
    words = ("pull", str(checkpoint), "out=my models/one")
    assert zoo(*words, "--json").document["checkpoint"] == "my models/one"
    assert torch.equal(logits(tmp_path / "my models" / "one"), logits(checkpoint))
    assert not zoo_home.exists()
    taken = zoo(*words)
    message = "zoo: error: my models/one is not empty; choose another out=DIR, or add overwrite=true\n"
    assert (taken.code, taken.out, taken.err) == (2, "", message)
    assert zoo(*words, "overwrite=true", "--json").document["fetched"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which checkpoint? For example: zoo pull gpt2"),
        (["absent"], "no checkpoint 'absent': no such path"),
        ([".."], "'..' is no name"),
        (["absent", "overwrite=true"], "no checkpoint 'absent': no such path"),
    ],
)
def test_pull_of_nothing(zoo: Zoo, zoo_home: Path, words: list[str], message: str) -> None:
    done = zoo("pull", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"zoo: error: {message}")
    assert done.err.count("\n") == 1
    assert not zoo_home.exists()
