"""The JSON Schema (draft 2020-12) of ``audit.json``, made from the dataclasses of ``records``.

``python -m hubclean.schema > model_cards/audit.schema.json`` writes the copy that other tools validate against.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any, Literal

from hubclean.records import SCHEMA, Audit

_PLAIN = {bool: "boolean", int: "integer", float: "number", str: "string", types.NoneType: "null"}


def json_schema(record: type = Audit, identifier: str = SCHEMA) -> dict[str, Any]:
    """The schema of ``to_json(record)``: every record in ``$defs``, nothing beyond the known fields allowed.

    Args:
        record: a dataclass whose fields are plain values, literals, tuples, dicts and such dataclasses.
        identifier: what the record's field ``schema`` must hold.

    Raises:
        TypeError: a field has a type that JSON has no word for.
    """
    definitions: dict[str, Any] = {}
    top = _describe(record, definitions)
    fields = definitions[record.__name__]["properties"]
    if "schema" in fields:
        fields["schema"] = {"const": identifier}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{identifier.replace('/', ':')}",
        "title": identifier,
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def _describe(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = {}  # taken first, so that a record may hold its own kind
            definitions[kind.__name__] = _record(kind, definitions)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (typing.Union, types.UnionType):
        if all(arm in _PLAIN for arm in args):
            return {"type": [_PLAIN[arm] for arm in args]}
        return {"anyOf": [_describe(arm, definitions) for arm in args]}
    if origin is tuple and args[1:] == (Ellipsis,):
        return {"type": "array", "items": _describe(args[0], definitions)}
    if origin is tuple:
        items = [_describe(arm, definitions) for arm in args]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(args)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _describe(args[1], definitions)}
    raise TypeError(f"{kind} has no JSON Schema")


def _record(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    hints, fields = typing.get_type_hints(kind), dataclasses.fields(typing.cast(Any, kind))
    needed = [f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    return {
        "description": " ".join((kind.__doc__ or "").split("Args:")[0].replace("``", "`").split()),
        "type": "object",
        "properties": {f.name: _describe(hints[f.name], definitions) for f in fields},
        "required": needed,
        "additionalProperties": False,
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
