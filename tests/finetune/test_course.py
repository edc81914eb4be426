"""How long and how fast: what is worked out from the network and its data."""

from __future__ import annotations

import pytest

from zoo.errors import ZooError
from zoo.finetune.course import Course
from zoo.train.optimizer import AdamW


def test_the_defaults_are_gpt1s_at_its_width() -> None:
    settings = Course().settings(tokens=100_000, context=512, width=768)
    assert settings.learning_rate == 6.25e-5
    assert settings.optimizer == AdamW(betas=(0.9, 0.999), weight_decay=0.01)
    assert settings.clip == 1.0
    assert settings.steps == 74  # 3 x 100,000 / (8 x 512), rounded up
    assert settings.schedule.factor(0, 74) == 1.0  # 0.2 % of 74 updates is none
    assert settings.schedule.factor(37, 74) == 0.5
    assert Course(batch=32).settings(tokens=10_000_000, context=512, width=768).schedule.warmup == 4


def test_the_rate_grows_as_networks_get_narrower() -> None:
    rates = [Course().settings(tokens=1, context=1, width=width).learning_rate for width in (8, 192, 384, 1536)]
    assert rates == pytest.approx([1e-3, 1e-3, 2.5e-4, 1.5625e-5])
    slower = [Course().settings(tokens=1, context=1, width=width, post_norm=True).learning_rate for width in (128, 768)]
    assert slower == pytest.approx([3.75e-4, 6.25e-5])
    assert Course(learning_rate=0.1).settings(tokens=1, context=1, width=192).learning_rate == 0.1


def test_steps_go_before_epochs() -> None:
    assert Course(steps=7).settings(tokens=10**6, context=8, width=8).steps == 7
    assert Course(epochs=0.5).settings(tokens=6400, context=8, width=8).steps == 50
    assert Course(epochs=0.5, accumulation=2).settings(tokens=6400, context=8, width=8).steps == 25
    assert Course(epochs=1e-9).settings(tokens=1, context=1, width=8).steps == 1


@pytest.mark.parametrize(("steps", "every"), [(1, 1), (10, 1), (11, 2), (100, 10), (10_000, 500)])
def test_there_are_ten_evaluations_or_more(steps: int, every: int) -> None:
    assert Course(steps=steps).settings(tokens=1, context=1, width=8).evaluate_every == every


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "train.epochs is more than 0, got 0"),
        ({"epochs": float("inf")}, "train.epochs is more than 0, got inf"),
        ({"steps": 0}, "train.steps is at least 1"),
        ({"batch": 0}, "train.batch is at least 1"),
        ({"warmup": 2}, "train.warmup is a part of the updates"),
        ({"learning_rate": 0}, "train.learning_rate is positive"),
        ({"patience": 1, "evaluate_every": 0}, "train.patience needs evaluations"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_read(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ZooError, match=message):
        Course(**settings)
