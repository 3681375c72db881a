"""Classes under the names of libraries that are not installed, for as long as something is pickled."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stand_in(path: str, *bases: type, **members: Any) -> Iterator[Any]:
    """A class that pickle writes as ``path``."""
    module, _, name = path.rpartition(".")
    parts = module.split(".")
    names = [".".join(parts[: count + 1]) for count in range(len(parts))]
    before = {one: sys.modules.get(one) for one in names}
    for one in names:
        sys.modules[one] = types.ModuleType(one)
    made = type(name, bases or (object,), {"__module__": module, "__qualname__": name, **members})
    setattr(sys.modules[module], name, made)
    try:
        yield made
    finally:
        for one, old in before.items():
            if old is None:
                del sys.modules[one]
            else:
                sys.modules[one] = old


def filled(made: type, **state: Any) -> Any:
    """An object of it with this state."""
    value = made.__new__(made)
    value.__dict__.update(state)
    return value
