"""Verdicts on commits of a Hub, kept on this disk: an unchanged repo costs one request the second time.

Nothing of the cache is believed that does not fit: the folder must be ours alone, an entry must have the form and the
hash that it was written with, be of the very key that is asked for, and tell of exactly the files that the Hub lists
now. Whatever does not is ignored, which is said, and scanned again. No verdict that another scan might not give again
is kept: none with exit code 2, and none of a scan in which a read failed or the time was over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubclean.escaping import printable
from hubclean.hub.repos import Repo
from hubclean.json_records import from_json, to_json
from hubclean.progress import Progress
from hubclean.records import ScanReport
from hubclean.scanning.verdict_key import VerdictKey, key_of

VARIABLE = "HUBCLEAN_CACHE"
ENTRY_SCHEMA = "hubclean/verdict/v1"
LONGEST = 4 << 20  # bytes of an entry: a repo of about 20,000 files
MOST = 10_000  # entries; the oldest go
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Head:
    """The first line of an entry; the second is the report, whose bytes have the hash ``sha256``."""

    schema: str
    key: VerdictKey
    sha256: str


class _Unfit(Exception):
    """Why an entry is not believed."""


def default_folder() -> Path | None:
    """``$HUBCLEAN_CACHE``, else in the user's folder for caches; ``None`` where the variable is set and empty."""
    if (named := os.environ.get(VARIABLE)) is not None:
        return Path(named) / "verdicts" if named else None
    base = os.environ.get("XDG_CACHE_HOME") or ""
    with contextlib.suppress(RuntimeError):  # nobody's home
        home = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
        return home / "hubclean" / "verdicts"
    return None


class VerdictCache:
    """The verdicts in a folder. Errors of the disk keep no scan from its verdict."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: VerdictKey, repo: Repo) -> ScanReport | None:
        """The verdict kept for a key, if there is one and all of it fits the repo as it is listed now."""
        try:
            if not self._ours():
                return None
            return _checked(_body(self._place(key)), key, repo)
        except FileNotFoundError:
            return None
        except (_Unfit, OSError, ValueError, RecursionError) as error:
            why = printable(str(error) or type(error).__name__, 200)
            _LOG.warning("a cached verdict on %s was ignored: %s", printable(str(repo.ref), 200), why)
            return None

    def write(self, key: VerdictKey, report: ScanReport) -> None:
        """Keep a verdict, unless it is none, is too long, or the folder cannot be written."""
        if report.exit_code not in (0, 1) or report.detections or report.skipped or report.judgement:
            return
        body = json.dumps(to_json(report), ensure_ascii=True, allow_nan=False).encode()
        head = _Head(ENTRY_SCHEMA, key, hashlib.sha256(body).hexdigest())
        text = json.dumps(to_json(head), ensure_ascii=True).encode() + b"\n" + body + b"\n"
        if len(text) > LONGEST:
            return
        with contextlib.suppress(OSError):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if self._ours():
                self._put(self._place(key), text)
                self._prune()

    def _put(self, place: Path, text: bytes) -> None:
        number, partial = tempfile.mkstemp(suffix=".partial", dir=self.folder)  # readable for us alone
        try:
            with os.fdopen(number, "wb") as file:
                file.write(text)
            os.replace(partial, place)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise

    def _place(self, key: VerdictKey) -> Path:
        text = json.dumps(to_json(key), sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()}.json"

    def _ours(self) -> bool:
        """Whether nobody else can have written here; a folder that is not there yet is nobody's.

        Raises:
            FileNotFoundError: it is not there.
        """
        facts = os.lstat(self.folder)
        if not hasattr(os, "getuid"):
            return stat.S_ISDIR(facts.st_mode)
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o077:
            return True
        shown = printable(str(self.folder), 300)
        _LOG.warning("the cache of verdicts at %s is not used: it is not a folder of yours alone (mode 700)", shown)
        return False

    def _prune(self) -> None:
        with os.scandir(self.folder) as found:
            rows = [row for row in found if row.name.endswith((".json", ".partial"))]
        if len(rows) > MOST:
            aged = sorted(rows, key=lambda row: row.stat(follow_symlinks=False).st_mtime)
            for row in aged[: len(rows) - MOST * 9 // 10]:
                os.unlink(row.path)


def _body(place: Path) -> bytes:
    number = os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(number, "rb") as file:
        facts = os.fstat(number)
        if not stat.S_ISREG(facts.st_mode) or (hasattr(os, "getuid") and facts.st_uid != os.getuid()):
            raise _Unfit("it is no file of yours")
        body = file.read(LONGEST + 1)
    if len(body) > LONGEST:
        raise _Unfit(f"it has more than {LONGEST:,} bytes")
    return body


def _checked(text: bytes, key: VerdictKey, repo: Repo) -> ScanReport:
    """The report of an entry.

    Raises:
        _Unfit, ValueError: it is damaged, or of something else.
    """
    first, _, body = text.partition(b"\n")
    head = from_json(_Head, json.loads(first))
    if head.schema != ENTRY_SCHEMA or head.key != key:
        raise _Unfit("it is of another scan")
    body = body.removesuffix(b"\n")
    if hashlib.sha256(body).hexdigest() != head.sha256:
        raise _Unfit("its bytes changed since it was written")
    report = from_json(ScanReport, json.loads(body))
    listed = {(entry.path, entry.size, entry.sha256) for entry in repo.files()}
    told = [(file.path, file.size, file.sha256) for file in report.files]
    if set(told) != listed or len(told) != len(listed):
        raise _Unfit("it tells of other files than the repo has")
    if (report.origin.kind, report.origin.repo_id, report.origin.revision) != (
        "hub",
        repo.ref.repo_id,
        repo.ref.revision,
    ):
        raise _Unfit("it is of another commit")
    if report.exit_code not in (0, 1) or report.detections or report.skipped or report.judgement:
        raise _Unfit("it is no verdict of a static scan")
    return report


def scan_once(
    repo: Repo, cache: VerdictCache | None, progress: Progress | None = None, **options: Any
) -> tuple[ScanReport, bool]:
    """Scan, or take the verdict that was kept of the same scan.

    Args:
        repo: opened, so that its commit and its files are those of now.
        cache: ``None`` to scan in any case.
        progress: told of every file read.
        options: the other arguments of ``engine.scan``.

    Returns:
        The report, and whether it was kept. ``requests``, ``bytes_read`` and ``seconds`` are those of its making.

    Raises:
        HubcleanError: as ``engine.scan``.
    """
    key = key_of(repo, options) if cache else None
    if cache and key and (report := cache.read(key, repo)):
        return report, True
    from hubclean.scanning.engine import scan  # with all scanners, which nobody needs for a verdict that was kept

    def keep(report: ScanReport) -> None:
        if cache and key:
            cache.write(key, report)

    return scan(repo, progress=progress, settled=keep, **options), False
