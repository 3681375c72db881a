"""What will be loaded: the files that a loader opens of a repo. Pure: listing and small texts in, ``LoadSet`` out.

* ``choosing``: the loader and its files. Start here.
* ``transformers_files``: transformers: config, processors, tokenizers, weights.
* ``other_files``: timm, peft, open_clip, state dicts.
* ``opened``: what all of them ask of a listing: which names are there, small JSON, shards.
* ``look_alikes``: names that only look like those that loaders open.
* ``foreign``: what there is in place of what a loader loads (``ONNX only``).
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.scanning.load_sets.choosing import load_set as load_set
    from hubclean.scanning.load_sets.opened import Asked as Asked

__all__ = [
    "Asked",
    "load_set",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        choosing="load_set",
        opened="Asked",
    )
