"""Which fields of a config reach a download, a file, an import or a kernel in the source of a library."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

# Calls by which a library fetches, opens, imports or runs what their arguments name.
SINKS = frozenset(
    [
        "cached_file",
        "cached_files",
        "hf_hub_download",
        "snapshot_download",
        "get_class_from_dynamic_module",
        "get_cached_module_file",
        "import_module",
        "__import__",
        "import_from_string",
        "import_module_class",
        "get_kernel",
        "load_and_register_attn_kernel",
        "load_state_dict_from_url",
        "load_state_dict_from_hf",
        "load_custom_from_hf",
        "download_from_hf",
        "download_cached_file",
        "urlopen",
        "urlretrieve",
        "load_dataset",
        "load_from_disk",
        "torch_load",
        "load_metadata",
        "load_pretrained",
        "load_checkpoint",
        "create_model",
    ]
)
BARE = frozenset({"open", "eval", "exec"})  # not as methods: images are opened, nets are put into eval mode
_WORDS = re.compile("|".join([*(rf"\b{name}\(" for name in sorted(SINKS)), r"(?<![.\w])(?:open|eval|exec)\("]))
_CONFIGS = re.compile(r"(config|cfg|hparams|settings)$")
_FROM_JSON = re.compile(r"(processing|processor|feature_extraction|configuration|config)[^/]*\.py$")
_SKIPPED = re.compile(
    r"convert_|/(tests?|commands|cli|examples|losses|evaluation|readers|data)/|testing_utils|trainer|training_args|"
    r"modular_|auto_docstring|hf_argparser|integration_utils|exporters|_debugging_|benchmark|scripts|serving"
)


class _Walk(ast.NodeVisitor):
    """Follows names from ``config.x``, ``config["x"]``, ``kwargs.pop("x")`` and ``self.x`` into the calls."""

    def __init__(self, of_json: bool) -> None:
        self.found: set[str] = set()
        self.of_json = of_json
        self.names: list[dict[str, set[str]]] = [{}]

    def fields(self, tree: ast.AST) -> set[str]:
        found: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                found |= next((scope[node.id] for scope in reversed(self.names) if node.id in scope), set())
            elif isinstance(node, ast.Attribute):
                owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
                if _CONFIGS.search(owner) or (owner == "self" and self.of_json):
                    found.add(node.attr)
            elif isinstance(node, ast.Subscript):
                found |= _text(node.slice)
            elif isinstance(node, ast.Call):
                called = _name(node.func)
                position = {"get": 0, "pop": 0, "setdefault": 0, "getattr": 1}.get(called)
                if position is not None and len(node.args) > position:
                    found |= _text(node.args[position])
        return found - {"get", "pop", "setdefault", "to_dict"}

    def _scope(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        self.names.append({})
        self.generic_visit(node)
        self.names.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _scope

    def _bind(self, target: ast.AST, found: set[str]) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                self.names[-1].setdefault(node.id, set()).update(found)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self._bind(target, self.fields(node.value))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.generic_visit(node)
        self._bind(node.target, self.fields(node.value))

    def visit_For(self, node: ast.For) -> None:
        self._bind(node.target, self.fields(node.iter))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if _name(node.func) in SINKS or (isinstance(node.func, ast.Name) and node.func.id in BARE):
            for argument in (*node.args, *(row.value for row in node.keywords)):
                self.found |= self.fields(argument)
        self.generic_visit(node)


def _name(tree: ast.AST) -> str:
    return tree.attr if isinstance(tree, ast.Attribute) else getattr(tree, "id", "")


def _text(tree: ast.AST) -> set[str]:
    return {tree.value} if isinstance(tree, ast.Constant) and isinstance(tree.value, str) else set()


def loaded_fields(folder: Path, only: tuple[str, ...] = ()) -> dict[str, str]:
    """The fields whose values reach one of ``SINKS`` in the Python files below ``folder``, with a file each.

    Args:
        only: beginnings of the names of the files that are read; empty: of all.
    """
    found: dict[str, str] = {}
    for name, tree in _trees(folder, only):
        walk = _Walk(_FROM_JSON.search(name) is not None)
        walk.visit(tree)
        found |= dict.fromkeys(walk.found - found.keys(), name)
    return found


def fields_in(source: str) -> set[str]:
    """The same for one text."""
    walk = _Walk(True)
    walk.visit(ast.parse(source))
    return walk.found


def _trees(folder: Path, only: tuple[str, ...]) -> Iterator[tuple[str, ast.AST]]:
    for file in sorted(folder.rglob("*.py")):
        name = file.relative_to(folder).as_posix()
        if _SKIPPED.search(f"/{name}") or not name.startswith(only or ""):
            continue
        text = file.read_text(encoding="utf-8")
        if _WORDS.search(text):
            yield name, ast.parse(text)
