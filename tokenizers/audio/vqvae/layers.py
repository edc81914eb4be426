"""The parts of a VQ-VAE of sound: residual blocks of dilated convolutions, and towers of them that change the rate.

Everything here maps (batch, time, width) to the same; borders are padded with zeros. On a processor, convolutions are
matrix products a tile at a time (``tiles``), elsewhere those of PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.tiles import Residual, Taps, apply_residual


class Same(nn.Conv1d):
    """A convolution of three taps that keeps the time."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        if not _tiled(inputs):
            return _time_first(super().forward(_time_last(inputs)))
        return _taps(inputs, rearrange(self.weight, "o i tap -> tap i o"), self.bias, (-1, 0, 1), inputs.shape[1])


class Down(nn.Conv1d):
    """A convolution of ``2 * stride`` taps that divides the time by ``stride``."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, 2 * stride, stride, padding=stride // 2)

    def forward(self, inputs: Tensor) -> Tensor:
        if not _tiled(inputs):
            return _time_first(super().forward(_time_last(inputs)))
        # seen as frames of a stride, the taps are two: a frame and the next
        step = self.stride[0]
        time = inputs.shape[1] // step
        padded = nn.functional.pad(inputs, (0, 0, step // 2, (time + 1) * step - inputs.shape[1] - step // 2))
        frames = rearrange(padded, "batch (frame step) i -> batch frame (step i)", step=step)
        taps = rearrange(self.weight, "o i (tap step) -> tap (step i) o", step=step)
        return _taps(frames, taps, self.bias, (0, 1), time)


class Up(nn.ConvTranspose1d):
    """A transposed convolution of ``2 * stride`` taps that multiplies the time by ``stride``."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, 2 * stride, stride, padding=stride // 2)

    def forward(self, inputs: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not _tiled(inputs):
            return _time_first(super().forward(_time_last(inputs), output_size))
        # seen as frames of a stride, each input reaches two: its own and the next
        step = self.stride[0]
        taps = rearrange(self.weight, "i o (tap step) -> tap i (step o)", step=step)
        assert self.bias is not None
        frames = _taps(inputs, taps, repeat(self.bias, "o -> (step o)", step=step), (0, -1), inputs.shape[1] + 1)
        whole = rearrange(frames, "batch frame (step o) -> batch (frame step) o", step=step)
        return whole[:, step // 2 : whole.shape[1] - step // 2]


class ResidualBlock(nn.Module):
    """The weights of ``x + scale * pointwise(relu(dilated(relu(x))))``, which ``ResidualBlocks`` computes."""

    def __init__(self, width: int, hidden: int, dilation: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.dilated = nn.Conv1d(width, hidden, 3, padding=dilation, dilation=dilation)
        self.pointwise = nn.Conv1d(hidden, width, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (batch, width, time) to the same."""
        change: Tensor = self.pointwise(self.dilated(inputs.relu()).relu_())
        return inputs + (change if self.scale == 1 else self.scale * change)

    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the weights as ``tiles.Block`` has them."""
        taps = rearrange(self.dilated.weight, "o i tap -> tap i o").contiguous()
        back = rearrange(self.pointwise.weight, "o i 1 -> i o").contiguous()
        assert self.dilated.bias is not None
        assert self.pointwise.bias is not None
        if self.scale == 1:
            return taps, self.dilated.bias, back, self.pointwise.bias
        return taps, self.dilated.bias, self.scale * back, self.scale * self.pointwise.bias


class ResidualBlocks(nn.Sequential):
    """Residual blocks in a row, one for each of ``dilations``; what each adds is multiplied by ``scale``."""

    def __init__(self, width: int, hidden: int, dilations: Sequence[int], scale: float = 1.0) -> None:
        super().__init__(*(ResidualBlock(width, hidden, dilation, scale) for dilation in dilations))
        self.dilations = tuple(dilations)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (batch, time, width) to the same; without gradients, ``inputs`` themselves are changed."""
        if not self.dilations:
            return inputs
        if not _tiled(inputs):
            return _time_first(super().forward(_time_last(inputs)))  # type: ignore[no-untyped-call]
        weights = [weight for block in self for weight in cast(ResidualBlock, block).weights()]
        if torch.is_grad_enabled():
            return Residual.apply(inputs, self.dilations, *weights)  # type: ignore[no-any-return]
        return apply_residual(inputs, self.dilations, *weights)


class DownStep(nn.Module):
    """A strided convolution that divides the time by ``stride``, then residual blocks."""

    def __init__(self, inputs: int, width: int, hidden: int, stride: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.down = Down(inputs, width, stride)
        self.residual = ResidualBlocks(width, hidden, dilations)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.residual(self.down(inputs))  # type: ignore[no-any-return]


class UpStep(nn.Module):
    """Residual blocks, then a transposed convolution that multiplies the time by ``stride``."""

    def __init__(
        self, width: int, outputs: int, hidden: int, stride: int, dilations: Sequence[int], scale: float = 1.0
    ) -> None:
        super().__init__()
        self.residual = ResidualBlocks(width, hidden, dilations, scale)
        self.up = Up(width, outputs, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        """Without gradients, ``inputs`` themselves are changed."""
        return self.up(self.residual(inputs))  # type: ignore[no-any-return]


class EncoderBlock(nn.Module):
    """One level's own part of an encoder: ``downs`` steps down, then a convolution to ``code_width`` features.

    Args:
        config: of the codec.
        inputs: features that it reads.
        part: the level whose downs and strides it has.
        multiplier: of the level whose encoder it is part of.
    """

    def __init__(self, config: VqvaeConfig, *, inputs: int, part: int, multiplier: int) -> None:
        super().__init__()
        width, hidden = _widths(config, multiplier)
        stride, dilations = config.strides[part], config.dilations(multiplier)
        self.steps = nn.Sequential(
            *(
                DownStep(width if step else inputs, width, hidden, stride, dilations)
                for step in range(config.downs[part])
            )
        )
        self.out = Same(width, config.code_width)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.out(self.steps(inputs))  # type: ignore[no-any-return]


class DecoderBlock(nn.Module):
    """One level's own part of a decoder: a convolution from ``code_width`` features, then ``downs`` steps up.

    Args: see ``EncoderBlock``.
    """

    def __init__(self, config: VqvaeConfig, *, part: int, multiplier: int) -> None:
        super().__init__()
        width, hidden = _widths(config, multiplier)
        stride, dilations = config.strides[part], config.dilations(multiplier)
        if config.reverse_decoder_dilation:
            dilations = dilations[::-1]
        last = config.downs[part] - 1
        self.enter = Same(config.code_width, width)
        self.steps = nn.Sequential(
            *(
                UpStep(width, config.code_width if step == last else width, hidden, stride, dilations)
                for step in range(config.downs[part])
            )
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.steps(self.enter(inputs))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Raw sound (batch, time, 1) to the features (batch, time / hop, code_width) that ``level`` quantises."""

    def __init__(self, config: VqvaeConfig, level: int) -> None:
        super().__init__()
        multiplier = config.multipliers[level]
        self.blocks = nn.Sequential(
            *(
                EncoderBlock(config, inputs=config.code_width if part else 1, part=part, multiplier=multiplier)
                for part in range(level + 1)
            )
        )

    def forward(self, samples: Tensor) -> Tensor:
        return self.blocks(samples)  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """The quantised vectors (batch, time, code_width) of ``level`` to raw sound (batch, time * hop, 1)."""

    def __init__(self, config: VqvaeConfig, level: int) -> None:
        super().__init__()
        multiplier = config.multipliers[level]
        self.blocks = nn.ModuleList(DecoderBlock(config, part=part, multiplier=multiplier) for part in range(level + 1))
        self.out = Same(config.code_width, 1)

    def forward(self, vectors: Tensor) -> Tensor:
        for block in reversed(self.blocks):
            vectors = block(vectors)
        return self.out(vectors)  # type: ignore[no-any-return]


def _widths(config: VqvaeConfig, multiplier: int) -> tuple[int, int]:
    width = config.width * multiplier
    return width, int(config.hidden_ratio * width)


def _tiled(inputs: Tensor) -> bool:
    """Say whether tiles are the fast way: on a processor, unless the network is being compiled or exported."""
    return inputs.device.type == "cpu" and not torch.compiler.is_compiling()


def _taps(inputs: Tensor, taps: Tensor, bias: Tensor | None, offsets: tuple[int, ...], time: int) -> Tensor:
    found: Tensor = Taps.apply(inputs, taps.contiguous(), bias, offsets, time)
    return found


def _time_last(inputs: Tensor) -> Tensor:
    return rearrange(inputs, "batch time width -> batch width time")


def _time_first(inputs: Tensor) -> Tensor:
    return rearrange(inputs, "batch width time -> batch time width")
