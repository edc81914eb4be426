"""Fetching from the Hub, against a stand-in on this machine: what is fetched, what is refused, and how fast."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from tests.weights.hub_server import COMMIT, Hub, Repository, hub
from zoo.model import Model
from zoo.tokenizers.text.bpe import BpeTokenizer
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer
from zoo.weights import huggingface
from zoo.weights.hub import HubId

ROOT = Path(__file__).resolve().parents[2]

CHILD = """
import json, sys, time
import zoo
from zoo.weights.hub import locate
for line in sys.stdin:
    began = time.perf_counter()
    kind, name = json.loads(line)
    answer = {}
    try:
        if kind == "locate":
            found = locate(name)
            answer = {"path": str(found.path), "card": dict(found.card)}
        else:
            import torch
            model = zoo.load(name, device="cpu")
            answer = {"parameters": model.parameters, "card": model.card, "text": model.generate_ids(
                torch.tensor([[1, 2]]), temperature=0, max_new_tokens=4).tolist()}
    except zoo.ZooError as error:
        answer = {"error": str(error)}
    except Exception as error:
        answer = {"fault": repr(error)}
    print(json.dumps({**answer, "seconds": time.perf_counter() - began}), flush=True)
"""


@dataclass(frozen=True)
class Child:
    """A process whose Hub is the stand-in."""

    process: subprocess.Popen[str]
    home: Path

    def ask(self, kind: str, name: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([kind, name]) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert "fault" not in answer, answer
        assert kind == "locate" or "error" not in answer, answer
        return answer

    def refusal(self, name: str) -> str:
        answer = self.ask("locate", name)
        assert answer["seconds"] < 5
        message: str = answer["error"]
        assert "\n" not in message
        return message


def environment(home: Path, url: str, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "HF_ENDPOINT": url,
        "HF_HOME": str(home / "hf"),
        "ZOO_HOME": str(home / "zoo"),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        **more,
    }


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with hub() as served:
        yield served


@pytest.fixture(scope="module")
def child(server: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    home = tmp_path_factory.mktemp("home")
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=home,
        env=environment(home, server.url, HF_TOKEN="hf_secret"),
    )
    yield Child(process, home)
    process.communicate()


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    config = TransformerConfig(vocabulary=257, context=16, width=8, depth=2, heads=2)
    network = Transformer(config)
    network.draw_weights()
    return Model(network, ByteTokenizer())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def single(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("single")
    huggingface.write(folder, model.network, model.tokenizer)
    return {name: content for name, content in contents(folder).items() if not name.startswith("tokenizer/")}


@pytest.fixture(scope="module")
def sharded(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sharded")
    huggingface.write(folder, model.network, model.tokenizer, shard_bytes=4000)
    found = contents(folder)
    assert sum(name.endswith(".safetensors") for name in found) > 2
    return found


def greedy(model: Model) -> list[list[int]]:
    ids: list[list[int]] = model.generate_ids(torch.tensor([[1, 2]]), temperature=0, max_new_tokens=4).tolist()
    return ids


def test_names() -> None:
    assert HubId.parse("gpt2") == HubId(name="gpt2")
    assert HubId.parse("openai-community/gpt2@v1.0") == HubId(name="openai-community/gpt2", revision="v1.0")
    assert str(HubId.parse("a/b@refs/pr/1")) == "a/b@refs/pr/1"
    for text in (
        "",
        "a/b/c",
        "../a",
        "a/..",
        ".a",
        "a b",
        "a--b",
        "a..b",
        "a.git",
        "a@",
        "a@../x",
        "ä",
        "a" * 97,
        "a\n",
    ):
        assert HubId.parse(text) is None, text


def test_one_file_of_weights(child: Child, server: Hub, single: dict[str, bytes], model: Model) -> None:
    more = {"README.md": b"#", "onnx/model.onnx": b"x", "pytorch_model.bin": b"not this", "tf_model.h5": b"nor this"}
    server.models["someone/single"] = Repository(files={**single, **more}, large=("model.safetensors",))
    server.requests.clear()
    server.tokens.clear()
    answer = child.ask("load", "someone/single")
    assert answer["parameters"] == model.parameters
    assert answer["text"] == greedy(model)
    assert answer["card"]["name"] == "someone/single"
    assert answer["card"]["commit"] == COMMIT
    asked = [entry for entry in zip(server.requests, server.tokens, strict=True) if "someone/single" in entry[0]]
    assert [entry for entry in asked if entry[0].startswith("GET")] == [
        ("GET /api/models/someone/single/revision/main?blobs=true", "Bearer hf_secret"),
        ("GET /cdn/someone/single//model.safetensors", None),  # another address: no token goes there
        ("GET /someone/single/resolve/main/config.json", "Bearer hf_secret"),
    ]
    server.requests.clear()
    assert child.ask("load", "someone/single")["text"] == greedy(model)
    assert server.requests == ["GET /api/models/someone/single/revision/main?blobs=true"]


def test_weights_in_many_files(child: Child, server: Hub, sharded: dict[str, bytes], model: Model) -> None:
    server.models["someone/sharded"] = Repository(files=sharded)
    assert child.ask("load", "someone/sharded")["text"] == greedy(model)


def test_pytorch_s_own_file_where_there_is_no_other(
    child: Child, server: Hub, single: dict[str, bytes], model: Model, tmp_path: Path
) -> None:
    from safetensors.torch import load

    torch.save(load(single["model.safetensors"]), tmp_path / "pytorch_model.bin")
    files = {"config.json": single["config.json"], "pytorch_model.bin": (tmp_path / "pytorch_model.bin").read_bytes()}
    server.models["someone/legacy"] = Repository(files=files)
    assert child.ask("load", "someone/legacy")["text"] == greedy(model)


def test_our_own_format(child: Child, server: Hub, model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "own")
    server.models["someone/own"] = Repository(files=contents(tmp_path / "own"), large=("model.safetensors",))
    answer = child.ask("load", "someone/own")
    assert answer["text"] == greedy(model)
    assert (Path(child.ask("locate", "someone/own")["path"]) / "tokenizer" / "spec.json").is_file()


def test_revisions(child: Child, server: Hub, single: dict[str, bytes], model: Model) -> None:
    server.models["someone/tagged"] = Repository(files=single)
    for revision in ("v1", COMMIT):
        assert child.ask("load", f"someone/tagged@{revision}")["text"] == greedy(model)
    assert "has no revision 'v9' on the Hub; leave out @" in child.refusal("someone/tagged@v9")


def test_the_hub_s_oldest_names_and_cards(child: Child, server: Hub, single: dict[str, bytes], model: Model) -> None:
    server.models["community/old"] = Repository(files=single)
    server.moved["old"] = "community/old"
    assert child.ask("load", "old")["text"] == greedy(model)
    card = child.home / "checkpoints" / "known"
    card.mkdir(parents=True)
    (card / "card.yaml").write_text("name: known\nsource: community/old\nlicense: MIT\n")
    answer = child.ask("load", "known")
    assert answer["text"] == greedy(model)
    assert (answer["card"]["name"], answer["card"]["license"]) == ("known", "MIT")
    assert answer["card"]["source"] == "community/old"


def test_a_text_goes_on_as_in_a_tutorial(server: Hub, tmp_path: Path) -> None:
    """``zoo generate gpt2 prompt=...`` is all: card, Hub, vocabulary, weights."""
    tokenizer = BpeTokenizer.fit(["the cat sat on the mat, the dog on the log"] * 9, vocabulary=280)
    network = Transformer(
        TransformerConfig(vocabulary=tokenizer.spec.vocabulary_size, context=32, width=8, depth=2, heads=2)
    )
    network.draw_weights()
    text_model = Model(network, tokenizer)
    huggingface.write(tmp_path / "files", network, tokenizer)
    server.models["community/small"] = Repository(files=contents(tmp_path / "files"), large=("model.safetensors",))
    (tmp_path / "checkpoints" / "small").mkdir(parents=True)
    (tmp_path / "checkpoints" / "small" / "card.yaml").write_text("name: small\nsource: community/small\n")
    words = ("generate", "small", "prompt=the cat", "temperature=0", "max_new_tokens=5")
    done = run_zoo(tmp_path, server.url, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == text_model.generate("the cat", temperature=0, max_new_tokens=5) + "\n"


def test_what_was_fetched_is_there_without_a_network(
    child: Child, server: Hub, single: dict[str, bytes], model: Model
) -> None:
    server.models["someone/kept"] = Repository(files=single)
    assert child.ask("load", "someone/kept")["text"] == greedy(model)
    del server.models["someone/kept"]
    offline = run_zoo(child.home, server.url, "convert", "someone/kept", "out=kept", HF_HUB_OFFLINE="1")
    assert (offline.returncode, offline.stdout) == (0, "kept\n")
    down = run_zoo(child.home, "http://127.0.0.1:9", "convert", "someone/kept", "out=kept2")
    assert (down.returncode, down.stdout) == (0, "kept2\n")
    assert greedy(zoo.load(child.home / "kept2", device="cpu")) == greedy(model)


def test_names_that_nobody_has(child: Child, server: Hub) -> None:
    message = child.refusal("someone/absent")
    assert message.startswith("no checkpoint 'someone/absent': no such path, no such name in checkpoints or ")
    assert "nor on the Hub (if it is private: 'hf auth login')" in message
    (child.home / "checkpoints" / "shakespeare").mkdir(parents=True)
    (child.home / "checkpoints" / "shakespeare" / "config.json").write_text("{}")
    assert child.refusal("shakespear").endswith("did you mean 'shakespeare'?")


def test_terms_to_accept(child: Child, server: Hub, single: dict[str, bytes]) -> None:
    server.models["someone/gated"] = Repository(files=single, gated=True)
    assert "asks for your consent" in child.refusal("someone/gated")


def test_repositories_that_hold_no_model(child: Child, server: Hub, single: dict[str, bytes]) -> None:
    server.models["someone/empty"] = Repository(files={"README.md": b"#"})
    assert "has neither model.safetensors nor pytorch_model.bin" in child.refusal("someone/empty")
    server.models["someone/bare"] = Repository(files={"model.safetensors": single["model.safetensors"]})
    assert "has no config.json" in child.refusal("someone/bare")


@pytest.mark.parametrize(
    "name",
    [
        "../../../escaped",
        "/escaped",
        "a/../../escaped",
        "..\\escaped",
        "C:\\escaped",
        "a\nb",
        "",
        "a//b",
        "n" * 300,
        ".",
    ],
)
def test_names_that_are_no_file_names(child: Child, server: Hub, single: dict[str, bytes], name: str) -> None:
    listed = {**single, name: b"x"}
    server.models["someone/lies"] = Repository(files=listed)
    assert "which is no file name inside a folder; do not use it" in child.refusal("someone/lies")
    assert not list(child.home.rglob("*escaped*"))


@pytest.mark.parametrize("header", ["ETag", "X-Repo-Commit"])
@pytest.mark.parametrize("value", ["../../../../escaped", "/escaped", ""])
def test_headers_that_would_become_paths(
    child: Child, server: Hub, single: dict[str, bytes], header: str, value: str
) -> None:
    server.models["someone/headers"] = Repository(files=single, headers={header: f'"{value}"'}, commit="a" * 40)
    message = child.refusal("someone/headers")
    assert "the server does not know" in message or "cannot be fetched" in message
    assert not list(child.home.rglob("*escaped*"))


def test_a_commit_that_is_none(child: Child, server: Hub, single: dict[str, bytes]) -> None:
    server.models["someone/commit"] = Repository(files=single, commit="../../escaped")
    assert "states no commit; is HF_ENDPOINT the address of a Hub?" in child.refusal("someone/commit")


def test_an_index_that_names_what_is_not_there(child: Child, server: Hub, sharded: dict[str, bytes]) -> None:
    for number, name in enumerate(("../escaped.safetensors", "model-9.safetensors", "a/b.safetensors")):
        index = json.loads(sharded["model.safetensors.index.json"])
        index["weight_map"]["transformer.wte.weight"] = name
        files = {**sharded, "model.safetensors.index.json": json.dumps(index).encode()}
        server.models[f"someone/index{number}"] = Repository(files=files, commit=f"{number}" * 40)
        assert "which it does not have; do not use it" in child.refusal(f"someone/index{number}")
    server.models["someone/index"] = Repository(files={**sharded, "model.safetensors.index.json": b"[1"})
    assert "does not say which files hold the weights" in child.refusal("someone/index")


def test_another_content_than_was_listed(child: Child, server: Hub, single: dict[str, bytes], model: Model) -> None:
    changed = bytearray(single["model.safetensors"])
    changed[-1] ^= 1
    name = "model.safetensors"
    for large in ((), (name,)):
        files = {**single, name: bytes(changed)}
        title = f"someone/changed{len(large)}"
        server.models[title] = Repository(files=files, listed=single, large=large)
        assert f"{name} is not the file that the Hub lists (cut short or changed)" in child.refusal(title)
        server.models[title] = Repository(files=single, large=large)  # the wrong file was not kept
        assert child.ask("load", title)["text"] == greedy(model)


def test_a_download_that_breaks_off(child: Child, server: Hub, single: dict[str, bytes], model: Model) -> None:
    server.models["someone/cut"] = Repository(files=single, cut=100)
    answer = child.ask("locate", "someone/cut")  # the library tries again five times, a second apart
    assert "cannot be fetched" in answer["error"]
    assert not list((child.home / "hf").rglob("*incomplete*"))
    server.models["someone/cut"] = Repository(files=single)
    assert child.ask("load", "someone/cut")["text"] == greedy(model)


def run_zoo(home: Path, url: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zoo", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=home, env=environment(home, url, **more))


def test_a_server_that_is_down_or_silent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (9, silent.getsockname()[1]):
            began = time.perf_counter()
            done = run_zoo(tmp_path, f"http://127.0.0.1:{port}", "generate", "someone/model")
            assert time.perf_counter() - began < 10  # four for the server, the rest for Python on a busy machine
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.startswith("zoo: error: no checkpoint 'someone/model': no such path")
            assert "and the Hub cannot be asked (" in done.stderr
            assert done.stderr.count("\n") == 1


def test_pull(server: Hub, single: dict[str, bytes], model: Model, tmp_path: Path) -> None:
    server.models["someone/pulled"] = Repository(files=single, large=("model.safetensors",))
    done = run_zoo(tmp_path, server.url, "pull", "someone/pulled@v1", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    folder = tmp_path / "zoo" / "checkpoints" / "pulled"
    assert document == {
        "checkpoint": str(folder), "format": "zoo", "dtype": "float32", "parameters": model.parameters, "fetched": True,
    }  # fmt: skip
    pulled = zoo.load(folder, device="cpu")
    assert greedy(pulled) == greedy(model)
    assert pulled.card["source"] == "someone/pulled@v1"
    again = run_zoo(tmp_path, "http://127.0.0.1:9", "pull", "pulled")
    assert (again.returncode, again.stdout) == (0, f"{folder}\n")
    refused = run_zoo(tmp_path, server.url, "pull", "someone/nothing")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == ["pulled"]
