"""Public names of a package, imported when they are first asked for, so that nobody loads what nobody uses."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def lazily(package: str, **homes: str) -> Callable[[str], Any]:
    """A ``__getattr__`` for ``package``: ``lazily(__name__, repos="Repo LocalRepo")`` finds both in ``package.repos``.

    Args:
        package: the package's ``__name__``.
        homes: by module, with ``__`` for a dot, the names that it holds, with spaces between.
    """
    where = {name: home.replace("__", ".") for home, names in homes.items() for name in names.split()}

    def getattribute(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{where[name]}"), name)

    return getattribute
