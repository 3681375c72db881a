"""A cleansed folder that was changed so that card, audit and files fit each other again, as a careful forger would."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hubclean.cleansing.card import render_card
from hubclean.records import Audit, FileHash, from_json, to_json

AUDIT = "hubclean/audit.json"


@dataclasses.dataclass(frozen=True)
class Cleansed:
    """``out`` was made of ``base`` with ``pictures``."""

    base: Path
    out: Path
    pictures: Path


def audit_of(folder: Path) -> Audit:
    return from_json(Audit, json.loads((folder / AUDIT).read_text(encoding="utf-8")))


def write_audit(folder: Path, audit: Audit) -> None:
    """The audit alone; the card keeps its hash of the old one."""
    text = json.dumps(to_json(audit), indent=1, ensure_ascii=False) + "\n"
    (folder / AUDIT).write_text(text, encoding="utf-8")


def restated(folder: Path, original: Path | None, change: Callable[[Audit], Audit] = lambda audit: audit) -> None:
    """Write audit and card anew for what lies in the folder, with pictures in the card's old order.

    Args:
        original: the folder whose card's metadata are inherited.
        change: of the audit.
    """
    old = (folder / "README.md").read_text(encoding="utf-8")
    rows = []
    for place in sorted(row for row in folder.rglob("*") if row.is_file()):
        path, body = place.relative_to(folder).as_posix(), place.read_bytes()
        if path not in (AUDIT, "README.md"):
            rows.append(FileHash(path, len(body), hashlib.sha256(body).hexdigest()))
    audit = change(dataclasses.replace(audit_of(folder), outputs=tuple(rows)))
    write_audit(folder, audit)
    shown = sorted((row.path for row in rows if row.path.endswith(".png")), key=lambda path: old.find(f"({path})"))
    card = (original / "README.md").read_text(encoding="utf-8") if original else None
    digest = hashlib.sha256((folder / AUDIT).read_bytes()).hexdigest()
    (folder / "README.md").write_text(render_card(audit, card, tuple(shown), digest), encoding="utf-8")


def edited(value: Any, path: str, new: Any) -> Any:
    """A record with one field replaced: ``edited(audit, "cleansing.kept", "x")``."""
    name, _, rest = path.partition(".")
    return dataclasses.replace(value, **{name: edited(getattr(value, name), rest, new) if rest else new})
