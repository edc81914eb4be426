"""The codebook: what it chooses, how it learns, comes back to life and goes on, and stays equal over processes."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zoo.errors import ZooError
from zoo.tokenizers import codebook
from zoo.tokenizers.codebook import Codebook

ROOT = Path(__file__).resolve().parents[2]


def book(codes: int = 8, width: int = 3, *, seed: int = 0, decay: float = 0.99) -> Codebook:
    """Return a codebook that has begun, with random vectors."""
    found = Codebook(codes=codes, width=width, decay=decay)
    found.adopt(torch.randn(codes, width, generator=torch.Generator().manual_seed(seed)))
    return found


@given(st.integers(2, 20), st.integers(1, 9), st.integers(0, 50), st.integers(1, 64), st.integers(0, 99))
def test_nearest_is_the_nearest(codes: int, width: int, count: int, piece: int, seed: int) -> None:
    found, generator = book(codes, width, seed=seed), torch.Generator().manual_seed(seed + 1)
    inputs = torch.randn(count, width, generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codebook, "PIECE", piece)  # a few rows at a time
        ids = found.nearest(inputs)
    assert ids.shape == (count,)
    assert ids.dtype == torch.int64
    distances = (inputs[:, None] - found.vectors[None]).square().sum(2)
    torch.testing.assert_close(distances.gather(1, ids[:, None])[:, 0], distances.amin(1), atol=1e-5, rtol=1e-5)


def test_vectors_are_their_own_nearest() -> None:
    found = book(64, 5)
    ids = torch.arange(64)
    assert torch.equal(found.nearest(found.lookup(ids)), ids)
    with pytest.raises(ZooError, match=r"^ids must be 0 to 63, got 3 to 64$"):
        found.lookup(torch.tensor([3, 64]))


def test_gradients_pass_straight_through() -> None:
    found, inputs = book().train(), torch.randn(2, 5, 3, requires_grad=True)
    quantized = found(inputs)
    assert quantized.ids.shape == (2, 5)
    torch.testing.assert_close(quantized.vectors, found.lookup(quantized.ids))
    weights = torch.randn(2, 5, 3)
    (quantized.vectors * weights).sum().backward()
    assert inputs.grad is not None
    assert torch.equal(inputs.grad, weights)
    inputs.grad = None
    quantized.commitment.sum().backward()
    difference = inputs.detach() - found.lookup(quantized.ids)
    torch.testing.assert_close(quantized.commitment, difference.square().mean((1, 2)))
    torch.testing.assert_close(inputs.grad, 2 * difference / 15)
    assert not found.eval()(inputs).vectors.requires_grad


def test_an_update_is_a_moving_average() -> None:
    found = book(2, 1, decay=0.75).train()
    found.vectors.copy_(torch.tensor([[0.0], [10.0]]))
    found.sums.copy_(torch.tensor([[0.0], [40.0]]))
    found.counts.copy_(torch.tensor([4.0, 4.0]))
    found(torch.tensor([[[1.0], [2.0], [9.0]]]))
    assert torch.equal(found.vectors, torch.tensor([[0.0], [10.0]]))  # nothing yet
    found.settle()
    torch.testing.assert_close(found.counts, torch.tensor([3.5, 3.25]))
    torch.testing.assert_close(found.sums, torch.tensor([[0.75], [32.25]]))
    torch.testing.assert_close(found.vectors, found.sums / found.counts[:, None])
    health = found.health()
    assert health["usage"] == health["used_now"] == 1
    assert health["restarts"] == health["dead"] == 0
    assert health["fit"] == pytest.approx((1 + 4 + 1) / 3)
    assert health["entropy"] == pytest.approx(-(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3)))
    assert health["spread"] == pytest.approx(torch.tensor([1.0, 2.0, 9.0]).std(correction=0).item())


def test_several_forwards_are_one_update() -> None:
    inputs, rest = torch.randn(4, 50, 3), torch.randn(8, 3)
    once, twice = book().train(), book().train()
    once(inputs)
    once.settle(rest)
    twice(inputs[:2])
    twice(inputs[2:])
    twice.settle(rest)
    for name, value in once.state_dict().items():
        torch.testing.assert_close(twice.state_dict()[name], value)
    assert twice.health() == pytest.approx(once.health())


def test_what_is_forgotten_changes_nothing() -> None:
    found = book().train()
    before = {name: value.clone() for name, value in found.state_dict().items()}
    found(torch.full((1, 9, 3), math.nan))
    found.forget()
    found.settle()
    found.eval()(torch.randn(1, 9, 3))
    found.settle()
    assert all(torch.equal(value, before[name]) for name, value in found.state_dict().items())
    assert found.health() == {}


@pytest.mark.parametrize("count", [3, 8, 40])
def test_first_vectors_are_inputs(count: int) -> None:
    found, inputs = Codebook(codes=8, width=4).train(), 5 * torch.randn(1, count, 4)
    found(inputs)
    nearest = (found.vectors[:, None] - inputs[0][None]).square().sum(2).amin(1).sqrt()
    assert found.begun
    assert float(nearest.max()) == 0 if count >= 8 else 0 < float(nearest.max()) < 0.1
    assert len(found.vectors.unique(dim=0)) == 8
    assert torch.equal(found.sums, found.vectors)
    assert torch.equal(found.counts, torch.ones(8))


def test_first_vectors_are_numbers() -> None:
    found = Codebook(codes=4, width=2).train()
    found(torch.full((1, 9, 2), math.nan))
    assert not found.begun
    found.forget()
    found(torch.randn(1, 9, 2))
    assert found.begun


def test_restarts_bring_dead_codes_back() -> None:
    """Vectors far from all inputs: without restarts they are never chosen again; with them all are."""
    torch.manual_seed(0)
    inputs = torch.randn(2, 400, 4)
    found = book(64, 4).train()
    found.vectors[8:] += 100.0
    found.sums[8:], found.counts[8:] = 0.0, 0.0  # unused for long
    assert len(found.nearest(inputs[0]).unique()) <= 8
    shares = []
    for _ in range(80):
        found(inputs)
        found.settle()
        shares.append(found.health()["usage"])
    health = found.health()
    assert shares[0] < 0.2
    assert health["usage"] == health["used_now"] == 1
    assert health["restarts"] == health["dead"] == 0
    assert len(found.nearest(inputs[0]).unique()) > 55
    assert health["entropy"] > 0.9 * math.log(64)


def test_a_stopped_training_goes_on_bit_by_bit() -> None:
    torch.manual_seed(3)
    batches = [torch.randn(2, 20, 3) for _ in range(6)]

    def train(found: Codebook, some: list[Tensor]) -> Codebook:
        for batch in some:
            found(batch)
            found.settle()
        return found

    torch.manual_seed(4)
    whole = train(Codebook(codes=16, width=3).train(), batches)
    torch.manual_seed(4)
    first = train(Codebook(codes=16, width=3).train(), batches[:3])
    state, numbers = first.state_dict(), torch.get_rng_state()
    torch.manual_seed(99)
    second = Codebook(codes=16, width=3).train()
    second.load_state_dict(state)
    torch.set_rng_state(numbers)
    train(second, batches[3:])
    for name, value in whole.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name
    assert whole.state_dict().keys() == {"vectors", "sums", "counts", "begun"}


def test_autocast_leaves_distances_alone() -> None:
    found, inputs = book(256, 16), torch.randn(1, 500, 16)
    ids = found.nearest(inputs[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(found.nearest(inputs[0]), ids)
        assert found(inputs).vectors.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": 1}, "codes must be 2 to 1048576, got 1"),
        ({"width": 0}, "a code's width must be 1 to 65536, got 0"),
        ({"decay": 1.0}, "decay must be at least 0 and below 1, got 1.0"),
        ({"threshold": 0.0}, "threshold must be above 0 and finite, got 0.0"),
        ({"threshold": math.nan}, "threshold must be above 0 and finite, got nan"),
    ],
)
def test_wrong_settings_get_one_line(changes: dict[str, float], message: str) -> None:
    settings = {"codes": 8, "width": 4, "decay": 0.99, "threshold": 1.0, **changes}
    with pytest.raises(ZooError) as caught:
        Codebook(**settings)  # type: ignore[arg-type]
    assert str(caught.value) == message


PROCESS = """
import sys
import torch
from torch import distributed
from zoo.tokenizers.codebook import Codebook

rank, port, file = int(sys.argv[1]), sys.argv[2], sys.argv[3]
distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
torch.manual_seed(rank)  # what is drawn must not depend on it
book = Codebook(codes=16, width=3).train()
data = torch.Generator().manual_seed(7)
for _ in range(5):
    both = torch.randn(2, 30, 3, generator=data)
    book(both[rank : rank + 1])
    book.settle()
torch.save({**book.state_dict(), "health": torch.tensor(list(book.health().values()))}, file)
distributed.destroy_process_group()
"""


def test_two_processes_keep_equal_codebooks(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = [tmp_path / f"{rank}.pt" for rank in range(2)]
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(PROCESS), str(rank), str(port), str(file)], cwd=ROOT)
        for rank, file in enumerate(files)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    one, other = (torch.load(file, weights_only=True) for file in files)
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    # each update saw the inputs of both: 60 of them
    total = 16.0
    for _ in range(5):
        total = 0.99 * total + 0.01 * 60
    assert float(one["counts"].sum()) == pytest.approx(total, rel=1e-5)
