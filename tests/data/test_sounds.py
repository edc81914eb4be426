"""Sounds as crops and as ids: what is heard when, what is held out, and in which units."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from zoo.data.base import IGNORED
from zoo.data.read_sound import read_sounds
from zoo.data.recordings import Recordings
from zoo.data.records import Records, Sound
from zoo.data.sound_tokens import SoundTokens
from zoo.data.sounds import SoundCorpus, SoundCrops, Sounds
from zoo.data.spans import split_spans
from zoo.errors import ZooError
from zoo.network import NO_CLASS
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.base import TokenSpec
from zoo.tokenizers.codecs import build_codec

RATE = 8000
CODEC = build_codec(
    VqvaeConfig(rate=RATE, codes=4, code_width=2, width=2, depth=1, downs=(3,), strides=(2,), multipliers=(1,))
)


class Levels(AudioTokenizer):
    """Each sample's level of 256, with or without a start id, perhaps in several ids of one step."""

    def __init__(self, *, start: bool = False, hop: int = 1, ids_per_hop: int = 1, rate: int = RATE) -> None:
        super().__init__(rate=rate, hop=hop, ids_per_hop=ids_per_hop)
        self._start = start

    @property
    def spec(self) -> TokenSpec:
        return TokenSpec(
            type="levels",
            modality="music",
            vocabulary_size=256 + self._start,
            tokens_per_second=self.ids_per_second,
            start_id=256 if self._start else None,
            lossless=False,
            fingerprint=f"levels {self._start} {self.hop} {self.ids_per_hop} {self.rate}",
        )

    def encode_samples(self, samples: Tensor) -> Tensor:
        levels = (samples * 128 + 128).round().clamp(0, 255).long()[:: self.hop]
        return levels.repeat_interleave(self.ids_per_hop)

    def decode_samples(self, ids: Tensor) -> Tensor:
        return (ids - 128) / 128

    def save(self, folder: Path | str) -> None:
        raise AssertionError


