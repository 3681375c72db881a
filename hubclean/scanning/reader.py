"""Reads of one scan: every byte at most once, within budgets, few requests, so that scanners need not share reads."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hubclean.errors import BudgetError, IntegrityError, TransportError
from hubclean.escaping import printable
from hubclean.hub import deadline
from hubclean.hub.repos import FILE_BUDGET, REPO_BUDGET, Repo, RepoEntry
from hubclean.scanning.budget import spend
from hubclean.scanning.formats.names import HEAD, PICKLE_NAMES, suffix
from hubclean.scanning.formats.safetensors_header import AHEAD, Headers
from hubclean.scanning.formats.zip_directory import planned_head
from hubclean.scanning.sources import SMALL, Spans, tail_size

STREAMED = 48 << 20  # bytes of a text that is read whole and not kept: a tokenizer of 260,000 pieces has 34 MB
_PART = 4 << 20
_CONTAINERS = (*PICKLE_NAMES, ".npz", ".zip", ".keras", ".mar")


@dataclass(slots=True)
class Spent:
    """What unpacking one file of the repo has cost: bytes unpacked, members."""

    size: int = 0
    members: int = 0


@dataclass(frozen=True, slots=True)
class Inside:
    """That the files read lie in archives of a repo: in how many, and what all of them have cost."""

    depth: int = 1
    spent: Spent = field(default_factory=Spent)

    def deeper(self) -> Inside:
        """For an archive in this one."""
        return Inside(self.depth + 1, self.spent)


class Reader:
    """A repo that keeps what it has read. Errors are kept too: a file that failed fails for all scanners.

    Attributes:
        alone: the target is one file, so that nothing can be said of the files beside it.
        allowed_names: exact names that pickles may hold by the caller's wish.
        headers: judged safetensors headers by path, see ``read_header``.
        formats: what files are by their first bytes, see ``scanners.format_of``.
        hub_security: the Hub's own scan status, if the repo has one.
        inside: the archives that the files lie in; ``None`` if they lie in the repo itself.
        handled: endings and contents that a scanner says it judges itself, see ``Scanner``.
        starved: the bytes that one scan may read were used up, so that what came later was not judged.
    """

    def __init__(
        self,
        repo: Repo,
        files: tuple[RepoEntry, ...],
        allowed_names: Iterable[str] = (),
        handled: Iterable[str] = (),
    ) -> None:
        self.ref = repo.ref
        self.hub_security = repo.hub_security
        self.alone = repo.alone
        self.inside: Inside | None = getattr(repo, "inside", None)
        self.allowed_names = frozenset(allowed_names)
        self.handled = frozenset(handled)
        self.headers = Headers()
        self.formats: dict[str, str] = {}
        self._repo = repo
        self._far = repo.ref.kind != "local" and self.inside is None
        self._entries = {entry.path: entry for entry in files}
        self._spans = {entry.path: Spans() for entry in files}
        self._locks = {entry.path: threading.Lock() for entry in files}
        self._confirmed: set[str] = set()
        self._purse = threading.Lock()
        self.requests = 0
        self.bytes_read = 0
        self.errors: dict[str, Exception] = {}
        self.starved = False

    def files(self) -> tuple[RepoEntry, ...]:
        return tuple(self._entries.values())

    @functools.cached_property
    def has_safetensors(self) -> bool:
        """Whether one of the files is named so."""
        return any(suffix(path) == ".safetensors" for path in self._entries)

    @functools.cached_property
    def folders(self) -> dict[str, frozenset[str]]:
        """The names of the files in each folder; "" is the repo itself."""
        held: dict[str, set[str]] = {}
        for path in self._entries:
            folder, _, name = path.rpartition("/")
            held.setdefault(folder, set()).add(name)
        return {folder: frozenset(names) for folder, names in held.items()}

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
        spend()
        lock = self._locks[path]
        while not lock.acquire(timeout=min(deadline.left(), 3600.0)):
            deadline.check()  # another thread still waits for the server
        try:
            if path in self.errors:
                raise self.errors[path]
            return self._bytes(entry, self._spans[path], start, stop)
        except BudgetError:
            raise  # fewer bytes of the same file may still be had
        except Exception as error:
            self.errors[path] = error
            raise
        finally:
            lock.release()

    def stream(self, path: str) -> bytes:
        """A long text whole, in parts that are not kept: it may be longer than other files of which all is read.

        Raises:
            BudgetError: it has more than ``STREAMED`` bytes, or the scan's budget is used up.
        """
        entry = self._entries[path]
        if entry.size > STREAMED:
            raise BudgetError(f"it has {entry.size:,} bytes, more than the {STREAMED:,} of a text that are read")
        parts = []
        for start in range(0, entry.size, _PART):
            stop = min(entry.size, start + _PART)
            self._spend(stop - start)
            parts.append(self._range(path, start, stop))
        body = b"".join(parts)
        if not entry.fits(body):
            raise IntegrityError(
                f"{printable(path)!r} could not be read: its bytes do not have the hash its commit says"
            )
        return body

    def _bytes(self, entry: RepoEntry, spans: Spans, start: int, stop: int) -> bytes:
        if stop > start and not spans.size:
            self._open(entry, spans, start, stop)
        if (body := spans.get(start, stop)) is not None or start == stop:
            return body or b""
        self._load(entry, spans, *spans.missing(start, stop))
        body = spans.get(start, stop)
        assert body is not None
        return body

    def _open(self, entry: RepoEntry, spans: Spans, start: int, stop: int) -> None:
        """The first read of a file: small ones whole, archives from their end, all others from their beginning."""
        kind, size = suffix(entry.path), entry.size
        if kind == ".safetensors":
            self._load(entry, spans, 0, max(stop, min(size, AHEAD)))
        elif size <= AHEAD or (size <= SMALL and kind in _CONTAINERS) or (start, stop) == (0, size):
            self._load(entry, spans, 0, size)
        elif kind in _CONTAINERS:
            self._load(entry, spans, size - tail_size(size), size)
            end = spans.get(size - tail_size(size), size)
            assert end is not None
            self._load(entry, spans, *spans.missing(0, max(HEAD, planned_head(end, size))))
        else:
            self._load(entry, spans, 0, max(stop, HEAD) if start < HEAD else HEAD)

    def _load(self, entry: RepoEntry, spans: Spans, start: int, stop: int) -> None:
        """Read a range, or the file whole if that is what is asked; as soon as all is there, its hash is checked."""
        self._pay(spans, stop - start)
        if (start, stop) == (0, entry.size) and suffix(entry.path) != ".safetensors":
            spans.replace(self._asked(functools.partial(self._repo.read, entry.path, stop)))
            self._confirmed.add(entry.path)
            return
        spans.add(start, self._range(entry.path, start, stop))
        if (body := spans.get(0, entry.size)) is not None and not entry.fits(body):
            spans.replace(self._again(entry))

    def confirm(self, path: str) -> bool:
        """Whether what was read of a file is what its commit holds: read again before anybody is accused.

        A file that may be read whole is compared with its hash, of a larger one the same parts are asked for with other
        ends. What came changed is kept no longer: the file is to be judged again. Where the budget is used up, or the
        Hub can no longer be reached, what was read stands.
        """
        entry = self._entries.get(path)
        if entry is None or entry.hash is None or path in self._confirmed or path in self.errors:
            return True
        spans = self._spans[path]
        with self._locks[path]:
            self._confirmed.add(path)
            try:
                same = self._same(entry, spans) if spans.size else True
            except (BudgetError, TransportError):
                return True
            except IntegrityError as error:
                self.errors[path], same = error, False
        if not same:
            self.headers.forget(path)
        return same

    def _again(self, entry: RepoEntry) -> bytes:
        """All of a file in one range, which has its hash or is not taken."""
        self._spend(entry.size)
        body = self._range(entry.path, 0, entry.size)
        if not entry.fits(body):
            raise IntegrityError(
                f"{printable(entry.path)!r} could not be read: twice its bytes did not have the hash its commit says"
            )
        return body

    def _same(self, entry: RepoEntry, spans: Spans) -> bool:
        before = spans.parts
        if entry.size + spans.size <= FILE_BUDGET // 2:
            spans.replace(body := self._again(entry))
            return all(body[start : start + len(part)] == part for start, part in before)
        for start, part in before:
            cut = start + len(part) // 3 + 1
            for first, last in ((start, min(cut, start + len(part))), (cut, start + len(part))):
                if first < last:
                    self._spend(last - first)
                    if self._range(entry.path, first, last) != part[first - start : last - start]:
                        raise IntegrityError(
                            f"{printable(entry.path)!r} could not be read: its bytes came otherwise each time"
                        )
        return True

    def _range(self, path: str, start: int, stop: int) -> bytes:
        return self._asked(functools.partial(self._repo.read_range, path, start, stop))

    def _asked(self, call: Callable[[], bytes]) -> bytes:
        """What the repo answers; a server is waited for no longer than the scan may take."""
        return deadline.bounded(call) if self._far else call()

    def _pay(self, spans: Spans, size: int) -> None:
        if spans.size + size > FILE_BUDGET:
            raise BudgetError(f"judging it would take more than {FILE_BUDGET} bytes of the file")
        self._spend(size)

    def _spend(self, size: int) -> None:
        with self._purse:
            if self.bytes_read + size > REPO_BUDGET:
                self.starved = True
                raise BudgetError(f"the scan's budget of {REPO_BUDGET} bytes for one repo is used up")
            self.requests += 1
            self.bytes_read += size
