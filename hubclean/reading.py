"""Reads of one scan: every byte at most once, within budgets, few requests, so that scanners need not share reads."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from hubclean.errors import BudgetError, IntegrityError
from hubclean.formats import HEAD, PICKLE_NAMES, suffix
from hubclean.headers import AHEAD
from hubclean.repos import Repo, RepoEntry

PER_REPO = 64 << 20
PER_FILE = 16 << 20
# A torch zip is judged from its first record and its directory at the end: two reads of under 100 kB together hold
# both for most classifiers (ViT-L/16: 31 kB and 20 kB).
BLOCK = 48 << 10


class Reader:
    """A repo that keeps what it has read. Errors are kept too: a file that failed fails for all scanners.

    Attributes:
        alone: the target is one file, so that nothing can be said of the files beside it.
        allowed_names: exact names that pickles may hold by the caller's wish.
        hub_security: the Hub's own scan status, if the repo has one.
    """

    def __init__(self, repo: Repo, files: tuple[RepoEntry, ...], allowed_names: Iterable[str] = ()) -> None:
        self.ref = repo.ref
        self.hub_security = getattr(repo, "hub_security", None)
        self.alone = bool(getattr(repo, "alone", False))
        self.allowed_names = frozenset(allowed_names)
        self._repo = repo
        self._entries = {entry.path: entry for entry in files}
        self._spans: dict[str, dict[int, bytes]] = {entry.path: {} for entry in files}
        self._spent: dict[str, int] = {}
        self._locks = {entry.path: threading.Lock() for entry in files}
        self._purse = threading.Lock()
        self.requests = 0
        self.bytes_read = 0
        self.errors: dict[str, Exception] = {}

    def files(self) -> tuple[RepoEntry, ...]:
        return tuple(self._entries.values())

    def fetch(self, paths: Iterable[str], into: Path | None = None) -> Path:
        raise BudgetError("a scan downloads no whole files")

    def read(self, path: str, limit: int) -> bytes:
        entry = self._entries[path]
        if entry.size > limit:
            raise IntegrityError(f"it has {entry.size} bytes, more than the {limit} allowed here")
        return self.read_range(path, 0, entry.size)

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        entry = self._entries[path]
        if not 0 <= start <= stop <= entry.size:
            raise IntegrityError(f"bytes {start}..{stop} asked of a file of {entry.size} bytes")
        with self._locks[path]:
            if path in self.errors:
                raise self.errors[path]
            try:
                return self._known(path, start, stop) or self._read(entry, start, stop)
            except BudgetError:
                raise  # fewer bytes of the same file may still be had
            except Exception as error:
                self.errors[path] = error
                raise

    def _known(self, path: str, start: int, stop: int) -> bytes:
        for first, body in self._spans[path].items():
            if first <= start and stop <= first + len(body):
                return body[start - first : stop - first]
        return b""

    def _read(self, entry: RepoEntry, start: int, stop: int) -> bytes:
        """Fetch what is missing of ``start..stop``, with what will be asked for next."""
        if start == stop:
            return b""
        spans, header = self._spans[entry.path], suffix(entry.path) == ".safetensors"
        if (entry.size <= AHEAD and not header) or (start == 0 and stop == entry.size and not spans):
            # A file that is read whole is read by ``read``, which checks its hash against the listing.
            self._pay(entry.path, entry.size)
            spans.clear()
            spans[0] = self._repo.read(entry.path, entry.size)
            return spans[0][start:stop]
        first, last = start, stop
        if not spans and start == 0:
            last = max(stop, min(entry.size, ahead(entry)))
        elif entry.size - BLOCK <= start:
            first, last = max(entry.size - BLOCK, 0), entry.size
        before = next((at for at, body in spans.items() if at <= first <= at + len(body)), None)
        known = spans[before] if before is not None else b""
        first = first if before is None else before + len(known)
        self._pay(entry.path, last - first)
        if first == 0 and last == entry.size:
            body = self._repo.read(entry.path, entry.size)
        else:
            body = known + self._repo.read_range(entry.path, first, last)
        at = first - len(known)
        spans[at] = body
        return body[start - at : stop - at]

    def _pay(self, path: str, size: int) -> None:
        with self._purse:
            spent = self._spent.get(path, 0) + size
            if spent > PER_FILE:
                raise BudgetError(f"judging it would take more than {PER_FILE} bytes of the file")
            if self.bytes_read + size > PER_REPO:
                raise BudgetError(f"the scan's budget of {PER_REPO} bytes for one repo is used up")
            self._spent[path] = spent
            self.requests += 1
            self.bytes_read += size


def ahead(entry: RepoEntry) -> int:
    """How many bytes the first read of a file takes: what its scanner will want, else enough to tell the format."""
    kind = suffix(entry.path)
    return AHEAD if kind == ".safetensors" else BLOCK if kind in PICKLE_NAMES else HEAD