def write(path: Path, values: Any, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.asarray(values) / 128, rate, subtype="PCM_16")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return twelve sounds; those of sound n lie at n, n + 12, n + 24, ... of 128, its length is 40 + n."""
    for number in range(12):
        write(tmp_path / f"{number:02d}.wav", (number + 12 * np.arange(40 + number)) % 120)
    return tmp_path


def crops(path: Path, **settings: Any) -> SoundCrops:
    return Sounds(path=str(path), **{"length": 16, **settings}).open().crops(CODEC)


def tokens(path: Path, context: int = 8, tokenizer: AudioTokenizer | None = None, **settings: Any) -> SoundTokens:
    return Sounds(path=str(path), **settings).open().encode(tokenizer or Levels(), context)


def levels(samples: Tensor) -> Tensor:
    return (samples[..., 0] * 128).round().long()


def test_a_crop_is_a_stretch_of_one_training_sound(folder: Path) -> None:
    data = crops(folder)
    assert data.train_tokens == sum(40 + number for number in range(12) if number != 6)
    seen: dict[int, set[int]] = {}
    for step in range(200):
        batch = data.batch(step=step, size=5, seed=0)
        assert batch.samples.shape == (5, 16, 1)
        assert batch.samples.dtype == torch.float32
        for number, row in zip(batch.indices.tolist(), levels(batch.samples), strict=True):
            start = next(place for place in range(10) if (number + 12 * place) % 120 == row[0])
            assert row.tolist() == ((number + 12 * (start + np.arange(16))) % 120).tolist()
            seen.setdefault(number, set()).add(start)
    assert sorted(seen) == [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert all(places == set(range(10)) for places in seen.values())


def test_a_batch_is_a_function_of_the_step_and_the_seed(folder: Path) -> None:
    first, again = crops(folder), crops(folder, memory=0)
    for step in (5, 0, 3):
        one, two = first.batch(step=step, size=4, seed=1), again.batch(step=step, size=4, seed=1)
        assert torch.equal(one.samples, two.samples)
        assert torch.equal(one.indices, two.indices)
        assert not torch.equal(one.samples, first.batch(step=step, size=4, seed=2).samples)


def test_held_out_crops_lie_side_by_side(folder: Path) -> None:
    batches = list(crops(folder, length=8).held_out(3))
    assert [len(batch.samples) for batch in batches] == [3, 2]
    assert [batch.indices.tolist() for batch in batches] == [[6, 6, 6], [6, 6]]
    heard = torch.cat([levels(batch.samples).flatten() for batch in batches])
    assert heard.tolist() == ((6 + 12 * np.arange(40)) % 120).tolist()  # of 46: the rest is no whole crop


def test_short_sounds_are_filled_up_with_silence(folder: Path) -> None:
    data = crops(folder, length=64)
    batch = data.batch(step=0, size=20, seed=0)
    for number, row in zip(batch.indices.tolist(), levels(batch.samples), strict=True):
        assert row.tolist() == [*((number + 12 * np.arange(40 + number)) % 120), *[0] * (24 - number)]
    (held_out,) = data.held_out(4)
    assert levels(held_out.samples)[0, 46:].tolist() == [0] * 18


def test_of_one_sound_the_last_tenth_is_held_out(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.arange(-120, 120).repeat(10))
    data = crops(tmp_path / "a.wav", length=80)
    assert data.train_tokens == 2160
    heard = torch.cat([levels(data.batch(step=step, size=20, seed=0).samples) for step in range(50)])
    assert (int(heard.min()), int(heard.max())) == (-120, 95)
    assert [levels(batch.samples)[0].unique().tolist() for batch in data.held_out(1)] == [
        list(range(96, 104)),
        list(range(104, 112)),
        list(range(112, 120)),
    ]
    for number in range(3):
        write(tmp_path / "few" / f"{number}.wav", np.full(100, number))
    assert [len(batch.samples) for batch in crops(tmp_path / "few", length=8).held_out(8)] == [3]


def test_a_data_sets_own_parts_are_kept(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write(tmp_path / part / "a.wav", np.full(80, len(part)))
    data = crops(tmp_path)
    assert levels(data.batch(step=0, size=9, seed=0).samples).unique().tolist() == [5]
    assert levels(next(data.held_out(9)).samples).unique().tolist() == [4]


def test_channels_are_mixed_equally_or_at_random(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.stack([np.full(2000, 100), np.full(2000, -100)], axis=1))
    assert not crops(tmp_path / "a.wav").batch(step=0, size=50, seed=0).samples.any()
    data = crops(tmp_path / "a.wav", mix="random")
    mixed = data.batch(step=0, size=400, seed=0).samples[:, 0, 0] * 1.28
    assert mixed.abs().max() <= 1
    assert abs(mixed.mean()) < 0.1
    assert mixed.std() == pytest.approx(1 / math.sqrt(3), rel=0.1)  # shares are uniform
    assert not next(data.held_out(9)).samples.any()


def test_crops_are_at_the_codecs_rate(tmp_path: Path) -> None:
    time = np.arange(44_100 * 2) / 44_100
    write(tmp_path / "a.flac", 100 * np.sin(2 * np.pi * 1000 * time), 44_100)
    row = crops(tmp_path / "a.flac", length=RATE).batch(step=0, size=1, seed=0).samples[0, :, 0]
    spectrum = torch.fft.rfft(row).abs()
    assert int(spectrum.argmax()) == 1000
    assert float(spectrum[1000]) == pytest.approx(RATE / 2 * 100 / 128, rel=1e-3)


@pytest.mark.parametrize(
    "rates", [(44_100, 22_050), (48_000, 44_100), (8000, 44_100), (44_101, 8000), (22_050, 22_050)]
)
def test_a_part_is_the_same_from_memory_and_from_the_file(rates: tuple[int, int], tmp_path: Path) -> None:
    own, wanted = rates
    soundfile.write(tmp_path / "a.flac", np.random.default_rng(0).uniform(-0.5, 0.5, (3 * own, 2)), own)
    records = read_sounds(str(tmp_path / "a.flac"))
    kept, sought = (Recordings(records, rate=wanted, mono=False, memory=memory) for memory in (1 << 30, 0))
    assert kept.lengths.tolist() == [3 * wanted]
    for start, count in ((0, 1000), (1, 999), (12_345, 7), (wanted, 5000), (3 * wanted - 500, 1000)):
        one, two = kept.part(0, start, count), sought.part(0, start, count)
        assert one.shape == two.shape == (min(count, 3 * wanted - start), 2)
        assert np.abs(one - two).max() <= 0.51 / 32_768


@pytest.mark.parametrize("memory", [1024, 0])
def test_no_crop_is_from_beyond_the_end_of_a_cut_file(memory: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 80_000).astype(np.float32)
    soundfile.write(tmp_path / "a.mp3", noise, RATE)
    data = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(data[: len(data) // 2])
    batch = crops(tmp_path / "a.mp3", length=800, memory=memory).batch(step=0, size=50, seed=0)
    assert float(batch.samples.std(dim=1).min()) > 0.1


def test_what_does_not_fit_is_read_from_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = read_sounds(str(folder))
    recordings = Recordings(records, rate=RATE, mono=True, memory=2 * (40 + 41 + 42))
    whole: list[int] = []
    monkeypatch.setattr(Recordings, "_whole", lambda self, number: whole.append(number) or np.zeros((50, 1), np.int16))
    for number in range(12):
        recordings.part(number, 0, 5)
    assert whole == [0, 1, 2]


@pytest.mark.parametrize("start", [False, True])
def test_every_held_out_id_is_predicted_once(start: bool, folder: Path) -> None:
    data = tokens(folder, tokenizer=Levels(start=start))
    ids = (128 + (6 + 12 * np.arange(46)) % 120).tolist()
    batches = list(data.held_out(4))
    targets = torch.cat([batch.targets[batch.targets != IGNORED] for batch in batches])
    assert targets.tolist() == (ids if start else ids[1:])
    for batch in batches:
        assert batch.indices.tolist() == [6] * len(batch.ids)
        real = [8] * len(batch.ids) if batch.lengths is None else batch.lengths.tolist()
        for row, target, length in zip(batch.ids, batch.targets, real, strict=True):
            assert (row[0] == 256) == start
            assert row[1:length].tolist() == target[: length - 1].tolist()
    nats = 3.0 * len(targets)
    assert data.metrics(nats, len(targets)) == {"bits_per_second": pytest.approx(3 / math.log(2) * RATE)}


@pytest.mark.parametrize("start", [False, True])
def test_training_windows_lie_anywhere_in_one_sound(start: bool, folder: Path) -> None:
    data = tokens(folder, tokenizer=Levels(start=start))
    again = tokens(folder, tokenizer=Levels(start=start))
    assert data.train_tokens == sum(40 + number for number in range(12) if number != 6)
    seen = set()
    for step in range(100):
        batch = data.batch(step=step, size=6, seed=0)
        assert torch.equal(batch.ids, again.batch(step=step, size=6, seed=0).ids)
        assert batch.ids.shape == batch.targets.shape == (6, 8)
        assert torch.equal(batch.ids[:, 1:], batch.targets[:, :-1])
        assert (batch.targets[:, 1:] - batch.targets[:, :-1] - 12).remainder(120).eq(0).all()
        assert torch.equal((batch.targets[:, 0] - 128) % 12, batch.indices % 12)
        seen.update(batch.indices.tolist())
    assert len(seen) == 11


def test_short_sounds_are_padded(folder: Path) -> None:
    batch = tokens(folder, context=48).batch(step=0, size=30, seed=0)
    assert batch.lengths is not None
    for number, length, ids, targets in zip(batch.indices, batch.lengths, batch.ids, batch.targets, strict=True):
        assert length == min(48, 39 + number)
        assert (targets != IGNORED).sum() == length
        assert not ids[length:].any()


def test_ids_are_those_of_the_tokenizer_at_its_rate(tmp_path: Path, zoo_home: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(7):
        write(tmp_path / f"{number}.wav", rng.integers(-100, 100, (90 * 11_025, 2)), 11_025)
    tokenizer = Levels(hop=100)
    data = tokens(tmp_path, context=10**6, tokenizer=tokenizer)
    assert len(list((zoo_home / "data" / "ids").glob("*.ids"))) == 2  # more than ten minutes
    expected = tokenizer.encode(read_sounds(str(tmp_path))[6])
    (batch,) = data.held_out(1)
    assert batch.targets[0].tolist() == expected[1:].tolist()
    again = tokens(tmp_path, context=10**6, tokenizer=tokenizer)
    assert torch.equal(next(again.held_out(1)).targets, batch.targets)


def test_windows_begin_where_a_step_of_several_ids_does(folder: Path) -> None:
    data = tokens(folder, tokenizer=Levels(ids_per_hop=4))
    for step in range(20):
        rows = data.batch(step=step, size=5, seed=0).ids
        assert torch.equal(rows[:, :4], rows[:, :1].expand(-1, 4))
    assert data.metrics(1.0, 4)["bits_per_second"] == pytest.approx(RATE / math.log(2))


@pytest.mark.parametrize("field", ["label", "genre", "folder"])
def test_classes(field: str, tmp_path: Path) -> None:
    names = [f"{'ab'[number % 2]}/{number:02d}.wav" for number in range(14)]
    for name in names:
        write(tmp_path / name, np.zeros(50))
    if field != "folder":
        rows = "".join(f"{name},{'xyz'[number % 3]}\n" for number, name in enumerate(names))
        (tmp_path / "metadata.csv").write_text(f"file,{field}\n{rows}")
    corpus = Sounds(path=str(tmp_path), conditional=True, label="genre" if field == "genre" else "label").open()
    assert corpus.classes == (("a", "b") if field == "folder" else ("x", "y", "z"))
    data = corpus.encode(Levels(), 8)
    files = sorted(names)
    for batch in (data.batch(step=0, size=200, seed=0), next(data.held_out(100))):
        assert batch.conditioning is not None
        assert batch.conditioning.classes is not None
        for number, told in zip(batch.indices.tolist(), batch.conditioning.classes.tolist(), strict=True):
            name = files[number]
            own = name[0] if field == "folder" else "xyz"[names.index(name) % 3]
            assert told in (NO_CLASS, corpus.classes.index(own))
    assert batch.conditioning.classes.min() >= 0
    told = data.batch(step=1, size=1000, seed=0).conditioning
    assert told is not None
    assert told.classes is not None
    assert float((told.classes == NO_CLASS).float().mean()) == pytest.approx(0.1, abs=0.03)


def test_sounds_from_memory_are_data_too() -> None:
    sounds = [Sound(samples=np.full((50 + number, 1), number / 128, np.float32), rate=RATE) for number in range(8)]
    records = Records(
        title="tones",
        names=[str(number) for number in range(8)],
        labels=["low"] * 4 + ["high"] * 4,
        train=range(6),
        held_out=[6, 7],
        load=lambda number: sounds[number],
        sha256="0",
    )
    corpus = SoundCorpus(records, [], Sounds(length=8, conditional=True))
    assert corpus.classes == ("high", "low")
    assert levels(corpus.crops(CODEC).batch(step=0, size=99, seed=0).samples).unique().tolist() == [0, 1, 2, 3, 4, 5]
    targets = next(corpus.encode(Levels(), 8).held_out(20)).targets
    assert targets.unique().tolist() == [IGNORED, 134, 135]
    assert [len(sound.samples) for sound in corpus.samples()] == [50, 51, 52, 53, 54, 55]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 20}, "data.length=20 is no multiple of 8, the codec's largest hop; say 16"),
        ({"path": None}, "say data.path=FOLDER"),
        ({"conditional": True}, "has no label to be conditional on; give one folder per class"),
        ({"conditional": True, "label": "artist"}, "has no artist to be conditional on; say data.label=genre"),
    ],
)
def test_what_cannot_be_is_one_line(settings: dict[str, Any], message: str, folder: Path) -> None:
    if settings.get("label") == "artist":
        (folder / "metadata.csv").write_text("file,genre\n00.wav,folk\n")
    with pytest.raises(ZooError, match=message):
        Sounds(**{"path": str(folder), **settings}).open().crops(CODEC)


def test_settings_and_parts_are_checked(folder: Path, tmp_path: Path) -> None:
    for settings in ({"length": 0}, {"unlabelled": 1.0}, {"memory": -1}, {"held_out": 0.0}):
        with pytest.raises(ZooError, match=next(iter(settings))):
            Sounds(**settings)  # type: ignore[arg-type]  # one of them at a time
    (folder / "metadata.csv").write_text("file,genre\n00.wav,folk\n")
    with pytest.raises(ZooError, match=r"'01\.wav' has no genre, but other sounds have"):
        Sounds(path=str(folder), conditional=True, label="genre").open()
    write(tmp_path.parent / "one" / "a.wav", [1])
    with pytest.raises(ZooError, match=r"a\.wav: the held-out part has no samples"):
        crops(tmp_path.parent / "one" / "a.wav")
    records = read_sounds(str(folder))
    with pytest.raises(ZooError, match="the held-out part has no samples"):
        split_spans(records, np.where(np.arange(12) == 6, 0, 9), 0.1)
    with pytest.raises(ZooError, match="the training part has too few ids to predict any"):
        tokens(folder, tokenizer=Levels(hop=100))


def test_chorales(shared_data: Path) -> None:
    corpus = Sounds(path=str(shared_data / "audio" / "chorales"), conditional=True, label="genre").open()
    assert (len(corpus.records), len(corpus.records.held_out), len(corpus.classes)) == (108, 10, 6)
    codec = build_codec(VqvaeConfig(rate=22_050))
    data = corpus.crops(codec)
    batch = data.batch(step=0, size=4, seed=0)
    assert batch.samples.shape == (4, 65_536, 1)
    assert float(batch.samples.std()) > 0.01
