"""All levels of Jukebox, from labels to sound, as its own program draws them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import zoo
from tests.parity.cases import Find, Numbers
from zoo.generate.cascade import LevelSampler, lyric_alignment, step_of, windows
from zoo.generate.draw import InverseCumulative
from zoo.generate.settings import SamplingSettings
from zoo.loading import open_checkpoint
from zoo.music.names import Names, Whole, Words
from zoo.music.prior import Prior
from zoo.music.telling import Piece, Telling, Told
from zoo.tokenizers.codec import Codec

LEVELS = (2, 1, 0)


@dataclass(frozen=True)
class Case:
    """The fixture, its parts loaded from files as the original writes them."""

    numbers: Numbers
    facts: dict[str, Any]
    codec: Codec
    priors: dict[int, Prior]

    def telling(self, level: int) -> Telling:
        return Telling(config=self.priors[level].config, hop=self.codec.hops[level])

    def told(self, level: int) -> list[Told]:
        """What is said of both items, with tables made of what the fixture says."""
        telling, rows = self.telling(level), self.numbers[f"in/labels_y_l{level}"]
        style = Whole() if level == 2 else Words()
        metas, labels = self.facts["metas"], telling.config.labels
        assert labels is not None
        genres = rows[:, 4 : 4 + labels.slots].tolist()
        names = Names(
            artists={
                style.artist(meta["artist"]): int(row[3]) for meta, row in zip(metas, rows, strict=True) if row[3]
            },
            genres={
                word: number
                for meta, numbers in zip(metas, genres, strict=True)
                for word, number in zip(style.genres(meta["genre"]), numbers, strict=False)
                if number > 0
            },
            style=style,
        )
        known = Telling(config=replaced(telling.config, names), hop=telling.hop)
        pieces = [
            Piece(
                artist=meta["artist"],
                genre=meta["genre"],
                lyrics=meta["lyrics"],
                total=meta["total_length"],
                offset=meta["offset"],
            )
            for meta in metas
        ]
        return [known.of(piece, unknown=True) for piece in pieces]


def replaced(config: Any, names: Names) -> Any:
    from dataclasses import replace

    return replace(config, labels=replace(config.labels, names=names))


@pytest.fixture
def case(fixture_case: Find, tmp_path: Path) -> Case:
    numbers = load_file(fixture_case("jukebox/e2e_ancestral_3level.safetensors"))
    facts = json.loads(fixture_case("jukebox/e2e_ancestral_3level.json").read_text())

    def saved(name: str, file: str, hps: dict[str, Any]) -> Path:
        start = f"w/{name}/"
        model = {key[len(start) :]: tensor for key, tensor in numbers.items() if key.startswith(start)}
        torch.save({"hps": hps, "model": model, "step": 1}, tmp_path / file)
        return tmp_path / file

    codec = zoo.load_codec(saved("vqvae", "vqvae.pth.tar", facts["vqvae_hps"]), device="cpu")
    align = dict(zip(("alignment_layer", "alignment_head"), facts["align"], strict=True))
    priors = {}
    for level in LEVELS:
        hps = facts["prior_hps"][level] | (align if level == 2 else {})
        path = saved(f"prior{level}", f"prior_level_{level}.pth.tar", hps)
        network = open_checkpoint(path).network(torch.device("cpu"), torch.float32)
        assert isinstance(network, Prior)
        priors[level] = network.eval()
    return Case(numbers, facts, codec, priors)


def drawn(case: Case, level: int, above: Tensor | None, stops: tuple[int, ...] = (), span: int = 1024) -> Tensor:
    """Return a level's codes, drawn by the fixture's numbers; begun anew after each of ``stops`` ids."""
    total = case.facts["windows"][str(level)]["total_tokens"]
    codes = torch.full((len(case.facts["metas"]), total), -1)
    settings = SamplingSettings(max_new_tokens=0, temperature=case.facts["sampling_kwargs"][level]["temp"])
    numbers = case.numbers["in/u"][case.facts["uniform_rows_used"][str(level)][0] :]
    known = 0
    for stop in (*stops, total):
        sampler = LevelSampler(
            case.priors[level],
            case.telling(level),
            case.told(level),
            codes,
            above,
            step=step_of(case.priors[level].config, case.facts["hps"]["hop_fraction"][level]),
            settings=settings,
            draws=lambda position: InverseCumulative(numbers[position:]),
            known=known,
            span=span,
        )
        for step in sampler:
            known = step.position + 1
            if known == stop:
                break
    return codes.clamp(min=0)


def test_windows_and_what_they_are_told(case: Case) -> None:
    for level in LEVELS:
        facts, prior, telling = case.facts["windows"][str(level)], case.priors[level], case.telling(level)
        step = step_of(prior.config, case.facts["hps"]["hop_fraction"][level])
        found = windows(facts["total_tokens"], prior.context, step)
        assert step == facts["hop"]
        assert [window.start for window in found] == facts["starts"]
        prefix = f"out/y_l{level}_start"
        starts = [int(key[len(prefix) :]) for key in case.numbers if key.startswith(prefix)]
        assert starts
        for start in starts:
            rows = [torch.cat((telling.labels(one, start), telling.lyrics(one, start)[0])) for one in case.told(level)]
            assert torch.equal(torch.stack(rows), case.numbers[f"{prefix}{start}"])


def test_every_level_token_for_token_sound_and_alignment(case: Case) -> None:
    above = None
    for level in LEVELS:
        above = drawn(case, level, above)
        assert torch.equal(above, case.numbers[f"out/z_l{level}"])
        sound = case.codec.decode(above, level)
        torch.testing.assert_close(sound, case.numbers[f"out/x_l{level}"], atol=1e-4, rtol=0)
        if level == 2:
            step = step_of(case.priors[level].config, case.facts["hps"]["hop_fraction"][level])
            for item, told in enumerate(case.told(level)):
                found = lyric_alignment(case.priors[2], case.telling(2), told, above[item], None, step=step)
                torch.testing.assert_close(found, case.numbers[f"out/alignment_{item}"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("span", [1024, 5])
def test_begun_anew_in_the_middle_of_windows(case: Case, span: int) -> None:
    codes = case.numbers["out/z_l2"]
    assert torch.equal(drawn(case, 2, None, stops=(1, 17, 31, 32, 33, 47), span=span), codes)
    assert torch.equal(drawn(case, 1, codes, stops=(16, 40, 100), span=span), case.numbers["out/z_l1"])
