"""Text for people: widths, tables, bars, escapes."""

from __future__ import annotations

import io

import pytest

from zoo.cli.terminal import bar, cells, columns, count, cut, one_line, table, visible
from zoo.cli.writing import write


@pytest.mark.parametrize(
    ("number", "text"), [(None, "-"), (804_096, "804,096"), (10_745_088, "10.75 M"), (1_558_000_000, "1.56 B")]
)
def test_count(number: int | None, text: str) -> None:
    assert count(number) == text


def test_widths_of_wide_and_combining_characters() -> None:
    assert cells("日本") == 4
    assert cells("e\u0301") == 1
    assert cut("日本語です", 5) == "日本…"
    assert cut("short", 5) == "short"


def test_bars_have_eighths() -> None:
    assert bar(1.0, 4) == "████"
    assert bar(0.5, 4) == "██"
    assert bar(1 / 32, 4) == "▏"
    assert bar(0.0, 4) == bar(-1.0, 4) == ""
    assert bar(7.0, 2) == "██"


def test_table_aligns_and_drops_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = table(["name", "size", "note"], [["a", "7", "x" * 90], ["bcd", "1,000", "y"]], right=[1])
    assert shown.splitlines() == [
        "name   size  note",
        f"a         7  {'x' * 26}…",
        "bcd   1,000  y",
    ]
    narrow = table(["name", "note"], [["n" * 20, "x" * 90]])
    assert narrow.splitlines()[1] == f"{'n' * 20}  {'x' * 17}…"
    dropped = table(["name", "b", "note"], [["n" * 30, "c", "x" * 90]])
    assert dropped.splitlines() == [f"{'name':30}  b", f"{'n' * 30}  c"]


def test_columns_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert columns([("a", "word " * 12), ("bb", "")]).splitlines() == [
        "  a   word word word word word word word",
        "      word word word word word",
        "  bb",
    ]


def test_control_codes_are_shown_not_obeyed() -> None:
    assert visible("a\x1b[2Jb\n\t\u202ec") == "a\\x1b[2Jb\n\t\\u202ec"
    assert one_line("a\nb\tc\r") == "a⏎b⇥c\\r"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_the_prompt_in_bold_and_no_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for stream, expected in (
        (Terminal(), "\x1b[1mO G\x1b[0m\x1b[1mod\x1b[0m, why\\x07\n"),
        (io.StringIO(), "O God, why\x07\n"),
    ):
        monkeypatch.setattr("sys.stdout", stream)
        write(iter(["O G", "od, why", "\x07"]), "O God")
        assert stream.getvalue() == expected
