"""The cases of a set, by kind: every module of ``a/`` or ``b/`` is a kind."""

from __future__ import annotations

import importlib
import pkgutil

from benchmarks.scan.hostile.cases import Case


def cases(name: str) -> dict[str, tuple[Case, ...]]:
    """Kind and cases of set ``a`` or ``b``, in the order of the modules' names."""
    package = importlib.import_module(f"benchmarks.scan.hostile.{name}")
    found = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda one: one.name):
        held = importlib.import_module(f"{package.__name__}.{module.name}")
        found[module.name] = tuple(held.CASES)
    names = [case.name for kind in found.values() for case in kind]
    assert len(set(names)) == len(names), f"two cases have one name: {sorted({x for x in names if names.count(x) > 1})}"
    return found
