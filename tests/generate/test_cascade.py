"""Windows of a level, and drawing that can stop anywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zoo.errors import ZooError
from zoo.generate.cascade import LevelSampler, level_seed, seeded, step_of, windows
from zoo.generate.settings import SamplingSettings
from zoo.music.config import Above, Labels, PriorConfig
from zoo.music.prior import Prior
from zoo.music.telling import Piece, Telling
from zoo.transformer.config import TransformerConfig

CPU = torch.device("cpu")


def prior(*, above: bool = False) -> Prior:
    """A small prior of random weights that are large enough to be sure of something."""
    torch.manual_seed(1)
    config = PriorConfig(
        transformer=TransformerConfig(vocabulary=11, context=16, width=16, depth=2, heads=2, tied=False),
        labels=Labels(artists=4, genres=3),
        above=Above(codes=11, width=8, depth=1) if above else None,
    )
    made = Prior(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


def drawn(
    made: Prior, total: int, seeds: list[int], *, stops: tuple[int, ...] = (), span: int = 7, places: int = 0,
    above: Tensor | None = None, begun: Tensor | None = None, settings: SamplingSettings | None = None,
    chunk: int | None = None,
) -> Tensor:  # fmt: skip
    """Draw a level, begun anew after each of ``stops`` ids."""
    telling = Telling(config=made.config, hop=4)
    told = [telling.of(Piece(total=4 * total)) for _ in seeds]
    codes = torch.full((len(seeds), total), 10)
    given = 0
    if begun is not None:
        given = begun.shape[1]
        codes[:, :given] = begun
    known = given
    settings = settings or SamplingSettings(max_new_tokens=0)
    for stop in (*stops, total):
        sampler = LevelSampler(
            made, telling, told, codes, above, step=step_of(made.config, 0.5), settings=settings, given=given,
            known=known,
            draws=seeded([level_seed(seed, 0) for seed in seeds], settings, CPU, [places] * len(seeds)), span=span,
            chunk=chunk,
        )  # fmt: skip
        for step in sampler:
            known = step.position + 1
            if known == stop:
                break
    return codes


@given(total=st.integers(1, 90), context=st.integers(1, 20), data=st.data())
def test_windows_draw_every_id_once(total: int, context: int, data: st.DataObject) -> None:
    step, before = data.draw(st.integers(1, context)), data.draw(st.integers(0, total))
    found = windows(total, context, step, given=before)
    assert [place for window in found for place in range(window.first, window.end)] == list(range(before, total))
    assert all(window.end - window.start == min(context, total) for window in found)
    assert all(window.start <= window.first for window in found)


def test_samples_are_those_of_any_batch_and_any_stop() -> None:
    made = prior()
    together = drawn(made, 41, [5, 6, 7])
    assert len({tuple(row.tolist()) for row in together}) == 3
    for row, seed in enumerate([5, 6, 7]):
        assert torch.equal(drawn(made, 41, [seed])[0], together[row])
    for stops in [(1,), (16, 17), (6, 7, 8, 23, 40), tuple(range(1, 41))]:
        assert torch.equal(drawn(made, 41, [5, 6, 7], stops=stops), together)


@pytest.mark.parametrize("chunk", [1, 3, 8, 64])
def test_windows_that_are_read_in_parts(chunk: int) -> None:
    made = prior(above=True)
    codes = torch.randint(0, 11, (3, 10), generator=torch.Generator().manual_seed(0))
    for guidance in (1.0, 2.0):
        settings = SamplingSettings(max_new_tokens=0, guidance=guidance)
        whole = drawn(made, 40, [5, 6, 7], above=codes, settings=settings)
        assert torch.equal(drawn(made, 40, [5, 6, 7], above=codes, settings=settings, chunk=chunk), whole)


def test_what_was_given_stays_and_what_follows_depends_on_it() -> None:
    made = prior()
    begun = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8, 9]])
    found = drawn(made, 30, [1], begun=begun)
    assert torch.equal(found[:, :9], begun)
    assert not torch.equal(found, drawn(made, 30, [1], begun=begun.flip(1)))
    assert torch.equal(drawn(made, 9, [1], begun=begun), begun)


def test_codes_above_of_whole_and_of_shorter_windows() -> None:
    made = prior(above=True)
    assert step_of(made.config, 0.4) == 4
    codes = torch.randint(0, 11, (2, 10), generator=torch.Generator().manual_seed(0))
    whole = drawn(made, 40, [1, 2], above=codes)
    assert not torch.equal(whole, drawn(made, 40, [1, 2], above=codes.roll(1, 1)))
    short = drawn(made, 8, [1, 2], above=codes[:, :2])  # half a window
    assert short.shape == (2, 8)
    assert int(short.max()) < 11
    with pytest.raises(ZooError, match="needs 10 codes above, got 9"):
        drawn(made, 40, [1, 2], above=codes[:, :9])
    with pytest.raises(ZooError, match="needs 10 codes above, got none"):
        drawn(made, 40, [1, 2])


def test_greedy_and_other_settings() -> None:
    made, settings = prior(), SamplingSettings(max_new_tokens=0, temperature=0)
    assert torch.equal(drawn(made, 20, [1], settings=settings), drawn(made, 20, [2], settings=settings))
    narrow = replace(settings, temperature=1.0, top_k=1)
    assert torch.equal(drawn(made, 20, [1], settings=narrow), drawn(made, 20, [2], settings=settings))


@pytest.mark.parametrize("hop", [0.0, -1.0, 1.5, float("nan")])
def test_hops_that_are_none(hop: float) -> None:
    with pytest.raises(ZooError, match="a part of the window"):
        step_of(prior().config, hop)
