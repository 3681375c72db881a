"""What a name written in a text may do to whoever makes or calls it: YAML's Python tags, Hydra's targets.

Sources: PyYAML ``constructor.py`` (FullConstructor, UnsafeConstructor), Hydra ``_instantiate2.py``.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from hubclean.records import Severity
from hubclean.scanning.pickles.allowed_names import is_allowed, is_dangerous
from hubclean.scanning.pickles.record_names import kind_of

# Python tags, also spelled by a prefix, a percent sign or an escape; Hydra's targets as block, flow or quoted keys.
_MARKS = re.compile(
    r"!!?python/|tag:yaml\.org,2002:python|^%TAG\b|!<[^>\n]*%|(?<![\w.])_target_(?!\w)"
    r"|\"[^\"\n]*\\[xuU0-9][^\"\n]*\"\s*:",
    re.MULTILINE,
)
_TARGET = re.compile(
    r"_target_[\"']?[ \t]*:[ \t]*[\"']?([A-Za-z_][\w.]{0,200})[\"']?[ \t]*(?:[,}\]#\r\n]|$)", re.MULTILINE
)
# A shorthand tag: ends before white space, or where a flow collection goes on.
_TAG = re.compile(
    r"!!python/(?:(?P<plain>tuple|str|unicode|int|long|float|complex|bool|none|list|dict|bytes)"
    r"|(?P<kind>object|name|module|object/apply|object/new):(?P<path>[A-Za-z_][\w.]{0,200}))(?=[\s,\]}]|$)"
)
_MOST = 1000
_LIBRARIES = (
    *("torch", "torchvision", "timm", "transformers", "diffusers", "lightning", "pytorch_lightning", "monai"),
    *("torchmetrics", "albumentations", "kornia", "segmentation_models_pytorch"),
)
_RECORDS = ("new", "enum", "made", "dict")


@dataclass(frozen=True, slots=True)
class NamedCode:
    """One place in a text that names code: what was seen, where (characters from the beginning), how grave it is."""

    seen: str
    at: int
    severity: Severity
    hostile: bool


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


def named_code(text: str) -> NamedCode | None:
    """The worst place of a YAML text; ``None`` if no loader of any kind makes more of it than plain values."""
    found = list(itertools.islice(_MARKS.finditer(text), _MOST))
    rows = [_judged(text, match) for match in found]
    if len(found) == _MOST:
        rows.append(NamedCode(f"{_MOST} Python tags or targets", found[0].start(), "high", True))
    order: tuple[Severity, ...] = ("low", "medium", "high")
    known = [row for row in rows if row]
    return max(known, key=lambda row: (row.hostile, order.index(row.severity)), default=None)


def _judged(text: str, match: re.Match[str]) -> NamedCode | None:
    seen, at = match.group().strip()[:60], match.start()
    if seen.startswith("_target_"):
        named = _TARGET.match(text, at)
        severity, hostile = target(named[1]) if named else ("high", False)
        return NamedCode(f"_target_ {named[1][:80]}" if named else seen, at, severity, hostile)
    tag = _TAG.match(text, at)
    if tag is None:
        return NamedCode(seen, at, "high", True)
    if tag["plain"]:
        return None
    return NamedCode(tag.group()[:100], at, *_tagged(tag["kind"], tag["path"]))


def _tagged(kind: str, path: str) -> tuple[Severity, bool]:
    module, _, name = path.rpartition(".")
    if kind == "module":
        module, name = path, "x"
    if is_dangerous(module or "builtins", name) or "__" in path:
        return "high", True
    if kind in ("name", "module"):
        return "medium", False
    if is_allowed(module, name, 4) or (kind_of(module, name, 4) in _RECORDS):
        return "low", False
    if name[:1].isupper():
        return ("medium", False) if kind == "object" else ("high", False)
    return "high", True
