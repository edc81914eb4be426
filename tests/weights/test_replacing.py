"""Folders that are replaced in one step, also after a process was killed in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.weights.replacing import replace_folder


def test_what_a_killed_process_has_moved_away_stays_until_there_is_a_new_one(tmp_path: Path) -> None:
    out, old = tmp_path / "a", tmp_path / ".a.old.tmp"
    old.mkdir()
    (old / "config.json").write_text("the only one")

    def fail(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_folder(out, fail)
    assert (old / "config.json").read_text() == "the only one"
    replace_folder(out, lambda folder: (folder / "config.json").write_text("new"))  # type: ignore[arg-type, return-value]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (out / "config.json").read_text() == "new"
