"""Jukebox's priors against numbers of its own program, through files as it writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

import zoo
from tests.parity.cases import Find, Numbers
from zoo.data.base import Batch
from zoo.generate.draw import InverseCumulative
from zoo.generate.sampler import Sampler, generate_ids
from zoo.generate.settings import SamplingSettings
from zoo.loading import open_checkpoint
from zoo.music.alignment import alignment
from zoo.music.config import SeparateLyrics
from zoo.music.prior import Prior
from zoo.network import Conditioning
from zoo.train.objective import MusicAndLyrics
from zoo.weights.jukebox_prior_names import links
from zoo.weights.links import written

WITH_TRACES = [
    "prior_order0_nolabels",
    "prior_order1_nolabels",
    "prior_top_order2_merged_labels",
    "prior_top_order2_unmerged_nolabels",
    "upsampler_level0_xcond",
    "upsampler_level1_xcond",
    "upsampler_2level_nolabels",
    "prior_1b_lyrics_style_order12",
    "prior_5b_lyrics_style_order10",
    "prior_sep_enc_dec_order6",
    "prior_sep_enc_dec_order8",
]
CASES = [*WITH_TRACES, "prior_single_enc_dec_small_order12_grads"]
ALIGNED = [
    "prior_1b_lyrics_style_order12",
    "prior_5b_lyrics_style_order10",
    "prior_sep_enc_dec_order8",
    "prior_single_enc_dec_small_order12_grads",
]
WITH_GRADIENTS = [
    "prior_top_order2_merged_labels",
    "prior_top_order2_unmerged_nolabels",
    "upsampler_2level_nolabels",
    "prior_sep_enc_dec_order8",
    "prior_single_enc_dec_small_order12_grads",
]


@dataclass(frozen=True)
class Case:
    """A prior that was loaded from a file of the original's, and the fixture's numbers."""

    prior: Prior
    numbers: Numbers
    facts: dict[str, Any]

    @property
    def codes(self) -> Tensor:
        return self.numbers["in/z"]

    @property
    def told(self) -> Conditioning:
        """What the fixture's rows are told."""
        given, config = {}, self.prior.config
        if config.labels is not None:
            given["labels"] = self.numbers["in/y"][:, : config.labels.row]
        if config.lyrics is not None:
            given["source"] = self.numbers["in/y"][:, -config.lyrics.length :]
        if config.above is not None:
            given["above"] = self.numbers["in/z_cond"]
        return Conditioning(**given)

    @property
    def ids(self) -> Tensor:
        """What the prior reads to predict the fixture's codes."""
        begin = torch.full_like(self.codes[:, :1], self.prior.start_id)
        return torch.cat((begin, self.prior.ids_of(self.codes[:, :-1])), dim=1)

    def batch(self) -> Batch:
        return Batch(
            ids=self.ids,
            targets=self.prior.ids_of(self.codes),
            indices=torch.arange(len(self.codes)),
            conditioning=self.told,
        )


def opened(find: Find, folder: Path, name: str, **replaced: Any) -> Case:
    """Return a fixture as a file of the original's, and what is loaded from it."""
    numbers = load_file(find(f"jukebox/{name}.safetensors"))
    facts = json.loads(find(f"jukebox/{name}.json").read_text())
    align = dict(zip(("alignment_layer", "alignment_head"), facts["align"] or (None, None), strict=True))
    model = {f"module.{key[2:]}": tensor for key, tensor in numbers.items() if key.startswith("w/")}
    path = folder / f"prior_level_{facts['hps']['level']}.pth.tar"
    torch.save({"hps": {**facts["hps"], **align, **replaced}, "model": model, "step": 1}, path)
    network = open_checkpoint(path).network(torch.device("cpu"), torch.float32)
    assert isinstance(network, Prior)
    return Case(network.eval(), numbers, facts)


