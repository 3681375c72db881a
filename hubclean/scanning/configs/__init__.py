"""What loaders read of a repo's configs: one table of fields for the scan and for our own loading.

* ``loader_fields``: the table: library, versions read, field, what the loader does with it. Start here.
* ``fields_of_key``: which rows a key falls under.
* ``renaming``: keys that a config renames onto others (``attribute_map``).
* ``asking``: what one value of a config asks for, as a rule and a severity.
* ``components``: configs that are lists of classes: diffusers pipelines, sentence-transformers modules.
* ``requirements``: pip's own options in a list of requirements; ``project_files``: those in a project's TOML.
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.scanning.configs.asking import Ask as Ask
    from hubclean.scanning.configs.asking import asks as asks
    from hubclean.scanning.configs.loader_fields import FIELDS as FIELDS
    from hubclean.scanning.configs.loader_fields import LIBRARIES as LIBRARIES
    from hubclean.scanning.configs.loader_fields import LoaderField as LoaderField
    from hubclean.scanning.configs.renaming import Renaming as Renaming

__all__ = [
    "FIELDS",
    "LIBRARIES",
    "Ask",
    "LoaderField",
    "Renaming",
    "asks",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        asking="Ask asks",
        loader_fields="FIELDS LIBRARIES LoaderField",
        renaming="Renaming",
    )
