"""Every benchmark runs, writes the contract's JSON, and says in one line what it lacks."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import codec, corpus, jukebox_gpu, limits, measure
from benchmarks.__main__ import NAMES, main
from benchmarks.jukebox_work import Machine, Walk, Work
from benchmarks.peers import TorchGpt, transformers_gpt2
from benchmarks.plain_codec import PlainCodec
from zoo.errors import ZooError
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer

PEERS = {
    "limits": 2, "training": 3, "sampling": 2, "reading": 2, "imagegpt": 4, "jukebox": 2, "jukebox_gpu": 4,
    "tokenizing": 3, "codec": 2,
}  # fmt: skip
CONFIG = TransformerConfig(vocabulary=11, context=8, width=16, depth=2, heads=2)


def run(tmp_path: Path, name: str, *options: str) -> dict[str, Any]:
    file = tmp_path / "figures.json"
    assert main([name, "--tiny", "--runs", "2", "--threads", "1", "--json", str(file), *options]) == 0
    report: dict[str, Any] = json.loads(file.read_text())
    return report


@pytest.mark.parametrize("name", sorted({*NAMES} - {"music", "baselines"}))  # they need files: see test_music.py
def test_report_has_the_shape_of_the_contract(tmp_path: Path, name: str) -> None:
    text = tmp_path / "text.txt"
    text.write_text("It is a truth universally acknowledged. " * 150)
    report = run(tmp_path, name, *(["--text", str(text)] if name in {"training", "tokenizing"} else []))
    assert report.keys() == {"machine", "threads", "rows"}
    assert report["threads"] == 1
    assert report["machine"]["torch"] == torch.__version__
    assert len({row["peer"] for row in report["rows"]}) == PEERS[name]
    for row in report["rows"]:
        assert row.keys() == {"name", "peer", "unit", "median", "min", "max", "limit", "limit_source"}
        assert 0 < row["min"] <= row["median"] <= row["max"]
        assert (row["limit"] is None) == (row["limit_source"] is None)


def test_training_learns_the_text_it_was_given(tmp_path: Path) -> None:
    text = tmp_path / "two.txt"
    text.write_text("ab" * 2000)
    losses = [row for row in run(tmp_path, "training", "--text", str(text))["rows"] if "loss" in row["name"]]
    assert len(losses) == 3
    for row in losses:
        assert row["median"] < 0.75  # two letters: ln 2 = 0.69 at the start


def test_names_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in NAMES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["limit"], "no benchmark 'limit'; did you mean 'limits'?"),
        (["limits", "--runs", "0"], "--runs and --threads must be at least 1"),
        (["training", "--text", "nowhere.txt"], "--text nowhere.txt: no such file"),
        (["limits", "--text", __file__], "--text: 'limits' has no use for it"),
        (["limits", "--json", "no/such/folder.json"], "--json no/such/folder.json: its folder does not exist"),
    ],
)
def test_bad_input_gets_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main([*arguments, "--tiny"]) == 2
    assert capsys.readouterr().err == f"benchmarks: error: {message}\n"


def test_missing_peer_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert main(["sampling", "--tiny", "--runs", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("benchmarks: error: transformers is not installed")
    assert error.count("\n") == 1


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(ZooError, match="not UTF-8"):
        corpus.read(tmp_path / "latin")


def test_pieces_join_to_the_text() -> None:
    text = corpus.read(None)
    parts = corpus.pieces(text, 1000)
    assert "".join(parts) == text
    assert max(map(len, parts)) < 1400
    assert corpus.pieces("one line") == ["one line"]


def test_contestants_take_turns() -> None:
    order: list[str] = []

    def play(name: str) -> float:
        order.append(name)
        return float(len(order))

    figures = measure.in_turn({name: partial(play, name) for name in "abc"}, 3)
    assert "".join(order) == "abcbcacab"
    assert figures == {"a": [1.0, 6.0, 8.0], "b": [2.0, 4.0, 9.0], "c": [3.0, 5.0, 7.0]}


def test_row_takes_median_and_extremes() -> None:
    row = measure.row("speed", "zoo", "MB/s", [3.0, 1.0, 10.0], 12.0, "measured")
    assert (row.median, row.min, row.max, row.limit, row.limit_source) == (3.0, 1.0, 10.0, 12.0, "measured")


def test_peers_have_our_shape() -> None:
    ids = torch.arange(8)[None]
    ours = sum(parameter.numel() for parameter in Transformer(CONFIG).parameters())
    hugging_face = transformers_gpt2(CONFIG)
    assert sum(parameter.numel() for parameter in hugging_face.parameters()) == ours
    assert hugging_face(input_ids=ids).logits.shape == TorchGpt(CONFIG)(ids).shape == (1, 8, 11)
    assert sum(parameter.numel() for parameter in TorchGpt(CONFIG).parameters()) == ours


def test_torch_peer_is_causal() -> None:
    network, ids = TorchGpt(CONFIG).eval(), torch.arange(8)[None]
    later = ids.clone()
    later[0, 5:] = 0
    assert torch.allclose(network(ids)[:, :5], network(later)[:, :5], atol=1e-6)


def test_bytes_of_a_decoding_step() -> None:
    # 12 * depth * width^2 + vocabulary * width, and keys and values of 10 ids for each of 3 rows
    assert limits.decoding_bytes(CONFIG, 3, 10.0) == 4 * (12 * 2 * 256 + 11 * 16 + 2 * 2 * 16 * 10 * 3)


def test_a_minute_of_the_released_levels() -> None:
    """434,091 ids; of 20 seconds the original reads 21,592 and 102,752 ids again in 6 and 26 windows."""
    levels = jukebox_gpu.FULL.levels
    assert [60 * 44_100 // 128 * 128 // level.hop for level in levels] == [20_671, 82_684, 330_736]
    assert Walk.of(27_560, levels[1]) == Walk(drawn=27_560, reread=21_592, begins=6)
    assert Walk.of(110_240, levels[2]) == Walk(drawn=110_240, reread=102_752, begins=26)
    assert Walk.of(6_890, levels[0]) == Walk(drawn=6_890, reread=0, begins=1)
    minute = zip((20_671, 82_684, 330_736), levels, strict=True)
    assert [Walk.of(ids, level, span=1024).reread for ids, level in minute] == [122_689, 441_604, 1_804_336]
    assert [level.read for level in levels] == [7168, 4096, 4096]
    walk = Walk(drawn=10, reread=8192, begins=2)
    assert walk.seconds(0.5, 3.0, levels[1]) == 11.0
    assert walk.seconds(0.5, 3.0, levels[1], 1.5) == 14.0


def test_the_least_that_a_step_takes() -> None:
    """Positions 112 to 127, in blocks of 32, see 17 to 32 keys of their own, 4 of a column, 32 before."""
    work = Work.of(jukebox_gpu.TINY.levels[0], torch.float32)
    layer = 32 * 24 + 24 + 8 * 32 + 32 + 2 * (32 * 32 + 32) + 4 * 32  # attention of width 8, feed-forward, two norms
    assert work.weights == 3 * layer + 2048 * 32
    assert work.cache == 2 * 8 * (24.5 + 4 + 32)
    machine = Machine(device=torch.device("cpu"), bandwidth=4.0, operations=1e12)
    assert work.step(2, machine) == work.weights + 2 * work.cache
    slow = Machine(device=torch.device("cpu"), bandwidth=1e12, operations=2.0)
    assert work.step(2, slow) == 2 * (work.weights + work.cache)
    assert work.reading(2, 10, slow) == 20 * work.weights


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU it runs")
def test_the_released_sizes_need_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jukebox_gpu"]) == 2
    assert "the released sizes need a GPU of 40 GB; add --small for what a CPU can do" in capsys.readouterr().err
    assert main(["limits", "--small"]) == 2
    assert "--small: 'limits' has no such sizes" in capsys.readouterr().err


def test_plain_codec_is_the_same_codec() -> None:
    torch.manual_seed(0)
    ours, plain = codec.pair(codec.TINY.config)
    samples = codec.noise(codec.TINY, 0.5, 2)
    for level, (ids, others) in enumerate(zip(ours.encode(samples), plain.encode(samples), strict=True)):
        assert torch.equal(ids, others)
        torch.testing.assert_close(ours.decode(ids, level), plain.decode(others, level))


def test_operations_of_a_codec() -> None:
    # of each convolution: outputs x taps x inputs x 2 a step, forwards once and backwards twice
    config = VqvaeConfig(codes=16, code_width=4, width=8, depth=1, downs=(1,), strides=(2,), multipliers=(1,))
    block, time = 3 * 64 + 64, 128
    encoder = time // 2 * (4 * 8 + block + 3 * 8 * 4)
    decoder = time // 2 * (3 * 4 * 8 + block + 4 * 8 * 4) + time * 3 * 4
    distances = time // 2 * 16 * 4
    assert codec.operations(PlainCodec(config), time) == 3 * 2 * (encoder + decoder + distances)
