"""Jukebox's codec as OpenAI released it (``vqvae.pth.tar``) and in Hugging Face's old layout. Dhariwal et al. 2020.

Both have the same tensors under other names, and of each codebook only its vectors. What a restored codebook needs to
go on learning is set as the original sets it: every code counts as used as often as it would be by one clip on average.

Nearly every size shows in a shape. What does not (rate, dilations) is that of the released codec, unless the file holds
the settings (``hps``) that it was trained with.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zoo.errors import ZooError
from zoo.settings import build
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.codec import Codec
from zoo.weights import huggingface
from zoo.weights.family import CONFIG, LARGEST, read_settings
from zoo.weights.files import read_json, write_file
from zoo.weights.folder import read_yaml
from zoo.weights.jukebox_names import HUGGING_FACE, ORIGINAL, links
from zoo.weights.links import Renamed, written
from zoo.weights.opened import OpenedCodec
from zoo.weights.tensors import TensorSource
from zoo.weights.torch_legacy import TorchSource

FILE = "vqvae.pth.tar"
MODEL_TYPES = ("jukebox", "jukebox_vqvae")
"""Of Hugging Face's old folders: codec and priors, or the codec alone."""
SAMPLES = 393_216
"""Of a clip that the released codec was trained on."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The original's settings that shapes do not tell; the defaults are those of the released codec."""

    sr: int = 44_100
    sample_length: int = SAMPLES
    dilation_growth_rate: int = 3
    dilation_cycle: int | None = None
    vqvae_reverse_decoder_dilation: bool = True
    l_mu: float = 0.99
    revival_threshold: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.sample_length < LARGEST:
            raise ZooError(f"sample_length must be 1 or more, got {self.sample_length}")


def find(path: Path) -> Path | None:
    """Return the file of an original codec: ``path`` itself, or ``vqvae.pth.tar`` in it; None if there is none."""
    if path.is_dir():
        return path / FILE if (path / FILE).is_file() else None
    return path if re.search(r"\.(pth\.tar|pth|pt)$", path.name) and path.is_file() else None


def read(path: Path) -> OpenedCodec:
    """Open a codec as the original program saves it.

    Raises:
        ZooError: the file is refused (see ``TorchSource``), or holds another network.
    """
    source = TorchSource(path)
    settings = _settings(source.beside, path)
    try:
        config = _config(source, settings)
    except ZooError as error:
        raise ZooError(f"{path}: {error}") from None
    return OpenedCodec(
        where=str(path),
        config=config,
        source=source,
        card={"name": path.name.split(".")[0], "modality": "music", "source": f"Jukebox's own {path.name}"},
        links=links(config, ORIGINAL),
        finish=_restored(settings.sample_length),
    )


def _settings(beside: Mapping[str, Any], path: Path) -> Settings:
    stated = beside.get("hps")
    known = {name: stated[name] for name in Settings.__annotations__ if name in stated} if stated else {}
    for name, value in known.items():
        if value is not None and type(value) not in (bool, int, float):
            raise ZooError(f"{path}: hps.{name} is no number; use the original file")
    return build(Settings, known, f"{path}: hps")


