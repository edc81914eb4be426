"""Tables of names: learned, read from files, and what is said of names that are in none."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.music.names import Names, Whole, Words
from zoo.settings import build, to_mapping


def test_learned_names_are_numbered_from_one() -> None:
    names = Names.learned(["Flute", "organ", "flute", ""], ["folk", "Chorale"])
    assert names.artists == {"flute": 1, "organ": 2}
    assert names.genres == {"chorale": 1, "folk": 2}
    assert (names.artist_count, names.genre_count) == (3, 3)
    assert names.artist(" FLUTE ") == 1
    assert names.artist("") == 0
    assert names.genre("folk", 1) == [2]
    assert build(Names, to_mapping(names)) == names


def test_unknown_names_say_the_nearest() -> None:
    names = Names.learned(["string_quartet", "brass_quartet", "choir"], ["chorale"])
    with pytest.raises(ZooError, match=r"unknown artist 'quartet'.*brass_quartet.*unknown=ok"):
        names.artist("quartet")
    assert names.artist("quartet", unknown=True) == 0
    with pytest.raises(ZooError, match="unknown genre 'jazz'"):
        names.genre("jazz", 1)


def test_a_bag_of_words_has_so_many_places() -> None:
    names = Names(genres={"rock": 8, "country": 11}, style=Words())
    assert names.genre("Country -- Rock!", 5) == [11, 8]
    with pytest.raises(ZooError, match="has 2 words, and this model is told at most 1"):
        names.genre("country rock", 1)


def test_files_of_names(tmp_path: Path) -> None:
    artists, genres = tmp_path / "artists.txt", tmp_path / "genres.txt"
    artists.write_text("ac_dc;3\nsomeone;with;1\n\n")
    genres.write_text("rock;1\n")
    names = Names.read(artists, genres, Words())
    assert names.artists == {"ac_dc": 3, "someone;with": 1}
    assert names.artist("AC/DC") == 3
    for text, message in {
        "rock\n": "line 1: 'rock' is not NAME;NUMBER",
        "a;1\nb;-1\n": "line 2: 'b;-1' is not NAME;NUMBER",
        "\n": "names nobody",
    }.items():
        genres.write_text(text)
        with pytest.raises(ZooError, match=message):
            Names.read(artists, genres, Whole())
    with pytest.raises(ZooError, match="cannot be read"):
        Names.read(tmp_path / "none.txt", genres, Whole())
