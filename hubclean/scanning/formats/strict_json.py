"""JSON read strictly: one value, no key twice without a word, bounded."""

from __future__ import annotations

import json

from hubclean.scanning.budget import spend

MOST_VALUES = 400_000  # of one JSON text: a tokenizer has up to 300,000; one takes 300 bytes to hold


class JsonProblem(ValueError):
    """JSON text that loaders may read in different ways, or not at all; ``str`` says why."""


def values_in(text: bytes) -> int:
    """How many values a JSON text holds at most, without parsing it: none comes without one of three signs."""
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")


def read_json(text: bytes, most: int = MOST_VALUES) -> tuple[object, tuple[tuple[str, object], ...]]:
    """Parse JSON strictly: UTF-8, one value.

    Returns:
        The value, and the keys given twice in one object with the earlier value that the later one hides.

    Raises:
        JsonProblem: not UTF-8, not JSON, more than ``most`` values, nested too deep for the parser, or more than 20
            keys given twice.
    """
    if values_in(text) > most:
        raise JsonProblem(f"more than {most:,} values")
    spend(values_in(text))
    hidden: list[tuple[str, object]] = []

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        seen: dict[str, object] = {}
        for key, value in items:
            if key in seen:
                hidden.append((key, seen[key]))
            seen[key] = value
        if len(hidden) > 20:
            raise JsonProblem("more than 20 keys are given twice")
        return seen

    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=pairs), tuple(hidden)
    except UnicodeDecodeError as error:
        raise JsonProblem(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise JsonProblem("nested too deep") from error
    except JsonProblem:
        raise
    except ValueError as error:
        raise JsonProblem(str(error)) from error
