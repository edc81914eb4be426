"""Models in the files that their authors released: GPT-1's ``.npy`` shards, GPT-2's and BERT's TensorFlow variables.

Each tensor is one that Hugging Face's layout has too, under another name and often with an axis of 1 in front or turned
round. So a layout here is: which files there are, what settings they mean, and how one name becomes the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from zoo.errors import ZooError
from zoo.settings import build
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.none import NoTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.weights import bert, gpt1, gpt2, vocabulary
from zoo.weights.arrays import FlatSource, NpzSource
from zoo.weights.family import Family
from zoo.weights.files import parse_json, read_json, read_text
from zoo.weights.folder import read_yaml
from zoo.weights.links import Link, Renamed
from zoo.weights.opened import Opened
from zoo.weights.tensorflow import TensorflowSource
from zoo.weights.tensors import TensorSource

T = TypeVar("T")
CARD, HPARAMS, SHAPES, VARIABLES, BERT_CONFIG = (
    "card.yaml", "hparams.json", "params_shapes.json", "tf_variables.npz", "bert_config.json",
)  # fmt: skip
SHARDS = 10
"""Files that GPT-1's numbers are cut into."""
GPT1_HEADS = 12

Original = Callable[[str], tuple[str, Callable[[Tensor], Tensor]]]
"""Hugging Face's name of a tensor -> its original name, and a view of it in its original shape."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way in which authors have released a model.

    Attributes:
        marks: files that a folder in this layout has, all of them.
        family: Hugging Face's, whose names are translated.
        original: the translation.
        open: folder -> settings as in the family's ``config.json``, and the tensors.
        tokenizer: of a folder, None if it has no vocabulary.
    """

    marks: tuple[str, ...]
    family: Family
    original: Original
    open: Callable[[Path], tuple[dict[str, Any], TensorSource]]
    tokenizer: Callable[[Path], Tokenizer[Any] | None]

    def links(self, config: TransformerConfig) -> list[Link]:
        """Return the original names of a network's weights."""
        return [_relinked(link, self.original) for link in self.family.links(config)]


def find(path: Path) -> tuple[Layout, Path] | None:
    """Return the layout of a folder, or of the folder that a file belongs to, and that folder; None if it has none."""
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and not re.search(r"\.(npy|npz|index|json|meta|data-[\d-]+-of-[\d]+)$", path.name):
        return None
    for layout in LAYOUTS:
        if all((folder / name).is_file() for name in layout.marks):
            return layout, folder
    return None


def read(layout: Layout, folder: Path) -> Opened:
    """Open a folder in one of the layouts.

    Raises:
        ZooError: files that are missing, broken, or do not fit each other.
    """
    settings, source = layout.open(folder)
    there = set(source.names())
    try:
        # Which parts a network has (a pooler, an output transform) shows in the names of its tensors.
        most = layout.family.config(settings, _ALL_PARTS)
        parts = [
            name for link in layout.family.links(most) for name in link.theirs if layout.original(name)[0] in there
        ]
        config = layout.family.config(settings, parts)
    except ZooError as error:
        raise ZooError(f"{folder}: {error}") from None
    tokenizer = layout.tokenizer(folder)
    if tokenizer is not None:
        vocabulary.fits(tokenizer, config.vocabulary, folder)
    return Opened(
        where=str(folder / layout.marks[0]),
        config=config,
        source=source,
        tokenizer=tokenizer or NoTokenizer(config.vocabulary),
        card={
            "name": folder.resolve().name,
            "modality": "text",
            "source": f"{layout.family.model_type}, the authors' own files",
        }
        | read_yaml(folder / CARD),
        links=layout.links(config),
    )


_ALL_PARTS = (
    "bert.pooler.dense.weight",
    "cls.predictions.transform.dense.weight",
    "cls.seq_relationship.weight",
)


def _relinked(link: Link, original: Original) -> Link:
    """Return a link to the original tensors instead of Hugging Face's."""
    translated = [original(name) for name in link.theirs]

    def views(weight: Tensor) -> tuple[Tensor, ...]:
        return tuple(show(view) for (_, show), view in zip(translated, link.views(weight), strict=True))

    return Link(ours=link.ours, theirs=tuple(name for name, _ in translated), views=views)


