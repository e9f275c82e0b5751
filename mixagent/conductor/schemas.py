"""JSON schemas from type hints, and values of unknown origin read by the same hints.

Numbers are finite, texts one line of bounded length, lists and numbers `Within` bounds, names `OneOf` those
that there are; a key that is not asked for, or is missing, is an error.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from mixagent.pipeline.untrusted import one_line

LONGEST_TEXT = 300
"""Characters of a text; what is longer is cut."""

_LARGEST = 1e9


@dataclass(frozen=True)
class Within:
    """The bounds of a number, or of the length of a list, in an `Annotated`."""

    least: float
    most: float


@dataclass(frozen=True)
class OneOf:
    """The texts that a text may be, in an `Annotated`."""

    names: tuple[str, ...]


def parameters_schema(function: Callable[..., Any]) -> dict[str, Any]:
    """The schema of an object that holds a function's arguments, all but the first."""
    return _object(_arguments(function))


def read_arguments(function: Callable[..., Any], given: object) -> dict[str, Any]:
    """The arguments of a function from JSON.

    Raises:
        ValueError: they are others than it takes; it says which.
    """
    return _read_fields(_arguments(function), given, "arguments")


def _arguments(function: Callable[..., Any]) -> dict[str, Any]:
    hints = get_type_hints(function, include_extras=True)
    names = list(hints)[1:]
    return {name: hints[name] for name in names if name != "return"}


def _object(hints: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: schema_of(hint) for name, hint in hints.items()},
        "required": list(hints),
        "additionalProperties": False,
    }


_SCALARS: Mapping[type, str] = types.MappingProxyType({float: "number", int: "integer", str: "string"})


def schema_of(hint: Any) -> dict[str, Any]:
    """The schema of a type: a scalar, a list, a dataclass, or one of them or None."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds, schema = arguments[1], schema_of(arguments[0])
        if isinstance(bounds, OneOf):
            return {**schema, "enum": list(bounds.names)}
        low, high = ("minItems", "maxItems") if schema["type"] == "array" else ("minimum", "maximum")
        return {**schema, low: bounds.least, high: bounds.most}
    if origin in (types.UnionType, Union):
        return {"anyOf": [schema_of(each) for each in arguments]}
    if origin is list:
        return {"type": "array", "items": schema_of(arguments[0])}
    if hint is type(None):
        return {"type": "null"}
    if is_dataclass(hint):
        return _object(get_type_hints(hint, include_extras=True))
    return {"type": _SCALARS[hint]}


def read(hint: Any, given: object, where: str) -> Any:
    """A value of a type from JSON.

    Raises:
        ValueError: it is of another type or out of bounds; it says where.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(read(arguments[0], given, where), arguments[1], where)
    if origin in (types.UnionType, Union):
        if given is None:
            return None
        return read(next(each for each in arguments if each is not type(None)), given, where)
    if origin is list:
        if not isinstance(given, list):
            raise ValueError(f"{where} is no list")
        return [read(arguments[0], each, where) for each in given]
    if is_dataclass(hint) and isinstance(hint, type):
        return hint(**_read_fields(get_type_hints(hint, include_extras=True), given, where))
    return _read_scalar(hint, given, where)


def _bounded(value: Any, bounds: Within | OneOf, where: str) -> Any:
    if isinstance(bounds, OneOf):
        if value not in bounds.names:
            raise ValueError(f"{where} is none of {', '.join(bounds.names)}")
    elif isinstance(value, list):
        if not bounds.least <= len(value) <= bounds.most:
            raise ValueError(f"{where} holds {len(value)}, not {bounds.least:g} to {bounds.most:g}")
    elif not bounds.least <= value <= bounds.most:
        raise ValueError(f"{where} is not {bounds.least:g} to {bounds.most:g}")
    return value


def _read_fields(hints: Mapping[str, Any], given: object, where: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ValueError(f"{where}: no object")
    unknown = [one_line(str(name))[:LONGEST_TEXT] for name in given if name not in hints]
    missing = [name for name in hints if name not in given]
    if unknown or missing:
        raise ValueError(f"{where}: {'unknown' if unknown else 'missing'} {', '.join(unknown or missing)}")
    return {name: read(hint, given[name], name) for name, hint in hints.items()}


def _read_scalar(hint: Any, given: object, where: str) -> Any:
    if hint is str and isinstance(given, str):
        return one_line(given)[:LONGEST_TEXT]
    if hint is int and type(given) is int:
        return given
    if hint is float and type(given) in (int, float):
        assert isinstance(given, int | float)
        if abs(given) < _LARGEST and math.isfinite(given):
            return float(given)
    raise ValueError(f"{where} is no {'text' if hint is str else 'number'}")
