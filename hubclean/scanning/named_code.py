"""What a name or an expression in a config may do to whoever makes it: Hydra's targets, MONAI's expressions.

Sources: Hydra ``_instantiate2.py``; YOLOv5 ``models/yolo.py`` (``parse_model``); MONAI 1.5 ``bundle/config_item.py``
(``ConfigExpression``: what begins with a dollar sign is evaluated).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from hubclean.records import Severity
from hubclean.scanning.pickles.allowed_names import is_dangerous
from hubclean.scanning.pickles.called_names import CALLED

_LIBRARIES = (
    *("torch", "torchvision", "timm", "transformers", "diffusers", "lightning", "pytorch_lightning", "monai"),
    *("torchmetrics", "albumentations", "kornia", "segmentation_models_pytorch"),
)
_LISTED = re.compile(
    r"forbid|block|deny|denied|ban(ned)?$|unsafe|danger|disallow|blacklist|exclude|ignore", re.IGNORECASE
)
WORDS = frozenset({"name", "title", "text", "description", "label", "comment", "word", "token", "content"})
_LONGEST_CODE = 2000
_REACHED = "subprocess|importlib|runpy|pty|ctypes|socket|urllib|requests|marshal|pickle"
_EXPRESSION = re.compile(
    rf"""\b(?:os|posix|nt)\s*\.\s*(?:system|popen|startfile|(?:posix_)?spawn\w*|exec[lv]\w*)\b
    |\bimport\s+(?:{_REACHED})\b|\bfrom\s+(?:{_REACHED})\b|\b(?:{_REACHED})\s*\.\s*[A-Za-z_]
    |\b(?:eval|exec|compile|globals|vars|getattr|setattr)\s*\(|\brmtree\b
    |__(?!version__|file__|name__|local_refs)\w+__""",
    re.VERBOSE,
)


def is_called(value: str, path: Sequence[str]) -> bool:
    """Whether a whole text is the name of a function that runs commands or code, under a key that may mean one.

    A key that asks for anybody's words, and a list of what is forbidden, mean none.
    """
    if len(value) > 60 or not CALLED.fullmatch(value.strip()):
        return False
    return path[-1:] != () and path[-1].lower() not in WORDS and not any(map(_LISTED.search, path))


def names_calls(text: str) -> bool:
    """Whether a name of that kind stands anywhere in a text."""
    return CALLED.search(text) is not None


def evaluated(value: str) -> str:
    """What an expression would reach for that no model needs; empty if it is none, or reaches nothing.

    MONAI evaluates what begins with a dollar sign; YOLO's models evaluate the names of their layers, which are taken
    for code where all of a text is code that calls something.
    """
    found = _EXPRESSION.search(value)
    if found and (value.startswith("$") or _is_code(value)):
        return found.group()
    return ""


def calls_beyond_layers(text: str) -> bool:
    """Whether all of a text is code, and calls anything but torch's layers (``nn.Upsample(None, 2)``)."""
    if not _is_code(text):
        return False
    called = [node.func for node in ast.walk(ast.parse(text.strip())) if isinstance(node, ast.Call)]
    layers = [
        isinstance(row, ast.Attribute) and isinstance(row.value, ast.Name) and row.value.id == "nn" for row in called
    ]
    return not all(layers)


def _is_code(text: str) -> bool:
    if len(text) > _LONGEST_CODE or "(" not in text:
        return False
    try:
        tree = ast.parse(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(node, (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign)) for node in tree.body)


def target(path: str) -> tuple[Severity, bool]:
    """How grave it is to make what a dotted path names with arguments from the same file, and whether it is hostile."""
    module, _, name = path.rpartition(".")
    if not module and name[:1].isupper():  # MONAI's own components go by their bare names
        return "medium", False
    if is_dangerous(module or "builtins", name) or "__" in path:
        return "high", True
    if name[:1].isupper() or path.partition(".")[0] in _LIBRARIES:
        return "medium", False
    return "high", False
