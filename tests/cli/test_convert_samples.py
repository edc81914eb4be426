"""``zoo convert data.pth.tar``: the codes of samples that the original Jukebox drew, in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Zoo
from tests.weights.test_jukebox_samples import codes, drawn, write


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a file of two samples, whose finest level is still to be drawn."""
    (tmp_path / "level_1").mkdir()
    return write(tmp_path / "level_1" / "data.pth.tar", drawn())


@pytest.mark.parametrize("place", ["level_1/data.pth.tar", "level_1"])
def test_codes_and_what_was_asked_for(zoo: Zoo, saved: Path, tmp_path: Path, place: str) -> None:
    done = zoo("convert", place, "out=codes", "--json")
    told = {"genre": "folk, rock", "lyrics": "La la\nlà", "total": 7_938_000}
    assert done.document == {
        "codes": "codes/codes.npz",
        "samples": [{"artist": "artist 0", **told, "offset": 0}, {"artist": "artist 1", **told, "offset": 128}],
        "levels": [{"level": 1, "ids": 16}, {"level": 2, "ids": 4}],
    }
    with np.load(tmp_path / "codes" / "codes.npz", allow_pickle=False) as file:
        assert [file[f"level_{level}"].tolist() for level in (1, 2)] == [
            drawn()["zs"][level].tolist() for level in (1, 2)
        ]
        assert file["artist"].tolist() == ["artist 0", "artist 1"]
        assert file["offset"].tolist() == [0, 128]


def test_what_it_says(zoo: Zoo, saved: Path) -> None:
    done = zoo("convert", str(saved), "out=codes")
    assert done.out == "codes/codes.npz\n"
    assert "2 samples of Jukebox" in done.err
    assert "001: artist artist 1, genre folk, rock, lyrics La la" in done.err


def test_what_it_refuses(zoo: Zoo, saved: Path, tmp_path: Path) -> None:
    assert zoo("convert", str(saved), "out=codes").code == 0
    before = (tmp_path / "codes" / "codes.npz").read_bytes()
    write(tmp_path / "empty.pt", {"zs": [codes(2, 0)]})
    for words, message in (
        (["out=codes"], "codes/codes.npz is there already; choose another out=DIR, or add overwrite=true"),
        (["out=there", "to=openai"], "holds codes, no weights; leave to and dtype out"),
        (["out=there", "dtype=bfloat16"], "holds codes, no weights; leave to and dtype out"),
    ):
        done = zoo("convert", str(saved), *words)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert message in done.err
    done = zoo("convert", "empty.pt", "out=codes", "overwrite=true")
    assert done.code == 2
    assert "empty.pt holds no codes yet; use the file of a level that was drawn" in done.err
    assert (tmp_path / "codes" / "codes.npz").read_bytes() == before
    assert not (tmp_path / "there").exists()
    assert zoo("convert", str(saved), "out=codes", "overwrite=true").code == 0