def near(actual: Tensor, expected: Tensor) -> None:
    """Compare within the fixtures' tolerance."""
    torch.testing.assert_close(actual, expected, atol=1e-4 + 1e-5 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_what_is_told_every_layer_and_the_logits(fixture_case: Find, tmp_path: Path, name: str) -> None:
    case = opened(fixture_case, tmp_path, name)
    prior, numbers = case.prior, case.numbers
    told = prior.prepare(case.told)
    assert told is not None
    if told.added is not None:
        near(told.added, numbers["out/x_cond"].expand_as(told.added))
    if told.start is not None:
        near(told.start[:, None], numbers["out/y_cond"])
    if told.memory is not None:
        near(told.memory, numbers["out/encoder_kv"])
    for layer in range(1, prior.config.depth + 1):
        if layer < prior.config.depth:
            state, _ = prior.residual(case.ids, told, layer)
            near(state, numbers[f"out/layer_{layer - 1:02d}"])
    hidden, lyrics = prior.hidden_with_lyrics(case.ids, told)
    logits = prior.head(hidden)
    if prior.config.prefix:
        assert lyrics is not None
        near(torch.cat((lyrics, logits), dim=1), numbers["out/logits"])
    else:
        near(logits, numbers["out/logits"])
    near(prior(case.ids, conditioning=case.told), logits)


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_losses(fixture_case: Find, tmp_path: Path, name: str) -> None:
    case = opened(fixture_case, tmp_path, name)
    objective, batch, bits = MusicAndLyrics(), case.batch(), torch.tensor(2.0).log()
    counts = objective.counts(batch)
    means = [loss / count / bits for loss, count in zip(objective.losses(case.prior, batch), counts, strict=True)]
    near(means[0], case.numbers["out/gen_loss"])
    whole = sum(mean * weight for mean, weight in zip(means, objective.weights(case.prior) or (1.0,), strict=True))
    near(torch.as_tensor(whole), case.numbers["out/loss"])
    if case.prior.config.lyrics is not None:
        near(means[1], case.numbers["out/prime_loss"])


@pytest.mark.parametrize("name", WITH_GRADIENTS)
def test_gradients(fixture_case: Find, tmp_path: Path, name: str) -> None:
    case = opened(fixture_case, tmp_path, name)
    prior, objective, batch = case.prior.train(), MusicAndLyrics(), case.batch()
    terms = zip(objective.losses(prior, batch), objective.counts(batch), strict=True)
    means = torch.stack([loss / count for loss, count in terms])
    weights = torch.tensor(objective.weights(prior) or (1.0,))
    (means * weights).sum().div(torch.tensor(2.0).log()).backward()
    with torch.no_grad():
        for parameter in prior.parameters():  # seen through the original's names, which transpose and split
            parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
    recomputed = bool(case.facts["hps"]["cond_c_res"])
    ours = dict(written(prior, links(prior.config, recomputed=recomputed)))
    expected = {key[5:]: value for key, value in case.numbers.items() if key.startswith("grad/")}
    assert expected
    for key, gradient in expected.items():
        scale = max(float(gradient.abs().max()), 1e-6)
        torch.testing.assert_close(
            ours[key], gradient, atol=2e-4 * scale + 1e-7, rtol=0, msg=lambda m, k=key: f"{k}: {m}"
        )
    silent = {key for key in ours if key not in expected and key != "prior.x_out.weight"}
    assert all(float(ours[key].abs().max()) == 0 for key in silent)


def drawn(case: Case, kind: str) -> tuple[Tensor, Tensor]:
    """Return tokens as the fixture has them, drawn through a cache from nothing, and those expected."""
    prior, count = case.prior, case.prior.context
    prompts = [torch.tensor([prior.start_id])] * len(case.codes)
    if kind == "argmax":
        settings, draw = SamplingSettings(temperature=0, max_new_tokens=count), None
    else:
        settings = SamplingSettings(temperature=case.facts["invcdf_temp"], max_new_tokens=count)
        draw = InverseCumulative(case.numbers["in/invcdf_u"])
    found = torch.stack(sampled(case, prompts, settings, draw))
    expected = case.numbers[f"out/{kind}_tokens"][:, -count:]
    return found, expected


def sampled(case: Case, prompts: list[Tensor], settings: SamplingSettings, draw: Any) -> list[Tensor]:
    columns = []
    for step in Sampler(case.prior, prompts, settings, conditioning=case.told, draw=draw, chunk=5):
        columns.append(step.ids)
    return list(torch.stack(columns, dim=1))


@pytest.mark.parametrize("kind", ["argmax", "invcdf"])
@pytest.mark.parametrize("name", WITH_TRACES)
def test_traces_token_for_token(fixture_case: Find, tmp_path: Path, name: str, kind: str) -> None:
    case = opened(fixture_case, tmp_path, name)
    found, expected = drawn(case, kind)
    assert torch.equal(found, expected)
    if case.prior.config.prefix:
        assert torch.equal(case.prior.codes_of(found), case.numbers[f"out/{kind}_z"])


@pytest.mark.parametrize("name", WITH_TRACES)
def test_primed_continuation(fixture_case: Find, tmp_path: Path, name: str) -> None:
    case = opened(fixture_case, tmp_path, name)
    prime = case.facts["primed"]["prime_tokens"]
    begin = torch.full_like(case.codes[:, :1], case.prior.start_id)
    prompts = list(torch.cat((begin, case.prior.ids_of(case.codes[:, :prime])), dim=1))
    settings = SamplingSettings(temperature=0, max_new_tokens=case.prior.context - prime)
    found = torch.stack(generate_ids(case.prior, prompts, settings, conditioning=case.told))
    whole = torch.cat((case.codes[:, :prime], case.prior.codes_of(found)), dim=1)
    assert torch.equal(whole, case.numbers["out/primed_argmax_z"])


@pytest.mark.parametrize("name", ALIGNED)
def test_alignment(fixture_case: Find, tmp_path: Path, name: str) -> None:
    case = opened(fixture_case, tmp_path, name)
    weights = alignment(case.prior, case.ids, case.told)
    near(weights, case.numbers["out/align_attn"])
    assert case.prior.config.lyrics is not None
    if isinstance(case.prior.config.lyrics, SeparateLyrics):
        near(weights.sum(-1), torch.ones(weights.shape[:2]))


@pytest.mark.parametrize("name", ["upsampler_level0_xcond", "prior_1b_lyrics_style_order12"])
def test_the_front_door(fixture_case: Find, tmp_path: Path, name: str) -> None:
    case = opened(fixture_case, tmp_path, name)
    model = zoo.load(next(tmp_path.glob("prior_level_*")), device="cpu")
    told = {"labels": case.told.labels, "above": case.told.above, "lyrics": case.told.source}
    conditions = {key: value for key, value in told.items() if value is not None}
    near(model.logits(case.ids, conditions=conditions), case.numbers["out/logits"][:, case.prior.config.prefix :])
    drawn = model.generate_ids(case.ids[:, :1], conditions=conditions, temperature=0, max_new_tokens=9)
    assert torch.equal(drawn[:, 1:], case.numbers["out/argmax_tokens"][:, -case.prior.context :][:, :9])
    model.save(tmp_path / "ours")
    ours = zoo.load(tmp_path / "ours", device="cpu")
    near(ours.logits(case.ids, conditions=conditions), model.logits(case.ids, conditions=conditions))
    with pytest.raises(ValueError, match="labels: expected int64"):
        model.logits(case.ids, conditions={**conditions, "labels": torch.zeros(1)})
    with pytest.raises(ValueError, match="this model takes labels"):
        model.logits(case.ids, conditions={**conditions, "label": "jazz"})


def test_functions_of_no_released_model_are_refused(fixture_case: Find, tmp_path: Path) -> None:
    for name in ("prior_order3_nolabels", "prior_order5_nolabels"):
        with pytest.raises(ValueError, match="attention function 4, which no released model"):
            opened(fixture_case, tmp_path, name)


def test_argmax_of_logits_beside_the_trace(fixture_case: Find, tmp_path: Path) -> None:
    case = opened(fixture_case, tmp_path, "prior_top_order2_merged_labels")
    tokens = case.numbers["out/argmax_tokens"]
    begin = torch.full_like(tokens[:, :1], case.prior.start_id)
    with torch.no_grad():
        logits = case.prior(torch.cat((begin, tokens[:, :-1]), dim=1), conditioning=case.told)
    near(logits, case.numbers["out/argmax_logits"])
    assert float(functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())) < 5
