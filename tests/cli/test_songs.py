"""``zoo stack`` and ``zoo generate`` for stacks: files, names, the page."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

import zoo
from tests.stack.parts import RATE, save
from zoo.cli.main import main
from zoo.cli.songs import TOLD, read_codes
from zoo.cli.songs_page import Piece, moment, page
from zoo.errors import ZooError
from zoo.loading import open_found
from zoo.stack.journal import Journal
from zoo.stack.model import Stack
from zoo.weights.hub import locate

EVIL = "la <script>alert(1)</script>"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("parts")).parent


def test_put_together_and_played(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    priors = ",".join(str(parts / name) for name in ("top", "middle", "fine"))
    assert main(["stack", f"codec={parts / 'codec'}", f"priors={priors}", f"out={tmp_path / 'mine'}", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["levels"] == [2, 1, 0]
    words = [
        "generate",
        str(tmp_path / "mine"),
        "artist=flute",
        f"lyrics={EVIL}",
        "count=2",
        "seconds=0.2",
        "device=cpu",
    ]
    assert main([*words, f"out={tmp_path / 'out'}", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [sample["seed"] for sample in document["samples"]] == [0, 1]
    assert {name: len(codes) for name, codes in document["samples"][0]["codes"].items()} == {
        "level_0": 160, "level_1": 80, "level_2": 40,
    }  # fmt: skip
    assert document["samples"][0]["prompt"] == EVIL
    for name in ("000.wav", "001.wav", "level_2/000.wav", "level_1/001.wav"):
        samples, rate = soundfile.read(tmp_path / "out" / name)
        assert (len(samples), rate) == (320, RATE)
    with np.load(tmp_path / "out" / "codes.npz") as codes:
        assert codes["level_0"].shape == (2, 160)
    text = (tmp_path / "out" / "index.html").read_text()
    assert "<script" not in text
    assert text.count("<audio") == 6
    assert "http" not in text.split("</head>")[1]
    codes = f"codes={tmp_path / 'out'}"
    one = ["pieces=1", "levels=2", "seconds=0.1", f"out={tmp_path / 'one'}", "--json"]
    assert main([*words[:2], "device=cpu", codes, *one]) == 0
    (second,) = json.loads(capsys.readouterr().out)["samples"]
    assert second["codes"]["level_2"][:40] == document["samples"][1]["codes"]["level_2"]
    assert main([*words[:2], "device=cpu", codes, "levels=2", "seconds=0.1", f"out={tmp_path / 'more'}", "--json"]) == 0
    longer = json.loads(capsys.readouterr().out.splitlines()[-1])["samples"][1]["codes"]["level_2"]
    assert longer[:40] == document["samples"][1]["codes"]["level_2"]
    assert len(longer) == 60


def test_a_sound_is_gone_on_from(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    time = np.arange(400) / RATE
    soundfile.write(tmp_path / "own.wav", 0.5 * np.sin(2 * np.pi * 90 * time), RATE, subtype="FLOAT")
    words = ["generate", str(parts / "stack"), f"audio={tmp_path / 'own.wav'}", "keep_seconds=0.1", "seconds=0.2"]
    out = tmp_path / "out"
    assert main([*words, "device=cpu", f"out={out}", "--json"]) == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    kept, _ = soundfile.read(tmp_path / "own.wav", stop=round(0.1 * RATE), dtype="float32")
    for level in (0, 1, 2):
        codec = zoo.load_codec(str(parts / "stack")).level(level)
        known = codec.encode(zoo.Audio(kept, RATE)).tolist()
        assert sample["codes"][f"level_{level}"][: len(known)] == known
        assert len(known) > 0
    assert len(soundfile.read(out / "000.wav")[0]) == round(0.3 * RATE)  # what is kept, and 0.2 seconds more


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("artist=flut", "unknown artist 'flut'; did you mean 'flute'"),
        ("genre=jazz", "unknown genre 'jazz'"),
        ("label=flute", "label: a stack of music takes artist="),
        ("beams=3", "beams: a stack of music takes"),
        ("temperature=hot", "temperature"),
        ("temperature=1,1", "one for each of 3 levels, the finest first; got 2"),
        ("guidance=2,1", "guidance: give one number, or one for each of 3 levels, the finest first; got 2"),
        ("guidance=strong", "guidance"),
        ("temperature=1,1,1,7", "one for each of 3 levels, the finest first; got 4"),
        ("hop=0", "hop: a part of the window"),
        ("levels=5", "no prior of level 5"),
        ("codes=nowhere.npz", "codes: nowhere.npz cannot be read"),
        ("codes=wrong.npz", "it is no codes.npz"),
        ("codes=empty.npz", "codes: empty.npz cannot be read: it is no codes.npz; give codes=FILE.npz or the folder"),
        ("codes=texts.npz", "codes: level_2 must be whole numbers"),
        ("pieces=1", "pieces: says which of codes to go on with; say codes=FOLDER"),
        ("keep_seconds=1", "keep_seconds"),
    ],
)
def test_what_is_refused(
    parts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    word: str,
    message: str,
) -> None:
    out = tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    with Path("wrong.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    Path("empty.npz").touch()
    np.savez("texts.npz", level_2=np.array(["a", "b"]))
    assert main(["generate", str(parts / "stack"), word, "device=cpu", "seconds=0.1", f"out={out}"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (out / "samples.json").exists()


def test_converted_into_another_type(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = tmp_path / "small"
    assert main(["convert", str(parts / "stack"), f"out={small}", "dtype=bfloat16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dtype"] == "bfloat16"
    one, other = zoo.load(parts / "stack", device="cpu"), zoo.load(small, device="cpu")
    assert isinstance(one, Stack)
    assert isinstance(other, Stack)
    for before, after in zip(one.tiers, other.tiers, strict=True):
        assert before.config == after.config
        kept = after.load().state_dict()
        for name, weight in before.load().state_dict().items():
            assert torch.equal(kept[name], weight.to(torch.bfloat16).float())
    size = sum(file.stat().st_size for file in small.rglob("level_*/model.safetensors"))
    assert size < 0.7 * sum(file.stat().st_size for file in (parts / "stack").rglob("*/model.safetensors"))
    again = ["convert", str(small), f"out={tmp_path / 'large'}", "dtype=float32", "overwrite=true"]
    assert main(again) == 0
    assert main(again) == 0  # what a stack's folder holds may be replaced
    assert main(["convert", str(small), f"out={tmp_path / 'theirs'}", "to=huggingface"]) == 2
    assert "a stack has no layout of huggingface's" in capsys.readouterr().err
    assert main(["convert", str(small), f"out={small}", "overwrite=true"]) == 2
    assert "is the checkpoint to be converted" in capsys.readouterr().err


def test_float16_loses_nothing(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = zoo.load(parts / "top", device="cpu")
    stored.network.half()
    stored.save(tmp_path / "top")
    words = [f"codec={parts / 'codec'}", f"priors={tmp_path / 'top'}", f"out={tmp_path / 'mine'}", "--json"]
    assert main(["stack", *words]) == 0
    before = load_file(tmp_path / "top" / "model.safetensors")
    for name, weight in load_file(tmp_path / "mine" / "level_2" / "model.safetensors").items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, before[name].float())


def test_a_disk_must_hold_the_sum_of_a_stack_s_parts(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_found(locate(str(parts / "stack")))
    sources = [part.source for part in (opened.codec, *opened.priors)]
    sizes = [4 * sum(math.prod(source.shape(name)) for name in source.names()) for source in sources]
    for free, code in ((sum(sizes), 0), (sum(sizes) - 1, 2)):
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr("zoo.cli.convert.shutil.disk_usage", lambda place, usage=usage: usage)
        assert main(["convert", str(parts / "stack"), f"out={tmp_path / str(code)}", "--json"]) == code
    assert "2 would take 0.00 GB, and" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["0"]


def test_a_prior_alone(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["seconds=0.1", "device=cpu", f"out={tmp_path / 'out'}"]
    assert main(["generate", str(parts / "top"), "artist=organ", *words]) == 0
    assert soundfile.info(tmp_path / "out" / "000.wav").frames == 160
    assert main(["generate", str(parts / "fine"), *words, "overwrite=true"]) == 2
    assert "put a stack together" in capsys.readouterr().err


def test_lyrics_are_shown_as_text_in_the_colour_of_their_time() -> None:
    alignment = np.zeros((10, 5))
    alignment[2, :2] = 1
    alignment[7, 3:] = 1
    assert moment(alignment[:, :2]) == pytest.approx(0.25)
    assert moment(alignment[:, 3:]) == pytest.approx(0.75)
    piece = Piece(title="<b>", sounds=[("level 0", b"RIFF")], alignment=alignment, lyrics="<a &b")
    text = page(title="<i>", lead="", pieces=[piece], seconds=8.0, spectrogram=b"", facts=[("<u>", "<s>")])
    assert 'title="2.00 s">&lt;a</span>' in text
    assert 'title="6.00 s">&amp;b</span>' in text
    assert not any(tag in text for tag in ("<b>", "<i>", "<u>", "<s>"))


def test_music_of_another_run_is_not_replaced_by_going_on(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "000.wav").write_bytes(b"RIFF")
    words = ["generate", str(parts / "stack"), "levels=2", "seconds=0.1", "device=cpu", f"out={tmp_path}"]
    assert main([*words, "resume=true"]) == 2
    assert "000.wav is there, and no run that could be gone on with; say overwrite=true" in capsys.readouterr().err
    assert (tmp_path / "000.wav").read_bytes() == b"RIFF"
    assert main([*words, "overwrite=true", "count=3"]) == 0
    assert main([*words, "resume=true", "count=3", "at_once=1"]) == 0  # fewer at once are the same run
    assert main([*words, "resume=true", "count=2"]) == 2
    assert "was drawn with count=3, not 2" in capsys.readouterr().err


def test_what_is_known_of_codes_goes_with_them(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = np.arange(40).reshape(2, 20) % 8
    told = {"artist": ["flute", "organ"], "lyrics": ["do re mi fa sol la", "la sol fa mi re do"]}
    np.savez(tmp_path / "both.npz", level_2=codes, total=[3200, 6400], offset=[0, 1600], **told)
    words = ["generate", str(parts / "stack"), "levels=2", "seconds=0.2", "device=cpu", "--json"]
    assert main([*words, f"codes={tmp_path / 'both.npz'}", f"out={tmp_path / 'both'}"]) == 0
    both = json.loads(capsys.readouterr().out)["samples"]
    assert [one["prompt"] for one in both] == [str(tmp_path / "both.npz")] * 2
    for number, artist in enumerate(told["artist"]):
        np.savez(tmp_path / "one.npz", level_2=codes[number : number + 1])
        plain = [f"codes={tmp_path / 'one.npz'}", f"artist={artist}", f"lyrics={told['lyrics'][number]}"]
        whole = ["total_seconds=2" if number == 0 else "total_seconds=4", f"seed={number}"]
        assert main([*words, *plain, *whole, f"out={tmp_path / artist}"]) == 0
        (alone,) = json.loads(capsys.readouterr().out)["samples"]
        same = alone["codes"] == both[number]["codes"]
        assert same == (number == 0)  # the second began a second into its piece, which no setting says
    sung = " ".join(re.findall(r">(\w+)</span>", (tmp_path / "both" / "index.html").read_text()))
    assert all(lyrics in sung for lyrics in told["lyrics"])
    np.savez(tmp_path / "wrong.npz", level_2=codes, artist=["flute"])
    assert main([*words, f"codes={tmp_path / 'wrong.npz'}", f"out={tmp_path / 'no'}"]) == 2
    assert "artist is of other pieces than the codes, of which there are 2" in capsys.readouterr().err


def test_one_s_own_codes_are_gone_on_with_as_they_were_drawn(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", str(parts / "stack"), "levels=2", "device=cpu", "--json"]
    said = ["artist=organ", "genre=folk", "lyrics=do re mi"]
    assert main([*words, *said, "seconds=0.1", "total_seconds=2", "count=2", f"out={tmp_path / 'first'}"]) == 0
    with np.load(tmp_path / "first" / "codes.npz") as arrays:
        kept = {name: arrays[name].tolist() for name in arrays.files if name in TOLD}
    assert kept == {
        "artist": ["organ"] * 2, "genre": ["folk"] * 2, "lyrics": ["do re mi"] * 2,
        "total": [3200] * 2, "offset": [0, 0],
    }  # fmt: skip
    capsys.readouterr()

    def drawn(name: str, *more: str) -> tuple[list[list[int]], list[int]]:
        assert main([*words, f"codes={tmp_path / 'first'}", "seconds=0.1", f"out={tmp_path / name}", *more]) == 0
        samples = json.loads(capsys.readouterr().out)["samples"]
        with np.load(tmp_path / name / "codes.npz") as arrays:
            return [sample["codes"]["level_2"] for sample in samples], arrays["total"].tolist()

    assert drawn("same") == drawn("said", *said, "total_seconds=2")
    assert drawn("same", "overwrite=true")[0] != drawn("other", "artist=flute")[0]  # what the command says counts more
    assert drawn("longer", "seconds=2")[1] == [3360] * 2  # longer than was said: as long as it becomes
    assert drawn("whole", "total_seconds=3")[1] == [4800] * 2
    assert main([*words, f"codes={tmp_path / 'first'}", "seconds=2", "total_seconds=2", f"out={tmp_path / 'no'}"]) == 2
    assert "total_seconds: the whole piece must be as long as what is made of it, 2.10 s" in capsys.readouterr().err


def test_codes_of_another_codec_are_refused(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, own = (
        tmp_path / "out",
        [level.spec.fingerprint for level in map(zoo.load_codec(parts / "codec").level, range(3))],
    )
    words = ["generate", str(parts / "stack"), "levels=2", "seconds=0.1", "device=cpu"]
    assert main([*words, f"out={out}"]) == 0
    with np.load(out / "codes.npz") as arrays:
        assert arrays["fingerprints"].tolist() == own
        codes = arrays["level_2"]
    for known in (own, own[:2], ["", "", ""], ["none", "none", own[2]]):
        np.savez(tmp_path / "own.npz", level_2=codes, fingerprints=known)
        assert main([*words, f"codes={tmp_path / 'own.npz'}", f"out={out}", "overwrite=true"]) == 0
    np.savez(tmp_path / "other.npz", level_2=codes, fingerprints=[own[0], own[1], "none"])
    capsys.readouterr()
    assert main([*words, f"codes={tmp_path / 'other.npz'}", f"out={tmp_path / 'no'}"]) == 2
    assert capsys.readouterr().err == (
        "zoo: error: codes: level_2 holds ids of another codec than this stack's; go on with the stack that drew them, "
        "or from their sound: audio=FILE\n"
    )


def test_codes_that_are_replaced_by_what_goes_on_from_them_are_never_lost(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["generate", str(parts / "stack"), "levels=2", "seconds=0.1", "device=cpu", f"out={tmp_path}"]
    assert main([*words, "count=2"]) == 0
    first = (tmp_path / "codes.npz").read_bytes()

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    again = [*words, f"codes={tmp_path}", "pieces=1", "overwrite=true"]
    for name, safe in (("zoo.stack.journal.replace_file", False), ("zoo.cli.songs._clear", True)):
        with monkeypatch.context() as patch:
            patch.setattr(name, killed)
            assert main(again) == 130
        assert (tmp_path / "codes.npz").read_bytes() == first
        assert (Journal(tmp_path).plan() is not None) == safe
    (tmp_path / "codes.npz").unlink()
    assert main([*again, "resume=true"]) == 0
    with np.load(tmp_path / "codes.npz") as arrays, np.load(io.BytesIO(first)) as before:
        assert arrays["level_2"].shape == (1, 40)
        assert np.array_equal(arrays["level_2"][0, :20], before["level_2"][1])
    assert not (tmp_path / "001.wav").exists()


def test_damaged_codes_are_read_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "codes.npz"
    np.savez_compressed(file, level_2=np.arange(40).reshape(2, 20))
    data = file.read_bytes()
    whole = read_codes(file)["level_2"]
    for place in range(0, len(data), 3):
        for damaged in (data[:place], data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]):
            file.write_bytes(damaged)
            with contextlib.suppress(ZooError):  # nothing else may be raised
                assert np.array_equal(read_codes(file).get("level_2", whole), whole)
