"""Recipes: YAML composed by Hydra, merged with a size and the command line, and checked before anything is allocated.

The only module that knows Hydra and OmegaConf. Their grammar and their powers stop here: what leaves ``compose`` is
plain dicts, lists and scalars; references to other keys are resolved, anything that reaches outside is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from zoo import settings
from zoo.catalogue import describe as describe
from zoo.catalogue import names as names
from zoo.catalogue import tokenizers as tokenizers
from zoo.errors import ZooError, suggest
from zoo.paths import recipes_folder

if TYPE_CHECKING:
    from zoo.architecture import NetworkConfig
    from zoo.data.registry import DataSettings
    from zoo.generate.settings import SamplingSettings
    from zoo.tokenizers.base import Modality
    from zoo.tokenizers.codecs import CodecConfig
    from zoo.tokenizers.registry import TokenizerSettings
    from zoo.train.settings import TrainSettings

SECTIONS = ("tokenizer", "model", "data", "train", "generate")
FACTS = ("summary", "paper", "modality", "parameters", "prompt")
CODEC_SECTIONS = ("model", "data", "train")
CODEC_FACTS = ("summary", "paper", "modality", "parameters")
PLACE = re.compile(r"[0-9]{1,4}")
"""A part of a key that counts in a list."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A checked recipe: what to train, on what, how.

    Attributes:
        name: path below recipes/, e.g. ``text/adder``.
        summary: what it makes, in a few words.
        paper: where it comes from.
        modality: what its samples are.
        parameters: expected number of parameters with ``model.vocabulary`` ids; None where the command line changed
            the model or the tokenizer.
        prompt: what the samples shown after training go on from.
        tokenizer: settings to fit or load one.
        model: settings of the network; its vocabulary is replaced by the tokenizer's.
        data: settings to open the corpus.
        train: settings of the training loop.
        generate: settings of the samples shown after training.
    """

    name: str
    summary: str
    paper: str
    modality: Modality
    parameters: int | None
    prompt: str
    tokenizer: TokenizerSettings
    model: NetworkConfig
    data: DataSettings
    train: TrainSettings
    generate: SamplingSettings

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values from which ``build`` makes the recipe again: what recipe.yaml holds."""
        facts = {"name": self.name, **{fact: getattr(self, fact) for fact in FACTS}}
        return facts | {section: settings.to_mapping(getattr(self, section)) for section in SECTIONS}


@dataclass(frozen=True, kw_only=True)
class CodecRecipe:
    """A checked recipe of a codec: samples in, the same samples out, and ids in between.

    Attributes:
        name, summary, paper, modality, parameters: see ``Recipe``.
        model: settings of the codec.
        data: settings to open the corpus.
        train: settings of the training loop.
    """

    name: str
    summary: str
    paper: str
    modality: Modality
    parameters: int | None
    model: CodecConfig
    data: DataSettings
    train: TrainSettings

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values from which ``build`` makes the recipe again: what recipe.yaml holds."""
        facts = {"name": self.name, **{fact: getattr(self, fact) for fact in CODEC_FACTS}}
        return facts | {section: settings.to_mapping(getattr(self, section)) for section in CODEC_SECTIONS}


def compose(
    name: str, overrides: Mapping[str, str] | None = None, *, size: str | None = None, also: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the recipe as plain values: its file, then the size, then the command line.

    Args:
        name: path below recipes/.
        overrides: ``key=value`` words. ``tokenizer`` names a file of recipes/tokenizer; values of ``data.path``,
            ``data.columns.*`` and ``tokenizer.path`` are literal, as one path of ``data.more`` is; all others follow
            Hydra's grammar (numbers, lists, mappings, quotes). A number in a key is a place in a list, from 0:
            ``model.patterns.1.window``.
        size: one of the recipe's ``sizes``.
        also: names to suggest for a misspelt key beside the recipe's own.

    Raises:
        ZooError: unknown recipe, size or tokenizer, a word that cannot be read, a reference that reaches outside.
    """
    config = _load(_find(name))
    sizes = config.pop("sizes", {})
    if size is not None:
        if size not in sizes:
            raise ZooError(f"{name} has no size '{size}'{suggest(size, sizes)}")
        config = _merge({**config, "parameters": None}, sizes[size])
    literal: dict[str, Any] = {}
    for key in overrides or {}:
        _check_key(key, config, also)
    for key, text in sorted((overrides or {}).items(), key=lambda pair: pair[0] != "tokenizer"):  # sections first
        if key.startswith("tokenizer") and "tokenizer" not in config:
            raise ZooError(f"{name} is a codec: it becomes a tokenizer, and takes none")
        if key == "tokenizer" and not text.startswith("{"):
            named = _tokenizer(text)
            if text != config["tokenizer"]["type"]:  # the recipe's own one keeps the recipe's vocabulary
                config["tokenizer"] = named
        elif _is_literal(key):
            literal[key] = text
        elif key == "data.more" and not text.startswith("["):
            literal[key] = [text]
        else:
            _set(config, key, _value(key, text))
        if key.startswith(("tokenizer", "model.")):
            config["parameters"] = None
    follows = "tokenizer.path" in literal and config["data"].get("codec") == "${tokenizer.path}"
    config = _resolve(config)
    if follows:  # the reference was resolved before the path, which is text to the letter, was there
        literal.setdefault("data.codec", literal["tokenizer.path"])
    for key, text in literal.items():
        _set(config, key, text)
    return {"name": name, **config}


