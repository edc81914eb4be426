"""Frozen dataclasses to and from plain mappings: how recipes, config.json and the command line become checked values.

A class is named by its snake-case tag, so ``patterns: [dense, {type: banded, window: 256}]`` builds
``(Dense(), Banded(window=256))``. Only the classes in a field's own annotation can be named: nothing is ever imported
because a file says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from zoo.errors import ZooError, suggest

T = TypeVar("T")


def tag(kind: type) -> str:
    """Return the name of a class in recipes: ``LayerNorm`` is ``layer_norm``, ``RMSNorm`` is ``rms_norm``.

    A class whose Python name says more than recipes should (``TransformerConfig``) names itself in ``settings_name``.
    """
    stated = kind.__dict__.get("settings_name")
    return (
        stated
        if isinstance(stated, str)
        else re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind.__name__).lower()
    )


def build(kind: type[T] | Any, value: object, where: str = "settings", *, from_text: bool = False) -> T:
    """Turn ``value`` (what YAML, JSON or a command line holds) into an instance of the annotation ``kind``.

    Args:
        kind: a frozen dataclass, a union of them, a scalar type, ``Literal``, ``tuple[X, ...]`` or ``dict[str, X]``.
        value: a mapping, sequence or scalar; a value that already is a ``kind`` is passed through.
        where: dotted name of the value, for messages.
        from_text: accept ``"3"`` for an int and so on, as command lines need.

    Raises:
        ZooError: unknown, missing or ill-typed fields, and whatever a class's own check refuses.
    """
    return cast(T, _build(kind, value, where, from_text))


def to_mapping(value: object) -> Any:
    """Return plain dicts, lists and scalars from which ``build`` makes ``value`` again (classes by their tag)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: to_mapping(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": tag(type(value)), **fields}
    if isinstance(value, Mapping):
        return {str(key): to_mapping(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_mapping(item) for item in value]
    return value


@functools.cache
def fields_of(kind: type) -> dict[str, tuple[Any, bool]]:
    """Return ``{field: (annotation, is required)}`` of a dataclass, annotations resolved."""
    hints = typing.get_type_hints(kind)
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(kind)
        if field.init
    }


def _build(kind: Any, value: object, where: str, from_text: bool) -> object:
    origin = typing.get_origin(kind)
    if kind is Any or kind is object:
        return value
    if origin is typing.Annotated:
        return _build(typing.get_args(kind)[0], value, where, from_text)
    if origin in (typing.Union, types.UnionType):
        return _build_union(typing.get_args(kind), value, where, from_text)
    if origin is typing.Literal:
        return _build_literal(typing.get_args(kind), value, where)
    if origin is tuple:
        return _build_tuple(typing.get_args(kind), value, where, from_text)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ZooError(f"{where}: expected a mapping, got {value!r}")
        item = typing.get_args(kind)[1]
        return {str(key): _build(item, entry, f"{where}.{key}", from_text) for key, entry in value.items()}
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(cast(type, kind), value, where, from_text)
    return _build_scalar(kind, value, where, from_text)


def _build_union(choices: tuple[Any, ...], value: object, where: str, from_text: bool) -> object:
    if type(None) in choices and (value is None or (from_text and value in ("null", "none"))):
        return None
    choices = tuple(choice for choice in choices if choice is not type(None))
    settings = (cast(type, choice) for choice in choices if dataclasses.is_dataclass(choice))
    classes = {tag(kind): kind for kind in settings}
    if classes and isinstance(value, tuple(classes.values())):
        return value
    named = value if isinstance(value, str) else value.get("type") if isinstance(value, Mapping) else None
    if classes and isinstance(named, str) and (named in classes or len(classes) == len(choices)):
        if named not in classes:
            raise ZooError(f"{where}: unknown type '{named}'{suggest(named, classes)}")
        return _build_dataclass(classes[named], {} if isinstance(value, str) else value, where, from_text)
    if len(choices) == 1:
        return _build(choices[0], value, where, from_text)
    if classes and isinstance(value, Mapping):
        raise ZooError(f"{where}: needs 'type: NAME'{suggest('', classes)}")
    for choice in choices:
        try:
            return _build(choice, value, where, from_text)
        except ZooError as error:
            failure = error
    raise failure


def _build_dataclass(kind: type, value: object, where: str, from_text: bool) -> object:
    if isinstance(value, kind):
        return value
    if isinstance(value, str) and value == tag(kind):
        value = {}
    if not isinstance(value, Mapping):
        raise ZooError(f"{where}: expected a mapping of settings, got {value!r}")
    known = fields_of(kind)
    given = {str(key): entry for key, entry in value.items() if not (key == "type" and "type" not in known)}
    stated = value.get("type", tag(kind))
    if "type" not in known and stated != tag(kind):
        raise ZooError(f"{where}: expected type '{tag(kind)}', got {stated!r}")
    for name in given:
        if name not in known:
            raise ZooError(f"unknown setting '{where}.{name}'{suggest(name, [*known, 'type'])}")
    for name, (_, required) in known.items():
        if required and name not in given:
            raise ZooError(f"missing setting '{where}.{name}'")
    built = {name: _build(known[name][0], entry, f"{where}.{name}", from_text) for name, entry in given.items()}
    try:
        return kind(**built)
    except ZooError as error:
        message = str(error)
        raise ZooError(message if message.startswith(where) else f"{where}: {message}") from None


def _build_literal(choices: tuple[Any, ...], value: object, where: str) -> object:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    raise ZooError(f"{where}: {value!r} is not possible{suggest(str(value), [str(choice) for choice in choices])}")


def _build_tuple(items: tuple[Any, ...], value: object, where: str, from_text: bool) -> object:
    if from_text and isinstance(value, str):
        value = [part for part in value.strip("[]()").split(",") if part]
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ZooError(f"{where}: expected a list, got {value!r}")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_build(items[0], entry, f"{where}[{index}]", from_text) for index, entry in enumerate(value))
    if len(items) != len(value):
        raise ZooError(f"{where}: expected {len(items)} values, got {len(value)}")
    return tuple(
        _build(item, entry, f"{where}[{index}]", from_text)
        for index, (item, entry) in enumerate(zip(items, value, strict=True))
    )


def _build_scalar(kind: Any, value: object, where: str, from_text: bool) -> object:
    if from_text and isinstance(value, str):
        value = _from_text(kind, value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, float) and math.isnan(value):
            raise ZooError(f"{where}: must be a number, got nan")
        with contextlib.suppress(OverflowError):  # a whole number of more than 308 digits
            return float(value)
    if kind is str and isinstance(value, str):
        return value
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    raise ZooError(f"{where}: expected {names.get(kind, getattr(kind, '__name__', str(kind)))}, got {value!r}")


def _from_text(kind: Any, text: str) -> object:
    lowered = text.strip().lower()
    if kind is bool and lowered in ("true", "false", "yes", "no", "1", "0"):
        return lowered in ("true", "yes", "1")
    if kind in (int, float):
        try:
            return int(lowered.replace("_", "")) if kind is int else float(lowered)
        except ValueError:
            return text
    return text
