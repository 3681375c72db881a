"""``with hubclean.guard():`` downloads of other libraries scanned first.

* ``guard``: the guard. Start here.
* ``options``: what it lets pass.
* ``verdicts``: which commits and cached folders were scanned.
* ``client_seam``: where every download of ``huggingface_hub`` passes.
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.scanning.guard.guard import Guard as Guard
    from hubclean.scanning.guard.options import GuardOptions as GuardOptions

__all__ = [
    "Guard",
    "GuardOptions",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        guard="Guard",
        options="GuardOptions",
    )
