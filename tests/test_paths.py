"""Where things are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.paths import cards, checkpoints, home, local_checkpoint, recipes_folder
from zoo.weights.hub import locate


def test_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_HOME", "/some/where")
    assert home() == Path("/some/where")
    monkeypatch.delenv("ZOO_HOME")
    monkeypatch.setenv("HOME", "/someone")
    assert home() == Path("/someone/.cache/zoo")
    monkeypatch.setenv("ZOO_HOME", "")
    assert home() == Path("/someone/.cache/zoo")


def test_recipes_folder() -> None:
    assert (recipes_folder() / "base" / "text.yaml").is_file()


def test_checkpoints_are_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo_home: Path) -> None:
    monkeypatch.chdir(tmp_path)
    far, near, here = zoo_home / "checkpoints" / "one", tmp_path / "checkpoints" / "one", tmp_path / "one"
    for folder, expected in ((far, far), (near, Path("checkpoints/one")), (here, Path("one"))):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        assert local_checkpoint("one") == expected
    assert local_checkpoint(far) == far
    assert list(checkpoints()) == [Path("checkpoints/one")]


def test_a_folder_of_songs_does_not_hide_the_checkpoint_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo_home: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "song.flac").touch()
    assert local_checkpoint("music") == Path("music")  # there may be weights in a layout of others
    named = tmp_path / "checkpoints" / "music"
    named.mkdir(parents=True)
    assert local_checkpoint("music") == Path("music")
    (named / "config.json").write_text("{}")
    assert local_checkpoint("music") == Path("checkpoints/music")
    assert local_checkpoint(tmp_path / "music") == tmp_path / "music"


@pytest.mark.parametrize("name", ["", " ", "absent", "a/b"])
def test_what_is_not_there_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert local_checkpoint(name) is None
    with pytest.raises(ZooError, match=f"no checkpoint '{name}': no such path"):
        locate(name)


def test_a_card_alone_is_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo_home: Path) -> None:
    monkeypatch.chdir(tmp_path)
    card = tmp_path / "checkpoints" / "one"
    card.mkdir(parents=True)
    (card / "card.yaml").write_text("source: someone/one\n")
    assert local_checkpoint("one") is None
    assert local_checkpoint(card) is None
    assert list(checkpoints()) == []
    assert list(cards()) == [Path("checkpoints/one")]
    with pytest.raises(ZooError, match=r"^someone/one is not here yet, and the Hub cannot be asked \(HF_HUB_OFFLINE"):
        locate("one")
    fetched = zoo_home / "checkpoints" / "one"
    fetched.mkdir(parents=True)
    (fetched / "config.json").write_text("{}")
    assert locate("one").path == locate(card).path == local_checkpoint(card) == fetched
    assert list(checkpoints()) == [fetched]
    assert list(cards()) == []
