"""Codecs are trained by the same loop: they learn, stop and go on to the same bits, and a bad step changes nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.data.base import SampleBatch, SampleData
from zoo.errors import ZooError
from zoo.settings import to_mapping
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.codec import Codec
from zoo.tokenizers.codecs import build_codec
from zoo.train.loop import Trainer, TrainResult
from zoo.train.reconstruct import Bandwidth, PictureReconstruction, SoundReconstruction
from zoo.train.schedule import Constant
from zoo.train.settings import TrainSettings
from zoo.weights.folder import Contents

CONFIG = VqvaeConfig(
    rate=8000, codes=16, code_width=4, width=8, depth=1, downs=(2, 1), strides=(2, 2), multipliers=(1, 1)
)
OBJECTIVE = SoundReconstruction(bandwidth=Bandwidth(l1=0.3, l2=0.1, spectral=30.0), multispectral=0.1)
LENGTH = 2048


class Tones(SampleData):
    """Sine tones of random pitch."""

    def __init__(self, bad: int | None = None) -> None:
        self.train_tokens = 0
        self.bad = bad

    def batch(self, *, step: int, size: int, seed: int) -> SampleBatch:
        generator = torch.Generator().manual_seed(1_000_003 * seed + step)
        samples = self._tones(100.0 + 900.0 * torch.rand(size, generator=generator))
        if step == self.bad:
            samples[0, 7] = math.nan
        return SampleBatch(samples=samples, indices=torch.arange(size) + size * step)

    def held_out(self, size: int) -> Iterator[SampleBatch]:
        for pitches in torch.linspace(110.0, 990.0, 6).split(size):
            yield SampleBatch(samples=self._tones(pitches), indices=pitches.long())

    def _tones(self, pitches: Tensor) -> Tensor:
        time = torch.arange(LENGTH) / CONFIG.rate
        return (0.5 * torch.sin(2 * math.pi * pitches[:, None] * time))[..., None]


def settings(**changes: Any) -> TrainSettings:
    values = {"steps": 12, "batch": 2, "learning_rate": 3e-3, "save_every": 4, "evaluate_every": 6, "log_every": 1}
    return TrainSettings(**(values | {"objective": OBJECTIVE, "schedule": Constant()} | changes))


def trained(
    out: Path, train: TrainSettings, data: SampleData | None = None, *, resume: bool = False
) -> tuple[Codec, TrainResult]:
    torch.manual_seed(0)
    codec = build_codec(CONFIG).train()
    contents = Contents(
        family="vqvae", modality="music", network=to_mapping(CONFIG), tokenizer=None, recipe={}, card={"name": "tones"}
    )
    run = Trainer(codec, data or Tones(), train, contents=contents, out=out, resume=resume)
    return codec, run.run()


def digest(out: Path) -> str:
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def test_it_learns_tones_and_says_how_well(tmp_path: Path) -> None:
    first = trained(tmp_path / "short", settings(steps=1))[1].metrics
    codec, result = trained(tmp_path / "long", settings(steps=60, evaluate_every=0, save_every=0, log_every=20))
    metrics = result.metrics
    assert metrics["loss"] < 0.6 * first["loss"]
    assert metrics["loss"] == pytest.approx(sum(metrics[name] for name in ("waveform", "spectrum", "commitment")))
    assert metrics["spectral_convergence_db"] == metrics["level_0_spectral_convergence_db"]
    assert metrics["codebook_usage"] == pytest.approx(
        (metrics["level_0_codebook_usage"] + metrics["level_1_codebook_usage"]) / 2
    )
    assert result.tokens == 60 * 2 * LENGTH
    told = [json.loads(line) for line in (tmp_path / "long" / "metrics.jsonl").read_text().splitlines()]
    assert {"waveform", "spectrum", "commitment", "level_0_usage", "level_1_entropy"} <= set(told[0])
    assert 0 < told[0]["level_0_usage"] <= 1
    stated = json.loads((tmp_path / "long" / "config.json").read_text())["parameters"]
    assert stated == sum(parameter.numel() for parameter in codec.parameters())


@pytest.mark.parametrize("accumulation", [1, 3])
def test_a_run_that_stops_ends_with_the_same_bits(tmp_path: Path, accumulation: int) -> None:
    changes = {"accumulation": accumulation, "average": 0.9}
    trained(tmp_path / "whole", settings(**changes))
    for stop in (1, 5, 8):
        out = tmp_path / f"stopped-{stop}"
        trained(out, settings(**changes, steps=stop))
        trained(out, settings(**changes), resume=True)
        assert digest(out) == digest(tmp_path / "whole")


def test_a_step_that_is_not_finite_changes_no_codebook(tmp_path: Path) -> None:
    trained(tmp_path / "good", settings(steps=3))
    with pytest.raises(ZooError, match=r"stopped before update 4.*the weights of step 3 are saved"):
        trained(tmp_path / "bad", settings(), Tones(bad=3))
    assert digest(tmp_path / "bad") == digest(tmp_path / "good")


def test_the_loss_is_the_sum_of_what_it_says() -> None:
    torch.manual_seed(0)
    codec, batch = build_codec(CONFIG).eval(), Tones().batch(step=0, size=3, seed=0)
    whole = dataclasses.replace(OBJECTIVE, l1=0.5, linf=0.3, loudest=100, spectral=0.2, commitment=0.7)
    with torch.no_grad():
        result = codec(batch.samples)
        losses = [loss.item() / whole.counts(batch)[0] for loss in whole.losses(codec, batch)]
    waveform = 0.0
    for output in result.outputs:
        change = output - batch.samples
        loudest = change.square().flatten(1).topk(100).values.mean()
        waveform += float(change.square().mean() / 0.1 + 0.5 * change.abs().mean() / 0.3 + 0.3 * loudest / 0.1)
    assert losses[0] == pytest.approx(waveform, rel=1e-5)
    assert losses[2] == pytest.approx(0.7 * sum(float(each.mean()) for each in result.commitments), rel=1e-5)


def test_held_out_sounds_can_be_heard_and_seen(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trained(tmp_path, settings(steps=2, tensorboard=True, evaluate_every=1))
    read = events.EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"audio": 0, "images": 0})
    read.Reload()
    players = read.Tags()["audio"]
    assert [f"held_out_0/{name}" for name in ("level_0", "level_1", "original")] == sorted(players)[:3]
    assert [event.step for event in read.Audio("held_out_0/original")] == [1, 2]
    assert read.Audio("held_out_0/original")[0].sample_rate == CONFIG.rate
    picture = read.Images("held_out_2/spectrograms")[0]
    assert (picture.height, picture.width) == (3 * 1025, LENGTH // 256 + 1)


def test_the_bandwidth_is_that_of_the_crops() -> None:
    bandwidth = Bandwidth.measure(Tones(), rate=CONFIG.rate, size=4, seed=0)
    assert bandwidth.l2 == pytest.approx(0.125, rel=0.01)  # of a sine of 0.5
    assert bandwidth.l1 == pytest.approx(0.5 * 2 / math.pi, rel=0.01)
    assert bandwidth.spectral > 1
    with pytest.raises(ZooError, match="silence"):
        Bandwidth.measure(Silence(), rate=CONFIG.rate, size=4, seed=0)


class Silence(Tones):
    """Nothing to hear."""

    def _tones(self, pitches: Tensor) -> Tensor:
        return super()._tones(pitches) * 0


def test_silence_has_finite_losses_and_gradients() -> None:
    codec, batch = build_codec(CONFIG).train(), Silence().batch(step=0, size=2, seed=0)
    whole = torch.stack(OBJECTIVE.losses(codec, batch)).sum()
    whole.backward()
    assert whole.isfinite()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in codec.parameters())


@pytest.mark.parametrize("wrong", [{"l2": -1.0}, {"multispectral": math.inf}, {"commitment": math.nan}])
def test_wrong_weights_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ZooError, match=r"train\.objective"):
        SoundReconstruction(**wrong)
    with pytest.raises(ZooError, match="variance"):
        PictureReconstruction(variance=0.0)
