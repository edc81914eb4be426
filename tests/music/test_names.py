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


@pytest.mark.parametrize("said", ["Кино", "???"])
def test_names_of_which_no_letter_is_left_are_unknown(said: str) -> None:
    names = Names(artists={"kino": 3}, genres={"rock": 8}, style=Words())
    message = (
        f"unknown %s '{said}': this model's names are made of Latin letters and digits; write it in these. "
        "unknown=ok goes on without"
    )
    for kind, look_up in (("artist", names.artist), ("genre", lambda name: names.genre(name, 5))):
        with pytest.raises(ZooError) as raised:
            look_up(said)
        assert str(raised.value) == message % kind
    assert names.artist(said, unknown=True) == 0
    assert names.genre(said, 5, unknown=True) == [0]
    assert (names.artist(" \n"), names.genre(" \n", 5)) == (0, [])  # nothing is said
    assert Names(artists={"кино": 3}, style=Whole()).artist("Кино") == 3
