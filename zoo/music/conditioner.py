"""What a prior is told beside its ids, as embeddings. Dhariwal et al. 2020, sections 4 to 4.2."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.music.config import Above, Labels, SeparateLyrics, Timing
from zoo.tokenizers.audio.vqvae.layers import Same, UpStep
from zoo.transformer.initial import Initial, Role
from zoo.transformer.linear import Linear
from zoo.transformer.model import Transformer
from zoo.transformer.norm import Norm


class TimingEmbedding(nn.Module):
    """A vector for each position of a window: of the song's total length, the time since its start, and their ratio."""

    def __init__(self, config: Timing, width: int) -> None:
        super().__init__()
        self.config = config
        self.total = nn.Embedding(config.bins, width)
        self.absolute = nn.Embedding(config.bins, width)
        self.relative = nn.Embedding(config.bins, width)

    def forward(self, labels: Tensor, time: int) -> Tensor:
        """Return (batch, time, width) of rows of labels (batch, 4 + slots), for a window of ``time`` ids.

        Raises:
            ZooError: lengths or places that no song of these settings has.
        """
        config = self.config
        total, offset, length = (rearrange(column, "b -> b 1").float() for column in labels[:, :3].unbind(1))
        shortest, longest = config.shortest * config.rate, config.longest * config.rate
        if bool(((total < shortest) | (total >= longest)).any()):
            raise ZooError(
                f"total length must lie in [{config.shortest:g}, {config.longest:g}) seconds, got "
                f"{float(total.min()) / config.rate:g} to {float(total.max()) / config.rate:g}"
            )
        if bool(((offset < 0) | (offset >= longest) | (offset >= total)).any()):
            raise ZooError("a window must begin inside its song: its offset is negative or beyond the total length")
        # float32 throughout, and in this order, so that bins come out as the original's do
        interpolation = torch.arange(time, dtype=torch.float32, device=labels.device) / time
        end = (offset + length).clamp(max=longest)
        place = offset + (end - offset) * interpolation
        first, last = offset / total, ((offset + length) / total).clamp(max=1.0)
        part = first + (last - first) * interpolation
        lengths: Tensor = self.total(_bins(total, shortest, longest, config.bins))
        places: Tensor = self.absolute(_bins(place, 0.0, longest, config.bins))
        parts: Tensor = self.relative(_bins(part, 0.0, 1.0, config.bins))
        return lengths + places + parts


def _bins(values: Tensor, low: float, high: float, bins: int) -> Tensor:
    """Return which of ``bins`` equal steps from ``low`` to ``high`` each value lies in, int64."""
    return (bins * ((values - low) / (high - low))).floor().long().clamp(max=bins - 1)


class LabelEmbedding(nn.Module):
    """The vector of an artist plus those of the genres, in the place of the first id; and the timing."""

    def __init__(self, config: Labels, width: int) -> None:
        super().__init__()
        self.config = config
        self.artists = nn.Embedding(config.artists, width)
        self.genres = nn.Embedding(config.genres, width)
        self.timing = TimingEmbedding(config.timing, width) if config.timing else None

    def forward(self, labels: Tensor) -> Tensor:
        """Return (batch, width) of rows of labels (batch, 4 + slots): see ``Labels.row``; a genre of -1 is none.

        Raises:
            ZooError: rows of another length, or numbers that stand for nobody.
        """
        if labels.shape[1] != self.config.row:
            raise ZooError(f"labels have {labels.shape[1]} numbers a row, this model needs {self.config.row}")
        artist, genres = labels[:, 3], labels[:, 4:]
        for name, values, low, count in (
            ("artist", artist, 0, self.config.artists),
            ("genre", genres, -1, self.config.genres),
        ):
            if bool(((values < low) | (values >= count)).any()):
                got = f"{int(values.min())} to {int(values.max())}"
                raise ZooError(f"labels: {name} numbers must lie in [{low}, {count}), got {got}")
        real = rearrange(genres >= 0, "b slot -> b slot 1")
        told: Tensor = self.artists(artist) + (self.genres(genres.clamp(min=0)) * real).sum(dim=1)
        return told

    def matrices(self) -> Iterator[Tensor]:
        """Yield every table."""
        yield from (self.artists.weight, self.genres.weight)
        if self.timing is not None:
            yield from (self.timing.total.weight, self.timing.absolute.weight, self.timing.relative.weight)


class CodesAbove(nn.Module):
    """The ids of the level above (batch, time / ratio) as vectors (batch, time, width) of this level's positions."""

    def __init__(self, config: Above, width: int, norm: Norm) -> None:
        super().__init__()
        self.config = config
        self.codes = nn.Embedding(config.codes, width)
        self.enter = Same(width, config.width)
        hidden, last = int(config.hidden_ratio * config.width), config.ups - 1
        self.steps = nn.Sequential(
            *(
                UpStep(
                    config.width,
                    width if step == last else config.width,
                    hidden,
                    config.stride,
                    config.dilations,
                    scale=config.depth**-0.5 if config.scaled and config.depth else 1.0,
                )
                for step in range(config.ups)
            )
        )
        self.norm = norm.build(width)

    def forward(self, above: Tensor) -> Tensor:
        """Map ids (batch, time / ratio) to vectors (batch, time, width).

        Raises:
            ZooError: ids that the level above does not have.
        """
        if bool(((above < 0) | (above >= self.config.codes)).any()):
            raise ZooError(f"ids of the level above must lie in [0, {self.config.codes})")
        result: Tensor = self.norm(self.steps(self.enter(self.codes(above))))
        return result


class LyricEncoder(nn.Module):
    """A transformer over lyrics whose states, projected and normalised, are the memory of ``Cross`` layers."""

    def __init__(self, config: SeparateLyrics, width: int, norm: Norm) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config.transformer)
        self.projection = Linear(config.transformer.width, width)
        self.norm = norm.build(width)
        self.output = Linear(width, config.ids, bias=False)

    def forward(self, lyrics: Tensor) -> Tensor:
        """Map lyric ids (batch, length) to the memory (batch, length, width): entry t has read the ids before t."""
        begun = torch.full_like(lyrics[:, :1], self.config.ids)
        hidden = self.transformer.hidden(torch.cat((begun, lyrics[:, :-1]), dim=1))
        result: Tensor = self.norm(self.projection(hidden))
        return result

    def draw_weights(self, initial: Initial) -> None:
        """Draw what stands beside the transformer, the output by the ``initial`` of music's."""
        own = self.config.transformer
        own.initial.draw(self.projection.weight, Role.HEAD, width=own.width, depth=own.depth)
        nn.init.zeros_(self.projection.bias)
        initial.draw(self.output.weight, Role.HEAD, width=own.width, depth=own.depth)
        draw_begin(self.transformer)


def draw_begin(transformer: Transformer) -> None:
    """Draw the last id's vector, with which windows begin, from the same distribution as positions."""
    config, last = transformer.config, transformer.embedding.tokens.weight.data[-1:]
    config.initial.draw(last, Role.POSITIONS, width=config.width, depth=config.depth)
