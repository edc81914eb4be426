"""What codecs minimise: how far their samples are from the originals, and their codes from what they stand for."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.data.base import SampleBatch, SampleData
from zoo.errors import ZooError
from zoo.evaluate.language_model import Autocast, EvaluationStopped, ShouldStop
from zoo.generate.sampler import evaluation_mode
from zoo.tokenizers.audio.spectra import magnitudes, spectral_convergence
from zoo.tokenizers.codec import Codec, Reconstructed
from zoo.train.log import Log
from zoo.train.objective import Objective

SCALES = ((2048, 240, 1200), (1024, 120, 600), (512, 50, 240))
"""Transform, hop and window of the multi-scale spectral loss (Dhariwal et al. 2020, section 3.3, and their code)."""
SCALE = (2048, 256, 1536)
"""Of the spectral loss at one scale."""
SHOWN = 3
"""Held-out samples to hear or see."""
MEASURED_SECONDS = 600
"""Most of the training sounds that the bandwidth is measured on."""


@dataclass(frozen=True, kw_only=True)
class Bandwidth:
    """How large the losses are of sounds against silence: what losses are divided by, so that weights fit any data.

    Attributes:
        l1: mean absolute value.
        l2: variance.
        spectral: mean norm of the magnitudes of a crop's transform.
    """

    l1: float
    l2: float
    spectral: float

    def __post_init__(self) -> None:
        if not all(0.0 < value < math.inf for value in dataclasses.astuple(self)):
            raise ZooError(f"bandwidth is positive, got {dataclasses.astuple(self)}; is the data more than silence?")

    @classmethod
    def measure(cls, data: SampleData, *, rate: float, size: int, seed: int) -> Bandwidth:
        """Return the bandwidth of the first crops that training will see, of up to ten minutes."""
        total = absolute = squares = norms = 0.0
        count = crops = step = 0
        while count < MEASURED_SECONDS * rate and step < 64:
            samples = rearrange(data.batch(step=step, size=size, seed=seed).samples, "batch time 1 -> batch time")
            total += float(samples.double().sum())
            absolute += float(samples.abs().double().sum())
            squares += float(samples.double().square().sum())
            norms += float(torch.linalg.vector_norm(magnitudes(samples), dim=(1, 2)).sum())
            count, crops, step = count + samples.numel(), crops + len(samples), step + 1
        variance = squares / count - (total / count) ** 2
        if not variance > 0.0:
            raise ZooError("data: these sounds are silence; a codec cannot learn from them")
        return cls(l1=absolute / count, l2=variance, spectral=norms / crops)


@dataclass(frozen=True, kw_only=True)
class Reconstruction(Objective):
    """What the losses of all codecs have in common: terms that are means over the samples (or pixels) of each row.

    Attributes:
        commitment: weight of the distance between what is encoded and its code (van den Oord et al. 2017, equation 3).
    """

    commitment: float = 0.02

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not 0.0 <= value < math.inf:
                raise ZooError(f"train.objective.{field.name} is not negative, got {value}")

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What the terms are called."""

    @abstractmethod
    def terms(self, result: Reconstructed, samples: Tensor) -> tuple[Tensor, ...]:
        """Return the weighted losses of each row, (batch,) each, without the commitment."""

    @abstractmethod
    def measure(self, network: Codec) -> Measure:
        """Return what takes the measures of a held-out part."""

    def counts(self, batch: SampleBatch) -> tuple[int, ...]:
        """Return the number of samples (or pixels), for every term."""
        return (batch.samples[..., 0].numel(),) * (len(self.names) + 1)

    def losses(self, network: Any, batch: SampleBatch) -> tuple[Tensor, ...]:
        """Return each term, summed over the samples of all rows."""
        samples = batch.samples
        return self._summed(network(samples), samples)

    def _summed(self, result: Reconstructed, samples: Tensor) -> tuple[Tensor, ...]:
        committed = self.commitment * torch.stack(list(result.commitments)).sum(dim=0)
        inner = samples[0, ..., 0].numel()
        return tuple(inner * term.float().sum() for term in (*self.terms(result, samples), committed))

    def report(self, means: Sequence[float], network: Any, data: Any) -> dict[str, float]:
        """Return the loss, its terms, and how the codebooks are."""
        return {"loss": sum(means), **dict(zip((*self.names, "commitment"), means, strict=True)), **network.health()}

    def words(self, told: Mapping[str, float]) -> str:
        """Return how the codebooks are, a number for each level."""
        shown = {"usage": ".2f", "entropy": ".1f", "dead": ".0f", "restarts": ".0f"}
        parts = []
        for name, form in shown.items():
            values = [format(value, form) for key, value in told.items() if key.split("_")[-1] == name]
            parts += [f"{name} {' '.join(values)}"] if values else []
        return "  ".join(parts)

    def evaluate(
        self, network: Any, data: SampleData, *, batch: int, autocast: Autocast, should_stop: ShouldStop
    ) -> dict[str, Any]:
        """Return the losses of the held-out part, how near its samples come back, and the codes that it uses."""
        measure = self.measure(network)
        sums, count = torch.zeros(len(self.names) + 1, dtype=torch.float64), 0
        with evaluation_mode(network), torch.inference_mode():
            for rows in self._held_out(network, data, batch, should_stop):
                with autocast():
                    result = network(rows.samples)
                sums += torch.stack(self._summed(result, rows.samples)).double().cpu()
                count += self.counts(rows)[0]
                measure.add(result, rows.samples)
        if not count:
            raise ZooError("the held-out part is empty; give more data")
        means = (sums / count).tolist()
        terms = dict(zip((*self.names, "commitment"), means, strict=True))
        return {"loss": sum(means), **terms, **measure.metrics()}

    def _held_out(self, network: Any, data: SampleData, size: int, stop: ShouldStop) -> Iterator[SampleBatch]:
        device = next(network.parameters()).device
        for rows in data.held_out(size):
            if stop():
                raise EvaluationStopped
            yield rows.to(device)

    def show(self, network: Any, data: SampleData, log: Log, step: int) -> None:
        """Put some held-out samples beside the curves, each with what every level makes of it."""
        rows = next(self._held_out(network, data, SHOWN, lambda: False))
        with evaluation_mode(network), torch.inference_mode():
            outputs = network(rows.samples).outputs
        for row in range(len(rows.samples)):
            versions = {"original": rows.samples[row]}
            versions |= {f"level_{level}": output[row] for level, output in enumerate(outputs)}
            shown = {name: each.float().cpu() for name, each in versions.items()}
            self.show_one(network, f"held_out_{row}", shown, log, step)

    @abstractmethod
    def show_one(self, codec: Any, name: str, versions: Mapping[str, Tensor], log: Log, step: int) -> None:
        """Put one sample, (..., channels), beside the curves: the original, then each level's."""

    def begin(self, network: nn.Module) -> None:
        """Forget what the codebooks have noted."""
        assert isinstance(network, Codec)
        network.forget()

    def settle(self, network: nn.Module) -> None:
        """Let the codebooks follow what they have noted."""
        assert isinstance(network, Codec)
        network.settle()


