"""``zoo convert``: a checkpoint of any format that is read, in one of those that are written."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.cli import convert_samples
from zoo.cli.terminal import bold, count, put, say
from zoo.cli.training import use_threads
from zoo.cli.verb import Call, Verb, key, one_target, read_keys
from zoo.errors import ZooError
from zoo.weights.replacing import check_target, nearest_existing, replace_folder

if TYPE_CHECKING:
    from zoo.model import Model
    from zoo.weights.opened import Opened, OpenedCodec
    from zoo.weights.stack import OpenedStack
    from zoo.weights.tensors import TensorSource
    from zoo.weights.torch_legacy import Saved

Format = Literal["zoo", "huggingface", "openai"]
Type = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of ``zoo convert``."""

    out: str | None = key(None, "the new folder", literal=True)
    to: Format = key(
        "zoo", "zoo; huggingface (loads in transformers); openai (as GPT-1, GPT-2, Image GPT, Jukebox's codec came)"
    )
    dtype: Type = key("auto", "of the weights; auto keeps what they are stored in (float16 becomes float32)")
    overwrite: bool = key(False, "replace the checkpoint in out")
    threads: int | None = key(None, "processor threads; default: PyTorch's choice")


def run(call: Call) -> dict[str, Any]:
    """Convert, and say where the new folder is."""
    source = one_target(call, "checkpoint", example="zoo convert gpt2 out=my-gpt2 to=huggingface")
    keys = read_keys(Keys, call.pairs)
    if keys.out is None:
        raise ZooError("where to? Say out=DIR")
    out = Path(keys.out)
    samples = _samples(source)
    if samples is not None:
        if keys.to != "zoo" or keys.dtype != "auto":
            raise ZooError(f"{source} holds codes, no weights; leave to and dtype out")
        convert_samples.check_target(out, overwrite=keys.overwrite)
        return convert_samples.convert(samples, out, quiet=call.json)
    check_target(out, overwrite=keys.overwrite)
    use_threads(keys.threads)

    from zoo.loading import open_found
    from zoo.weights.hub import locate

    return convert(open_found(locate(source)), out, keys.to, keys.dtype, call)


def _samples(source: str) -> Saved | None:
    """Open samples that the original Jukebox has saved; None if ``source`` is something else."""
    path = Path(source).expanduser()
    if not path.exists():
        return None
    from zoo.weights import jukebox_samples

    return jukebox_samples.find(path)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A checkpoint in memory that will be written.

    Attributes:
        card: its card.
        parameters: their number.
        write: writes it into an empty folder.
        note: what people must know who read it elsewhere; empty for nothing.
    """

    card: Mapping[str, Any]
    parameters: int
    write: Callable[[Path], None]
    note: str = ""


def convert(
    opened: Opened | OpenedCodec | OpenedStack, out: Path, to: Format, dtype: Type, call: Call
) -> dict[str, Any]:
    """Write an opened checkpoint into ``out``, which has been checked; return the verb's JSON document."""
    from zoo.weights.opened import OpenedCodec
    from zoo.weights.stack import OpenedStack

    if out.resolve() in (Path(opened.where).resolve(), Path(opened.where).resolve().parent):
        raise ZooError(f"{out} is the checkpoint to be converted; choose another out=DIR")
    if isinstance(opened, OpenedStack):
        return _stack(opened, out, to, dtype, call)
    kind = _kind(opened.source, dtype)
    if isinstance(opened, OpenedCodec):
        kind, make = "float32", _codec(opened, to, dtype, call.command)
    else:
        make = _model(opened, to, kind, call.command)
    _check_room(out, _size(opened.source, "float32" if to == "openai" else kind))
    made = make()
    replace_folder(out, made.write)
    if not call.json:
        put(str(out))
        say(f"{bold(str(made.card.get('name') or out.name))}: {count(made.parameters)} parameters, as {to}, {kind}")
        if made.note:
            say(made.note)
    notes = {"note": made.note} if made.note else {}
    return {"checkpoint": str(out), "format": to, "dtype": kind, "parameters": made.parameters, **notes}


def _stack(opened: OpenedStack, out: Path, to: Format, dtype: Type, call: Call) -> dict[str, Any]:
    """Write a stack into ``out``, part by part; return the verb's JSON document."""
    import torch

    from zoo.loading import DTYPES
    from zoo.stack.model import Stack

    if to != "zoo":
        raise ZooError(f"to: a stack has no layout of {to}'s; leave it out, or convert its parts")
    priors = sum(_size(part.source, _kind(part.source, dtype)) for part in opened.priors)
    _check_room(out, _size(opened.codec.source, "float32") + priors)
    stack = Stack.of(opened, device=torch.device("cpu"), dtype=torch.float32)
    stack.card = {"parameters": stack.parameters, **stack.card, "converted": call.command}
    replace_folder(out, lambda folder: stack.write(folder, None if dtype == "auto" else DTYPES[dtype]))
    if not call.json:
        put(str(out))
        say(stack.summary())
    return {"checkpoint": str(out), "format": to, "dtype": dtype, "parameters": stack.parameters}


