"""Every text format of data.path: documents and labelled rows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from zoo.data.read import read_documents, read_rows
from zoo.errors import ZooError

ROWS = [(f"text {index}", "good" if index % 2 else "bad") for index in range(12)]


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def csv_of(rows: list[tuple[str, str]]) -> str:
    return "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows)


def test_one_text_holds_out_its_last_tenth(tmp_path: Path) -> None:
    for name in ("a.txt", "a.txt.gz", "a", "a.unheard"):
        parts = read_documents(str(write(tmp_path / name, "0123456789" * 10)))
        assert [part.text() for part in parts.train] == ["0123456789" * 9]
        assert [part.text() for part in parts.held_out] == ["0123456789"]
        assert parts.title == name


def test_a_folder_holds_out_every_eleventh_text(tmp_path: Path) -> None:
    for index in range(20):
        write(tmp_path / f"{index:02d}.txt", f"text {index}")
    write(tmp_path / "README.md", "not data")
    write(tmp_path / "manifest.csv", "not,text\n")
    parts = read_documents(str(tmp_path))
    assert [part.text() for part in parts.held_out] == ["text 6", "text 17"]
    assert len(parts.train) == 18
    assert [part.name for part in read_documents(f"{tmp_path}/1?.txt").held_out] == ["16.txt"]


def test_a_folder_of_few_texts_is_split_like_one_text(tmp_path: Path) -> None:
    for index in range(3):
        write(tmp_path / f"{index}.txt", str(index) * 10)
    parts = read_documents(str(tmp_path))
    assert [part.text() for part in parts.train] == ["0" * 10, "1" * 10, "2" * 7]
    assert [part.text() for part in parts.held_out] == ["222"]


def test_own_parts_of_a_folder(tmp_path: Path) -> None:
    for index in range(9):
        write(tmp_path / "train" / f"{index}.txt", "a")
    write(tmp_path / "test" / "0.txt", "b")
    parts = read_documents(str(tmp_path))
    assert (len(parts.train), [part.text() for part in parts.held_out]) == (9, ["b"])


def test_tables_give_their_text_column(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", csv_of(ROWS).replace("text,", "body,"))
    parts = read_documents(str(tmp_path / "a.csv"), columns={"text": "body"})
    assert [part.text() for part in parts.held_out] == ["text 6"]
    assert [part.text() for part in parts.train][:2] == ["text 0", "text 1"]
    assert parts.held_out[0].name == "a.csv:8"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.csv.gz", "a.jsonl.gz"])
def test_labelled_rows(tmp_path: Path, name: str) -> None:
    texts = {
        ".csv": csv_of(ROWS),
        ".tsv": "label\ttext\n" + "".join(f"{label}\t{text}\n" for text, label in ROWS),
        ".jsonl": "".join(json.dumps({"text": text, "label": label}) + "\n\n" for text, label in ROWS),
    }
    rows = read_rows(str(write(tmp_path / name, texts[next(suffix for suffix in texts if suffix in name)])))
    assert [row.text for row in rows] == [text for text, _ in ROWS]
    assert list(rows.labels) == [label for _, label in ROWS]
    assert rows.label_names == ("bad", "good")
    assert rows.label_ids().tolist() == [0, 1] * 6
    assert list(rows.held_out) == [6]
    assert len(rows.train) == 11


def test_cells_with_everything_in_them(tmp_path: Path) -> None:
    table = (
        '\ufefftext,label,text_b,choices\r\n"a, ""b""\r\n\r\nc",x,,"[""1"", ""2|3""]"\r\n\r\né,y,second,1 | 2\r\n' * 1
    )
    path = write(tmp_path / "a.csv", table + "z,x,,\r\n" * 6)
    rows = read_rows(str(path))
    assert len(rows) == 8
    assert (rows[0].text, rows[0].text_b, rows[0].choices) == ('a, "b"\r\n\r\nc', "", ("1", "2|3"))
    assert (rows[1].text, rows[1].text_b, rows[1].choices) == ("é", "second", ("1", "2"))
    assert rows[2].choices == ()
    assert list(rows.names)[:3] == ["a.csv:2", "a.csv:6", "a.csv:7"]


def test_quotes_in_tsv_are_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "label\ttext\n" + '0\t"so" he said\n' * 7)
    assert read_rows(str(path))[3].text == '"so" he said'


def test_jsonl_types(tmp_path: Path) -> None:
    line = json.dumps({"q": "é\n", "text_b": "b", "choices": ["x", "y"], "label": 1, "more": None}) + "\n"
    row = read_rows(str(write(tmp_path / "a.jsonl", line * 7)), columns={"text": "q"})
    assert (row[6].text, row[6].text_b, row[6].choices, row.labels[6]) == ("é\n", "b", ("x", "y"), "1")


def test_train_and_test_tables(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", csv_of(ROWS[:5]))
    write(tmp_path / "test.csv", csv_of(ROWS[5:7]))
    write(tmp_path / "README.md", "about")
    rows = read_rows(str(tmp_path))
    assert [rows[index].text for index in rows.train] == [f"text {index}" for index in range(5)]
    assert [rows[index].text for index in rows.held_out] == ["text 5", "text 6"]
    assert rows.names[5] == "test.csv:2"


def test_one_folder_per_class(tmp_path: Path) -> None:
    for index in range(10):
        write(tmp_path / ("neg" if index < 4 else "pos") / f"{index}.txt", f"text {index}")
    rows = read_rows(str(tmp_path))
    assert list(rows.labels) == ["neg"] * 4 + ["pos"] * 6
    assert rows[9].text == "text 9"
    for index in range(3):
        write(tmp_path / "other" / "train" / ("a" if index else "b") / f"{index}.txt", "x")
        write(tmp_path / "other" / "test" / ("a" if index else "b") / f"{index}.txt", "x")
    own = read_rows(str(tmp_path / "other"))
    assert list(own.labels) == ["a", "a", "b"] * 2
    assert list(own.held_out) == [0, 1, 2]  # sorted: test before train


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", r"a\.csv: is empty"),
        ("a.csv", "text,label\n", "has a header but no rows"),
        ("a.csv", "txt,label\nx,y\n", r"no column 'text'; did you mean 'txt'\? \(say data\.columns\.text=NAME\)"),
        ("a.csv", "text,label\nx,y\nx\n", "line 3: 1 columns, but the header has 2"),
        ("a.csv", 'text,label\n"x"y,z\n', "line 2: broken row"),
        ("a.csv", 'text,label\n"x,z\n', "line 2: broken row"),
        ("a.csv", "text,text\nx,y\n", "two columns are called 'text'"),
        ("a.csv", b"text,label\n\xff,x\n", "not valid utf-8 at byte 11"),
        ("a.tsv", "text\tlabel\nx\ty\tz\n", "line 2: 3 columns"),
        ("a.jsonl", '{"text": "x"}\n{"text": \n', "line 2: not valid JSON"),
        ("a.jsonl", "[1]\n", "line 1: expected a JSON object"),
        ("a.jsonl", '{"text": "x"}\n{"body": "x"}\n', "line 2: no column 'text'"),
        ("a.jsonl", '{"text": 3}\n', "line 1: 'text' must be text, got 3"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": "x"}\n', "line 2: some rows have 'label'"),
        ("a.csv", "text,label\nx,y\n", "1 samples are too few"),
        ("a.png", b"\x89PNG", r"expected text, but '\.png' files are images"),
        ("a.txt", "", r"a\.txt: is empty"),
    ],
)
def test_bad_tables_are_one_line(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(ZooError, match=message) as caught:
        (read_documents if name in ("a.png", "a.txt") else read_rows)(str(path))
    assert "\n" not in str(caught.value)


def test_folders_without_text(tmp_path: Path) -> None:
    write(tmp_path / "a.png", "x")
    write(tmp_path / "b.data", "x")
    with pytest.raises(
        ZooError, match=r"no text or tables there, only \.data, \.png; name them with a glob such as '\*\.data'"
    ):
        read_documents(str(tmp_path))
    write(tmp_path / "c.csv", csv_of(ROWS))
    write(tmp_path / "d.txt", "x")
    with pytest.raises(ZooError, match="matches both text files and tables"):
        read_documents(f"{tmp_path}/[cd].*")


def test_tables_of_which_only_some_have_labels(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", csv_of(ROWS))
    write(tmp_path / "test.csv", "text\nx\n")
    with pytest.raises(ZooError, match=r"test\.csv: no column 'label', which the other tables have"):
        read_rows(str(tmp_path))


def test_no_labels(tmp_path: Path) -> None:
    bare = read_rows(str(write(tmp_path / "b.csv", "text\n" + "x\n" * 8)))
    with pytest.raises(ZooError, match=r"b\.csv: has no labels"):
        bare.label_ids()
    with pytest.raises(IndexError):
        bare[8]


def test_real_data(shared_data: Path) -> None:
    books = read_documents(str(shared_data / "text" / "books"))
    assert (len(books.train), len(books.held_out)) == (66, 7)
    assert (sum(part.size for part in books.train), sum(part.size for part in books.held_out)) == (
        11_229_603,
        1_684_182,
    )
    shakespeare = read_documents(str(shared_data / "text" / "tinyshakespeare"))
    assert (shakespeare.train[0].size, shakespeare.held_out[0].size) == (1_003_854, 111_540)
    banking = read_rows(str(shared_data / "text" / "banking77"), columns={"label": "category"})
    assert (len(banking.train), len(banking.held_out), len(banking.label_names)) == (10_003, 3_080, 77)
    films = read_rows(str(shared_data / "text" / "subjectivity"))
    assert (len(films.train), len(films.held_out), films.label_names) == (8_000, 1_000, ("0", "1"))
