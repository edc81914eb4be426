from __future__ import annotations

import math

import pytest
import torch

from zoo.generate.draw import (
    IMPOSSIBLE,
    Draw,
    Greedy,
    InverseCumulative,
    Race,
    Replayed,
    hashed_uniform,
    log_exponential,
)

CPU = torch.device("cpu")


def race(*seeds: int) -> Race:
    return Race(seeds, CPU)


def test_greedy_takes_the_first_of_equals() -> None:
    assert Greedy()(torch.tensor([[0.0, 3.0, 3.0], [1.0, 0.0, -math.inf]])).tolist() == [1, 0]


@pytest.mark.parametrize("draw", [Greedy(), race(1), InverseCumulative(torch.tensor([[0.5]] * 4))])
@pytest.mark.parametrize(
    "row", [[math.nan, 0.0, 1.0], [0.0, math.inf, 1.0], [-math.inf] * 3, [1.0, -math.inf, math.nan]]
)
def test_what_is_no_distribution_is_impossible(draw: Draw, row: list[float]) -> None:
    assert draw(torch.tensor([row])).tolist() == [IMPOSSIBLE]


def test_race_draws_from_the_softmax() -> None:
    probabilities = torch.tensor([0.5, 0.25, 0.125, 0.1, 0.02, 0.005, 0.0])
    rows, steps = 500, 200
    draw = race(*range(rows))
    logits = probabilities.log().expand(rows, -1)
    counts = sum(torch.bincount(draw(logits), minlength=7) for _ in range(steps))
    expected = probabilities[:-1] * rows * steps
    chi_square = ((counts[:-1] - expected) ** 2 / expected).sum().item()
    assert counts[-1] == 0
    assert chi_square < 20.5  # 99.9 % of the distribution with 5 degrees of freedom


def test_race_is_fair_in_a_large_flat_vocabulary() -> None:
    draw = race(*range(200))
    logits = torch.zeros(200, 5000)
    drawn = torch.cat([draw(logits) for _ in range(50)])
    counts = torch.histc(drawn.float(), 50, 0, 5000)
    assert ((counts - 200) ** 2 / 200).sum() < 85.4  # 99.9 %, 49 degrees of freedom
    assert len(drawn.unique()) > 4200  # 5000 * (1 - e ** -2) = 4323 expected


def test_steps_and_rows_are_independent() -> None:
    draw = race(*range(2000))
    logits = torch.zeros(2000, 2)
    steps = torch.stack([draw(logits) for _ in range(8)]).float() - 0.5
    products = [(steps[a] * steps[b]).mean().abs() * 4 for a in range(8) for b in range(a)]
    assert max(products) < 0.09  # 4 standard errors of 2000 rows
    assert (steps[:, :-1] * steps[:, 1:]).mean().abs() * 4 < 4 / math.sqrt(8 * 2000)


def test_a_row_draws_the_same_alone_after_selection_and_in_any_vocabulary_block() -> None:
    torch.manual_seed(0)
    logits = torch.randn(150, 3, 40)
    together, alone = race(5, 6, 7), race(6)
    selected = race(5, 6, 7)
    wide = torch.nn.functional.pad(logits, (0, 20_000), value=-math.inf)  # one step at a time, not 64
    whole = race(6)
    expected = [together(step)[1].item() for step in logits]
    assert [alone(step[1:2]).item() for step in logits] == expected
    assert [whole(step[1:2]).item() for step in wide] == expected
    first = [selected(step)[1].item() for step in logits[:37]]
    selected.select(torch.tensor([1]))
    assert first + [selected(step[1:2]).item() for step in logits[37:]] == expected


def test_last_bits_hardly_ever_change_a_draw() -> None:
    torch.manual_seed(0)
    logits = torch.randn(64, 20_000)
    noisy = logits * (1 + 3e-7 * torch.randn_like(logits))
    assert sum((race(*range(s, s + 64))(logits) != race(*range(s, s + 64))(noisy)).sum() for s in range(5)) == 0


def test_hashed_numbers_are_uniform_and_never_reach_the_ends() -> None:
    keys = torch.randint(-(2**31), 2**31 - 1, (300, 2), dtype=torch.int32, generator=torch.Generator().manual_seed(1))
    uniform = hashed_uniform(keys, 1000)
    counts = torch.histc(uniform, 100, 0, 1)
    assert ((counts - 3000) ** 2 / 3000).sum() < 148.2  # 99.9 %, 99 degrees of freedom
    assert uniform.min() > 0
    assert uniform.max() < 1
    assert abs(torch.corrcoef(torch.stack([uniform[:, :-1].flatten(), uniform[:, 1:].flatten()]))[0, 1]) < 0.01


def test_log_exponential_is_exact_at_both_ends() -> None:
    uniform = torch.tensor([2.0**-32, 1e-6, 1 / 256 - 1e-7, 1 / 256 + 1e-7, 0.3, 0.999, 1 - 2.0**-24])
    expected = (-torch.log1p(-uniform.double())).log()
    torch.testing.assert_close(log_exponential(uniform).double(), expected, atol=1e-5, rtol=1e-5)


def test_inverse_cumulative_points_at_intervals() -> None:
    logits = torch.tensor([0.2, 0.0, 0.3, 0.5, 0.0]).log()
    numbers = torch.tensor([[0.0], [0.19], [0.21], [0.49], [0.51], [1 - 2**-53]], dtype=torch.float64)
    draw = InverseCumulative(numbers)
    assert [draw(logits[None]).item() for _ in range(6)] == [0, 0, 2, 2, 3, 3]


def test_inverse_cumulative_selects_its_columns() -> None:
    draw = InverseCumulative(torch.tensor([[0.1, 0.9], [0.9, 0.1]]))
    draw.select(torch.tensor([1]))
    logits = torch.zeros(1, 2)
    assert [draw(logits).item(), draw(logits).item()] == [1, 0]


def test_a_race_that_skips_is_the_one_that_drew() -> None:
    logits = torch.randn(150, 2, 37, generator=torch.Generator().manual_seed(1))
    whole = Race([3, 4], torch.device("cpu"))
    drawn = torch.stack([whole(step) for step in logits])
    for first, second in ((0, 0), (63, 64), (64, 1), (100, 130), (128, 149)):
        later = Race([3, 4], torch.device("cpu"), skip=[first, second])
        steps = 150 - max(first, second)
        for step in range(steps):
            rows = torch.stack((logits[first + step, 0], logits[second + step, 1]))
            assert later(rows).tolist() == [drawn[first + step, 0], drawn[second + step, 1]]


def test_replayed_ids_come_first() -> None:
    replayed = Replayed(torch.tensor([[5, 6], [7, 8]]), Greedy())
    logits = torch.eye(3)[:2]
    assert [replayed(logits).tolist() for _ in range(3)] == [[5, 7], [6, 8], [0, 1]]
