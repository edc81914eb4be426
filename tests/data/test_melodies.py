"""The melodies: facts that are right, pieces that are what they say, and a held-out part of their own."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from zoo.data.arrangement import SYLLABLES, Melody, Piece, vary
from zoo.data.melodies import Melodies, melodies, pieces, play_melodies
from zoo.data.seeded import generator
from zoo.data.synthesiser import TIMBRES, render
from zoo.errors import ZooError
from zoo.tokenizers.audio.mu_law import MuLawTokenizer
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.codecs import build_codec

WRITTEN = {melody.title: melody for melody in melodies()}
HELD_OUT = {"Auld Lang Syne", "London Bridge"}


def test_the_facts() -> None:
    assert len(WRITTEN) == 16
    assert {melody.genre for melody in WRITTEN.values()} == {"nursery", "hymn", "folk", "classical"}
    assert {title for title, melody in WRITTEN.items() if melody.held_out} == HELD_OUT
    for melody in WRITTEN.values():
        assert melody.year < 1900
        assert melody.beats % melody.meter == 0
        assert 0 <= melody.beats - melody.tones[-1].onset - melody.tones[-1].beats < melody.meter
        assert len(melody.chords) == melody.beats / melody.meter
        own = {pitch % 12 for tone in melody.tones if (pitch := tone.pitch) is not None}
        assert len(own - set(melody.scale)) <= 2, melody.title  # a raised sixth and seventh of minor keys
    ode = WRITTEN["Ode to Joy"]
    assert [tone.pitch for tone in ode.tones[:5]] == [64, 64, 65, 67, 67]
    assert ode.tones[12].beats == 1.5
    assert WRITTEN["Korobeiniki"].tones[19].pitch is None
    assert WRITTEN["Auld Lang Syne"].chords[:4] == ((5, 9, 0), (0, 4, 7), (5, 9, 0), (10, 2, 5))
    assert (4, 8, 11) in WRITTEN["Greensleeves"].chords  # E major in A minor


def test_a_plain_piece_is_its_score() -> None:
    piece = Piece(melody=WRITTEN["Frere Jacques"], timbre=TIMBRES[0], tempo=120, transposed=2, legato=1.0)
    notes = piece.score(8.0)
    assert [note.pitch - 2 for note in notes[:4]] == [60, 62, 64, 60]
    assert [note.start for note in notes[:4]] == [0, 0.5, 1, 1.5]
    assert [note.seconds for note in notes[8:11]] == [0.5, 0.5, 1.0]
    assert piece.lyrics(5.0).split("\n") == ["re mi fi re re mi fi re", "fi sol"]
    assert piece.lyrics(5.9).endswith("fi sol la")
    # After the end it begins anew: 32 beats are 16 seconds.
    later = [note for note in piece.score(20.0) if note.start >= 16]
    assert [(note.start, note.pitch) for note in later] == [(note.start + 16, note.pitch) for note in piece.score(4.0)]


def test_accompaniments_stand_below_and_fit_the_bars() -> None:
    for title in ("Silent Night", "Greensleeves", "Ode to Joy"):
        melody = WRITTEN[title]
        plain = Piece(melody=melody, timbre=TIMBRES[0], tempo=90)
        alone = plain.score(20)
        for name in ("bass", "broken", "chords"):
            added = replace(plain, accompaniment=name).score(20)[len(alone) :]
            assert added
            assert min(note.pitch for note in added) >= 36
            assert max(note.pitch for note in added) < 72
            assert all(note.loudness < 0.6 for note in added)
            beats = [note.start * 1.5 for note in added]
            if name == "bass":
                bars = [(beat - melody.upbeat) / melody.meter for beat in beats]
                assert np.allclose(bars, np.round(bars))
            classes = {int(note.pitch) % 12 for note in added}
            assert classes <= {pitch for chord in melody.chords for pitch in chord}


def test_ornaments_come_from_above_and_keep_the_time() -> None:
    plain = Piece(melody=WRITTEN["Minuet in G"], timbre=TIMBRES[0], tempo=100)
    rich = replace(plain, ornamented=True)
    assert plain.lyrics(15) == rich.lyrics(15)
    assert {note.start for note in plain.score(15)} <= {note.start for note in rich.score(15)}
    extra = len(rich.score(15)) - len(plain.score(15))
    assert extra == sum(note.seconds > 0.9 * 0.95 for note in plain.score(15))


def test_pieces_are_a_function_of_their_number() -> None:
    many, few = pieces(200, seed=1), pieces(30, seed=1)
    assert many[:30] == few
    assert pieces(30, seed=2) != few
    assert len({(piece.melody.title, piece.timbre.name) for piece in many[:112]}) == 112 == 16 * len(TIMBRES)
    assert {piece.timbre.name for piece in few[:16] if not piece.melody.held_out} == {each.name for each in TIMBRES}
    assert {piece.accompaniment for piece in many} == {"none", "bass", "broken", "chords"}
    assert {piece.dynamics for piece in many} == {"even", "growing", "fading", "arched"}
    for piece in many:
        pitches = [pitch for note in piece.score(10)[:1] if (pitch := note.pitch)]
        low, high = (pitch + piece.transposed for pitch in piece.melody.range)
        assert 52 <= low <= min(pitches)
        assert high <= 88
        assert 0.7 < piece.tempo / piece.melody.bpm < 1.42


def test_records_say_what_is_played() -> None:
    records = play_melodies(count=48, rate=8_000, seconds=4.0, seed=0)
    assert len(records) == 48
    assert len(records.train) == 42
    assert {records.names[number][5:].split(" (")[0] for number in records.held_out} == HELD_OUT
    assert not HELD_OUT & {records.names[number][5:].split(" (")[0] for number in records.train}
    assert sorted([*records.train, *records.held_out]) == list(range(48))
    for number in (0, 17, 30):
        sound = records[number]
        assert sound.samples.shape == (32_000, 1)
        assert sound.samples.dtype == np.float32
        assert sound.rate == 8_000
        assert sound.artist == records.labels[number]
        assert sound.genre == WRITTEN[records.names[number][5:].split(" (")[0]].genre
        assert set(sound.lyrics.split()) <= set(SYLLABLES)
        assert 2 <= len(sound.lyrics.split()) <= 40
        assert np.abs(sound.samples).max() == pytest.approx(0.7079, rel=1e-3)
        assert 0.02 < np.std(sound.samples) < 0.4
    again = play_melodies(count=16, rate=8_000, seconds=4.0, seed=0)
    assert again[0].samples.tobytes() == records[0].samples.tobytes()


def pitch(samples: NDArray[np.float64], rate: int) -> float:
    """Return the frequency of a tone between 150 and 1,500 Hz: YIN (de Cheveigne and Kawahara 2002), steps 2, 3 and 5.

    librosa's compiles for two minutes in a fresh environment.
    """
    half, longest, shortest = len(samples) // 2, rate // 150, rate // 1500
    difference = np.array([np.sum((samples[:half] - samples[lag : half + lag]) ** 2) for lag in range(longest + 2)])
    normal = difference[1:] * np.arange(1, longest + 2) / np.cumsum(difference[1:])
    # normal[lag - 1] is that of a lag: the first dip below 0.15, at its bottom
    lag = next(lag for lag in range(shortest, longest) if normal[lag - 1] < 0.15 and normal[lag] > normal[lag - 1])
    before, here, after = difference[lag - 1 : lag + 2]
    return float(rate / (lag + 0.5 * (before - after) / (before - 2 * here + after)))


@pytest.mark.parametrize("timbre", [timbre for timbre in TIMBRES if timbre.name != "bells"], ids=lambda each: each.name)
def test_what_is_heard_is_what_is_written(timbre) -> None:  # type: ignore[no-untyped-def]
    """Listen in the middle of every note. Bells have no harmonic partials to listen to."""
    rate, melody = 22_050, WRITTEN["Twinkle, Twinkle, Little Star"]
    piece = Piece(melody=melody, timbre=timbre, tempo=90, transposed=3, dynamics="arched")
    notes = piece.score(12.0)
    samples = render(notes, timbre, rate=rate, seconds=12.0)
    for note in notes:
        middle = round((note.start + 0.5 * note.seconds) * rate)
        heard = pitch(samples[middle - 2048 : middle + 2048].astype(float), rate)
        assert abs(1200 * np.log2(heard / note.frequency)) < 15


def test_it_plays_faster_than_one_can_listen() -> None:
    records = play_melodies(count=16, rate=22_050, seconds=10.0, seed=3)
    begun = time.perf_counter()
    for number in range(4):
        _ = records[number]
    assert 40 / (time.perf_counter() - begun) > 20  # some 400 on one idle core


def test_a_corpus_of_both_parts() -> None:
    settings = Melodies(count=32, rate=8_000, seconds=2.0, length=4_096)
    corpus = settings.open()
    assert corpus.modality == "music"
    entry = corpus.describe()[0]
    assert entry["license"] == "CC0-1.0"
    assert entry["sha256"] != Melodies(count=32, rate=8_000, seconds=3.0).open().describe()[0]["sha256"]
    data = corpus.encode(MuLawTokenizer(), context=512)
    assert data.train_tokens == 28 * 16_000
    batch = data.batch(step=3, size=4, seed=1)
    assert batch.ids.shape == (4, 512)
    assert torch.equal(batch.ids[:, 1:], batch.targets[:, :-1])
    held_out = list(data.held_out(8))
    assert {int(number) for rows in held_out for number in rows.indices} == set(corpus.records.held_out)
    told = Melodies(count=32, rate=8_000, seconds=2.0, conditional=True, label="genre").open()
    assert told.classes == ("classical", "folk", "hymn", "nursery")
    assert len(list(corpus.samples())) == 28


def test_crops_for_codecs_play_what_is_asked_for_only() -> None:
    corpus = Melodies(count=64, rate=8_000, seconds=2.0, length=4_096).open()
    codec = build_codec(
        VqvaeConfig(
            rate=8_000, codes=8, code_width=4, width=4, depth=1, downs=(2,), strides=(2,), multipliers=(1,),
        )
    )  # fmt: skip
    crops = corpus.crops(codec)
    assert crops.train_tokens == 56 * 16_000
    batch = crops.batch(step=0, size=2, seed=0)
    assert batch.samples.shape == (2, 4_096, 1)
    number = int(batch.indices[0])
    whole = corpus.records[number].samples[:, 0]
    crop = batch.samples[0, :, 0].numpy()
    best = min(np.abs(whole[at : at + 4_096] - crop).max() for at in range(len(whole) - 4_095))
    assert best < 1e-4  # as 16-bit numbers
    assert torch.equal(crops.batch(step=0, size=2, seed=0).samples, batch.samples)


def test_own_sounds_take_their_place(tmp_path: Path) -> None:
    for number in range(12):
        soundfile.write(tmp_path / f"{number}.wav", np.full(8_000, 0.1 * number / 12, np.float32), 8_000)
    corpus = Melodies(path=str(tmp_path), length=1_024).open()
    assert len(corpus.records) == 12
    assert corpus.describe()[0]["license"] == "not stated"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 15}, "count must be at least 16"),
        ({"seconds": 0.5}, "seconds must be 1 to 600"),
        ({"seconds": float("nan")}, "seconds must be 1 to 600"),
        ({"rate": 10}, "rate must be 1000"),
        ({"length": 0}, "length must be 1"),
    ],
)
def test_bad_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ZooError, match=message):
        Melodies(**settings)  # type: ignore[arg-type]


def test_bad_facts() -> None:
    facts = {"title": "t", "composer": "c", "year": 1800, "genre": "g", "bpm": 100, "meter": 4}
    with pytest.raises(ZooError, match="'H4' is no note"):
        _ = Melody(**facts, key="C major", notes="C4 H4").tones  # type: ignore[arg-type]
    with pytest.raises(ZooError, match="key 'H dorian'"):
        Melody(**facts, key="H dorian", notes="C4")  # type: ignore[arg-type]


def test_variations_stay_in_range() -> None:
    for melody in WRITTEN.values():
        for number in range(20):
            piece = vary(melody, TIMBRES[0], generator(7, number))
            assert melody.range[0] + piece.transposed >= 52
            assert melody.range[1] + piece.transposed <= 88


def test_accompaniments_are_chosen_among_those_asked_for() -> None:
    alone, every = pieces(64, 3, ["none"]), pieces(64, 3)
    assert {piece.accompaniment for piece in alone} == {"none"}
    assert {piece.accompaniment for piece in every} == {"none", "bass", "broken", "chords"}
    assert [replace(piece, accompaniment="none") for piece in every] == alone  # all else is drawn as before
    settings = {"count": 16, "rate": 8_000, "seconds": 1.0, "seed": 3}
    known = play_melodies(**settings)  # type: ignore[arg-type]
    other = play_melodies(**settings, accompaniments=("none",))  # type: ignore[arg-type]
    assert known.sha256 != other.sha256
