"""Checks the names of ``tools/state_names.py`` against the sources of many versions of their libraries, read as text.

    python -m tools.state_sources FOLDER [--missing]

FOLDER holds unpacked wheels, a folder each (``transformers-4.30.2/``); nothing of them is imported. Printed: names that
no version defines where they are said to be, names that are not as plain as their kind says (a method that runs when
pickle makes or fills them), and with ``--missing`` the classes of the same modules that look plain and are not listed.

Last run with transformers 4.0.1 4.5.1 4.11.3 4.17.0 4.21.3 4.26.1 4.30.2 4.34.1 4.38.2 4.42.4 4.46.3 4.51.3 4.57.1
5.0.0; accelerate 0.5.1 0.10.0 0.16.0 0.20.3 0.25.0 0.30.1 0.34.2 1.0.1 1.6.0 1.10.1; torch 2.0.1 2.4.1; trl 0.7.11
0.9.6 0.12.2 0.16.1 0.20.0 1.16.0; deepspeed 0.9.5 0.12.6 0.15.4; sentence-transformers 3.0.1 3.4.1 4.1.0 5.0.0 6.2.0;
setfit 1.0.3 1.1.3; optimum 1.9.1 1.16.2 1.23.3; optimum-habana 1.21.2; optimum-intel 1.15.2 1.22.0; llamafactory
0.9.5; omegaconf 2.0.6 2.1.2 2.3.0; pytorch-lightning 1.0.8 1.4.9 1.6.5 1.9.5 2.0.9 2.5.0; lightning and lightning-
fabric 1.9.5 2.0.9 2.5.0; yacs 0.1.8, easydict 1.14, munch 4.0.0. What it then says of munch and easydict is known:
``state_names.py``.
"""

from __future__ import annotations

import argparse
import ast
import json
from functools import cache
from pathlib import Path

_RUN = {"new": ("__new__", "__setstate__", "__del__", "__reduce__"), "enum": ("__new__", "__init__", "__del__")}
_RUN["dict"] = ("__new__", "__setstate__", "__del__", "__setitem__", "update")
_ENUMS = ("Enum", "IntEnum", "StrEnum", "ExplicitEnum", "EnumWithContains", "BaseEnum", "DeprecatedEnum")


@cache
def classes(place: Path) -> dict[str, ast.ClassDef]:
    """The classes of a file at its top, those behind conditions included."""
    try:
        tree = ast.parse(place.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    found, todo = {}, list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ClassDef):
            found[node.name] = node
        todo += [child for child in ast.iter_child_nodes(node) if isinstance(node, (ast.If, ast.Try, ast.ExceptHandler))
                 and isinstance(child, ast.stmt | ast.ExceptHandler)]  # fmt: skip
    return found


def file_of(root: Path, module: str) -> Path | None:
    """Where a module lies in an unpacked wheel, also below ``src``."""
    for base in (root, root / "src"):
        for place in (base / (module.replace(".", "/") + ".py"), base / module.replace(".", "/") / "__init__.py"):
            if place.is_file():
                return place
    return None


def bases(node: ast.ClassDef) -> set[str]:
    """Names of the bases, without their modules."""
    return {base.attr if isinstance(base, ast.Attribute) else base.id
            for base in node.bases if isinstance(base, (ast.Attribute, ast.Name))}  # fmt: skip


def methods(node: ast.ClassDef) -> set[str]:
    return {row.name for row in node.body if isinstance(row, ast.FunctionDef)}


def is_enum(node: ast.ClassDef) -> bool:
    return bool(bases(node) & set(_ENUMS))


def looked_at(kind: str, module: str, name: str, roots: list[Path]) -> tuple[list[str], list[str]]:
    """In which versions the class is defined there, and what is odd about it in some."""
    seen, odd = [], []
    for root in roots:
        place = file_of(root, module)
        node = classes(place).get(name) if place else None
        if node is None:
            continue
        seen.append(root.name)
        if hooks := methods(node) & set(_RUN.get(kind, ())):
            odd.append(f"{root.name} has {', '.join(sorted(hooks))}")
        if kind == "enum" and not is_enum(node):
            odd.append(f"{root.name}: no enum")
    return seen, odd


def main() -> None:
    """Print what is wrong with the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--missing", action="store_true")
    options = parser.parse_args()
    roots = sorted(place for place in options.folder.iterdir() if place.is_dir())
    from hubclean.scanning.pickles import record_names

    place = Path(record_names.__file__).with_name("state_names.json")
    document = json.loads(place.read_text("utf-8"))
    listed: dict[tuple[str, str], str] = {}
    for kind in ("new", "enum", "dict", "tuple", "named"):
        for module, name in document[kind]:
            listed[module, name] = kind
            seen, odd = looked_at(kind, module, name, roots)
            if not seen or odd:
                print(f"{kind:6} {module}.{name}: {'; '.join(odd) or 'defined nowhere'}")
    if options.missing:
        for module in sorted({module for module, _ in listed}):
            missing(module, roots, listed)


def missing(module: str, roots: list[Path], listed: dict[tuple[str, str], str]) -> None:
    """Classes of a module that look plain and are not listed."""
    found: dict[tuple[str, str], list[str]] = {}
    for root in roots:
        if (place := file_of(root, module)) is None:
            continue
        for name, node in classes(place).items():
            data = any("dataclass" in ast.dump(one) for one in node.decorator_list)
            kind = "enum" if is_enum(node) else "new" if data else ""
            if kind and (module, name) not in listed and not methods(node) & set(_RUN[kind]):
                found.setdefault((kind, name), []).append(root.name)
    for (kind, name), versions in sorted(found.items()):
        print(f"not listed: {kind:5} {module}.{name}  ({versions[0]} .. {versions[-1]})")


if __name__ == "__main__":
    main()