def _kind(source: TensorSource, dtype: Type) -> Literal["float32", "bfloat16"]:
    """Return the type that weights are written in."""
    import torch

    from zoo.weights.tensors import stored_dtype

    if dtype == "auto":
        return "bfloat16" if stored_dtype(source) == torch.bfloat16 else "float32"
    return dtype


def _model(opened: Opened, to: Format, dtype: Literal["float32", "bfloat16"], command: str) -> Callable[[], Made]:
    """Return what makes a model, once it is known that the format can express it."""
    import torch

    from zoo.architecture import count_parameters
    from zoo.loading import DTYPES
    from zoo.model import Model

    write = _writer(opened, to)

    def make() -> Made:
        network = opened.network(torch.device("cpu"), DTYPES[dtype])
        card = {"parameters": count_parameters(network), **opened.card, "converted": command}
        model = Model(network, opened.tokenizer, card=card, recipe=opened.recipe, head=opened.head)
        note = _around(model) if to == "huggingface" else ""
        return Made(card=model.card, parameters=model.parameters, write=lambda folder: write(model, folder), note=note)

    return make


def _around(model: Model) -> str:
    """Return which ids a head of ours was trained with around a sample, where no other program adds them."""
    from zoo.classify.reading import frame_of
    from zoo.transformer.model import Transformer

    network = model.network
    if not isinstance(network, Transformer) or network.config.head is None or "head" not in model.card:
        return ""
    frame = frame_of(network, model.tokenizer)
    places = {"before": frame.before, "between two": frame.between, "after": frame.after}
    told = [f"{', '.join(map(str, ids))} {place}" for place, ids in places.items() if ids]
    if not network.causal or not (frame.before or frame.after):
        return ""
    return (
        f"its head was trained on samples with ids around them ({'; '.join(told)}), which zoo adds and transformers "
        "does not: put them there before you compare"
    )


def _codec(opened: OpenedCodec, to: Format, dtype: Type, command: str) -> Callable[[], Made]:
    """Return what makes a codec, once it is known that the format can express it."""
    import torch

    from zoo.architecture import count_parameters
    from zoo.weights import codecs, jukebox_codec

    if dtype == "bfloat16":
        raise ZooError("dtype: a codec compares vectors in float32; leave dtype out")
    if to == "huggingface":
        raise ZooError("Hugging Face has no layout of codecs that any program still reads; use to=zoo or to=openai")
    if to == "openai":
        jukebox_codec.check_writable(opened.config)
    write = jukebox_codec.write if to == "openai" else codecs.write

    def make() -> Made:
        codec = opened.codec(torch.device("cpu"))
        codec.card["converted"] = command
        return Made(card=codec.card, parameters=count_parameters(codec), write=lambda folder: write(folder, codec))

    return make


def _writer(opened: Opened, to: Format) -> Callable[[Model, Path], None]:
    """Return what writes a model in a format, once it is known that the format can express it."""
    from zoo.transformer.config import TransformerConfig
    from zoo.weights import huggingface, openai

    if to == "huggingface":
        family = huggingface.family_of(opened.config)
        assert isinstance(opened.config, TransformerConfig)
        family.settings(opened.config)
        return lambda model, folder: huggingface.write(folder, model.network, model.tokenizer, card=model.card)
    if to == "openai":
        openai.layout_of(opened.config, opened.tokenizer)
        return lambda model, folder: openai.write(folder, model.network, model.tokenizer)
    return lambda model, folder: model.save(folder)


def _size(source: TensorSource, kind: Literal["float32", "bfloat16"]) -> int:
    """Return how many bytes these weights take in a type."""
    return sum(math.prod(source.shape(name)) for name in source.names()) * (4 if kind == "float32" else 2)


def _check_room(out: Path, size: int) -> None:
    """Refuse a disk that cannot hold ``size`` bytes."""
    place = nearest_existing(out.absolute().parent)
    free = shutil.disk_usage(place).free
    if size > free:
        raise ZooError(
            f"{out} would take {size / 1e9:.2f} GB, and {place} has {free / 1e9:.2f}; make room, "
            "or choose another out=DIR"
        )


VERB = Verb(
    usage="convert SOURCE out=DIR [to=zoo|huggingface|openai] [key=value...]",
    about="Writes a checkpoint in another format. SOURCE is whatever 'zoo generate' takes: a folder of ours, one in "
    "Hugging Face's layout, the files that OpenAI or Google released, a name, or a name on the Hugging Face Hub.",
    keys=Keys,
    examples=(
        ("zoo convert shakespeare out=checkpoints/small dtype=bfloat16", "half the size"),
        ("zoo convert my-gpt2 out=for-transformers to=huggingface", "a folder that transformers loads"),
        ("zoo convert models/124M out=checkpoints/gpt2-124m", "OpenAI's own files of GPT-2 into ours"),
        ("zoo convert vqvae.pth.tar out=checkpoints/jukebox-vqvae", "Jukebox's codec into ours"),
        (
            "zoo convert level_0/data.pth.tar out=outputs/drawn",
            "the codes of samples that the original drew: codes.npz",
        ),
    ),
    run=run,
)
