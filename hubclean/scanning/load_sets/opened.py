"""What every loader asks of a listing: which of its names are there, what small JSON says, which shards there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hubclean.errors import HubcleanError, OptionError
from hubclean.escaping import printable
from hubclean.records import LOADERS, Loader
from hubclean.scanning.formats.safetensors_header import parse_index
from hubclean.scanning.formats.strict_json import JsonProblem, read_json
from hubclean.scanning.reader import Reader

_LARGEST = 8 << 20  # as for every config that is judged


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller says of the loading.

    Args:
        loader: who loads; ``None`` takes the one that the repo is for.
        variant: as of ``from_pretrained`` (``fp16``: ``model.fp16.safetensors``).
        subfolder: as of ``from_pretrained``: where in the repo the model lies.

    Raises:
        OptionError: no such loader.
    """

    loader: Loader | None = None
    variant: str | None = None
    subfolder: str = ""

    def __post_init__(self) -> None:
        if self.loader is not None and self.loader not in LOADERS:
            shown = printable(str(self.loader), 60)
            raise OptionError(f"no loader named {shown!r}; there are: {', '.join(LOADERS)}")


@dataclass(frozen=True, slots=True)
class Found:
    """The files one loader opens.

    Args:
        texts: configs, processors, tokenizers, in order.
        weights: weights, an index before its shards; empty where there are none.
        note: what keeps the weights from being loaded whole (a shard that is not there).
        base: other repos that are loaded from, too.
    """

    texts: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    note: str = ""
    base: tuple[str, ...] = ()


class Opened:
    """A listing as one loader sees it: names are relative to the subfolder that it was given."""

    def __init__(self, reader: Reader, asked: Asked) -> None:
        self.reader = reader
        self.variant = asked.variant
        self.local, self.cached = reader.ref.kind == "local", reader.ref.kind == "cache"
        self._paths = frozenset(entry.path for entry in reader.files())
        self._before = f"{asked.subfolder.strip('/')}/" if asked.subfolder.strip("/") else ""
        self.names = tuple(
            sorted(path.removeprefix(self._before) for path in self._paths if path.startswith(self._before))
        )

    def there(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of ``names`` that are there, in this order, as paths of the repo."""
        paths = (self._before + name for name in names)
        return tuple(dict.fromkeys(path for path in paths if path in self._paths))

    def first(self, *names: str) -> str:
        """The first of ``names`` that is there; empty if none is."""
        return next((name for name in names if self._before + name in self._paths), "")

    def json(self, name: str) -> Any:
        """What a small JSON file holds; ``None`` where it is not there or cannot be read: its verdict says why."""
        if not self.first(name):
            return None
        try:
            return read_json(self.reader.read(self._before + name, _LARGEST))[0]
        except (HubcleanError, JsonProblem, OSError, ValueError):
            return None

    def table(self, name: str) -> dict[str, Any]:
        """The same, if it is an object; else an empty one."""
        value = self.json(name)
        return value if isinstance(value, dict) else {}

    def with_variant(self, name: str) -> str:
        """The name under which ``from_pretrained`` looks for a variant of a file."""
        before, _, ending = name.rpartition(".")
        return f"{before}.{self.variant}.{ending}" if self.variant else name

    def whole_or_shards(self, *names: str) -> tuple[tuple[str, ...], str]:
        """Of the first of ``names`` that is there: itself, or if it is an index, that and its shards.

        Returns:
            Paths of the repo, none if no name is there; and what is wrong with the index.
        """
        name = self.first(*names)
        if not name.endswith(".json"):
            return self.there([name] if name else []), ""
        (index,) = self.there([name])
        folder = name[: name.rfind("/") + 1]
        try:
            shards = sorted({folder + shard for shard in parse_index(self.reader.read(index, _LARGEST)).values()})
        except (HubcleanError, OSError, ValueError) as error:
            return (index,), f"{printable(index, 100)}: {printable(str(error), 200)}"
        found = self.there(shards)
        if lacks := len(shards) - len(found):
            return (index, *found), f"{lacks} of the {len(shards)} shards of {printable(index, 100)} are not there"
        return (index, *found), ""
