"""Archives of ``torch.export`` (``.pt2``): the functions that their graphs name, and their raw tensors.

The loader looks a target up attribute by attribute in ``torch``, ``math`` or ``operator``; running it calls that.
Sources: ``GraphModuleDeserializer.deserialize_operator`` in ``torch/_export/serde/serialize.py`` (2.1 to 2.15),
``torch/csrc/export/pt2_archive_constants.h``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubclean.scanning.formats.strict_json import JsonProblem, read_json
from hubclean.scanning.formats.torchscript import is_of_torch, reaches_files
from hubclean.scanning.pickles.allowed_names import is_dangerous
from hubclean.scanning.rules import Problem

GRAPH = re.compile(r"(^|/)(models/[^/]+|serialized_exported_program)\.json$")
TENSOR = re.compile(r"/data/(weights/weight|constants/tensor)_\d+$")
_MOST_TOLD = 40
_OWN = frozenset(["higher_order", "_c10d_functional", "c10d_functional", "inductor", "symint", "torchao", "prims"])
_ARITHMETIC_TEXT = """
add sub mul truediv floordiv mod neg pos pow abs lt le gt ge eq ne and_ or_ xor not_ invert lshift rshift getitem
matmul iadd isub imul itruediv index is_ is_not truth contains pow
"""
_ARITHMETIC = frozenset(_ARITHMETIC_TEXT.split())


def graph_problems(text: bytes) -> tuple[list[Problem], str]:
    """What the nodes of a program call besides torch's own operators, and why it could not be told."""
    try:
        root, _ = read_json(text)
    except JsonProblem as error:
        return [], f"a graph that does not parse: {error}"
    told: dict[str, Problem] = {}
    for target in _targets(root):
        if target not in told and len(told) < _MOST_TOLD and (problem := _judged(target)):
            told[target] = problem
    return list(told.values()), ""


def _targets(root: object) -> Iterator[str]:
    todo = [root]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
            if isinstance(target := value.get("target"), str) and "inputs" in value:
                yield target


def _judged(target: str) -> Problem | None:
    parts = target.split(".")
    shown = target[:100]
    if any(part.startswith("__") for part in parts):
        return Problem("HC-TS-001", f"calls {shown}: it reaches into what it finds")
    if target.startswith("torch.ops."):
        if len(parts) < 4:
            return Problem("HC-TS-001", f"calls {shown}, which is no operator")
        if reaches_files(parts[3]):
            return Problem("HC-TS-001", f"calls {shown}: it reads or writes files, or runs Python")
        if is_of_torch(parts[2]) or parts[2] in _OWN:
            return None
        return Problem("HC-TS-002", f"calls {shown}, an operator from outside torch")
    if target.startswith("_operator"):
        known = len(parts) == 2 and parts[1] in _ARITHMETIC
        return None if known else Problem("HC-TS-001", f"calls {shown}: it finds or calls other names")
    if parts[0] == "math" and len(parts) == 2:
        return None
    if parts[0] == "torch" and len(parts) == 2 and parts[1].startswith(("sym_", "_sym_", "_check")):
        return None
    if target.startswith("torch") and is_dangerous(".".join(parts[:-1]), parts[-1]):
        return Problem("HC-TS-001", f"calls {shown}: it runs code, or reaches files or network")
    return Problem("HC-TS-002", f"calls {shown}, which is no operator of torch")
