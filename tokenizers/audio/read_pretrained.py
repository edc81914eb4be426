"""Neural codecs from a folder, or from the Hugging Face Hub by name: nothing is executed, nothing is unpickled.

A folder holds ``config.json`` and ``model.safetensors``. A configuration is looked at before a network is made of it:
one that promises more than the file beside it holds is refused.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers.audio.pretrained import CODECS, PretrainedCodec

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MOST = 4096
"""Largest size of anything that a configuration counts: filters, layers, codebooks, ratios, ..."""
MOST_OF = {"sampling_rate": 768_000, "codebook_size": 65_536, "max_position_embeddings": 1 << 24,
           "intermediate_size": 65_536, "sliding_window": 1 << 24}  # fmt: skip
"""Largest values of settings that may be larger."""
MOST_BOOKS = 64
KNOWN = {"rope_theta", "rope_scaling", "frame_rate"}
"""Settings of older files that today's classes still read."""


def read_codec(name: str, path: str | Path) -> PretrainedCodec:
    """Return the codec ``name`` in ``path``: a folder, or a model's name on the Hub.

    Raises:
        ZooError: transformers is not installed; no such folder or name; a codec of another kind, or one whose ids do
            not tell the whole sound; files that do not fit each other.
    """
    kind = CODECS[name]
    config_class, network_class = _classes(kind)
    folder = _folder(str(path))
    where = str(folder / CONFIG)
    stated = folders.read_json(folder / CONFIG)
    settings = _settings(stated, config_class, name, where)
    config = _made(config_class, settings, where)
    kind.check(config, where)
    if not 1 <= kind.books_of(config) <= MOST_BOOKS:
        raise ZooError(f"{where}: {kind.books_of(config)} codebooks, expected 1 to {MOST_BOOKS}")
    _refuse_too_large(network_class, config, folder)
    return kind(_loaded(network_class, config, folder), settings)


def _classes(kind: type[PretrainedCodec]) -> tuple[Any, Any]:
    try:
        return kind.classes()
    except ImportError:
        raise ZooError(
            f"tokenizer: {kind.model_type} is read by transformers, which is not installed; pip install "
            "'tokenzoo[codecs]'"
        ) from None


def _folder(path: str) -> Path:
    """Return the folder of a codec's files, fetched if ``path`` is a name on the Hub."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists() or path.count("/") != 1 or path.startswith((".", "~", "/")):
        raise ZooError(f"{path}: no such folder; tokenizer.path is one with {CONFIG} and {WEIGHTS}, or OWNER/NAME")
    from zoo.weights.hub import HubId, fetch

    wanted = HubId.parse(path)
    try:
        if wanted is None:
            raise ValueError("it is no model's name")
        return fetch(wanted)
    except ZooError:  # one line that says what is wrong with what the Hub has
        raise
    except Exception as error:  # whatever the Hub's client raises: it is documented for none of its functions
        reason = " ".join(str(error).split()).strip("()") or "it has nothing of that name"
        raise ZooError(
            f"{path}: neither a folder nor to be had from the Hugging Face Hub ({reason}); give "
            f"tokenizer.path=FOLDER with {CONFIG} and {WEIGHTS}"
        ) from None


def _settings(stated: Any, config_class: Any, name: str, where: str) -> dict[str, Any]:
    """Return the settings that the class knows, checked for what is too large to be true."""
    if not isinstance(stated, dict):
        raise ZooError(f"{where}: expected a JSON object with a codec's settings")
    if stated.get("model_type") != name:
        other = stated.get("model_type")
        hint = f"use tokenizer={other}" if other in CODECS else f"expected the files of a {name} codec"
        raise ZooError(f"{where}: model_type is {other!r}; {hint}")
    names = {*config_class.__annotations__, *KNOWN} - {"model_type"}
    settings = {key: value for key, value in stated.items() if key in names}
    for key, value in settings.items():
        most = MOST_OF.get(key, MOST)
        if key in KNOWN or key == "rope_parameters":
            continue
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not -1 <= number <= most:
                raise ZooError(f"{where}: {key} is {number}, more than {most}; this is no codec's file")
        if isinstance(value, list) and len(value) > MOST_BOOKS:
            raise ZooError(f"{where}: {key} has {len(value)} entries, more than {MOST_BOOKS}")
    return {"model_type": name, **settings}


def _made(config_class: Any, settings: Mapping[str, Any], where: str) -> Any:
    try:
        return config_class(**{key: value for key, value in settings.items() if key != "model_type"})
    except Exception as error:  # a class of transformers says in many ways that its settings are no good
        raise ZooError(f"{where}: {' '.join(str(error).split())[:200]}") from None


def _refuse_too_large(network_class: Any, config: Any, folder: Path) -> None:
    """Refuse a configuration that needs more weights than the file can hold: nothing is allocated for it."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise ZooError(f"{path} does not exist; a codec's weights are read from safetensors files only")
    try:
        with torch.device("meta"):
            network = network_class(config)
    except Exception as error:  # as above
        raise ZooError(f"{folder / CONFIG}: {' '.join(str(error).split())[:200]}") from None
    needed = 2 * sum(weight.numel() for weight in network.parameters())  # at least two bytes each
    if needed > path.stat().st_size:
        raise ZooError(f"{path}: {path.stat().st_size:,} bytes, and {CONFIG} asks for {needed:,}; restore the folder")


def _loaded(network_class: Any, config: Any, folder: Path) -> Any:
    """Return the network with all of its weights from the file, float32, for use alone."""
    path = folder / WEIGHTS
    try:
        with _quiet():
            network, told = network_class.from_pretrained(
                folder, config=config, use_safetensors=True, local_files_only=True, output_loading_info=True,
                dtype=torch.float32, ignore_mismatched_sizes=True,  # told of, and refused below
            )  # fmt: skip
    except Exception as error:  # as above
        raise ZooError(
            f"{path}: not readable as a {config.model_type} codec ({str(error).split(chr(10))[0]})"
        ) from None
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        names = sorted(key if isinstance(key, str) else str(key[0]) for key in told.get(problem) or ())
        if names:
            kind = problem.removesuffix("_keys")
            raise ZooError(f"{path}: {len(names)} {kind} tensors, the first is {names[0]}; restore the folder")
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ZooError(f"{path}: tensor {name} holds numbers that are not finite; restore the folder")
    return network.eval().requires_grad_(False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from writing reports and bars to the terminal."""
    from transformers.utils import logging as tools

    theirs: Any = tools  # it has no types
    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.CRITICAL)
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()
