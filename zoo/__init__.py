"""One transformer, pluggable tokenizers, one command line: text, images and music.

``zoo.load(checkpoint)`` returns a ``zoo.model.Model``. Importing ``zoo`` imports no torch; the first use does.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.model import Model
    from zoo.tokenizers.audio.waveform import Audio as Audio
    from zoo.tokenizers.base import Tokenizer
    from zoo.tokenizers.codec import Codec

# A checkout without symlinks (Windows' default) has no folder zoo/tokenizers; it is then found beside zoo.
_HERE = Path(__file__).resolve().parent
if not (_HERE / "tokenizers").is_dir() and (_HERE.parent / "tokenizers" / "base.py").is_file():
    __path__.append(str(_HERE.parent))

__version__ = "0.1.0"
__all__ = ["Audio", "ZooError", "__version__", "load", "load_codec"]


def load(name_or_path: str | Path, *, device: str = "auto", dtype: str = "float32") -> Model:
    """Load a checkpoint: a folder, or a name in ``./checkpoints``, ``$ZOO_HOME/checkpoints`` or Hugging Face's Hub.

    Args:
        name_or_path: what to load.
        device: ``auto`` (the GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ...
        dtype: ``float32`` or ``bfloat16``.

    Raises:
        ZooError: nothing of that name, damaged files, or settings that make no model.
    """
    from zoo.loading import load as load_model

    return load_model(name_or_path, device=device, dtype=dtype)


def __getattr__(name: str) -> Any:
    """Return ``zoo.Audio``, for whose arrays NumPy is imported when it is asked for."""
    if name == "Audio":
        from zoo.tokenizers.audio.waveform import Audio

        return Audio
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def load_codec(name_or_path: str | Path, *, device: str = "auto") -> Codec:
    """Load a codec, in evaluation mode: a folder, a name as of ``load``, or Jukebox's ``vqvae.pth.tar``.

    Its levels are tokenizers: ``codec.level(0)``. Where it comes from is in ``codec.card``.

    Args:
        name_or_path: what to load.
        device: ``auto`` (the GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ...

    Raises:
        ZooError: nothing of that name, damaged files, a model that is no codec.
    """
    from zoo.loading import load_codec as load_whole

    return load_whole(name_or_path, device=device)


def _load_tokenizer(folder: str | Path) -> Tokenizer[Any]:
    """Load the tokenizer that ``Tokenizer.save`` wrote into ``folder``."""
    from zoo.tokenizers.registry import load as load_tokenizer

    return load_tokenizer(Path(folder))


# `zoo.tokenizers` must have no __init__.py (at the root of a checkout it would shadow Hugging Face's `tokenizers`),
# so its one function is put there from here.
vars(importlib.import_module("zoo.tokenizers"))["load"] = _load_tokenizer