def _same(view: Tensor) -> Tensor:
    return view


def _one_more(view: Tensor) -> Tensor:
    """(in, out) -> (1, in, out): both were convolutions of width 1."""
    return view[None]


def _gpt1_original(name: str) -> tuple[str, Callable[[Tensor], Tensor]]:
    """GPT-1's files have no names, only an order: Hugging Face's names stand for themselves."""
    return name, _one_more if re.search(r"c_(attn|proj|fc)\.weight$", name) else _same


def _gpt2_original(name: str) -> tuple[str, Callable[[Tensor], Tensor]]:
    """``transformer.h.0.attn.c_attn.weight`` is ``model/h0/attn/c_attn/w``."""
    path, _, last = name.removeprefix("transformer.").rpartition(".")
    path = re.sub(r"^h\.(\d+)\.", r"h\1/", path).replace(".", "/")
    if path in ("wte", "wpe"):
        return f"model/{path}", _same
    if "ln_" in path:
        return f"model/{path}/{'g' if last == 'weight' else 'b'}", _same
    return f"model/{path}/{last[0]}", _one_more if last == "weight" else _same


def _bert_original(name: str) -> tuple[str, Callable[[Tensor], Tensor]]:
    """``bert.encoder.layer.0.output.dense.weight`` is ``bert/encoder/layer_0/output/dense/kernel``, turned round."""
    path, _, last = name.rpartition(".")
    path = re.sub(r"\.layer\.(\d+)\.", r".layer_\1.", path).replace(".", "/")
    if path.endswith("_embeddings"):
        return path, _same
    if path.endswith("LayerNorm"):
        return f"{path}/{'gamma' if last == 'weight' else 'beta'}", _same
    if path in ("cls/predictions", "cls/seq_relationship"):
        return f"{path}/output_{'weights' if last == 'weight' else 'bias'}", _same
    return (f"{path}/kernel", Tensor.t) if last == "weight" else (f"{path}/bias", _same)


@dataclass(frozen=True, kw_only=True)
class _Gpt2Hparams:
    n_vocab: int
    n_ctx: int
    n_embd: int
    n_head: int
    n_layer: int


@dataclass(frozen=True, kw_only=True)
class _Gpt1Hparams:
    n_head: int = GPT1_HEADS


def _hparams(kind: type[T], path: Path) -> T:
    """Return the known keys of a JSON file as a checked dataclass."""
    stated = read_json(path)
    known = [name for name in kind.__annotations__ if name in stated]
    return build(kind, {name: stated[name] for name in known}, str(path))


def gpt1_names(depth: int) -> list[str]:
    """Return Hugging Face's names of GPT-1's tensors in the order of its files."""
    block = [
        f"{part}.{last}"
        for part in ("attn.c_attn", "attn.c_proj", "ln_1", "mlp.c_fc", "mlp.c_proj", "ln_2")
        for last in ("weight", "bias")
    ]
    tables = ["transformer.positions_embed.weight", "transformer.tokens_embed.weight"]
    return tables + [f"transformer.h.{layer}.{name}" for layer in range(depth) for name in block]


def _open_gpt1(folder: Path) -> tuple[dict[str, Any], TensorSource]:
    shapes = _shapes(folder / SHAPES)
    depth = (len(shapes) - 2) // 12
    if len(shapes) < 14 or len(shapes) != 2 + 12 * depth or [len(shape) for shape in shapes[:2]] != [2, 2]:
        raise ZooError(f"{folder / SHAPES} does not list two tables and twelve tensors a layer; get the folder again")
    heads = _hparams(_Gpt1Hparams, folder / HPARAMS).n_head if (folder / HPARAMS).is_file() else GPT1_HEADS
    (context, width), (vocabulary_size, _) = shapes[:2]
    if not heads or width % heads:
        raise ZooError(f'{folder}: width {width} is no multiple of {heads} heads; say {{"n_head": N}} in {HPARAMS}')
    settings = {
        "vocab_size": vocabulary_size,
        "n_positions": context,
        "n_embd": width,
        "n_layer": depth,
        "n_head": heads,
    }
    paths = [folder / f"params_{number}.npy" for number in range(SHARDS)]
    return settings, FlatSource(paths, dict(zip(gpt1_names(depth), shapes, strict=True)))


