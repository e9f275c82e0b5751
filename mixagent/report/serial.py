"""Frozen dataclasses as JSON and back, by their type hints.

A field is a key of its name, or of the one that its metadata gives it. A class with `to_json` and `from_json`
of its own, such as `Analysis`, is written and read by these.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
T = TypeVar("T")

KEY = "key"
"""In a field's metadata: its key in JSON, where that is no name of Python's, such as `for`."""

EXACT: Mapping[str, bool] = types.MappingProxyType({"exact": True})
"""Metadata of a field in which an unknown key is refused: it would be a setting left out."""


def to_json(value: object) -> Json:
    """A dataclass, or a mapping, sequence or scalar of JSON that holds some, as JSON values."""
    if hasattr(value, "to_json"):
        return to_json(value.to_json())
    if is_dataclass(value):
        return {_key(each): to_json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_json(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} is no JSON")


def from_json(kind: type[T], value: object, where: str = "", exact: bool = False) -> T:
    """The value of a type that `to_json` gave.

    Args:
        kind: a dataclass, or a type of one of its fields.
        value: what JSON holds.
        where: name of the field, for the error.
        exact: whether keys that no field has are refused; a later version may have added some.

    Raises:
        ValueError: a field that is missing or of another type; it says which.
    """
    read: T = _read(kind, value, where, exact)
    return read


def _read(kind: Any, value: object, where: str, exact: bool) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        return _read_union(arguments, value, where, exact)
    if origin is Literal:
        if value not in arguments:
            raise _wrong(where, value)
        return value
    if origin is tuple:
        return _read_tuple(arguments, value, where, exact)
    if origin is not None and issubclass(origin, Mapping):
        rows = _of(dict, value, where)
        return {name: _read(arguments[1], each, _inside(where, name), exact) for name, each in rows.items()}
    if hasattr(kind, "from_json"):
        return _read_own(kind, value, where)
    if is_dataclass(kind):
        return _read_fields(kind, value, where, exact)
    return _read_scalar(kind, value, where)


def _read_union(kinds: tuple[Any, ...], value: object, where: str, exact: bool) -> Any:
    if value is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    if type(value) in others:
        return value
    if len(others) == 1:
        return _read(others[0], value, where, exact)
    raise _wrong(where, value)


def _read_tuple(kinds: tuple[Any, ...], value: object, where: str, exact: bool) -> tuple[Any, ...]:
    rows = _of(list, value, where)
    if kinds[-1] is not Ellipsis and len(rows) != len(kinds):
        raise _wrong(where, value)
    each_kind = [kinds[0]] * len(rows) if kinds[-1] is Ellipsis else kinds
    read = zip(each_kind, rows, strict=True)
    return tuple(_read(kind, each, f"{where}[{k}]", exact) for k, (kind, each) in enumerate(read))


def _read_own(kind: Any, value: object, where: str) -> Any:
    try:
        return kind.from_json(_of(dict, value, where))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: {type(error).__name__} of {error}") from error


def _read_fields(kind: Any, value: object, where: str, exact: bool) -> Any:
    row = _of(dict, value, where)
    known = {_key(each): each for each in fields(kind)}
    if exact and (unknown := [name for name in row if name not in known]):
        raise ValueError(f"{_inside(where, unknown[0])} is not known")
    hints, given = _hints(kind), {}
    for name, each in known.items():
        at = _inside(where, name)
        if name in row:
            strict = exact or "exact" in each.metadata
            given[each.name] = _read(hints[each.name], row[name], at, strict)
        elif each.default is MISSING and each.default_factory is MISSING:
            raise ValueError(f"{at} is missing")
    return kind(**given)


def _read_scalar(kind: Any, value: object, where: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise _wrong(where, value)
    return value


def _of(kind: type[T], value: object, where: str) -> T:
    if not isinstance(value, kind):
        raise _wrong(where, value)
    return value


def _wrong(where: str, value: object) -> ValueError:
    text = repr(value)
    return ValueError(f"{where or 'it'} is {text if len(text) <= 60 else text[:57] + '...'}")


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _key(each: Field[Any]) -> str:
    name: str = each.metadata.get(KEY, each.name)
    return name


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
