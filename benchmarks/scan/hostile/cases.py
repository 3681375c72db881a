"""What a case is: a small repo, whether it is hostile, and what the library that executes it would do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Content = bytes | str | dict[str, Any] | list[Any]
Files = Mapping[str, Content]
Make = Callable[[], Files]


@dataclass(frozen=True)
class Case:
    """One repo.

    Args:
        name: unique in its set.
        hostile: whether a scan has to end in exit code 1; a twin has to end in 0.
        loader: what the library that opens it really does; for a twin, who opens it.
        make: path in the repo and content; texts as UTF-8, lists and dicts as JSON.
    """

    name: str
    hostile: bool
    loader: str
    make: Make

    @property
    def right(self) -> int:
        """The exit code that is right."""
        return int(self.hostile)

    def write(self, folder: Path) -> None:
        """Write the files below a folder, which must not hold them yet."""
        for path, content in self.make().items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                file.write(encoded(content))


def encoded(content: Content) -> bytes:
    """The bytes of a file."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    return json.dumps(content, indent=2).encode()


def bad(name: str, loader: str, make: Make) -> Case:
    """A hostile case."""
    return Case(name, True, loader, make)


def twin(name: str, loader: str, make: Make) -> Case:
    """The same shape without the malice."""
    return Case(name, False, loader, make)
