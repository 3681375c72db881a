"""The picture that a table means: by path from the table's folder, by file name, or by name without its ending."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hubclean.nets.sources.split_words import split_word
from hubclean.nets.sources.trees import Folder, Tree, pictures_in

_ENDING = re.compile(r"\.(jpe?g|jpe|jfif|png|gif|webp|bmp|dib|tiff?|p[pgbn]m|avif|jp2|tga|pcx|ico)$", re.IGNORECASE)
_ABSOLUTE = re.compile(r"/|[A-Za-z]:[/\\]|\\\\")


def is_picture_name(value: Any) -> bool:
    """Whether a value is written like the path of a picture."""
    return isinstance(value, str) and len(value) < 4096 and bool(_ENDING.search(value))


class Finder:
    """Finds files of a tree by what a table in its folder ``base`` calls them; a name that several have finds none.

    Args:
        split: of the table: where several files have a name, the one in a folder of this split is meant.
    """

    def __init__(self, tree: Tree, base: str = "", split: str = "") -> None:
        self._base, self._all = base, frozenset(tree.paths)
        self._home = str(tree.place.resolve()) if isinstance(tree, Folder) else ""
        self._names: dict[str, str | None] = {}
        inside = pictures_in([path for path in tree.paths if path.startswith(base)]) or pictures_in(tree.paths)
        if split:
            inside = [path for path in inside if split in map(split_word, path.split("/")[:-1])] or inside
        for path in inside:
            name = posixpath.basename(path)
            for key in {name, _ENDING.sub("", name)}:
                self._names[key] = None if key in self._names else path

    def find(self, value: Any) -> str | None:
        """The path of the picture, if there is one and no other of that name."""
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            return None
        text = str(value).strip()
        if not text or len(text) > 4096:
            return None
        if _ABSOLUTE.match(text):
            return self._absolute(text)
        tidy = posixpath.normpath(text.replace("\\", "/"))
        for path in (posixpath.normpath(posixpath.join(self._base, tidy)), tidy):
            if path in self._all:
                return path
        return self._names.get(tidy) if "/" not in tidy else None

    def _absolute(self, text: str) -> str | None:
        """A path of this machine that lies in the tree, also where the tree is reached by a link."""
        if text in self._all:
            return text
        if not self._home:
            return None
        try:
            place = str(Path(text).resolve())
        except (OSError, ValueError, RuntimeError):
            return None
        inner = place.removeprefix(self._home + "/")
        return inner if inner != place and inner in self._all else None


def why_missing(values: Iterable[Any]) -> str:
    """In words, why no picture is found by the first of ``values``."""
    first = next((str(value) for value in values if value is not None), "")
    if re.match(r"https?://|s3://|gs://", first):
        return "these are web addresses; download the pictures and name their files"
    if _ABSOLUTE.match(first):
        return "these are absolute paths of files that are not in this folder; write them relative to the table"
    return "no such files lie beside the table, or several have the same name"
