"""What files hold, as one hash a file, wherever they lie: by it an accepted finding is known again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from hubclean.hub.repos import FILE_BUDGET, Repo
from hubclean.scanning.formats.names import suffix

_PART = 1 << 20


class Contents:
    """sha256 of a repo's files, each worked out once.

    Args:
        repo: where they lie.
        read: reads a whole small file of a Hub, checked against its commit; ``repo.read`` unless the bytes are held.
    """

    def __init__(self, repo: Repo, read: Callable[[str, int], bytes] | None = None) -> None:
        self._repo, self._read = repo, read or repo.read
        self._entries = {entry.path: entry for entry in repo.files()}
        self._known: dict[str, str] = {}

    def sha256(self, path: str, with_code: bool = False) -> str:
        """Of a file's bytes in hex; of all files, where ``path`` is none of them and so stands for the repo.

        ``with_code``: of the file and of every Python file of the repo. Who accepts that a config loads a module has
        accepted all that the module imports from beside it, which no config names.

        Raises:
            HubcleanError, OSError: it cannot be read, or is too long to be read before a download.
        """
        if with_code and (code := sorted(name for name in self._entries if suffix(name) == ".py" and name != path)):
            rows = [["", self.sha256(path)], *([name, self.sha256(name)] for name in code)]
            return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
        if path not in self._known:
            self._known[path] = self._of(path) if path in self._entries else self._of_all()
        return self._known[path]

    def _of(self, path: str) -> str:
        entry = self._entries[path]
        if entry.sha256:
            return entry.sha256
        if self._repo.ref.kind != "local":
            return hashlib.sha256(self._read(path, FILE_BUDGET)).hexdigest()
        digest = hashlib.sha256()
        for start in range(0, entry.size, _PART):
            digest.update(self._repo.read_range(path, start, min(entry.size, start + _PART)))
        return digest.hexdigest()

    def _of_all(self) -> str:
        """By the hashes of the listing; where a disk has none, by all bytes."""
        rows = [[path, entry.size, entry.hash or self._of(path)] for path, entry in sorted(self._entries.items())]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
