"""Pieces of music as a prior learns them: which ids, what stands above them, what is told, what is held out."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.cli.codecs import RATE, random_codec, save_codec, write_sound
from zoo.coding.choose import coder_of_codec
from zoo.data.base import IGNORED, Batch
from zoo.data.read_sound import read_sound
from zoo.data.shard_writer import ShardWriter
from zoo.data.shards import Entry
from zoo.data.song_tokens import SongTokens
from zoo.data.songs import Songs
from zoo.errors import ZooError
from zoo.music.config import Above, Labels, PrefixedLyrics, PriorConfig, Timing
from zoo.music.lyrics import V3, Alphabet, window
from zoo.music.prior import Prior
from zoo.settings import build
from zoo.tokenizers.codec import Codec
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import Dense

CONTEXT, RATIO, HOPS = 64, 4, (4, 16)
FACTS = [
    {
        "file": f"{number:02d}.wav",
        "artist": "Ann" if number % 2 else "Bob",
        "genre": "Folk" if number % 3 else "Blues",
        "lyrics": f"la {number} " * (5 + number),
    }
    for number in range(8)
]
SECONDS = [0.5 + 0.016 * number for number in range(8)]
"""Whole steps of both levels; the seventh piece is held out."""


@dataclass(frozen=True)
class Heard:
    """A folder of songs with a metadata.csv, and the codec that encodes them."""

    folder: Path
    checkpoint: Path
    codec: Codec

    def ids(self, number: int, level: int) -> Tensor:
        """Return the ids of a whole piece."""
        samples = torch.from_numpy(read_sound(self.folder / f"{number:02d}.wav").samples)
        return self.codec.encode(samples[None], [level])[0][0]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    place = tmp_path_factory.mktemp("songs")
    for number, seconds in enumerate(SECONDS):
        write_sound(place / "songs" / f"{number:02d}.wav", seconds, seed=number)
    with (place / "songs" / "metadata.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(FACTS[0]))
        writer.writeheader()
        writer.writerows(FACTS)
    return Heard(place / "songs", save_codec(place / "codec"), random_codec())


def config(*, above: bool = False, lyrics: bool = True, shortest: float = 0.1, slots: int = 1) -> PriorConfig:
    """Return a small prior, of the finer level where it is told what stands above."""
    predicted = 32 + 79 * lyrics
    return PriorConfig(
        transformer=TransformerConfig(
            vocabulary=predicted, context=CONTEXT + 16 * lyrics, width=16, depth=1, heads=2, patterns=(Dense(),)
        ),
        labels=Labels(
            artists=1, genres=1, slots=slots, timing=Timing(bins=8, rate=RATE, shortest=shortest, longest=5.0)
        ),
        above=Above(codes=32, width=4, depth=1, ups=1, stride=4) if above else None,
        lyrics=PrefixedLyrics(ids=79, length=16) if lyrics else None,
    )


def songs(heard: Heard, *, told: PriorConfig | None = None, level: int = 1, **settings: Any) -> SongTokens:
    """Return the windows of a level for a prior that is told of the names in the data."""
    values: Mapping[str, Any] = {"path": str(heard.folder), "unlabelled": 0.0, **settings}
    corpus = build(Songs, {**values, "codec": str(heard.checkpoint), "level": level, "top": level == 1}).open()
    shape = (told or config(above=level == 0)).with_names(corpus.names)
    data = corpus.encode(heard.codec.level(level), shape.context)
    data.check(Prior(shape))
    return data


def told(batch: Batch, name: str) -> Tensor:
    value = getattr(batch.conditioning, name)
    assert isinstance(value, Tensor)
    return value


def test_batches_are_a_function_of_the_step_and_cut_from_one_piece(heard: Heard) -> None:
    data, again = songs(heard), songs(heard)
    assert data.train_tokens == sum(len(heard.ids(number, 1)) for number in range(8) if number != 6)
    batch = data.batch(step=3, size=16, seed=1)
    for name in ("ids", "targets", "indices"):
        assert torch.equal(getattr(batch, name), getattr(again.batch(step=3, size=16, seed=1), name))
    assert not torch.equal(batch.ids, data.batch(step=4, size=16, seed=1).ids)
    assert (batch.ids[:, 0] == 79 + 32).all()  # the id that begins a window
    assert torch.equal(batch.ids[:, 1:], batch.targets[:, :-1])
    assert set(batch.indices.tolist()) <= set(range(8)) - {6}
    for row, number in enumerate(batch.indices.tolist()):
        first = int(told(batch, "labels")[row, 1]) // HOPS[1]
        assert torch.equal(batch.targets[row] - 79, heard.ids(number, 1)[first : first + CONTEXT])


def test_what_is_told_of_a_window(heard: Heard) -> None:
    batch, alphabet = songs(heard).batch(step=0, size=32, seed=0), Alphabet(V3)
    assert len(set(told(batch, "labels")[:, 1].tolist())) > 10  # windows begin all over the pieces
    for row, number in enumerate(batch.indices.tolist()):
        total, offset, duration, artist, genre = told(batch, "labels")[row].tolist()
        assert total == round(SECONDS[number] * RATE)
        assert duration == CONTEXT * HOPS[1]
        assert (artist, genre) == (2 - number % 2, 2 if number % 3 else 1)
        ids = alphabet.encode(str(FACTS[number]["lyrics"]))
        expected, _ = window(ids, 16, total=total, offset=offset, duration=duration)
        assert torch.equal(told(batch, "source")[row], expected)


def test_ids_above_stand_over_their_window(heard: Heard) -> None:
    data = songs(heard, level=0)
    batch = data.batch(step=0, size=32, seed=0)
    starts = told(batch, "labels")[:, 1]
    assert (starts % HOPS[1] == 0).all()
    assert len(set((starts // HOPS[1]).tolist())) > 10
    for row, number in enumerate(batch.indices.tolist()):
        first = int(starts[row]) // HOPS[1]
        assert torch.equal(told(batch, "above")[row], heard.ids(number, 1)[first : first + CONTEXT // RATIO])
        fine = heard.ids(number, 0)[first * RATIO : first * RATIO + CONTEXT]
        assert torch.equal(batch.targets[row] - 79, fine)


@pytest.mark.parametrize("level", [0, 1])
def test_held_out_ids_are_each_predicted_once(heard: Heard, level: int) -> None:
    windows = list(songs(heard, level=level).held_out(3))
    assert all(set(batch.indices.tolist()) == {6} for batch in windows)
    targets = torch.cat([batch.targets for batch in windows]).flatten()
    assert torch.equal(targets[targets != IGNORED] - 79, heard.ids(6, level))
    last = windows[-1]
    assert (last.targets[-1] == IGNORED).any()  # what is missing of the last window counts nothing
    network = Prior(config(above=level == 0).with_names(build(Songs, {"path": str(heard.folder)}).open().names))
    logits = network(last.ids, conditioning=last.conditioning)
    assert logits.isfinite().all()


def test_windows_without_labels_are_told_nothing_else_either(heard: Heard) -> None:
    data = songs(heard, unlabelled=0.5)
    batch = data.batch(step=0, size=64, seed=0)
    labels, lyrics = told(batch, "labels"), told(batch, "source")
    silent = (labels[:, 3] == 0) & (labels[:, 4] == -1)
    assert 20 < int(silent.sum()) < 44
    assert (lyrics[silent] == 0).all()
    assert (lyrics[~silent] != 0).any(dim=1).all()
    assert (labels[silent, 0] > 0).all()  # the place in the piece is told always


def shards(heard: Heard, out: Path) -> Path:
    """Encode the songs as ``zoo tokenize`` does."""
    coder = coder_of_codec(heard.codec)
    writer = ShardWriter(out, coder.origin)
    for facts in FACTS:
        encoding = coder.encode(heard.folder / facts["file"])
        known = {name: value for name, value in facts.items() if name != "file"}
        writer.add(Entry(name=facts["file"], counts=(), **known), encoding.stretches, seconds=encoding.seconds)
    writer.finish()
    return out


@pytest.mark.parametrize("level", [0, 1])
def test_encoded_songs_are_the_same_windows(heard: Heard, level: int, tmp_path: Path) -> None:
    folder = shards(heard, tmp_path / "ids")
    data, stored = songs(heard, level=level), songs(heard, level=level, path=str(folder))
    for ours, theirs in ((data.batch(step=5, size=8, seed=2), stored.batch(step=5, size=8, seed=2)),):
        assert torch.equal(ours.ids, theirs.ids)
        for name in ("labels", "source", *(["above"] if level == 0 else [])):
            assert torch.equal(told(ours, name), told(theirs, name))
    ours, theirs = next(data.held_out(4)), next(stored.held_out(4))
    assert torch.equal(ours.targets, theirs.targets)
    wrong = random_codec(seed=1)
    corpus = build(Songs, {"path": str(folder), "level": 1}).open()
    with pytest.raises(ZooError, match="not those of this codec's level 1"):
        corpus.encode(wrong.level(1), CONTEXT)


def test_few_songs_lose_their_ends_on_both_levels_alike(heard: Heard, tmp_path: Path) -> None:
    for number in range(3):
        write_sound(tmp_path / "few" / f"{number:02d}.wav", 1.0, seed=number)
    few = Heard(tmp_path / "few", heard.checkpoint, heard.codec)
    data = songs(few, level=0, told=config(above=True, lyrics=False), held_out=0.3)
    batch = next(data.held_out(3))
    labels = told(batch, "labels")
    assert (labels[:, 0] == RATE).all()
    assert int(labels[0, 1]) == round(0.7 * RATE)  # the place in the whole piece, not in what is held out
    samples = torch.from_numpy(read_sound(few.folder / "00.wav").samples[round(0.7 * RATE) :])
    assert torch.equal(told(batch, "above")[0], few.codec.encode(samples[None], [1])[0][0][: CONTEXT // RATIO])


def test_folders_and_melodies_make_one_corpus(heard: Heard, tmp_path: Path) -> None:
    for number in range(8):
        write_sound(tmp_path / "more" / f"{number}.wav", 0.5, seed=number)
    mixed = build(
        Songs,
        {"path": str(heard.folder), "more": [str(tmp_path / "more")], "melodies": 16, "seconds": 1.0, "rate": RATE},
    ).open()
    assert [entry["license"] for entry in mixed.describe()] == ["not stated", "not stated", "CC0-1.0"]
    assert {"ann", "bob", "guitar", "flute"} <= set(mixed.names.artists)
    shape = config().with_names(mixed.names)
    data = mixed.encode(heard.codec.level(1), CONTEXT)
    data.check(Prior(shape))
    batch = data.batch(step=0, size=64, seed=0)
    places = {int(number) // 8 for number in batch.indices}
    assert {0, 1, 2} <= places
    held_out = torch.cat([each.indices for each in data.held_out(8)])
    assert {6, 14} <= set(held_out.tolist())
    assert (held_out >= 16).any()


def test_few_songs_beside_many_lose_their_ends(heard: Heard, tmp_path: Path) -> None:
    for number in range(2):
        write_sound(tmp_path / "few" / f"{number}.wav", 1.0, seed=number)
    values = {"path": str(tmp_path / "few"), "more": [str(heard.folder)], "held_out": 0.25}
    corpus = build(Songs, {**values, "codec": str(heard.checkpoint), "level": 1}).open()
    data = corpus.encode(heard.codec.level(1), CONTEXT)
    data.check(Prior(config().with_names(corpus.names)))
    seen = [(int(number), int(label[1])) for each in data.held_out(8)
            for number, label in zip(each.indices, told(each, "labels"), strict=True)]  # fmt: skip
    assert {number for number, _ in seen} == {0, 1, 2 + 6}
    assert min(place for number, place in seen if number < 2) == round(0.75 * RATE)
    batch = data.batch(step=0, size=256, seed=0)
    ends = told(batch, "labels")[:, 1] + CONTEXT * HOPS[1]
    assert int(ends[batch.indices < 2].min()) >= 0
    assert {*range(10)} - {8} == set(batch.indices.tolist())


def test_ends_of_encoded_songs_stand_below_the_ids_above_them(heard: Heard, tmp_path: Path) -> None:
    coder = coder_of_codec(heard.codec)
    for seconds in (1.0, 1.016, 1.04, 1.072):
        folder = tmp_path / f"{seconds}"
        write_sound(tmp_path / f"{seconds}.wav", seconds, seed=3)
        writer = ShardWriter(folder, coder.origin)
        encoding = coder.encode(tmp_path / f"{seconds}.wav")
        writer.add(Entry(name="a.wav", counts=()), encoding.stretches, seconds=encoding.seconds)
        writer.finish()
        found = build(Songs, {"path": str(folder), "held_out": 0.3}).open()._found
        parts = [found.parts(heard.codec.level(level), 0.3, level)[1] for level in (0, 1)]
        assert int(parts[0].starts[0]) == int(parts[1].starts[0])


def test_folders_of_classes_are_genres(tmp_path: Path) -> None:
    for number in range(4):
        write_sound(tmp_path / "x" / ("blues", "rock")[number % 2] / f"{number}.wav", 0.5, seed=number)
    assert set(build(Songs, {"path": str(tmp_path / "x"), "genre": "label"}).open().names.genres) == {"blues", "rock"}


def test_unfit_pieces_are_named_before_they_are_encoded(heard: Heard, tmp_path: Path) -> None:
    corpus = build(Songs, {"path": str(heard.folder)}).open()
    with pytest.raises(ZooError, match=r"'00\.wav' has 0\.50 seconds"):
        corpus.check(config(shortest=0.55).with_names(corpus.names))
    corpus.check(config().with_names(corpus.names))
    stored = build(Songs, {"path": str(shards(heard, tmp_path / "ids"))}).open()
    with pytest.raises(ZooError, match=r"'00\.wav' has 0\.50 seconds"):
        stored.check(config(shortest=0.55).with_names(stored.names))


def test_changed_ids_are_found(heard: Heard, tmp_path: Path) -> None:
    folder = shards(heard, tmp_path / "ids")
    data = bytearray((folder / "level_1.bin").read_bytes())
    data[0] ^= 1
    (folder / "level_1.bin").write_bytes(data)
    with pytest.raises(ZooError, match=r"level_1\.bin does not match its sha256"):
        songs(heard, path=str(folder))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": None}, r"path is missing: name a folder of sounds, or say melodies=256"),
        ({"path": "a", "melodies": 3}, r"at least 16, one piece of each; got 3"),
        ({"path": "a", "unlabelled": 1.0}, r"unlabelled must lie in \[0, 1\), got 1\.0"),
    ],
)
def test_settings_that_make_no_data(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ZooError, match=message):
        build(Songs, settings)


def test_pieces_that_a_prior_cannot_be_told_of_are_named_before_training(heard: Heard) -> None:
    with pytest.raises(ZooError, match=r"'00\.wav' has 0\.50 seconds.* from 0\.55 to below 5;"):
        songs(heard, told=config(shortest=0.55))
    with pytest.raises(ZooError, match=r"say data\.top=true"):
        songs(heard, told=config(above=False), level=0)
    with pytest.raises(ZooError, match=r"what a prior learns from"):
        build(Songs, {"path": str(heard.folder), "level": 1}).open().encode(heard.codec.level(1), 8).check(
            torch.nn.Identity()  # no network at all
        )


def test_a_genre_of_too_many_words_is_named(heard: Heard, tmp_path: Path) -> None:
    write_sound(tmp_path / "a" / "x.wav", 1.0)
    (tmp_path / "a" / "metadata.csv").write_text("file,genre\nx.wav,Deep Folk Rock\n")
    other = Heard(tmp_path / "a", heard.checkpoint, heard.codec)
    with pytest.raises(ZooError, match=r"'x\.wav': genre 'Deep Folk Rock' has 3 words.*model\.labels\.slots=3"):
        songs(other, style="words", told=config(slots=2))
    data = songs(other, style="words", told=config(slots=4))
    assert told(data.batch(step=0, size=1, seed=0), "labels")[0, 4:].tolist() == [1, 2, 3, -1]
    assert np.isfinite(data.metrics(10.0, 5)["bits_per_second"])


@pytest.mark.parametrize(("kind", "row"), [("artist", "Кино,rock"), ("genre", "Kino,Рок")])
def test_names_that_words_have_no_letters_for_are_named(heard: Heard, tmp_path: Path, kind: str, row: str) -> None:
    write_sound(tmp_path / "a" / "x.wav", 1.0)
    (tmp_path / "a" / "metadata.csv").write_text(f"file,artist,genre\nx.wav,{row}\n", encoding="utf-8")
    other = Heard(tmp_path / "a", heard.checkpoint, heard.codec)
    corpus = build(Songs, {"path": str(other.folder), "style": "words"}).open()
    for fails in (lambda: songs(other, style="words"), lambda: corpus.check(config().with_names(corpus.names))):
        with pytest.raises(ZooError, match=rf"'x\.wav': nothing of {kind} '\w+' is left where .* data\.style=whole$"):
            fails()
    data = songs(other, style="whole")
    assert told(data.batch(step=0, size=1, seed=0), "labels")[0, 3:].tolist() == [1, 1]


def test_as_many_held_out_windows_as_are_asked_for(heard: Heard) -> None:
    def windows(most: int | None) -> list[Tensor]:
        corpus = Songs(
            path=str(heard.folder), codec=str(heard.checkpoint), level=0, top=True, held_out_windows=most
        ).open()
        data = corpus.encode(heard.codec.level(0), CONTEXT)
        data.check(Prior(config().with_names(corpus.names)))
        return [row for batch in data.held_out(2) for row in batch.targets]

    whole = windows(None)
    assert len(whole) > 3
    some = windows(3)
    assert len(some) == 3
    assert torch.equal(some[0], whole[0])
    assert torch.equal(some[-1], whole[-1])
    assert len(windows(len(whole) + 5)) == len(whole)
    with pytest.raises(ZooError, match="held_out_windows must be at least 1, got 0"):
        windows(0)


def test_the_codec_s_vectors_are_there_for_a_prior_that_begins_with_them(heard: Heard) -> None:
    asked = Songs(path=str(heard.folder), codec=str(heard.checkpoint), level=0, top=False)
    assert asked.open().codebooks(heard.codec.level(0)) is None
    found = replace(asked, codebooks=True).open().codebooks(heard.codec.level(0))
    assert found is not None
    assert torch.equal(found.own, heard.codec.codebook(0).vectors)
    assert found.above is not None
    assert torch.equal(found.above, heard.codec.codebook(1).vectors)
