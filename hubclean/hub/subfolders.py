"""A folder inside a repo as a repo of its own, for models that do not lie at the root."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from hubclean.errors import TargetError
from hubclean.escaping import printable
from hubclean.hub.repos import Repo, RepoEntry

_OF_ALL = ("readme", "license", "licence", "notice", "copying")


def below(repo: Repo, subfolder: str) -> Repo:
    """``repo`` seen from one of its folders: names are relative to it, nothing outside is there but card and licence.

    Both lie at the root of a repo of several models; where the folder has its own, that one counts.

    Args:
        subfolder: ``a`` or ``a/b``; empty gives the repo itself.

    Raises:
        TargetError: it is no plain relative path, or there is nothing in it.
    """
    parts = [part for part in subfolder.split("/") if part not in ("", ".")]
    if not parts:
        return repo
    if ".." in parts or subfolder.startswith("/") or "\\" in subfolder:
        raise TargetError(f"{printable(subfolder)!r} is no folder inside the repo")
    return cast(Repo, _Subfolder(repo, "/".join(parts)))


class _Subfolder:
    def __init__(self, repo: Repo, folder: str) -> None:
        self._repo, self._before = repo, f"{folder}/"
        self.ref = replace(repo.ref, subfolder=folder)
        self.alone = False
        if not self.files():
            homes = sorted({entry.path.rpartition("/")[0] for entry in repo.files() if "/" in entry.path})
            shown = ", ".join(printable(home, 60) for home in homes[:8]) or "none"
            raise TargetError(f"there is no folder {printable(folder)!r} at {repo.ref}; folders with files: {shown}")

    @property
    def requests(self) -> int:
        return self._repo.requests

    @property
    def bytes_read(self) -> int:
        return self._repo.bytes_read

    @property
    def hub_security(self) -> dict[str, Any] | None:
        return self._repo.hub_security

    def files(self) -> tuple[RepoEntry, ...]:
        return tuple(replace(entry, path=name) for name, entry in sorted(self._rows().items()))

    def _rows(self) -> dict[str, RepoEntry]:
        """The folder's files by their name in it, and card and licence of the root where it has none."""
        rows, root = {}, {}
        for entry in self._repo.files():
            if entry.path.startswith(self._before):
                rows[entry.path.removeprefix(self._before)] = entry
            elif "/" not in entry.path and entry.path.lower().partition(".")[0] in _OF_ALL:
                root[entry.path] = entry
        return root | rows if rows else {}

    def _path(self, name: str) -> str:
        row = self._rows().get(name)
        return row.path if row else self._before + name

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        return self._repo.read_range(self._path(path), start, stop)

    def read(self, path: str, limit: int) -> bytes:
        return self._repo.read(self._path(path), limit)

    def fetch(self, paths: Iterable[str], into: Path | None = None) -> Path:
        rows = {name: self._path(name) for name in paths}
        folder = self._repo.fetch(rows.values())
        if into is None and all(path == self._before + name for name, path in rows.items()):
            return folder / self._before
        if into is None:
            into = Path(tempfile.mkdtemp(prefix="hubclean-"))
            atexit.register(shutil.rmtree, into, ignore_errors=True)
            for name, path in rows.items():
                (into / name).parent.mkdir(parents=True, exist_ok=True)
                (into / name).symlink_to((folder / path).absolute())
            return into
        for name, path in rows.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, into / name)
        return into
