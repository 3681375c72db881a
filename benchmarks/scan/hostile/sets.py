"""The cases of a set, by kind: every module of ``a/``, ``b/`` or ``c/`` is a kind."""

from __future__ import annotations

import importlib
import pkgutil

from benchmarks.scan.hostile.cases import Case


def cases(name: str) -> dict[str, tuple[Case, ...]]:
    """Kind and cases of set ``a``, ``b`` or ``c``, in the order of the modules' names."""
    package = importlib.import_module(f"benchmarks.scan.hostile.{name}")
    found: dict[str, tuple[Case, ...]] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda one: one.name):
        found[module.name] = tuple(importlib.import_module(f"{package.__name__}.{module.name}").CASES)
    for kind, held in found.items():
        names = [case.name for case in held]
        assert len(set(names)) == len(names), f"{kind}: two cases have one name"
    return found
