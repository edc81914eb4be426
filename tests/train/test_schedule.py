"""Learning-rate schedules at the points that define them."""

from __future__ import annotations

import pytest

from zoo.errors import ZooError
from zoo.train.schedule import Constant, Cosine, Linear, Schedule, WarmupStableDecay


@pytest.mark.parametrize("schedule", [Cosine(), WarmupStableDecay(), Linear(), Constant(warmup=100)])
def test_all_warm_up_in_a_straight_line(schedule: Schedule) -> None:
    factors = [schedule.factor(step, 10_000) for step in (0, 49, 100)]
    assert factors == pytest.approx([1 / 101, 50 / 101, 1.0])


def test_cosine_goes_through_half_way_and_ends_at_the_final_ratio() -> None:
    schedule = Cosine(warmup=10, final_ratio=0.2)
    assert schedule.factor(60, 110) == pytest.approx(0.6)
    assert schedule.factor(110, 110) == pytest.approx(0.2)
    assert schedule.factor(35, 110) == pytest.approx(0.2 + 0.8 * 0.853553391)


def test_a_cosine_may_end_before_the_run_does() -> None:
    schedule = Cosine(warmup=10, final_ratio=0.1, until=0.55)
    assert [schedule.factor(step, 200) for step in (10, 60, 110, 150, 200)] == pytest.approx([1.0, 0.55, 0.1, 0.1, 0.1])
    assert Cosine(warmup=50, until=0.1).factor(60, 200) == pytest.approx(0.1)  # over before the warm-up is


def test_warmup_stable_decay_stays_up_then_falls_in_a_line() -> None:
    schedule = WarmupStableDecay(warmup=0, decay=0.2, final_ratio=0.1)
    assert [schedule.factor(step, 100) for step in (1, 80, 90, 100)] == pytest.approx([1.0, 1.0, 0.55, 0.1])
    assert WarmupStableDecay(decay=0.0, warmup=0).factor(99, 100) == 1.0


def test_linear_and_constant() -> None:
    assert [Linear(warmup=0).factor(step, 100) for step in (0, 50, 100)] == pytest.approx([1.0, 0.5, 0.0])
    assert Constant().factor(99, 100) == 1.0


def test_impossible_values_are_refused() -> None:
    for make in (
        lambda: Cosine(warmup=-1),
        lambda: Linear(final_ratio=1.5),
        lambda: WarmupStableDecay(decay=2.0),
        lambda: Cosine(until=0.0),
    ):
        with pytest.raises(ZooError):
            make()