def _config(source: TensorSource, settings: Settings) -> VqvaeConfig:
    """Return what the shapes of the tensors say, and the settings what they do not."""
    names = set(source.names())

    def shape(name: str, axes: int) -> Sequence[int]:
        found = source.shape(name) if name in names else ()
        if len(found) != axes or not all(found):
            prior = " (it is a prior's file; vqvae.pth.tar is the codec's)" if "prior.x_emb.weight" in names else ""
            stated = f"is {found}" if name in names else "is missing"
            raise ZooError(f"{name!r} {stated}, so this is not Jukebox's codec{prior}")
        return found

    codes, code_width = shape("bottleneck.level_blocks.0.k", 2)
    levels = _count(names, "bottleneck.level_blocks.{}.k")
    top = f"encoders.{levels - 1}.level_blocks"
    strides = [shape(f"{top}.{part}.model.0.0.weight", 3)[2] // 2 for part in range(levels)]
    first = "encoders.{}.level_blocks.0.model.0"
    widths = [shape(f"{first.format(level)}.0.weight", 3)[0] for level in range(levels)]
    depths = [_count(names, f"{first.format(level)}.1.model.{{}}.model.1.weight") for level in range(levels)]
    width = math.gcd(*widths)
    multipliers = tuple(wide // width for wide in widths)
    hidden = shape(f"{first.format(0)}.1.model.0.model.1.weight", 3)[0] if depths[0] else widths[0]
    return VqvaeConfig(
        rate=settings.sr,
        codes=codes,
        code_width=code_width,
        width=width,
        depth=depths[0] // multipliers[0],
        downs=tuple(_count(names, f"{top}.{part}.model.{{}}.0.weight") for part in range(levels)),
        strides=tuple(strides),
        multipliers=multipliers,
        hidden_ratio=_ratio(hidden, widths[0]),
        dilation_growth=settings.dilation_growth_rate,
        dilation_cycle=settings.dilation_cycle,
        reverse_decoder_dilation=settings.vqvae_reverse_decoder_dilation,
        decay=settings.l_mu,
        threshold=settings.revival_threshold,
    )


def _ratio(hidden: int, width: int) -> float:
    """Return a ratio that makes ``hidden`` of ``width`` when it is cut to a whole number, as both programs do."""
    ratio = hidden / width
    return ratio if int(ratio * width) == hidden else math.nextafter(ratio, math.inf)


def _count(names: set[str], pattern: str) -> int:
    """Return how many names there are with 0, 1, 2, ... in their pattern."""
    count = 0
    while pattern.format(count) in names:
        count += 1
    return count


def _restored(samples: int) -> Callable[[Codec], None]:
    """Return what lets codebooks of which only the vectors are known go on learning from clips of so many samples."""

    def finish(codec: Codec) -> None:
        for level, hop in enumerate(codec.hops):
            book = codec.codebook(level)
            book.adopt(book.vectors.clone(), count=samples // hop / book.codes)

    return finish


@dataclass(frozen=True, kw_only=True)
class _HuggingFaceSettings:
    """The keys of a codec's ``config.json`` that say what is computed; left out where they are the released codec's."""

    conv_input_shape: int = 1
    conv_res_scale: bool | None = False
    embed_dim: int = 64
    lmu: float = 0.99
    multipliers: tuple[int, ...] = (2, 1, 1)
    nb_discrete_codes: int = 2048
    res_conv_depth: int = 4
    res_conv_width: int = 32
    res_convolution_multiplier: float = 1.0
    res_dilation_cycle: int | None = None
    res_dilation_growth_rate: int = 3
    res_downs_t: tuple[int, ...] = (3, 2, 2)
    res_strides_t: tuple[int, ...] = (2, 2, 2)
    sampling_rate: int = 44_100


def read_huggingface(folder: Path) -> OpenedCodec:
    """Open the codec in a folder that ``JukeboxModel`` or ``JukeboxVQVAE`` of transformers before 4.41 has written.

    Raises:
        ZooError: settings that our codec does not have, files that are missing or broken.
    """
    settings = read_json(folder / CONFIG)
    whole = settings["model_type"] == "jukebox"
    own = settings.get("vqvae_config", {}) if whole else settings
    if not isinstance(own, dict):
        raise ZooError(f"{folder / CONFIG}: vqvae_config holds no settings; get the folder again")
    try:
        config = _huggingface_config({**{k: settings[k] for k in ("sampling_rate",) if k in settings}, **own})
    except ZooError as error:
        raise ZooError(f"{folder}: {error}") from None
    return OpenedCodec(
        where=str(folder / CONFIG),
        config=config,
        source=Renamed(huggingface.weights(folder), _codec_alone if whole else _all),
        card={
            "name": folder.resolve().name,
            "modality": "music",
            "source": f"Hugging Face {settings['model_type']} layout",
        }
        | read_yaml(folder / huggingface.CARD),
        links=links(config, HUGGING_FACE),
        finish=_restored(SAMPLES),
    )


def _all(name: str) -> str | None:
    return name


def _codec_alone(name: str) -> str | None:
    return name.removeprefix("vqvae.") if name.startswith("vqvae.") else None


def _huggingface_config(settings: Mapping[str, Any]) -> VqvaeConfig:
    stated = read_settings(_HuggingFaceSettings, settings)
    if stated.conv_res_scale:
        raise ZooError(f"{CONFIG}: conv_res_scale is not supported; only false")
    if stated.conv_input_shape != 1:
        raise ZooError(f"{CONFIG}: conv_input_shape {stated.conv_input_shape} is not supported; only 1, mono")
    return VqvaeConfig(
        rate=stated.sampling_rate,
        codes=stated.nb_discrete_codes,
        code_width=stated.embed_dim,
        width=stated.res_conv_width,
        depth=stated.res_conv_depth,
        downs=stated.res_downs_t,
        strides=stated.res_strides_t,
        multipliers=stated.multipliers,
        hidden_ratio=stated.res_convolution_multiplier,
        dilation_growth=stated.res_dilation_growth_rate,
        dilation_cycle=stated.res_dilation_cycle,
        decay=stated.lmu,
    )


def check_writable(config: object) -> None:
    """Raise ZooError unless the original program has a codec of this kind."""
    if not isinstance(config, VqvaeConfig):
        raise ZooError("OpenAI released no codec of this kind; use to=zoo")


def write(folder: Path, codec: Codec) -> None:
    """Write a codec into an empty folder as the original program reads it: ``vqvae.pth.tar``.

    The codebooks' averages have no place there; the original sets them anew when it goes on training.
    """
    config = codec.config
    check_writable(config)
    assert isinstance(config, VqvaeConfig)
    settings = {
        "sr": config.rate,
        "levels": config.levels,
        "downs_t": config.downs,
        "strides_t": config.strides,
        "hvqvae_multipliers": config.multipliers,
        "emb_width": config.code_width,
        "l_bins": config.codes,
        "width": config.width,
        "depth": config.depth,
        "m_conv": config.hidden_ratio,
        "dilation_growth_rate": config.dilation_growth,
        "dilation_cycle": config.dilation_cycle,
        "vqvae_reverse_decoder_dilation": config.reverse_decoder_dilation,
        "l_mu": config.decay,
        "revival_threshold": config.thresholds[0],  # the original has one for all levels
    }
    state = {name: tensor.detach().cpu() for name, tensor in written(codec, links(config, ORIGINAL))}
    buffer = io.BytesIO()
    torch.save({"model": state, "hps": settings}, buffer, _use_new_zipfile_serialization=False)
    write_file(folder / FILE, [buffer.getbuffer()])
