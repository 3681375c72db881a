"""A model repo on a Hub, read at one commit: list, range-read, read, fetch, every byte checked against the listing."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache

from hubclean.errors import BudgetError, IntegrityError, OutputError, TargetError
from hubclean.escaping import printable
from hubclean.hub import deadline
from hubclean.hub.client_watch import watched
from hubclean.hub.descriptions import describe
from hubclean.hub.repos import FILE_BUDGET, REPO_BUDGET, RepoEntry, named
from hubclean.hub.transport import HubTransport, retrying
from hubclean.records import RepoRef
from hubclean.version import __version__

MOST_FILES = 50_000
IN_FLIGHT = 4
_HEX40, _HEX64 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")


class HubRepo:
    """A ``Repo`` on a Hub. The commit is resolved once; all later requests name it and must be answered from it.

    Args:
        repo_id: ``org/model``.
        revision: branch, tag, ``refs/pr/N`` or commit; ``None`` for ``main``.
        token: as in ``huggingface_hub``: ``None`` for the one of the machine, ``False`` for none.
        endpoint: the Hub's address; ``None`` for ``HF_ENDPOINT``.

    Attributes:
        endpoint: the Hub's address.
        hub_security: the Hub's own scan status as it tells it (``scansDone``, ``filesWithIssues``); ``None`` if it
            says nothing. Information only, never our verdict.

    ``read`` and ``read_range`` together stay under a budget: ``REPO_BUDGET`` bytes a repo, ``FILE_BUDGET`` a file.
    All methods may be called from several threads.

    Raises:
        TargetError: no such repo or revision, or not visible. AccessError: gated, disabled, token refused.
        TransportError: the Hub could not be reached. IntegrityError: the listing cannot be trusted.
    """

    def __init__(
        self,
        repo_id: str,
        revision: str | None = None,
        *,
        token: str | bool | None = None,
        endpoint: str | None = None,
    ) -> None:
        self.endpoint, self._token = endpoint or constants.ENDPOINT, token
        info = repo_info(api_of(self.endpoint, token), repo_id, revision, security=True)
        self._entries = {entry.path: entry for entry in listing(info)}
        self.ref = RepoRef(repo_id, info.sha, "hub")
        self.alone = False
        self.hub_security: dict[str, Any] | None = getattr(info, "security_repo_status", None)
        self.requests = 0
        self.bytes_read = 0
        self._spent: dict[str, int] = {}
        self._lock = threading.Lock()
        self._reader = HubTransport(repo_id, self.commit, self.endpoint, token)

    @property
    def commit(self) -> str:
        """The 40-hex commit everything is read from."""
        assert self.ref.revision is not None
        return self.ref.revision

    def files(self) -> tuple[RepoEntry, ...]:
        return tuple(sorted(self._entries.values(), key=lambda entry: entry.path))

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        entry = self._entry(path)
        if not 0 <= start <= stop <= entry.size:
            raise IntegrityError(f"{printable(path)!r} ends before byte {stop}")
        if start == stop:
            return b""
        return self._reader.read(path, entry.size, (start, stop), lambda: self._count(path, stop - start), entry.hash)

    def read(self, path: str, limit: int) -> bytes:
        entry = self._entry(path)
        if entry.size > limit:
            raise IntegrityError(f"{printable(path)!r} has {entry.size} bytes, more than the {limit} allowed here")
        for _ in range(2 if entry.size else 1):  # bytes that change on the way may come right the second time
            body = self._whole(entry)
            if entry.fits(body):
                return body
        raise IntegrityError(
            f"{printable(path)!r} could not be read: twice its bytes did not have the hash its commit says"
        )

    def _whole(self, entry: RepoEntry) -> bytes:
        if not entry.size:
            return b""
        return self._reader.read(entry.path, entry.size, None, lambda: self._count(entry.path, entry.size), entry.hash)

    def fetch(self, paths: Iterable[str], into: Path | None = None) -> Path:
        """Download files and check every byte; a file that fails is removed again.

        Without ``into`` the files lie in the Hub cache, in the returned snapshot folder, which may hold other files
        of the same commit that nobody checked: open only those asked for.

        Raises:
            IntegrityError: a file does not have the size and hash of the listing; it is not kept.
            OutputError: the disk cannot be written. TransportError, AccessError, TargetError: as in ``HubRepo``.
        """
        entries = [self._entry(path) for path in named(paths)]
        if odd := next((entry.path for entry in entries if printable(entry.path, 1000) != entry.path), None):
            raise IntegrityError(f"{printable(odd)!r} is no plain name, so it is not downloaded")  # bars would show it
        pool = ThreadPoolExecutor(max_workers=IN_FLIGHT)
        with watched(self.endpoint):  # until the last thread has ended
            try:
                places = list(pool.map(self._download, entries))
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        if into is None:
            name = "models--" + self.ref.repo_id.replace("/", "--")
            return Path(constants.HF_HUB_CACHE) / name / "snapshots" / self.commit
        for entry, place in zip(entries, places, strict=True):
            target = into / entry.path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(place, target)
            except OSError as error:
                raise OutputError(f"{str(target)!r} cannot be written: {error.strerror}") from error
        return into

    def _download(self, entry: RepoEntry) -> Path:
        """Into the cache; bytes that were in the cache before and are bad get one fresh download."""
        cached = isinstance(try_to_load_from_cache(self.ref.repo_id, entry.path, revision=self.commit), str)
        for _ in range(1 + cached):
            place = Path(
                retrying(
                    lambda: hf_hub_download(
                        self.ref.repo_id,
                        entry.path,
                        revision=self.commit,
                        endpoint=self.endpoint,
                        token=self._token,
                        library_name="hubclean",
                        library_version=__version__,
                    ),
                    self.ref.repo_id,
                    self.commit,
                    attempts=2,  # the client has its own retries
                )
            )
            snapshot = place.parents[len(PurePosixPath(entry.path).parts) - 1]
            if snapshot.name == self.commit and intact(place, entry):
                return place
            discard(place, Path(constants.HF_HUB_CACHE))
        raise IntegrityError(f"{printable(entry.path)!r} does not have the hash its listing says; it was not kept")

    def _entry(self, path: str) -> RepoEntry:
        if path not in self._entries:
            raise IntegrityError(f"{printable(path)!r} is not in {self.ref}")
        return self._entries[path]

    def _count(self, path: str, length: int) -> None:
        """Charge a request to the budget before it is made."""
        with self._lock:
            spent = self._spent.get(path, 0) + length
            if spent > FILE_BUDGET or self.bytes_read + length > REPO_BUDGET:
                raise BudgetError(
                    f"reading {printable(path)!r} would go over the budget of {FILE_BUDGET >> 20} MB a file and"
                    f" {REPO_BUDGET >> 20} MB a repo"
                )
            self._spent[path] = spent
            self.bytes_read += length
            self.requests += 1


def api_of(endpoint: str | None, token: str | bool | None) -> HfApi:
    """The client, named as hubclean."""
    return HfApi(endpoint=endpoint, token=token, library_name="hubclean", library_version=__version__)


def repo_info(api: HfApi, repo_id: str, revision: str | None, *, security: bool = False) -> Any:
    """``model_info`` with the listing; errors as ours.

    Raises:
        HubcleanError: as ``HubRepo``.
    """

    def ask() -> Any:
        return describe(api.endpoint, api.token, repo_id, revision, security=security)

    info = deadline.bounded(lambda: retrying(ask, repo_id, revision))
    if not isinstance(info.sha, str) or not _HEX40.fullmatch(info.sha):
        raise IntegrityError(f"the Hub names no commit for {repo_id}")
    if revision and _HEX40.fullmatch(revision) and info.sha != revision:
        raise IntegrityError(f"the Hub answered with another commit than {revision} for {repo_id}")
    return info


def listing(info: Any) -> list[RepoEntry]:
    """The files of ``model_info``, each path, size and hash checked for sense.

    Raises:
        IntegrityError: no rows at all, a path that leaves the repo or comes twice, a size or hash that is none.
        TargetError: more than ``MOST_FILES`` files.
    """
    rows = info.siblings or []
    if len(rows) > MOST_FILES:
        raise TargetError(f"the repo has {len(rows)} files, more than the {MOST_FILES} hubclean looks at")
    entries: dict[str, RepoEntry] = {}
    for row in rows:
        path, shown = row.rfilename, printable(str(row.rfilename), 120)
        if not _inside(path) or path in entries:
            raise IntegrityError(f"the listing names a path that leaves the repo or comes twice: {shown!r}")
        size, blob, lfs = row.size, row.blob_id, row.lfs
        sha256 = getattr(lfs, "sha256", None) if lfs else None
        hashed = isinstance(sha256, str) and _HEX64.fullmatch(sha256)
        if lfs is None:
            hashed = isinstance(blob, str) and _HEX40.fullmatch(blob)
        pointed = getattr(lfs, "size", size) if lfs else size
        if type(size) is not int or not 0 <= size < 1 << 63 or not hashed or pointed != size:
            raise IntegrityError(f"the listing has no size or hash, or two sizes, for {shown!r}")
        entries[path] = RepoEntry(path, size, sha256, blob if isinstance(blob, str) else None)
    if clash := next(
        (path for path in entries for above in PurePosixPath(path).parents if str(above) in entries), None
    ):
        raise IntegrityError(f"the listing names {printable(clash, 120)!r} below another file")
    return list(entries.values())


def _inside(path: object) -> bool:
    """Whether a listed path is a plain relative path that stays inside a folder on every system."""
    if not isinstance(path, str) or len(path) > 1000 or path[1:2] == ":":
        return False
    if any(character in "\\\0" or "\ud800" <= character <= "\udfff" for character in path):
        return False
    return all(part not in ("", ".", "..") for part in path.split("/"))


def intact(place: Path, entry: RepoEntry) -> bool:
    """Whether a file on disk has the size and hash of a listing's entry."""
    if not place.is_file() or place.stat().st_size != entry.size:
        return False
    digest = entry.digest()
    with place.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return bool(digest.hexdigest() == entry.hash)


def discard(place: Path, cache: Path) -> None:
    """Remove a cached file: the link in the snapshot and what it leads to, as far as that lies in the cache."""
    cache = cache.resolve()
    for _ in range(4):
        if not place.parent.resolve().is_relative_to(cache):
            return
        onward = place.parent / place.readlink() if place.is_symlink() else None
        place.unlink(missing_ok=True)
        if onward is None:
            return
        place = onward
