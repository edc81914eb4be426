"""Settings to and from plain values: what is built, and the one line that each mistake gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from zoo.architecture import NetworkConfig
from zoo.errors import ZooError, suggest
from zoo.settings import build, tag, to_mapping
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import Banded, Dense


@dataclass(frozen=True, kw_only=True)
class Circle:
    radius: float = 1.0


@dataclass(frozen=True, kw_only=True)
class RMSBox:
    sides: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if min(self.sides) < 1:
            raise ZooError(f"sides must be at least 1, got {self.sides}")


@dataclass(frozen=True, kw_only=True)
class Drawing:
    settings_name: ClassVar[str] = "picture"

    title: str
    shapes: tuple[Circle | RMSBox, ...] = ()
    frame: Circle | RMSBox | None = None
    color: Literal["red", "blue"] = "red"
    size: int = 3
    flat: bool = True
    names: dict[str, str] = field(default_factory=dict)


FULL = Drawing(
    title="a", shapes=(Circle(radius=2.0), RMSBox()), frame=RMSBox(sides=(2, 3)), color="blue", names={"x": "y"}
)


def test_tags() -> None:
    assert (tag(Circle), tag(RMSBox), tag(Drawing)) == ("circle", "rms_box", "picture")


def test_plain_values_and_back() -> None:
    plain = to_mapping(FULL)
    assert plain["shapes"] == [{"type": "circle", "radius": 2.0}, {"type": "rms_box", "sides": [1, 1]}]
    assert build(Drawing, plain) == FULL


def test_a_bare_name_takes_the_defaults() -> None:
    drawing: Drawing = build(Drawing, {"title": "a", "shapes": ["circle", {"type": "rms_box", "sides": [4, 5]}]})
    assert drawing.shapes == (Circle(), RMSBox(sides=(4, 5)))


@given(some.integers(1, 10**6), some.floats(0.1, 1e300), some.booleans(), some.text(max_size=20))
def test_command_lines_say_the_same_as_files(size: int, radius: float, flat: bool, title: str) -> None:
    words = {"size": str(size), "flat": str(flat), "title": title, "frame": {"type": "circle", "radius": str(radius)}}
    built: Drawing = build(Drawing, words, from_text=True)
    assert built == Drawing(title=title, size=size, flat=flat, frame=Circle(radius=radius))


def test_lists_and_none_of_a_command_line() -> None:
    assert build(RMSBox, {"sides": "[7,8]"}, from_text=True) == RMSBox(sides=(7, 8))
    assert build(Drawing, {"title": "a", "frame": "null"}, from_text=True).frame is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "missing setting 'drawing.title'"),
        ("x", "drawing: expected a mapping of settings, got 'x'"),
        ({"title": 3}, "drawing.title: expected text, got 3"),
        ({"titel": "a"}, "unknown setting 'drawing.titel'; did you mean 'title'?"),
        ({"title": "a", "size": 2.5}, "drawing.size: expected a whole number, got 2.5"),
        ({"title": "a", "size": True}, "drawing.size: expected a whole number, got True"),
        ({"title": "a", "flat": 1}, "drawing.flat: expected true or false, got 1"),
        ({"title": "a", "color": "rad"}, "drawing.color: 'rad' is not possible; did you mean 'red'?"),
        ({"title": "a", "shapes": "circle"}, "drawing.shapes: expected a list, got 'circle'"),
        ({"title": "a", "shapes": ["circel"]}, "drawing.shapes[0]: unknown type 'circel'; did you mean 'circle'?"),
        ({"title": "a", "frame": {"radius": 1}}, "drawing.frame: needs 'type: NAME'; choose one of: circle, rms_box"),
        (
            {"title": "a", "frame": {"type": "circle", "radius": "1"}},
            "drawing.frame.radius: expected a number, got '1'",
        ),
        (
            {"title": "a", "frame": {"type": "circle", "radius": float("nan")}},
            "frame.radius: must be a number",
        ),
        ({"title": "a", "frame": {"type": "circle", "radius": 10**400}}, "frame.radius: expected a number, got 1000"),
        ({"title": "a", "frame": {"type": "rms_box", "sides": [1]}}, "drawing.frame.sides: expected 2 values, got 1"),
        ({"title": "a", "frame": {"type": "rms_box", "sides": [0, 1]}}, "drawing.frame: sides must be at least 1"),
        ({"title": "a", "names": [1]}, "drawing.names: expected a mapping, got [1]"),
        ({"title": "a", "type": "circle"}, "drawing: expected type 'picture', got 'circle'"),
        (
            {"title": "a", "frame": {"_target_": "os.system", "type": "circle"}},
            "unknown setting 'drawing.frame._t",
        ),
        ({"title": "a", "frame": "os.system"}, "drawing.frame: unknown type 'os.system'"),
    ],
)
def test_mistakes_get_one_line(value: Any, message: str) -> None:
    with pytest.raises(ZooError) as caught:
        build(Drawing, value, "drawing")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_network_of_a_recipe() -> None:
    plain = {
        "type": "transformer",
        "vocabulary": 11,
        "context": 32,
        "width": 8,
        "depth": 2,
        "heads": 2,
        "patterns": ["dense", {"type": "banded", "window": 4}],
    }
    config: NetworkConfig = build(NetworkConfig, plain, "model")
    assert isinstance(config, TransformerConfig)
    assert config.patterns == (Dense(), Banded(window=4))
    assert build(NetworkConfig, to_mapping(config), "model") == config


def test_suggestions() -> None:
    assert suggest("shakespear", ["text/shakespeare", "text/adder"]) == "; did you mean 'text/shakespeare'?"
    assert suggest("q", ["red", "blue"]) == "; choose one of: red, blue"
    assert suggest("q", [str(number) for number in range(100, 200)]) == ""
    assert suggest("RED", ["red", "Red", "blue"]) == "; did you mean 'red'?"
    assert suggest("q", ["red", "Red"]) == "; choose one of: red, Red"
    animals = [*(f"animal {number}" for number in range(30)), "fox", "ox"]
    assert suggest("qqox", animals, nearest=1) == "; did you mean 'ox'?"
    assert suggest("qqqx", animals, nearest=2) == "; of 32 these are nearest: ox, fox"
    assert suggest("qqqx", animals) == ""
