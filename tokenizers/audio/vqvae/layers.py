"""The parts of a VQ-VAE of sound: residual blocks of dilated convolutions, and towers of them that change the rate.

Everything here maps (batch, width, time) to the same; borders are padded with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from zoo.tokenizers.audio.vqvae.config import VqvaeConfig


class ResidualBlock(nn.Module):
    """``x + pointwise(relu(dilated(relu(x))))``."""

    def __init__(self, width: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(width, hidden, 3, padding=dilation, dilation=dilation)
        self.pointwise = nn.Conv1d(hidden, width, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        change: Tensor = self.pointwise(self.dilated(inputs.relu()).relu_())
        return inputs + change


def residual_blocks(width: int, hidden: int, dilations: Sequence[int]) -> nn.Sequential:
    """Return residual blocks in a row, one for each of ``dilations``."""
    return nn.Sequential(*(ResidualBlock(width, hidden, dilation) for dilation in dilations))


class DownStep(nn.Module):
    """A strided convolution that divides the time by ``stride``, then residual blocks."""

    def __init__(self, inputs: int, width: int, hidden: int, stride: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.down = nn.Conv1d(inputs, width, 2 * stride, stride, padding=stride // 2)
        self.residual = residual_blocks(width, hidden, dilations)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.residual(self.down(inputs))  # type: ignore[no-any-return]


class UpStep(nn.Module):
    """Residual blocks, then a transposed convolution that multiplies the time by ``stride``."""

    def __init__(self, width: int, outputs: int, hidden: int, stride: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.residual = residual_blocks(width, hidden, dilations)
        self.up = nn.ConvTranspose1d(width, outputs, 2 * stride, stride, padding=stride // 2)

    def forward(self, inputs: Tensor) -> Tensor:
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
        self.out = nn.Conv1d(width, config.code_width, 3, padding=1)

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
        self.enter = nn.Conv1d(config.code_width, width, 3, padding=1)
        self.steps = nn.Sequential(
            *(
                UpStep(width, config.code_width if step == last else width, hidden, stride, dilations)
                for step in range(config.downs[part])
            )
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.steps(self.enter(inputs))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Raw sound (batch, 1, time) to the features (batch, code_width, time / hop) that ``level`` quantises."""

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
    """The quantised vectors (batch, code_width, time) of ``level`` to raw sound (batch, 1, time * hop)."""

    def __init__(self, config: VqvaeConfig, level: int) -> None:
        super().__init__()
        multiplier = config.multipliers[level]
        self.blocks = nn.ModuleList(DecoderBlock(config, part=part, multiplier=multiplier) for part in range(level + 1))
        self.out = nn.Conv1d(config.code_width, 1, 3, padding=1)

    def forward(self, vectors: Tensor) -> Tensor:
        for block in reversed(self.blocks):
            vectors = block(vectors)
        return self.out(vectors)  # type: ignore[no-any-return]


def _widths(config: VqvaeConfig, multiplier: int) -> tuple[int, int]:
    width = config.width * multiplier
    return width, int(config.hidden_ratio * width)