@dataclass(frozen=True, kw_only=True)
class SoundReconstruction(Reconstruction):
    """Jukebox's loss (Dhariwal et al. 2020, section 3, and their code): waveforms and spectra, at every level.

    Attributes:
        l1, l2, linf: weights of the mean absolute, the mean squared, and the mean of the ``loudest`` largest squared
            differences of a row.
        loudest: see ``linf``.
        spectral: weight of the distance between spectra at one scale.
        multispectral: weight of their distance at three scales.
        bandwidth: what these are divided by; None: measured on the data before training.
    """

    unit: ClassVar[str] = "samples"

    l1: float = 0.0
    l2: float = 1.0
    linf: float = 0.02
    loudest: int = 2048
    spectral: float = 0.0
    multispectral: float = 1.0
    bandwidth: Bandwidth | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Waveforms and spectra."""
        return "waveform", "spectrum"

    def terms(self, result: Reconstructed, samples: Tensor) -> tuple[Tensor, ...]:
        """Return the distance of waveforms and of spectra, summed over the levels, (batch,) each."""
        target = rearrange(samples, "batch time 1 -> batch time").float()
        outputs = [rearrange(output, "batch time 1 -> batch time").float() for output in result.outputs]
        waveform = torch.stack([self._waveform(output, target) for output in outputs]).sum(dim=0)
        return waveform, self._spectrum(torch.stack([target, *outputs]))

    def _waveform(self, output: Tensor, target: Tensor) -> Tensor:
        size, change = self._bandwidth(), output - target
        squared = change.square()
        loss = self.l2 * squared.mean(dim=1) / size.l2
        if self.l1:
            loss = loss + self.l1 * change.abs().mean(dim=1) / size.l1
        if self.linf:
            loudest = squared.topk(min(self.loudest, squared.shape[1]), dim=1, sorted=False).values
            loss = loss + self.linf * loudest.mean(dim=1) / size.l2
        return loss

    def _spectrum(self, sounds: Tensor) -> Tensor:
        """Return the distances of the levels' spectra, ``sounds[1:]``, from the target's, ``sounds[0]``; (batch,)."""
        weights = {scale: self.multispectral / len(SCALES) for scale in SCALES}
        weights[SCALE] = self.spectral
        loss = sounds.new_zeros(sounds.shape[1])
        for scale, weight in weights.items():
            if weight:
                flat = magnitudes(rearrange(sounds, "sound batch time -> (sound batch) time"), *scale)
                spectra = rearrange(flat, "(sound batch) ... -> sound batch (...)", sound=len(sounds))
                loss = loss + weight * torch.linalg.vector_norm(spectra[1:] - spectra[0], dim=2).sum(dim=0)
        return loss / self._bandwidth().spectral

    def _bandwidth(self) -> Bandwidth:
        if self.bandwidth is None:
            raise ZooError("train.objective.bandwidth is not measured yet; give l1, l2 and spectral")
        return self.bandwidth

    def show_one(self, codec: Any, name: str, versions: Mapping[str, Tensor], log: Log, step: int) -> None:
        """Put players beside the curves, and all spectrograms in one picture, one below the other."""
        sounds = torch.stack([version[:, 0].clamp(-1, 1) for version in versions.values()])
        for version, sound in zip(versions, sounds, strict=True):
            log.hear(f"{name}/{version}", sound, codec.config.rate, step)
        log.see(f"{name}/spectrograms", _spectrograms(sounds), step)

    def measure(self, network: Codec) -> Measure:
        """Return the measures of sound."""
        return Measure(network, _convergence, "spectral_convergence_db", lambda mean: 20.0 * math.log10(mean))


@dataclass(frozen=True, kw_only=True)
class PictureReconstruction(Reconstruction):
    """Mean squared difference of pixels in [-1, 1], and the commitment (van den Oord et al. 2017, equation 3).

    Attributes:
        variance: what the difference is divided by.
    """

    unit: ClassVar[str] = "pixels"

    commitment: float = 0.25
    variance: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.variance:
            raise ZooError("train.objective.variance is positive, got 0")

    @property
    def names(self) -> tuple[str, ...]:
        """The pixels."""
        return ("pixels",)

    def terms(self, result: Reconstructed, samples: Tensor) -> tuple[Tensor, ...]:
        """Return the mean squared difference over the variance, summed over the levels, (batch,)."""
        squares = torch.stack([_squares(output, samples) for output in result.outputs])
        return (squares.sum(dim=0) / self.variance,)

    def show_one(self, codec: Any, name: str, versions: Mapping[str, Tensor], log: Log, step: int) -> None:
        """Put the pictures beside the curves, side by side."""
        picture = ((torch.cat(list(versions.values()), dim=1).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        log.see(name, picture.expand(-1, -1, 3), step)

    def measure(self, network: Codec) -> Measure:
        """Return the measures of pictures."""
        return Measure(network, _shown_squares, "quantization_rmse", lambda mean: 127.5 * math.sqrt(mean))


class Measure:
    """How near samples come back at each level, and which codes are used: what survives a change of losses.

    Args:
        codec: what is measured.
        distance: of outputs from samples, (batch,).
        name: of the metric.
        value: the metric of the mean distance.
    """

    def __init__(
        self,
        codec: Codec,
        distance: Callable[[Tensor, Tensor], Tensor],
        name: str,
        value: Callable[[float], float],
    ) -> None:
        self.distance, self.name, self.value = distance, name, value
        self._sums = torch.zeros(codec.levels, dtype=torch.float64)
        self._rows = 0
        self._seen = [torch.zeros(codec.codebook(level).codes, dtype=torch.bool) for level in range(codec.levels)]

    def add(self, result: Reconstructed, samples: Tensor) -> None:
        """Take in a batch."""
        distances = [self.distance(output.float(), samples).sum() for output in result.outputs]
        self._sums += torch.stack(distances).double().cpu()
        self._rows += len(samples)
        for seen, ids in zip(self._seen, result.ids, strict=True):
            seen[ids.flatten().cpu()] = True

    def metrics(self) -> dict[str, float]:
        """Return the metric of the finest level and the share of used codes, then both of each level."""
        near = [self.value(max(mean, 1e-12)) for mean in (self._sums / self._rows).tolist()]
        used = [float(seen.double().mean()) for seen in self._seen]
        whole = {self.name: near[0], "codebook_usage": sum(used) / len(used)}
        if len(near) == 1:
            return whole
        levels = [(f"level_{level}", *values) for level, values in enumerate(zip(near, used, strict=True))]
        return (
            whole
            | {f"{level}_{self.name}": value for level, value, _ in levels}
            | {f"{level}_codebook_usage": share for level, _, share in levels}
        )


def _convergence(output: Tensor, samples: Tensor) -> Tensor:
    """Return the spectral convergence of each row, (batch,)."""
    output, samples = (rearrange(each, "batch time 1 -> batch time") for each in (output, samples))
    return spectral_convergence(output, samples)


def _squares(output: Tensor, samples: Tensor) -> Tensor:
    """Return the mean squared difference of each row, (batch,)."""
    return (output.float() - samples).square().flatten(1).mean(dim=1)


def _shown_squares(output: Tensor, samples: Tensor) -> Tensor:
    """Return the same of pictures as they are shown, cut to [-1, 1]."""
    return _squares(output.clamp(-1.0, 1.0), samples)


def _spectrograms(sounds: Tensor) -> Tensor:
    """Return magnitudes of sounds (count, time), 80 dB from black to white, as uint8 (rows, columns, 3)."""
    decibels = 20 * magnitudes(sounds).clamp_min(1e-5).log10()
    shown = ((decibels - decibels[0].max()) / 80 + 1).clamp(0, 1).flip(1)  # low frequencies at the bottom
    picture = rearrange((shown * 255).to(torch.uint8), "count frequency frame -> (count frequency) frame")
    return picture[..., None].expand(-1, -1, 3)
