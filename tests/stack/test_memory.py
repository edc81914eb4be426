"""What a plan says that drawing takes, beside what it takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from zoo.generate.cascade import LevelSampler, seeded
from zoo.generate.settings import SamplingSettings
from zoo.music.config import Above, Labels, PriorConfig
from zoo.music.prior import Prior
from zoo.music.telling import Piece, Telling
from zoo.stack.memory import Fit, fitted, need_of
from zoo.transformer.config import TransformerConfig
from zoo.transformer.linear import pack_all

CPU = torch.device("cpu")
CONTEXT = 512


def peak_of(work: Callable[[], object], trace: Path) -> int:
    """Return by how many bytes the memory of tensors grew at most, which unlike a process's is the same each time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    profiled.export_chrome_trace(str(trace))
    events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["name"] == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        now += event["args"]["Bytes"]
        most = max(most, now)
    return most


def prior(dtype: torch.dtype, width: int = 64, depth: int = 2) -> Prior:
    config = PriorConfig(
        transformer=TransformerConfig(vocabulary=20, context=CONTEXT, width=width, depth=depth, heads=2, tied=False),
        labels=Labels(artists=4, genres=3),
        above=Above(codes=20, width=32, depth=1, ups=1),
    )
    return Prior(config).eval().to(dtype)


def draw(made: Prior, rows: int, chunk: int | None, guidance: float, new: int) -> None:
    """Draw the last ids of one window."""
    telling = Telling(config=made.config, hop=4)
    settings = SamplingSettings(max_new_tokens=0, guidance=guidance)
    sampler = LevelSampler(
        made,
        telling,
        [telling.of(Piece(total=4 * CONTEXT))] * rows,
        torch.full((rows, CONTEXT), 3),
        torch.zeros(rows, CONTEXT // 2, dtype=torch.int64),
        step=CONTEXT // 2,
        settings=settings,
        draws=seeded(range(rows), settings, CPU, [0] * rows),
        given=CONTEXT - new,
        chunk=chunk,
    )
    assert sum(1 for _ in sampler) == new


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("chunk", [None, 64, 256])
@pytest.mark.parametrize("rows", [1, 4])
def test_what_is_estimated_is_taken(
    rows: int, chunk: int | None, guidance: float, dtype: torch.dtype, tmp_path: Path
) -> None:
    made = prior(dtype)
    need = need_of(made.config, guided=guidance != 1, device=CPU, dtype=dtype)
    taken = peak_of(lambda: draw(made, rows, chunk, guidance, new=3), tmp_path / "trace.json")
    assert 1 <= (need.total(rows, chunk) - need.weights) / taken <= 2


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled steps read weights where they are; without them, matrices are copied."""
    monkeypatch.setattr("zoo.transformer.native.load", lambda: None)


@pytest.mark.usefixtures("no_compiler")
def test_the_copy_of_the_weights_is_taken_into_account(tmp_path: Path) -> None:
    made = prior(torch.float32, width=256)
    need = need_of(made.config, guided=False, device=CPU, dtype=torch.float32)

    def packed() -> None:
        pack_all(made, 4)
        draw(made, 4, 64, 1.0, new=3)

    alone = peak_of(lambda: draw(made, 4, 64, 1.0, new=3), tmp_path / "trace.json")
    taken = peak_of(packed, tmp_path / "trace.json")
    assert 0.8 < (taken - alone) / need.copy <= 1  # embeddings are not copied
    assert 1 <= (need.total(4, 64, packed=True) - need.weights) / taken <= 2


@pytest.mark.usefixtures("no_compiler")
def test_the_copy_of_bfloat16_keys_is_taken_into_account(tmp_path: Path) -> None:
    made = prior(torch.bfloat16, depth=24)
    need = need_of(made.config, guided=False, device=CPU, dtype=torch.bfloat16)
    taken = peak_of(lambda: draw(made, 2, 64, 1.0, new=3), tmp_path / "trace.json")
    assert 1 <= (need.total(2, 64) - need.weights) / taken <= 2


def test_compiled_steps_take_no_copy() -> None:
    from zoo.transformer import native

    if native.load() is None:
        pytest.skip("there is no compiler")
    config = prior(torch.float32).config
    assert need_of(config, guided=False, device=CPU, dtype=torch.float32).copy == 0


@pytest.mark.usefixtures("no_compiler")
def test_matrices_are_copied_where_that_leaves_room_for_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    config = prior(torch.float32).config
    need = need_of(config, guided=False, device=CPU, dtype=torch.float32)

    def fit(bytes_: int, rows: int = 4) -> Fit:
        monkeypatch.setattr("zoo.stack.memory.available_bytes", lambda device: int(bytes_ / 0.9) + 10)
        told = {"windowed": True, "guided": False, "most": None, "loaded": False}
        return fitted(config, 0, rows=rows, **told, device=CPU, dtype=torch.float32)

    found = [
        fit(bytes_) for bytes_ in (need.least(4), need.total(4, 64, packed=True), need.total(4, None, packed=True))
    ]
    assert [(each.rows, each.chunk, each.packed) for each in found] == [(4, 64, False), (4, 64, True), (4, None, True)]
    assert not fit(need.total(2, None, packed=True), rows=2).packed  # of which a view is as fast
