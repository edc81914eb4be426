from __future__ import annotations

import pytest
import torch

from zoo.errors import ZooError
from zoo.generate.padding import PaddedIds, without_padding

IDS = torch.tensor([[0, 0, 3, 4], [5, 6, 7, 0], [1, 2, 3, 4]])
MASK = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]])


def test_rows_move_to_the_left_edge_and_results_back() -> None:
    padded = PaddedIds(IDS, MASK, vocabulary=10)
    assert padded.ids.tolist() == [[3, 4, 0, 0], [5, 6, 7, 0], [1, 2, 3, 4]]
    assert padded.lengths.tolist() == [2, 3, 4]
    assert [row.tolist() for row in padded.rows()] == [[3, 4], [5, 6, 7], [1, 2, 3, 4]]
    assert torch.equal(padded.restore(padded.ids[..., None])[..., 0], IDS * MASK)


def test_columns_that_are_all_padding_are_not_read() -> None:
    padded = PaddedIds(torch.tensor([[9, 1, 9], [9, 2, 9]]), torch.tensor([[0, 1, 0], [0, 1, 0]]), vocabulary=10)
    assert padded.ids.tolist() == [[1], [2]]
    assert padded.restore(padded.ids[..., None])[..., 0].tolist() == [[0, 1, 0], [0, 2, 0]]


def test_one_row_may_be_bare() -> None:
    padded = PaddedIds(torch.tensor([1, 2]), None, vocabulary=10)
    assert padded.ids.tolist() == [[1, 2]]
    assert padded.given.shape == (1, 2)


def test_what_stands_at_padding_does_not_matter() -> None:
    assert PaddedIds(torch.tensor([[-100, 1]]), torch.tensor([[0, 1]]), vocabulary=10).rows()[0].tolist() == [1]


@pytest.mark.parametrize(
    ("ids", "mask", "message"),
    [
        (
            torch.zeros(2, 2),
            None,
            r"ids: expected int64 \(batch, time\) with at least one id, got torch.float32 \(2, 2\)",
        ),
        (torch.zeros(0, dtype=torch.int64), None, "expected int64"),
        (torch.zeros(1, 1, 1, dtype=torch.int64), None, "expected int64"),
        ([1, 2], None, "got list"),
        (IDS, MASK[:2], r"mask: expected a tensor of the shape of ids \(3, 4\), got \(2, 4\)"),
        (IDS, [[1] * 4] * 3, r"mask: expected a tensor of the shape of ids \(3, 4\), got list"),
        (IDS, torch.tensor([[1, 0, 1, 1]] * 3), "mask: every row needs at least one id, in one piece"),
        (IDS, torch.zeros_like(IDS), "mask: every row needs at least one id"),
        (IDS, None, r"ids: 7 is outside the model's vocabulary \[0, 7\)"),
    ],
)
def test_refuses(ids: torch.Tensor, mask: torch.Tensor | None, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        PaddedIds(ids, mask, vocabulary=7 if mask is None else 10)


def test_pad_ids_that_end_a_row_are_padding() -> None:
    ids = torch.tensor([[5, 0, 3, 0, 0], [0, 0, 0, 0, 0], [1, 2, 3, 4, 5], [0, 0, 0, 0, 9]])
    expected = [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]
    assert without_padding(ids, 0).int().tolist() == expected
