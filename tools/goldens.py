"""Writes the generated files that tests compare: ``PYTHONPATH=.:tests python -m tools.goldens``."""

from __future__ import annotations

import json
from pathlib import Path

from hubclean.cleansing.card import render_card
from hubclean.cleansing.verifying import report
from hubclean.scanning import document
from hubclean.schema import json_schema
from support.sample_audits import DIGEST, ORIGINAL_CARD, PICTURES, cleansed, unsuspicious

ROOT = Path(__file__).resolve().parent.parent / "model_cards"
PACKAGE = ROOT.parent / "hubclean"


def goldens() -> dict[Path, str]:
    """Path and text of every generated file."""
    return {
        ROOT / "examples" / "backdoor-removed-timm.md": render_card(cleansed(), ORIGINAL_CARD, PICTURES, DIGEST),
        ROOT / "examples" / "nothing-found-local.md": render_card(unsuspicious(), None, PICTURES[1:2], DIGEST),
        PACKAGE / "scanning" / "scan.schema.json": document.schema_text(),
        PACKAGE / "cleansing" / "verifying" / "verify.schema.json": report.schema_text(),
        ROOT / "audit.schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
    }


if __name__ == "__main__":
    for place, text in goldens().items():
        place.write_text(text, encoding="utf-8")
