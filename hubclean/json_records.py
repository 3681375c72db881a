"""Records to plain JSON values and back, exactly, every field checked by its type."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from typing import Any, Literal, TypeVar

T = TypeVar("T")


def to_json(record: Any) -> Any:
    """Turn a record into plain JSON values (dict, list, str, int, float, bool, None).

    Raises:
        ValueError: a float is NaN or infinite; JSON has no such numbers.
    """
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, dict):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [to_json(value) for value in record]
    if isinstance(record, float) and not math.isfinite(record):
        raise ValueError(f"{record} cannot be written to JSON")
    return record


def from_json(kind: type[T], value: Any) -> T:
    """Rebuild a record of type ``kind`` from ``to_json``'s output, checking every field.

    Raises:
        ValueError: a field is missing, unknown or of the wrong type; the message names it.
    """
    return typing.cast(T, _read(kind, value, kind.__name__))


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _read_record(kind, value, where)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{where} is {value!r}, not one of {args}")
        return value
    if origin in (typing.Union, types.UnionType):
        return _read_union(args, value, where)
    if origin is tuple and isinstance(value, list):
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_read(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(args) == len(value):
            return tuple(_read(a, item, f"{where}[{i}]") for i, (a, item) in enumerate(zip(args, value, strict=True)))
    if origin is dict and isinstance(value, dict):
        return {key: _read(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and origin is None and type(value) is kind:
        return value
    raise ValueError(f"{where} is {value!r:.80}, not {kind}")


def _read_union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    for arm in sorted(args, key=lambda arm: arm is not type(value)):
        try:
            return value if arm is types.NoneType and value is None else _read(arm, value, where)
        except ValueError:
            continue
    raise ValueError(f"{where} is {value!r:.80}, not one of {args}")


@functools.cache
def _fields(kind: Any) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]]]:
    """Types and fields of a record, worked out once and not for every one of a thousand rows."""
    return typing.get_type_hints(kind), {f.name: f for f in dataclasses.fields(kind)}


def _read_record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is not an object")
    hints, known = _fields(kind)
    if extra := value.keys() - known.keys():
        raise ValueError(f"{where} has unknown fields {sorted(extra)}")
    missing = [n for n, f in known.items() if n not in value and f.default is f.default_factory is dataclasses.MISSING]
    if missing:
        raise ValueError(f"{where} lacks {missing}")
    return kind(**{name: _read(hints[name], item, f"{where}.{name}") for name, item in value.items()})
