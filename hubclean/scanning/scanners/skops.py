"""skops archives: the types and functions that ``schema.json`` names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

from hubclean.errors import BudgetError
from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding, Severity
from hubclean.scanning import formats
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.formats.strict_json import JsonProblem, read_json
from hubclean.scanning.formats.zip_directory import BrokenZip, local_header, member_content, read_directory
from hubclean.scanning.pickles.allowed_names import is_dangerous
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, format_of, judged, not_checked
from hubclean.scanning.sources import RepoSource

_LONGEST = 8 << 20
_MOST_TOLD = 30
# What skops builds by nodes of its own, beside the types that it trusts.
_NODES_TEXT = """
builtins.dict builtins.list builtins.tuple builtins.set builtins.frozenset builtins.str builtins.bytes
builtins.bytearray builtins.slice builtins.type builtins.NoneType builtins.int builtins.float builtins.bool
builtins.complex collections.defaultdict collections.OrderedDict numpy.ndarray numpy.ma.MaskedArray
numpy.ma.core.MaskedArray numpy.matrix numpy.dtype numpy.random.mtrand.RandomState numpy.random._generator.Generator
functools.partial sklearn.utils._bunch.Bunch sklearn.covariance._graph_lasso._DictWithDeprecatedKeys
"""
_NODES = frozenset(_NODES_TEXT.split())
# Trusted by older skops; a crafted one makes scikit-learn read outside its arrays.
_MEMORY = ("sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor")
_LOSSES = ("sklearn._loss._loss", "sklearn.linear_model._sgd_fast")  # compiled losses, made by skops' LossNode
_CALLS = ("MethodNode", "OperatorFuncNode")  # name one thing and build another: CVE-2025-54412, CVE-2025-54413


@cache
def _trusted() -> frozenset[str]:
    document = json.loads((Path(formats.__file__).parent / "skops_types.json").read_text("utf-8"))
    return frozenset(document["names"]) | _NODES


@dataclass(frozen=True)
class Skops:
    """Walks ``schema.json`` of every skops archive: each type or function must be one that skops trusts by default.

    HC-SKO-001: high; critical for one that runs code, commands, network or files; medium for scikit-learn's trees.
    Its arrays are judged by ``archives``.
    """

    name: ClassVar[str] = "skops"
    paper: ClassVar[str] = "skops documentation, secure persistence; CVE-2025-54412, CVE-2025-54413, CVE-2025-54886"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            named = suffix(entry.path) == ".skops"
            if format_of(reader, entry) != "zip":
                if named and entry.size:
                    yield from not_checked(entry, "named .skops, but no zip")
                return
            schema = _schema(reader, entry)
            if isinstance(schema, str) or (named and schema is None):
                yield from not_checked(entry, f"a skops archive: {schema or 'without schema.json'}")
            elif schema is not None:
                yield from judged(entry, _problems(schema[0]), [], "skops: every type is one that skops trusts")

        yield from each(files, judge)


def _schema(reader: Reader, entry: RepoEntry) -> list[object] | str | None:
    """The parsed schema in a list, why it cannot be read, or ``None`` where it is none of skops."""
    source = RepoSource(reader, entry)
    try:
        directory = read_directory(source)
        found = [row for row in directory.members if row.name == "schema.json"]
        if not found:
            return None
        if found[-1].size > _LONGEST:
            return f"a schema of {found[-1].size:,} bytes"
        _, begin = local_header(source, found[-1], directory.begin)
        text = member_content(source, found[-1], begin, directory.begin, found[-1].size + 1)
        return [read_json(text)[0]] if b"__loader__" in text or b"\\u" in text else None
    except JsonProblem as error:
        return str(error)
    except (BrokenZip, BudgetError):
        return None  # ``archives`` says so


def _problems(schema: object) -> Iterator[Problem]:
    told: set[str] = set()
    todo = [schema]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
            row = _node(value)
            if row and row.what not in told and len(told) < _MOST_TOLD:
                told.add(row.what)
                yield row


def _node(node: dict[str, object]) -> Problem | None:
    """What is wrong with one node."""
    module, name, loader = node.get("__module__"), node.get("__class__"), node.get("__loader__")
    if loader is None and module is None:
        return None
    if not isinstance(module, str) or not isinstance(name, str):
        return Problem("HC-SKO-001", "a type that is not written out", hostile=False)
    path = f"{module}.{name}"
    if loader in _CALLS:
        severity: Severity = "critical" if is_dangerous(module, name) and module != "operator" else "high"
        return Problem(
            "HC-SKO-001", f"{loader} of {path[:150]}: it names one thing and calls another", None, "", severity
        )
    if (
        path in _trusted()
        or module in _LOSSES
        or (module.startswith("scipy.sparse.") and name.endswith(("_matrix", "_array")))
    ):
        return None
    if path in _MEMORY:
        return Problem(
            "HC-SKO-001", f"{path}, which skops trusts no longer: its arrays are indexes", None, "", "medium"
        )
    if is_dangerous(module, name):
        what = f"{path[:150]}: it runs code or commands, or reaches network, files or other names"
        return Problem("HC-SKO-001", what, None, "do not load it; report it to the Hub", "critical")
    return Problem("HC-SKO-001", f"{path[:150]}, which skops does not trust", hostile=False)