def build(config: Mapping[str, Any]) -> Recipe | CodecRecipe:
    """Check the plain values of ``compose`` and return the recipe.

    Raises:
        ZooError: unknown keys, wrong types, values out of range, settings that contradict each other.
    """
    from zoo.architecture import NetworkConfig
    from zoo.data.registry import DataSettings
    from zoo.generate.settings import SamplingSettings
    from zoo.tokenizers.base import Modality
    from zoo.tokenizers.codecs import CodecConfig
    from zoo.tokenizers.registry import TokenizerSettings
    from zoo.train.reconstruct import Reconstruction
    from zoo.train.settings import TrainSettings

    facts: dict[str, Any] = {
        "name": str,
        "summary": str,
        "paper": str,
        "modality": Modality,
        "parameters": int | None,
    }
    model = config.get("model")
    codecs = [settings.tag(kind) for kind in get_args(CodecConfig)]  # a list: a type may be anything at all here
    if isinstance(model, Mapping) and model.get("type") in codecs:
        sections: dict[str, Any] = {"model": CodecConfig, "data": DataSettings, "train": TrainSettings}
        return CodecRecipe(**_checked(config, {**sections, **facts}))
    kinds: dict[str, Any] = {
        "tokenizer": TokenizerSettings,
        "model": NetworkConfig,
        "data": DataSettings,
        "train": TrainSettings,
        "generate": SamplingSettings,
        "prompt": str,
        **facts,
    }
    recipe = Recipe(**_checked(config, kinds))
    if recipe.tokenizer.modality != recipe.modality:
        raise ZooError(
            f"tokenizer: {settings.tag(type(recipe.tokenizer))} is for {recipe.tokenizer.modality}, "
            f"{recipe.name} makes {recipe.modality}"
        )
    if isinstance(recipe.train.objective, Reconstruction):
        raise ZooError(f"train.objective: {settings.tag(type(recipe.train.objective))} is for codecs")
    return recipe


