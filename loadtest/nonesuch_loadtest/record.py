"""Frozen data classes as JSON or TOML values and back; what does not fit is refused."""

import math
import types
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from nonesuch.errors import InvalidRequest
from nonesuch_loadtest.histogram import Histogram

T = TypeVar("T")


def dump(value: Any) -> Any:
    """Give a record as what `json` and TOML know; histograms become text."""
    if isinstance(value, Histogram):
        return value.encode()
    if is_dataclass(value):
        return {field.name: dump(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [dump(inner) for inner in value]
    if isinstance(value, dict):
        return {str(key): dump(inner) for key, inner in value.items()}
    return value


def finite(value: Any) -> Any:
    """What `dump` gave for JSON, which has no number for what is not finite: null."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load(kind: type[T], raw: Any, where: str = "") -> T:
    """Read what `dump` gave, or a person wrote; fields that are left out take their defaults.

    Raises InvalidRequest for a missing or unknown field, or a value of another type, and names
    its place.
    """
    return _value(kind, raw, where)  # type: ignore[no-any-return]  # it is of that type


def _value(kind: Any, raw: Any, where: str) -> Any:  # kind is a type or a form of typing
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _fields(kind, raw, where)
    if kind is Histogram:
        return Histogram.decode(_checked(raw, str, where))
    if origin in {Union, types.UnionType}:  # one type or None
        return None if raw is None else _value(inner[0], raw, where)
    if origin is tuple:
        values = _checked(raw, list, where)
        return tuple(_value(inner[0], v, f"{where}[{i}]") for i, v in enumerate(values))
    if origin is dict:
        values = _checked(raw, dict, where)
        return {_key(inner[0], k): _value(inner[1], v, f"{where}.{k}") for k, v in values.items()}
    if origin is Literal:
        if raw not in inner:
            raise InvalidRequest(f"{where} is {raw!r}, expected one of {', '.join(inner)}")
        return raw
    return raw if kind is Any else _checked(raw, kind, where)


def _key(kind: type, text: str) -> Any:
    return int(text) if kind is int else text


def _fields(kind: Any, raw: Any, where: str) -> Any:
    values = _checked(raw, dict, where)
    hints = get_type_hints(kind)
    if unknown := set(values) - set(hints):
        there = ", ".join(hints)
        place = f" in {where}" if where else ""
        raise InvalidRequest(f"unknown {', '.join(sorted(unknown))}{place}, there are: {there}")
    given = {k: _value(hints[k], v, f"{where}.{k}" if where else k) for k, v in values.items()}
    try:
        return kind(**given)
    except TypeError as exc:  # a field without a default is missing
        raise InvalidRequest(f"{where or kind.__name__.lower()}: {_missing(exc)}") from exc


def _missing(exc: TypeError) -> str:
    return "missing " + str(exc).rpartition("argument")[2].lstrip("s: ").replace("'", "")


def _checked(raw: Any, kind: type, where: str) -> Any:
    if kind is float and type(raw) is int:
        return float(raw)
    if type(raw) is not kind:
        raise InvalidRequest(f"{where or 'the file'} is {raw!r:.80}, expected {_WORDS[kind]}")
    return raw


_WORDS: dict[type, str] = {
    bool: "true or false",
    dict: "a table",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "a text",
}
