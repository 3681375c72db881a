"""Writes the types that skops trusts by default: ``python -m tools.skops_types``; needs skops."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

OUT = Path(__file__).parents[1] / "hubclean" / "scanning" / "formats" / "skops_types.json"


def main() -> None:
    """All lists of ``skops.io._trusted_types`` in one, sorted."""
    import skops.io._trusted_types as trusted

    names = {name for key in dir(trusted) if key.endswith("TYPE_NAMES") for name in getattr(trusted, key)}
    versions = {name: importlib.metadata.version(name) for name in ("skops", "scikit-learn", "numpy", "scipy")}
    OUT.write_text(json.dumps({**versions, "names": sorted(names)}, indent=0) + "\n")


if __name__ == "__main__":
    main()
