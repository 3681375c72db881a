"""Writes hubclean/scanning/pickles/allowed_names.json from the installed torch: run it, then review the diff.

    python -m tools.allowed_names

Only this script asks torch; a scan reads the file. torch keeps ``module.name`` strings; the last dot divides them, and
an entry whose name would hold a dot is refused here, so that it can never be listed.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

NUMPY = (
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",  # what protocol 5 writes for an array
    "numpy._core.numeric._frombuffer",
)


def document() -> dict[str, object]:
    """The list with its sources, sorted."""
    import torch
    from torch._weights_only_unpickler import _get_allowed_globals

    rows = sorted({tuple(path.rsplit(".", 1)) for path in (*_get_allowed_globals(), *NUMPY)})
    for module, name in rows:
        if module.startswith("torch"):
            target: object = importlib.import_module(module)
            assert hasattr(target, name), (module, name)
    return {
        "source": "torch._weights_only_unpickler._get_allowed_globals(), and numpy's array, dtype and scalar",
        "torch": torch.__version__.split("+")[0],
        "numpy": importlib.metadata.version("numpy"),
        "names": [list(row) for row in rows],
    }


if __name__ == "__main__":
    place = Path(__file__).parents[1] / "hubclean" / "scanning" / "pickles" / "allowed_names.json"
    text = json.dumps(document(), indent=1).replace("[\n   ", "[").replace(",\n   ", ", ").replace("\n  ]", "]")
    place.write_text(text + "\n")
