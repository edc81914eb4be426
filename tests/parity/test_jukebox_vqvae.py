"""Jukebox's codec against numbers of its own program: codes, sounds, every loss, one update, every gradient."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor

from tests.parity.cases import Find, Numbers
from zoo.tokenizers.audio.spectra import spectral_convergence
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.tokenizers.codec import Reconstructed
from zoo.train.reconstruct import Bandwidth, SoundReconstruction
from zoo.weights import jukebox_names
from zoo.weights.links import written

CASES = ["vqvae_3level_lmix", "vqvae_2level_l2_small"]


@dataclass(frozen=True)
class Case:
    """A codec with the fixture's weights, the fixture's numbers, and its settings under their own names."""

    codec: Vqvae
    numbers: Numbers
    hps: dict[str, Any]

    @property
    def samples(self) -> Tensor:
        return self.numbers["in/x"]

    def objective(self, **weights: float) -> SoundReconstruction:
        """Return a loss with these weights of its terms, and no others."""
        size = self.hps["bandwidth"]
        none = {"l1": 0.0, "l2": 0.0, "linf": 0.0, "spectral": 0.0, "multispectral": 0.0, "commitment": 0.0}
        bandwidth = Bandwidth(l1=size["l1"], l2=size["l2"], spectral=size["spec"])
        return SoundReconstruction(bandwidth=bandwidth, loudest=self.hps["linf_k"], **{**none, **weights})

    def waveform(self) -> dict[str, float]:
        """Return the weights of the terms of ``recons_loss``."""
        if self.hps["loss_fn"] == "l2":
            return {"l2": 1.0}
        return {name: self.hps[f"lmix_{name}"] for name in ("l1", "l2", "linf")}

    def loss(self, result: Reconstructed, **weights: float) -> Tensor:
        """Return the loss with these weights: a mean over the rows of what ``result`` lost."""
        objective = self.objective(**weights)
        terms = torch.stack(objective.terms(result, self.samples)).sum(0)
        return (terms + objective.commitment * torch.stack(result.commitments).sum(0)).mean()

    def total(self, result: Reconstructed) -> Tensor:
        """Return the loss that is trained on."""
        rest = {"spectral": self.hps["spectral"], "multispectral": self.hps["multispectral"]}
        return self.loss(result, **self.waveform(), **rest, commitment=self.hps["commit"])

    def metrics(self, result: Reconstructed) -> dict[str, Tensor]:
        """Return every loss under the name that it has in the fixture."""
        first = Reconstructed(outputs=result.outputs[:1], commitments=result.commitments[:1], ids=result.ids[:1])
        found = {f"{name}_loss": self.loss(first, **{name: 1.0}) for name in ("l1", "l2", "linf")}
        parts = {
            "recons_loss": self.waveform(),
            "spectral_loss": {"spectral": 1.0},
            "multispectral_loss": {"multispectral": 1.0},
        }
        for name, weights in parts.items():
            found[name] = self.loss(result, **weights)
            for level, output in enumerate(result.outputs):
                alone = Reconstructed(outputs=(output,), commitments=first.commitments, ids=first.ids)
                found[f"{name}_l{level + 1}"] = self.loss(alone, **weights)
        found["commit_loss"] = torch.stack(result.commitments).mean(1).sum()
        sounds = (rearrange(each, "batch time 1 -> batch time") for each in (result.outputs[0], self.samples))
        return {**found, "spectral_convergence": spectral_convergence(*sounds).mean()}


@pytest.fixture(params=CASES)
def case(fixture_case: Find, request: pytest.FixtureRequest) -> Case:
    numbers = load_file(fixture_case(f"jukebox/{request.param}.safetensors"))
    hps = json.loads(fixture_case(f"jukebox/{request.param}.json").read_text())["hps"]
    config = VqvaeConfig(
        rate=hps["sr"],
        codes=hps["l_bins"],
        code_width=hps["emb_width"],
        width=hps["width"],
        depth=hps["depth"],
        downs=tuple(hps["downs_t"]),
        strides=tuple(hps["strides_t"]),
        multipliers=tuple(hps["hvqvae_multipliers"] or [1] * hps["levels"]),
        decay=hps["l_mu"],
        threshold=hps["revival_threshold"],
    )
    codec = Vqvae(config)
    for name, weight in views(codec):
        weight.copy_(numbers[f"w/{name}"])
    for level in range(codec.levels):
        book = codec.codebook(level)
        book.adopt(book.vectors.clone())
        book.sums.copy_(numbers[f"in/ema_k_sum_l{level}"])
        book.counts.copy_(numbers[f"in/ema_k_elem_l{level}"])
    return Case(codec.eval(), numbers, hps)


def views(codec: Vqvae) -> list[tuple[str, Tensor]]:
    """Return the codec's weights under the original program's names."""
    return [(name, view.detach()) for name, view in written(codec, jukebox_names.links(codec.config, ORIGINAL))]


ORIGINAL = jukebox_names.ORIGINAL


def test_codes_and_sounds(case: Case) -> None:
    codec, numbers = case.codec, case.numbers
    for level, ids in enumerate(codec.encode(case.samples)):
        features = rearrange(codec.features(case.samples, level), "batch time width -> batch width time")
        torch.testing.assert_close(features, numbers[f"out/enc_l{level}"], atol=2e-5, rtol=0)
        assert torch.equal(ids, numbers[f"out/z_l{level}"])
        torch.testing.assert_close(codec.decode(ids, level), numbers[f"out/dec_l{level}"], atol=1e-5, rtol=0)


def test_levels_as_tokenizers(case: Case) -> None:
    """Each level by itself, in chunks: the same codes, and the same sounds."""
    for level in range(case.codec.levels):
        tokenizer, ids = case.codec.level(level), case.numbers[f"out/z_l{level}"][0]
        assert torch.equal(tokenizer.encode_samples(case.samples[0, :, 0]), ids)
        samples = tokenizer.decode_samples(ids)
        torch.testing.assert_close(samples, case.numbers[f"out/dec_l{level}"][0, :, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_every_loss(case: Case, mode: str) -> None:
    result = case.codec.train(mode == "train")(case.samples)
    wanted = {name.split("/")[-1]: value for name, value in case.numbers.items() if f"out/{mode}_metric/" in name}
    found = case.metrics(result)
    health = {"dk", "entropy", "fit", "pn", "usage", "used_curr"} if mode == "train" else set()
    assert wanted.keys() == found.keys() | health
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name], atol=0, rtol=2e-6, msg=name)
    torch.testing.assert_close(case.total(result), case.numbers[f"out/{mode}_loss"], atol=0, rtol=1e-6)
    if mode == "eval":
        torch.testing.assert_close(result.outputs[0], case.numbers["out/eval_x_out"], atol=1e-5, rtol=0)


def test_one_update(case: Case) -> None:
    codec, numbers = case.codec.train(), case.numbers
    before = [codec.codebook(level).vectors.clone() for level in range(codec.levels)]
    codec(case.samples)
    codec.settle([numbers[f"in/ema_k_rand_l{level}"] for level in range(codec.levels)])
    for level in range(codec.levels):
        book = codec.codebook(level)
        assert not torch.equal(book.vectors, before[level])
        for name, found in {"k": book.vectors, "k_sum": book.sums, "k_elem": book.counts}.items():
            torch.testing.assert_close(found, numbers[f"out/ema_{name}_l{level}"], atol=2e-6, rtol=1e-6, msg=name)
        restarted = numbers[f"out/ema_restarted_l{level}"]
        assert torch.equal(book.vectors[restarted], numbers[f"in/ema_k_rand_l{level}"][restarted])
        prefix = f"level_{level}_"
        assert codec.health()[f"{prefix}restarts"] == int(restarted.sum())
    names = {"entropy": "entropy", "fit": "fit", "pn": "spread", "dk": "change"}
    for theirs, ours in {**names, "usage": "usage", "used_curr": "used_now"}.items():
        values = [value for name, value in codec.health().items() if name.split("_", 2)[2] == ours]
        mean = torch.tensor(sum(values) / codec.levels * (codec.config.codes if theirs.startswith("us") else 1))
        torch.testing.assert_close(mean, numbers[f"out/train_metric/{theirs}"], atol=0, rtol=1e-6, msg=theirs)


SHIFTS = 8
"""Directions in which samples are moved by less than their rounding."""


def test_every_gradient(case: Case) -> None:
    """Within rounding, on one side or the other of a rectifier's zero.

    Inputs of a few rectifiers are zero but for rounding, which differs from processor to processor, and there gradients
    jump by a thousandth. Samples moved by a third of their rounding reach either side; levels share nothing, so each
    may take its own.
    """
    expected = {name[5:]: value for name, value in case.numbers.items() if name.startswith("grad/")}
    left = set(range(case.codec.levels))
    for shift in range(SHIFTS + 1):
        found = gradients_of(case, shift)
        assert found.keys() == expected.keys()
        for level in [*left]:
            names = [name for name in expected if name.split(".")[1] == str(level)]
            if close_together(found, expected, names):
                left.remove(level)
        if not left:
            break
    assert not left


def gradients_of(case: Case, shift: int) -> dict[str, Tensor]:
    """Return every gradient under the original's names; ``shift``: the number of a direction, 0 for none."""
    codec = case.codec.train()
    codec.zero_grad()
    torch.manual_seed(shift)
    moved = case.samples * (1 + 3e-8 * torch.randn_like(case.samples) * (shift > 0))
    case.total(codec(moved)).backward()
    gradients = Vqvae(codec.config)
    for (_, place), parameter in zip(gradients.named_parameters(), codec.parameters(), strict=True):
        assert parameter.grad is not None
        place.data.copy_(parameter.grad)
    return {name: view for name, view in views(gradients) if not name.startswith("bottleneck")}


def close_together(found: dict[str, Tensor], expected: dict[str, Tensor], names: list[str]) -> bool:
    """Return whether gradients are the same within rounding: all of them together, and each by itself."""
    errors = torch.stack([(found[name] - expected[name]).norm() for name in names])
    norms = torch.stack([expected[name].norm() for name in names])
    return bool(errors.norm() < 1e-5 * norms.norm()) and bool((errors < 1e-4 * norms).all())


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (VqvaeConfig(), 1_485_763),
        (VqvaeConfig(rate=22_050, codes=1024, downs=(5, 3), strides=(2, 2), multipliers=(1, 1)), 586_050),
    ],
)
def test_parameters(config: VqvaeConfig, parameters: int) -> None:
    """Of the released codec, and of the original's ``small_vqvae``."""
    with torch.device("meta"):
        codec = Vqvae(config)
    assert sum(parameter.numel() for parameter in codec.parameters()) == parameters