def _shapes(path: Path) -> list[tuple[int, ...]]:
    """Return the list of shapes in a JSON file."""
    shapes = parse_json(path)
    sound = isinstance(shapes, list) and all(
        isinstance(shape, list)
        and len(shape) <= 16
        and all(type(size) is int and 0 <= size < 1 << 40 for size in shape)
        for shape in shapes
    )
    if not sound or len(shapes) > 100_000:
        raise ZooError(f"{path} is no list of shapes; get the folder again")
    return [tuple(shape) for shape in shapes]


def _open_gpt2(folder: Path) -> tuple[dict[str, Any], TensorSource]:
    stated = _hparams(_Gpt2Hparams, folder / HPARAMS)
    settings = {
        "vocab_size": stated.n_vocab,
        "n_positions": stated.n_ctx,
        "n_embd": stated.n_embd,
        "n_layer": stated.n_layer,
        "n_head": stated.n_head,
    }
    npz = folder / VARIABLES
    return settings, _without_optimizer(NpzSource(npz) if npz.is_file() else TensorflowSource(_index(folder)))


def _open_bert(folder: Path) -> tuple[dict[str, Any], TensorSource]:
    settings = read_json(folder / BERT_CONFIG)
    if settings.get("hidden_act") == "gelu":
        settings["hidden_act"] = "gelu_new"  # Google's own program computes the tanh form
    return settings, _without_optimizer(TensorflowSource(_index(folder)))


def _without_optimizer(source: TensorSource) -> TensorSource:
    """Leave out what training has left beside the weights."""
    return Renamed(source, lambda name: None if _OPTIMIZER.fullmatch(name) else name)


_OPTIMIZER = re.compile(r"global_step|beta[12]_power.*|.*/(Adam(_1)?|adam_[mv]|Momentum)", re.DOTALL)


def _index(folder: Path) -> Path:
    """Return the index of the only checkpoint in a folder, or of that which the file ``checkpoint`` names."""
    found = sorted(folder.glob("*.index"))
    if len(found) > 1 and (folder / "checkpoint").is_file():
        stated = re.search(r'^model_checkpoint_path: "([^"]*)"', read_text(folder / "checkpoint"), re.MULTILINE)
        found = [path for path in found if stated and path.name == f"{Path(stated[1]).name}.index"]
    if len(found) != 1:
        raise ZooError(f"{folder} has {len(found)} checkpoints (*.index), not one; leave one there")
    return found[0]


def _bpe(folder: Path) -> Tokenizer[Any] | None:
    """Return GPT-1's tokenizer after the original, or GPT-2's."""
    from zoo.tokenizers.text.gpt1 import Gpt1Tokenizer

    if (folder / "encoder_bpe_40000.json").is_file():
        return Gpt1Tokenizer.load(folder, words="english")
    return vocabulary.read(folder)


def _pieces(folder: Path) -> Tokenizer[Any] | None:
    """Return BERT's tokenizer; nothing but its pieces says whether it keeps capitals."""
    from zoo.tokenizers.text.wordpiece import FILE, WordpieceTokenizer

    if not (folder / FILE).is_file():
        return None
    words = (line for line in read_text(folder / FILE).splitlines() if not line.startswith("["))
    return WordpieceTokenizer.load(folder, lowercase=not any(word != word.lower() for word in words))


GPT1 = Layout(marks=(SHAPES,), family=gpt1.FAMILY, original=_gpt1_original, open=_open_gpt1, tokenizer=_bpe)
GPT2 = Layout(marks=(HPARAMS,), family=gpt2.FAMILY, original=_gpt2_original, open=_open_gpt2, tokenizer=_bpe)
BERT = Layout(marks=(BERT_CONFIG,), family=bert.FAMILY, original=_bert_original, open=_open_bert, tokenizer=_pieces)
LAYOUTS: Sequence[Layout] = (GPT1, GPT2, BERT)
"""In the order in which a folder's files are compared: GPT-1's has ``hparams.json`` too."""

HPARAMS_OF: Mapping[str, str] = {
    "n_vocab": "vocab_size", "n_ctx": "n_positions", "n_embd": "n_embd", "n_head": "n_head", "n_layer": "n_layer",
}  # fmt: skip
"""GPT-2's keys, and Hugging Face's."""
