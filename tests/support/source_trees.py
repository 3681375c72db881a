"""The sources of hubclean and of its tests as syntax trees, for the tests that keep the rules of the house."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from support import ROOT

PACKAGE, TESTS = ROOT / "hubclean", ROOT / "tests"


def python_files(folder: Path) -> list[Path]:
    return sorted(place for place in folder.rglob("*.py") if "__pycache__" not in place.parts)


@cache
def tree(place: Path) -> ast.Module:
    return ast.parse(place.read_text(encoding="utf-8"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


@cache
def private_names() -> frozenset[str]:
    """Every name with a leading underscore that hubclean defines: functions, classes, constants, methods, fields."""
    found: set[str] = set()
    for place in python_files(PACKAGE):
        for node in ast.walk(tree(place)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
    return frozenset(name for name in found if is_private(name))


def touches_of_private_names(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a module imports, reads, sets or patches a private name of hubclean: line and name.

    ``self._x`` and ``cls._x`` belong to the test's own classes. Names that are patched are written as strings: as the
    second argument of ``setattr`` or dotted, ``"hubclean.module._name"``.
    """
    names = private_names()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hubclean":
            yield from ((node.lineno, alias.name) for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Attribute) and node.attr in names:
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.lineno, node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            last = node.value.rpartition(".")[2]
            if last in names and (last == node.value or node.value.startswith("hubclean.")):
                yield node.lineno, node.value
