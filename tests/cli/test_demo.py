"""``zoo demo`` and its page."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import soundfile
from PIL import Image as Pillow

from tests.cli.conftest import Zoo
from tests.stack.parts import save
from zoo.cli.page import curve, page

HOSTILE = "<script>alert(1)</script></pre></textarea>\"'&amp; \u202e <img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Collects the tags and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_demo_trains_writes_and_shows(zoo: Zoo) -> None:
    words = ("demo", "size=tiny", "threads=1", "out=there")
    done = zoo(*words)
    assert done.code == 0, done.err
    for prompt in ("The for statement", "A class definition", "If an exception"):
        assert f"\n{prompt}" in done.out
    assert "zoo generate there/text" in done.err
    assert done.err.startswith("A model that has never read anything learns from Python's own help texts.\n  data ")
    text = Path("there/index.html").read_text()
    assert "<polyline" in text
    assert "<b>The for statement</b>" in text
    document = zoo(*words, "--json").document  # goes on with the finished run: only the samples are drawn again
    assert document["step"] == 60
    assert document["page"] == "there/index.html"
    assert [sample["index"] for sample in document["samples"]] == [0, 1, 2]
    assert all(sample["text"] in done.out for sample in document["samples"])


def test_bad_input_is_one_line(zoo: Zoo) -> None:
    for word in ("seed=-1", "device=nowhere"):
        done = zoo("demo", "size=tiny", word)
        assert done.err.startswith("zoo: error: ")
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)


def test_a_model_of_digits_completes_pictures(zoo: Zoo, zoo_home: Path) -> None:
    place = zoo_home / "checkpoints" / "mnist"
    words = ["train", "image/digits", "size=tiny", "tokenizer.levels=4", "train.steps=1", "train.evaluate_every=0"]
    assert zoo(*words, f"out={place}").code == 0
    done = zoo("demo", "size=tiny", "threads=1", "out=there", "--json")
    assert done.code == 0, done.err
    assert done.document["sheet"] == "there/sheet.png"
    with Pillow.open("there/sheet.png") as sheet:
        assert sheet.size == (2 * 16 + 7 * 118 - 6 + 2 * 18, 16 + 15 + 12 + 3 * 118 + 15 + 16 + 6)
    text = Path("there/index.html").read_text()
    shown = base64.b64encode(Path("there/sheet.png").read_bytes()).decode()
    assert f'src="data:image/png;base64,{shown}"' in text
    (place / "model.safetensors").write_bytes(b"")
    damaged = zoo("demo", "size=tiny", "threads=1", "out=there", "--json")
    assert "No pictures: " in damaged.err
    assert "sheet" not in damaged.document
    assert "<img" not in Path("there/index.html").read_text()


def test_a_stack_plays(zoo: Zoo, zoo_home: Path, tmp_path: Path) -> None:
    (zoo_home / "checkpoints").mkdir(parents=True)
    save(tmp_path / "parts").rename(zoo_home / "checkpoints" / "music")
    done = zoo("demo", "size=tiny", "threads=1", "out=there", "--json")
    assert done.code == 0, done.err
    assert done.document["music"] == "there/music/000.wav"
    assert soundfile.info("there/music/000.wav").duration == 1.0
    text = Path("there/index.html").read_text()
    assert "What it plays" in text
    for name, kind in (("000.wav", "audio/wav"), ("spectrogram.png", "image/png")):
        content = base64.b64encode(Path("there/music", name).read_bytes()).decode()
        assert f'src="data:{kind};base64,{content}"' in text
    (zoo_home / "checkpoints" / "music" / "top" / "config.json").write_bytes(b"")
    damaged = zoo("demo", "size=tiny", "threads=1", "out=there", "--json")
    assert "No music: " in damaged.err
    assert "music" not in damaged.document


def test_captions_are_text_and_pictures_come_from_the_page_alone() -> None:
    text = page(title="t", lead="l", facts=[], log=[], samples=[], pictures=[(HOSTILE, b"\x89PNG<script>")])
    tags = Tags(text).found
    ((_, image),) = [(tag, attributes) for tag, attributes in tags if tag == "img"]
    assert image == {"alt": HOSTILE.replace("\u202e", "\\u202e"), "src": "data:image/png;base64,iVBORzxzY3JpcHQ+"}
    assert not {"script", "iframe", "link", "object", "a"} & {tag for tag, _ in tags}
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:\"" in text


def test_nothing_on_the_page_runs_or_loads() -> None:
    log = [{"step": 1, "split": "train", "loss": 2.0}, {"step": 1, "split": "validation", "loss": 2.5}]
    text = page(title=HOSTILE, lead=HOSTILE, facts=[(HOSTILE, HOSTILE)], log=log, samples=[(HOSTILE, HOSTILE * 2)])
    tags = Tags(text).found
    assert not {"script", "img", "iframe", "link", "object", "a"} & {tag for tag, _ in tags}
    for _, attributes in tags:
        assert not {"src", "href", "style"} & attributes.keys() or attributes.keys() == {"style"}
        assert not any(name.startswith("on") for name in attributes)
    assert "default-src 'none'" in text
    assert re.search(r"https?://", text) is None
    assert sum(tag == "pre" for tag, _ in tags) == 1


def test_control_characters_are_shown_not_written() -> None:
    text = page(title="t", lead="l", facts=[], log=[], samples=[("a\x00", "a\x00b\x1b[1m\tc\n")])
    assert "<pre><b>a\u2400</b>b\u241b[1m\tc\n</pre>" in text


def test_the_curve_spans_the_axes() -> None:
    log = [
        {"step": 10, "split": "train", "loss": 4.0},
        {"step": 20, "split": "train", "loss": 2.0},
        {"step": 20, "split": "validation", "loss": 3.0},
    ]
    drawn = curve(log)
    assert 'points="52.0,12.0 710.0,246.0"' in drawn
    assert 'cx="710.0" cy="129.0"' in drawn
    assert curve([]) == '<p class="soft">no records</p>'
    assert "nan" not in curve(log[:1])
