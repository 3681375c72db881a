"""Keys that a config renames onto others, as transformers does it on every read and write of an attribute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hubclean.scanning.configs.fields_of_key import rows_of
from hubclean.scanning.configs.loader_fields import LoaderField

ALIASES = "attribute_map"
# Of a model of two halves, transformers takes one half's config by cutting these off (``get_text_config``).
_HALVES = ("encoder_", "decoder_")


@dataclass(frozen=True, slots=True)
class Renaming:
    """Which keys stand for one another in a config.

    A map given in the file itself holds for the whole file: what is written under ``x`` can be read as its alias and
    the other way round, over several maps, in the config and in every config within it.
    """

    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, root: object) -> Renaming:
        """The renamings that all ``attribute_map`` of a JSON tree make together."""
        leader: dict[str, str] = {}

        def find(name: str) -> str:
            while leader.setdefault(name, name) != name:
                leader[name] = leader[leader[name]]
                name = leader[name]
            return name

        for one, other in _pairs(root):
            leader[find(one)] = find(other)
        if not leader:
            return cls()
        # Of the names of a class one for every row of the table that it falls under: padding hides none.
        members: dict[str, dict[LoaderField, str]] = {}
        for name in leader:
            for row in rows_of(name):
                members.setdefault(find(name), {}).setdefault(row, name)
        return cls({name: tuple(dict.fromkeys(members.get(find(name), {}).values())) for name in leader})

    def names(self, key: str) -> tuple[str, ...]:
        """All names under which a loader may read what is written under ``key``, itself first."""
        shorter = next((key[len(half) :] for half in _HALVES if key.startswith(half)), "")
        if not self.classes and not shorter:
            return (key,)
        found = (key, *self.classes.get(key, ()), shorter, *self.classes.get(shorter, ()))
        return tuple(dict.fromkeys(name for name in found if name))


def _pairs(root: object) -> Iterator[tuple[str, str]]:
    todo: list[tuple[bool, object]] = [(False, root)]
    while todo:
        is_map, value = todo.pop()
        if isinstance(value, dict):
            if is_map:
                yield from ((key, item) for key, item in value.items() if isinstance(item, str))
            todo += [(key == ALIASES, item) for key, item in value.items() if isinstance(item, (dict, list))]
        elif isinstance(value, list):
            todo += [(is_map, item) for item in value if isinstance(item, (dict, list))]


def in_labels(path: Iterable[str]) -> bool:
    """Whether a value lies in a table of class names, whose keys or values are anybody's words."""
    return not {"label2id", "id2label", "label_descriptions", "label_names"}.isdisjoint(path)
