"""Models in the files that their authors released: GPT-1's ``.npy`` shards, TensorFlow's variables of the others.

In text models, each tensor is one that Hugging Face's layout has too, under another name and often with an axis of 1 in
front or turned round. So a layout here is: which files there are, what settings they mean, and how one name becomes the
other. Image GPT's variables are cut in other ways: see ``zoo.weights.image_variables``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from zoo.errors import ZooError
from zoo.settings import build
from zoo.tokenizers.base import Modality, Tokenizer
from zoo.tokenizers.none import NoTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.weights import bert, gpt1, gpt2, image_gpt, image_variables, vocabulary
from zoo.weights.arrays import FlatSource, NpzSource
from zoo.weights.family import CONFIG, Family
from zoo.weights.files import parse_json, read_json, read_text
from zoo.weights.folder import read_yaml
from zoo.weights.links import Link, Renamed
from zoo.weights.opened import Opened
from zoo.weights.original_names import Original, bert_original, gpt1_names, gpt1_original, gpt2_original
from zoo.weights.tensorflow import TensorflowSource
from zoo.weights.tensors import TensorSource

T = TypeVar("T")
CARD, HPARAMS, SHAPES, VARIABLES, BERT_CONFIG = (
    "card.yaml", "hparams.json", "params_shapes.json", "tf_variables.npz", "bert_config.json",
)  # fmt: skip
SHARDS = 10
"""Files that GPT-1's numbers are cut into."""
GPT1_HEADS = 12
MOST_TENSORS = 10_000


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way in which authors have released a model.

    Attributes:
        marks: patterns of files that a folder in this layout has, all of them.
        model_type: Hugging Face's, for the card.
        config: settings as in Hugging Face's ``config.json``, original names -> network.
        links: network -> original names of its weights.
        open: folder -> settings, and the tensors.
        tokenizer: of a folder, None if it has no vocabulary.
        modality: what ids stand for.
    """

    marks: tuple[str, ...]
    model_type: str
    config: Callable[[Mapping[str, Any], Collection[str]], TransformerConfig]
    links: Callable[[TransformerConfig], list[Link]]
    open: Callable[[Path], tuple[dict[str, Any], TensorSource]]
    tokenizer: Callable[[Path, TransformerConfig], Tokenizer[Any] | None]
    modality: Modality = "text"


def renamed(
    family: Family,
    original: Original,
    *,
    marks: tuple[str, ...],
    open: Callable[[Path], tuple[dict[str, Any], TensorSource]],
    tokenizer: Callable[[Path], Tokenizer[Any] | None],
) -> Layout:
    """Return the layout in which a family's tensors have other names, one for one."""

    def config(settings: Mapping[str, Any], there: Collection[str]) -> TransformerConfig:
        # Which parts a network has (a pooler, an output transform) shows in the names of its tensors.
        most = family.config(settings, _ALL_PARTS)
        parts = [name for link in family.links(most) for name in link.theirs if original(name)[0] in there]
        return family.config(settings, parts)

    return Layout(
        marks=marks,
        model_type=family.model_type,
        config=config,
        links=lambda config: [_relinked(link, original) for link in family.links(config)],
        open=open,
        tokenizer=lambda folder, config: tokenizer(folder),
        modality=family.modality,
    )


def find(path: Path) -> tuple[Layout, Path] | None:
    """Return the layout of a folder, or of the folder that a file belongs to, and that folder; None if it has none."""
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and not re.search(r"\.(npy|npz|index|json|meta|data-[\d-]+-of-[\d]+)$", path.name):
        return None
    for layout in LAYOUTS:
        if all(any(folder.glob(name)) for name in layout.marks):
            return layout, folder
    return None


def read(layout: Layout, folder: Path) -> Opened:
    """Open a folder in one of the layouts.

    Raises:
        ZooError: files that are missing, broken, or do not fit each other.
    """
    settings, source = layout.open(folder)
    try:
        config = layout.config(settings, set(source.names()))
    except ZooError as error:
        raise ZooError(f"{folder}: {error}") from None
    tokenizer = layout.tokenizer(folder, config)
    if tokenizer is not None:
        vocabulary.fits(tokenizer, config, folder)
    return Opened(
        where=str(folder / layout.marks[0]),
        config=config,
        source=source,
        tokenizer=tokenizer or NoTokenizer(config.vocabulary, modality=layout.modality),
        card={
            "name": folder.resolve().name,
            "modality": layout.modality,
            "source": f"{layout.model_type}, the authors' own files",
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
    sound = isinstance(shapes, list) and len(shapes) <= MOST_TENSORS
    if not sound or not all(
        isinstance(shape, list)
        and len(shape) <= 16
        and all(type(size) is int and 0 <= size < 1 << 40 for size in shape)
        for shape in shapes
    ):
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
    return settings, _variables(folder)


def _open_image_gpt(folder: Path) -> tuple[dict[str, Any], TensorSource]:
    """Open variables alone; a ``config.json`` beside them may name another activation or eps, not other sizes."""
    source = _variables(folder)
    found = image_variables.settings(source)
    stated = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    for key in ("n_positions", "n_embd", "n_layer", "n_head"):
        if stated.get(key, found[key]) != found[key]:
            raise ZooError(f"{folder / CONFIG}: {key} {str(stated[key])[:20]} is {found[key]} in the variables")
    kept = ("activation_function", "layer_norm_epsilon", "resid_pdrop")
    return found | {key: stated[key] for key in kept if key in stated}, source


def _variables(folder: Path) -> TensorSource:
    """Return the variables in one ``.npz``, else in TensorFlow's own files."""
    npz = folder / VARIABLES
    return _without_optimizer(NpzSource(npz) if npz.is_file() else TensorflowSource(_index(folder)))


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


def _palette(folder: Path, config: TransformerConfig) -> Tokenizer[Any] | None:
    """Return the tokenizer of OpenAI's palette, whose grid is the square that fills the context, or of another's."""
    from zoo.tokenizers.image import palette
    from zoo.tokenizers.image.pixel_clusters import PixelClustersTokenizer

    size = image_gpt.square(config.context)
    if (folder / palette.OPENAI).is_file() and size is not None:
        return PixelClustersTokenizer.load(folder / palette.OPENAI, size=size)
    return image_gpt.tokenizer(folder, config)


GPT1 = renamed(gpt1.FAMILY, gpt1_original, marks=(SHAPES,), open=_open_gpt1, tokenizer=_bpe)
GPT2 = renamed(gpt2.FAMILY, gpt2_original, marks=(HPARAMS,), open=_open_gpt2, tokenizer=_bpe)
BERT = renamed(bert.FAMILY, bert_original, marks=(BERT_CONFIG,), open=_open_bert, tokenizer=_pieces)
IMAGE_GPT = Layout(
    marks=(VARIABLES,),
    model_type=image_gpt.MODEL_TYPE,
    config=image_variables.config,
    links=image_variables.links,
    open=_open_image_gpt,
    tokenizer=_palette,
    modality="image",
)
LAYOUTS: Sequence[Layout] = (GPT1, GPT2, BERT, IMAGE_GPT, dataclasses.replace(IMAGE_GPT, marks=("*.index",)))
"""In the order in which a folder's files are compared: GPT-1's has ``hparams.json`` too, Image GPT's no settings."""

HPARAMS_OF: Mapping[str, str] = {
    "n_vocab": "vocab_size", "n_ctx": "n_positions", "n_embd": "n_embd", "n_head": "n_head", "n_layer": "n_layer",
}  # fmt: skip
"""GPT-2's keys, and Hugging Face's."""
