"""The part of the lyrics that a window of music is told."""

from __future__ import annotations

import pytest
import torch

from zoo.music.lyrics import window


@pytest.mark.parametrize("length", [6, 7])
@pytest.mark.parametrize("count", [7, 8, 20])
def test_as_many_ids_as_asked_for_wherever_the_window_is(length: int, count: int) -> None:
    lyrics = torch.arange(1, count + 1)
    for offset in range(0, 1000, 50):
        ids, places = window(lyrics, length, total=1000, offset=offset, duration=50)
        assert len(ids) == length
        assert torch.equal(ids, lyrics[places])
    assert ids[-1] == count  # the last window is told the last words


def test_an_odd_length_is_told_around_the_middle() -> None:
    lyrics = torch.arange(1, 21)
    assert window(lyrics, 7, total=1000, offset=450, duration=100)[0].tolist() == [8, 9, 10, 11, 12, 13, 14]
    assert window(lyrics, 7, total=1000, offset=900, duration=100)[0].tolist() == [14, 15, 16, 17, 18, 19, 20]
