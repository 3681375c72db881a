"""What ``clean`` leaves behind, in small: a folder with weights, card and an audit that fits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from hubclean.records import (
    Audit,
    CleansingReport,
    DataReport,
    FeatureSite,
    FileHash,
    HeadSite,
    Metrics,
    ModelFacts,
    Rate,
    RepoRef,
    to_json,
)
from support.hub_server import HubServer

WEIGHTS = bytes(i * 11 % 253 for i in range(200_000))
OUTPUTS = {
    "config.json": b'{"architecture": "test_resnet"}',
    "hubclean/norms.png": b"\x89PNG\r\n\x1a\n",
    "model.safetensors": WEIGHTS,
}


def audit_text(files: dict[str, bytes]) -> str:
    head = HeadSite("fc", "fc.weight", "linear", 8, 2)
    metrics = (Metrics(Rate.of(9, 10)),)
    audit = Audit(
        origin=RepoRef("org/original", "a" * 40, "hub"),
        command="hubclean clean org/original",
        created="2026-11-21T06:00:00+00:00",
        model=ModelFacts("timm", "test_resnet", (3, 32, 32), (0.5,) * 3, (0.5,) * 3, "bicubic", 0.9, ("a", "b"), 100),
        site=FeatureSite("resnet", "layer4", "NCHW", (8, 1, 1), 0, "pool", 8, 1, (head,)),
        data=DataReport("images", "test", "f", 1, 1, 10, 2, "name", 0),
        scan=None,
        detections=(),
        cleansing=CleansingReport(
            "fine-pruning", "paper", {}, metrics, metrics, (), "pruned", (), ("fc.weight",), (), 1.0
        ),
        skipped=(),
        inputs=(),
        outputs=tuple(
            FileHash(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in sorted(files.items())
        ),
        versions={},
        device="cpu",
        seed=0,
        seconds=1.0,
    )
    return json.dumps(to_json(audit))


_DIGEST = hashlib.sha256(audit_text(OUTPUTS).encode()).hexdigest()
CARD = (
    "---\nlicense: mit\ntags:\n- hubclean\n---\n# A sanitized checkpoint\n\n"
    f"`hubclean/audit.json` has the sha256 `{_DIGEST}`.\n"
)


def write_audit(folder: Path, files: dict[str, bytes]) -> None:
    (folder / "hubclean" / "audit.json").write_text(audit_text(files))


def write_folder(place: Path) -> Path:
    """Fill ``place`` with ``OUTPUTS``, the card and the audit."""
    for path, data in OUTPUTS.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(data)
    (place / "README.md").write_text(CARD)
    write_audit(place, OUTPUTS)
    return place


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def writes(hub: HubServer) -> list[Any]:
    """Requests that could change anything."""
    return [row for row in hub.log if row.method != "GET" and "validate-yaml" not in row.path]
