"""Writes hubclean/scanning/pickles/libraries/estimators.json: scikit-learn's estimators that hold state and no more.

    python -m tools.estimator_names FOLDER

FOLDER holds unpacked wheels of scikit-learn, a folder a version; nothing of them is imported. A class is listed where
every version that defines it makes it from ``BaseEstimator``, and neither it nor a class of scikit-learn above it has a
method that runs while pickle makes or fills it (``BaseEstimator.__setstate__``, which only warns of versions, aside).
Trees, neighbours' indexes and losses are compiled, and stay off the list: their arrays are addresses. Review the diff.
"""

from __future__ import annotations

import argparse
import ast
import json
from pathlib import Path

from tools.state_sources import bases, classes, methods

_RUN = {"__new__", "__setstate__", "__del__", "__reduce__", "__reduce_ex__"}


def estimators(root: Path) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(module, class) of all estimators of one version, and of those that are not plain."""
    found: dict[str, list[tuple[str, ast.ClassDef]]] = {}
    for place in sorted((root / "sklearn").rglob("*.py")):
        module = ".".join(place.relative_to(root).with_suffix("").parts)
        if ".tests" in module or "externals" in module or module.endswith(".conftest"):
            continue
        for name, node in classes(place).items():
            found.setdefault(name, []).append((module.removesuffix(".__init__"), node))

    def above(node: ast.ClassDef, seen: frozenset[str] = frozenset()) -> set[str]:
        rows = {node.name}
        for base in bases(node) - seen:
            rows |= {base}
            for _, other in found.get(base, ()):
                rows |= above(other, seen | {node.name})
        return rows

    rows, odd = set(), set()
    for name, places in found.items():
        for module, node in places:
            names = above(node)
            if "BaseEstimator" not in names:
                continue
            rows.add((module, name))
            hooks = [methods(row) & _RUN for base in names - {"BaseEstimator"} for _, row in found.get(base, ())]
            if any(hooks):
                odd.add((module, name))
    return rows, odd


def document(folder: Path) -> dict[str, object]:
    """The list and the versions it was read from."""
    rows: set[tuple[str, str]] = set()
    odd: set[tuple[str, str]] = set()
    versions = sorted((place.name for place in folder.iterdir()), key=lambda text: [*map(int, text.split(".")[:2])])
    for version in versions:
        seen, not_plain = estimators(folder / version)
        rows |= seen
        odd |= not_plain
    by_module: dict[str, list[str]] = {}
    for module, name in sorted(rows - odd):
        by_module.setdefault(module, []).append(name)
    return {"scikit-learn": versions, "names": {module: " ".join(names) for module, names in by_module.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    found = document(parser.parse_args().folder)
    place = Path(__file__).parents[1] / "hubclean" / "scanning" / "pickles" / "libraries" / "estimators.json"
    place.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
