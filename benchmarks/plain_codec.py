"""The peer of Jukebox's codec: the same network and update from PyTorch's modules, as one would write them first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.tokenizers.audio.vqvae.config import VqvaeConfig

SCALES = ((2048, 240, 1200), (1024, 120, 600), (512, 50, 240))


class PlainBlock(nn.Module):
    """A residual block, (batch, width, time)."""

    def __init__(self, width: int, hidden: int, dilation: int) -> None:
        super().__init__()
        taps = nn.Conv1d(width, hidden, 3, padding=dilation, dilation=dilation)
        self.inner = nn.Sequential(nn.ReLU(), taps, nn.ReLU(), nn.Conv1d(hidden, width, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.inner(inputs)  # type: ignore[no-any-return]


class PlainCodec(nn.Module):
    """Encoders, decoders and codebooks with moving averages, all levels; parameters in the order of ``Vqvae``'s."""

    vectors: Tensor
    sums: Tensor
    counts: Tensor

    def __init__(self, config: VqvaeConfig) -> None:
        super().__init__()
        self.config, levels = config, range(config.levels)
        self.encoders = nn.ModuleList(
            nn.ModuleList(self._down(level, part) for part in range(level + 1)) for level in levels
        )
        self.decoders = nn.ModuleList(
            nn.ModuleList(
                [*(self._up(level, part) for part in range(level + 1)), nn.Conv1d(config.code_width, 1, 3, 1, 1)]
            )
            for level in levels
        )
        self.register_buffer("vectors", torch.randn(config.levels, config.codes, config.code_width))
        self.register_buffer("sums", self.vectors.clone())
        self.register_buffer("counts", torch.ones(config.levels, config.codes))

    def encode(self, samples: Tensor) -> list[Tensor]:
        """Return the ids (batch, time) of each level of samples (batch, time, 1)."""
        return [self._nearest(self._features(samples, level), level)[0] for level in range(self.config.levels)]

    def decode(self, ids: Tensor, level: int) -> Tensor:
        """Return samples (batch, time, 1) of ids (batch, time)."""
        return self._render(functional.embedding(ids, self.vectors[level]).transpose(1, 2), level)

    def loss(self, samples: Tensor, bandwidth: tuple[float, float], *, commitment: float = 0.02) -> Tensor:
        """Return Jukebox's loss of samples (batch, time, 1), after an update of the codebooks.

        Args:
            samples: a batch.
            bandwidth: what squared differences and spectra are divided by.
            commitment: its weight.
        """
        total, target = samples.new_zeros(()), samples[..., 0]
        for level in range(self.config.levels):
            features = self._features(samples, level)
            ids, found = self._nearest(features, level)
            self._update(features.detach(), ids, level)
            output = self._render(features + (found - features).detach(), level)[..., 0]
            squared = (output - target).square()
            largest = squared.topk(min(2048, squared.shape[1]), dim=1).values.mean()
            spectra = [(_spectrum(output, scale) - _spectrum(target, scale)).norm(dim=(1, 2)) for scale in SCALES]
            total = total + (squared.mean() + 0.02 * largest) / bandwidth[0]
            total = total + torch.stack(spectra).mean() / bandwidth[1]
            total = total + commitment * (features - found.detach()).square().mean()
        return total

    def _features(self, samples: Tensor, level: int) -> Tensor:
        values = samples.transpose(1, 2)
        for block in _sequence(self.encoders[level]):
            values = block(values)
        return values

    def _render(self, values: Tensor, level: int) -> Tensor:
        *blocks, out = _sequence(self.decoders[level])
        for block in reversed(blocks):
            values = block(values)
        return out(values).transpose(1, 2)  # type: ignore[no-any-return]

    def _nearest(self, features: Tensor, level: int) -> tuple[Tensor, Tensor]:
        vectors, flat = self.vectors[level], features.transpose(1, 2).flatten(0, 1)
        distances = flat.square().sum(1, keepdim=True) - 2 * flat @ vectors.t() + vectors.square().sum(1)
        ids = distances.argmin(1).view(len(features), -1)
        return ids, functional.embedding(ids, vectors).transpose(1, 2)

    @torch.no_grad()
    def _update(self, features: Tensor, ids: Tensor, level: int) -> None:
        config, flat = self.config, features.transpose(1, 2).flatten(0, 1)
        chosen = functional.one_hot(ids.flatten(), config.codes).to(flat.dtype)
        self.sums[level].lerp_(chosen.t() @ flat, 1 - config.decay)
        self.counts[level].lerp_(chosen.sum(0), 1 - config.decay)
        alive = (self.counts[level] >= config.thresholds[level])[:, None]
        others = flat[torch.randint(len(flat), (config.codes,))]
        self.vectors[level] = torch.where(alive, self.sums[level] / self.counts[level][:, None], others)

    def _blocks(self, level: int) -> list[nn.Module]:
        config, width = self.config, self._width(level)
        dilations = config.dilations(config.multipliers[level])
        return [PlainBlock(width, int(config.hidden_ratio * width), dilation) for dilation in dilations]

    def _down(self, level: int, part: int) -> nn.Sequential:
        config, width, stride = self.config, self._width(level), self.config.strides[part]
        modules: list[nn.Module] = []
        for step in range(config.downs[part]):
            inputs = width if step else config.code_width if part else 1
            modules += [nn.Conv1d(inputs, width, 2 * stride, stride, stride // 2), *self._blocks(level)]
        return nn.Sequential(*modules, nn.Conv1d(width, config.code_width, 3, padding=1))

    def _up(self, level: int, part: int) -> nn.Sequential:
        config, width, stride = self.config, self._width(level), self.config.strides[part]
        modules: list[nn.Module] = [nn.Conv1d(config.code_width, width, 3, padding=1)]
        for step in range(config.downs[part]):
            outputs = config.code_width if step == config.downs[part] - 1 else width
            blocks = self._blocks(level)
            modules += reversed(blocks) if config.reverse_decoder_dilation else blocks
            modules.append(nn.ConvTranspose1d(width, outputs, 2 * stride, stride, stride // 2))
        return nn.Sequential(*modules)

    def _width(self, level: int) -> int:
        return self.config.width * self.config.multipliers[level]


def _sequence(modules: nn.Module) -> Sequence[nn.Module]:
    assert isinstance(modules, nn.ModuleList)
    return list(modules)


def _spectrum(samples: Tensor, scale: tuple[int, int, int]) -> Tensor:
    n_fft, hop, window = scale
    return torch.stft(samples, n_fft, hop, window, torch.hann_window(window), return_complex=True).abs()
