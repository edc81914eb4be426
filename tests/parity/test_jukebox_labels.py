"""Names, lyrics and windows as the original program turns them into numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from tests.parity.cases import Find
from zoo.music.config import Labels, PrefixedLyrics, PriorConfig, SeparateLyrics, Timing
from zoo.music.lyrics import V2, V3, Alphabet, window
from zoo.music.names import Names, Style, Whole, Words
from zoo.music.telling import Piece, Telling
from zoo.music.windows import starts
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import Cross, Dense


def facts(find: Find) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(find("jukebox/labels_text_windows.json").read_text())
    return found


@pytest.mark.parametrize(("version", "characters"), [("v2", V2), ("v3", V3)])
def test_characters(fixture_case: Find, version: str, characters: str) -> None:
    known = facts(fixture_case)[f"vocab_{version}"]
    assert {character: place for place, character in enumerate(characters, start=1)} | {"<unk>": 0} == known


def config(version: str, names: Names) -> PriorConfig:
    """Return a prior that is told as much as the original's in the fixture."""
    timing = Timing(shortest=17.84, longest=600.0)
    labels = Labels(artists=8000, genres=700, slots=5 if version == "v2" else 1, timing=timing, names=names)
    if version == "v2":
        inner = TransformerConfig(vocabulary=81, output_vocabulary=80, context=512, width=8, depth=1, heads=1)
        core = TransformerConfig(
            vocabulary=9, context=8192, width=8, depth=2, heads=1, patterns=(Dense(), Cross()), memory_width=8
        )
        return PriorConfig(transformer=core, labels=labels, lyrics=SeparateLyrics(transformer=inner, characters=V2))
    core = TransformerConfig(vocabulary=79 + 9, context=6144 + 384, width=8, depth=1, heads=1)
    return PriorConfig(transformer=core, labels=labels, lyrics=PrefixedLyrics(ids=79, length=384, characters=V3))


def test_cases_of_both_versions(fixture_case: Find) -> None:
    """Tables are made of what the cases say, for the original's are not ours to keep."""
    styles: dict[str, Style] = {"v2": Words(), "v3": Whole()}
    for version, style in styles.items():
        cases = facts(fixture_case)[version]
        slots = 5 if version == "v2" else 1
        names = Names(
            artists={style.artist(case["artist"]): case["y"][3] for case in cases if case["y"][3]},
            genres={
                word: number
                for case in cases
                for word, number in zip(style.genres(case["genre"]), case["y"][4 : 4 + slots], strict=False)
                if number > 0
            },
            style=style,
        )
        telling = Telling(config=config(version, names), hop=128)
        alphabet = Alphabet(V2 if version == "v2" else V3)
        for case in cases:
            assert alphabet.clean(case["lyrics"]).startswith(case["cleaned"][:60])
            piece = Piece(
                artist=case["artist"],
                genre=case["genre"],
                lyrics=case["lyrics"],
                total=case["total_length"],
                offset=case["offset"],
            )
            told = telling.of(piece, unknown=True)
            row = torch.cat((telling.labels(told, 0), telling.lyrics(told, 0)[0]))
            assert row.tolist() == case["y"]


def test_windows_of_lyrics(fixture_case: Find) -> None:
    for case in facts(fixture_case)["lyric_windows"]:
        sizes = {"total": case["total_length"], "offset": case["offset"], "duration": case["duration"]}
        ids, places = window(torch.tensor(case["full_tokens"]), case["n_tokens"], **sizes)
        assert ids.tolist() == case["tokens"]
        assert places.tolist() == case["indices"]


def test_windows_of_music(fixture_case: Find) -> None:
    for case in facts(fixture_case)["get_starts"]:
        assert starts(case["total"], case["n_ctx"], case["hop"]) == case["starts"]
