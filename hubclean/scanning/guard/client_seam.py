"""Where every download of ``huggingface_hub`` passes: three public functions whose bodies can be exchanged for all.

timm, transformers and user code hold the functions by value (``from huggingface_hub import hf_hub_download``), so that
setting a name in ``huggingface_hub`` reaches none of them. All three carry the decorator ``validate_hf_hub_args``,
whose wrapper reaches the body through one closure cell. Exchanging what lies in that cell changes the function
for everyone who holds it, since when does not matter, and its arguments are checked by then. Tried with 1.0 to 2.4.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import CellType
from typing import Any

from huggingface_hub import __version__ as client_version
from huggingface_hub import _snapshot_download, file_download

from hubclean.errors import HubcleanError

#: The way in of one file, of a whole snapshot, and of a file that lies in the cache already.
FILE, SNAPSHOT, LOOKUP = "hf_hub_download", "snapshot_download", "try_to_load_from_cache"

Body = Callable[..., Any]


class Seam:
    """One of the three functions. ``body`` is what the client put there; ``signature`` that of the public function.

    Raises:
        HubcleanError: this release of ``huggingface_hub`` is built in another way, or another tool was here before.
    """

    def __init__(self, function: Body) -> None:
        self.body: Body = getattr(function, "__wrapped__", function)
        self.signature = inspect.signature(self.body)
        cells: tuple[CellType, ...] = getattr(function, "__closure__", None) or ()
        held = [cell for cell in cells if cell.cell_contents is self.body]
        if len(held) != 1:
            raise HubcleanError(
                f"huggingface_hub {client_version} cannot be guarded: its downloads do not pass where those of"
                " 1.0 to 2.4 do, or another tool has replaced them"
            )
        self._cell = held[0]

    def put(self, body: Body) -> None:
        """Let everyone who holds the function call ``body`` from now on."""
        self._cell.cell_contents = functools.wraps(self.body)(body)  # the client reads its __name__

    def restore(self) -> None:
        """Put back what the client put there."""
        self._cell.cell_contents = self.body


def seams() -> dict[str, Seam]:
    """All three by name; nothing is exchanged yet.

    Raises:
        HubcleanError: as ``Seam``.
    """
    functions = (file_download.hf_hub_download, _snapshot_download.snapshot_download)
    named: tuple[Body, ...] = (*functions, file_download.try_to_load_from_cache)
    return dict(zip((FILE, SNAPSHOT, LOOKUP), map(Seam, named), strict=True))