def _checked(config: Mapping[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of ``kinds``, each built by its annotation; refuse others and missing ones."""
    for key in config:
        if key not in kinds:
            raise ZooError(f"unknown setting '{key}'{_suggest_key(key, config, FACTS)}")
    for key in kinds:
        if key not in config:
            raise ZooError(f"missing setting '{key}'")
    return {key: settings.build(kind, config[key], key) for key, kind in kinds.items()}


def tokenizer_settings(name: str, overrides: Mapping[str, str] | None = None) -> TokenizerSettings:
    """Return the checked settings of a tokenizer without a recipe around it.

    Args:
        name: of a file in recipes/tokenizer.
        overrides: ``tokenizer.KEY=value`` words, as ``compose`` takes them.

    Raises:
        ZooError: no such tokenizer or setting, or a value that it does not take.
    """
    from zoo.tokenizers.registry import TokenizerSettings

    config = {"tokenizer": _tokenizer(name)}
    for key, text in (overrides or {}).items():
        if not all(key.split(".")) or not key.startswith("tokenizer."):
            raise ZooError(f"'{key}' is no setting of a tokenizer; write tokenizer.KEY=value")
        if not _is_literal(key):
            _set(config, key, _value(key, text))
    config = _resolve(config)
    for key, text in (overrides or {}).items():
        if _is_literal(key):
            _set(config, key, text)
    return settings.build(TokenizerSettings, config["tokenizer"], "tokenizer")


def _find(name: str) -> str:
    known = names()
    if name not in known:
        hint = suggest(name, known, limit=0)
        raise ZooError(
            f"unknown recipe '{name}'{hint or ';'}{' recipes:' if not hint else ' all recipes:'} {', '.join(known)}"
        )
    return name


def _tokenizer(name: str) -> Any:
    if name not in tokenizers():
        raise ZooError(f"unknown tokenizer '{name}'{suggest(name, tokenizers())}")
    return _load(f"tokenizer/{name}")["tokenizer"]


def _load(name: str) -> dict[str, Any]:
    """Return the composed YAML of one file below recipes/, references unresolved."""
    try:
        with initialize_config_dir(config_dir=str(recipes_folder()), version_base="1.3"):
            return cast(dict[str, Any], OmegaConf.to_container(hydra_compose(name), resolve=False))
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise ZooError(f"recipes/{name}.yaml: {' '.join(str(error).split())}") from None


def _is_literal(key: str) -> bool:
    return key in ("data.path", "data.codec", "tokenizer.path") or key.startswith("data.columns.")


def _value(key: str, text: str) -> Any:
    """Return the value that ``text`` is in Hydra's grammar."""
    try:
        override = OverridesParser.create().parse_override(f"{key}={text}")
        if override.is_sweep_override():
            raise ZooError(f"{key}: one value, got '{text}'; a list is written [{text}]")
        return override.value()
    except (HydraException, OmegaConfBaseException):
        raise ZooError(
            f"{key}: cannot read '{text}'; text with special characters needs quotes: {key}=\"'...'\""
        ) from None


def _check_key(key: str, config: Mapping[str, Any], also: Sequence[str]) -> None:
    """Refuse keys that cannot be a setting; whether a section knows the rest of the key is checked by ``build``."""
    first, *rest = key.split(".")
    if key in FACTS or key == "name":
        raise ZooError(f"{key} is a fact about the recipe, not a setting")
    if not all([first, *rest]) or first not in SECTIONS:
        raise ZooError(f"unknown setting '{key}'{_suggest_key(key, config, also)}")
    if key == "model.vocabulary":
        raise ZooError("model.vocabulary is the tokenizer's; change tokenizer= or tokenizer.vocabulary= instead")


def _set(config: dict[str, Any], key: str, value: Any) -> None:
    """Set the dotted ``key`` of nested mappings and lists."""
    first, *rest = key.split(".")
    for part in reversed(rest):
        value = {part: value}
    try:
        config[first] = _merge(config.get(first), value)
    except ZooError as error:
        raise ZooError(f"{key}: {error}") from None


def _merge(old: Any, new: Any) -> Any:
    """Return ``old`` changed by ``new``: mappings key by key, lists place by place, anything else replaced.

    A mapping that names another ``type`` replaces the old one whole, since its keys belong to another class.
    """
    if isinstance(old, list) and isinstance(new, Mapping) and new and all(PLACE.fullmatch(str(key)) for key in new):
        return _merge_places(old, {int(key): item for key, item in new.items()})
    if isinstance(old, str) and isinstance(new, Mapping) and "type" not in new:
        old = {"type": old}  # `feedforward: mlp` is short for `feedforward: {type: mlp}`
    if (
        not isinstance(old, Mapping)
        or not isinstance(new, Mapping)
        or new.get("type", old.get("type")) != old.get("type")
    ):
        return new
    return {**old, **{key: _merge(old.get(key), value) for key, value in new.items()}}


def _merge_places(old: list[Any], new: Mapping[int, Any]) -> list[Any]:
    for place in new:
        if place >= len(old):
            raise ZooError(f"there is no place {place} in a list of {len(old)}; places count from 0")
    return [_merge(item, new[place]) if place in new else item for place, item in enumerate(old)]


def _resolve(config: dict[str, Any]) -> dict[str, Any]:
    """Return ``config`` with its references to other keys (``${model.context}``) replaced by their values."""
    _refuse_resolvers(config, "recipe")
    try:
        return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(config), resolve=True))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ZooError(f"recipe: {' '.join(str(error).split())}") from None


def _refuse_resolvers(value: Any, where: str) -> None:
    """Refuse ``${resolver:...}`` anywhere: resolvers read the environment, and whatever a plug-in makes them do."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_resolvers(str(key), where)
            _refuse_resolvers(item, f"{where}.{key}")
    elif isinstance(value, list):
        for item in value:
            _refuse_resolvers(item, where)
    elif isinstance(value, str) and re.search(r"\$\{[\s\w.${}]*:", value):
        raise ZooError(f"{where}: '{value}' reaches outside the recipe; only references to its own keys are allowed")


def _suggest_key(key: str, config: Mapping[str, Any], also: Sequence[str] = ()) -> str:
    """Return a hint for a misspelt key, also where only its section is missing (``steps`` for ``train.steps``)."""
    owners = {leaf: f"{section}.{leaf}" for section in SECTIONS for leaf in _leaves(config.get(section))}
    near = suggest(key, [*also, *owners.values(), *SECTIONS], limit=0)
    match = re.search(r"'(.*)'", suggest(key.rsplit(".", 1)[-1], owners, limit=0))
    if not near and match:
        near = f"; did you mean '{owners[match[1]]}'?"
    return near or f"; a recipe's settings start with {', '.join(SECTIONS)}"


def _leaves(section: Any) -> list[str]:
    return [str(key) for key in section] if isinstance(section, Mapping) else []
