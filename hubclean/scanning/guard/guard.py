"""``with guard():`` every download of the Hub client in this process is scanned first, and refused if it is unsafe."""

from __future__ import annotations

import contextlib
import glob
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from huggingface_hub import file_download
from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

from hubclean.errors import HubcleanError
from hubclean.records import ScanReport
from hubclean.scanning.guard.client_seam import FILE, LOOKUP, SNAPSHOT, Body, Seam, seams
from hubclean.scanning.guard.options import GuardedCall, GuardOptions
from hubclean.scanning.guard.verdicts import ALL, Verdict, Verdicts, refuse, refuse_snapshot

_SWITCH = threading.Lock()
_active: tuple[Guard, ...] = ()
_seams: dict[str, Seam] = {}


class Guard:
    """Scans before ``huggingface_hub``, and all that loads through it, downloads or opens a cached file.

    Inside ``with Guard():``, ``hf_hub_download`` and ``snapshot_download``, under whatever name someone holds them,
    hence ``from_pretrained`` of transformers, ``hf-hub:`` models of timm, ``ModelCard.load``, first have the repo
    scanned at the commit that the revision names. A hostile finding in any file raises ``UnsafeRepoError`` at once; a
    file that is asked for does if it has a finding at the gate, or could not be checked and is not allowed, before it
    is fetched. Of a whole snapshot those files count that will be opened; of the others, unfit ones are left out. Then
    that commit is loaded and no other: a branch names one commit for the whole life of the guard, however it moves, and
    every file handed out has the hash that the scanned commit gives it, or is removed again (not what was in your
    ``local_dir`` before).

    Files in the cache are judged alike. With ``local_files_only`` or ``HF_HUB_OFFLINE`` the folder of the cache is
    scanned as it lies there. A Hub that cannot be reached gives no verdict, hence no file. Repos of datasets, spaces
    and kernels are refused, since nobody scans them, unless ``unscanned`` names their type.

    A guard holds for the whole process, since libraries download in threads of their own. Where several are on, nested
    or in several threads, every one must agree. It may be entered again; each keeps its scans. It guards against
    repos, not against code that runs in this process, which can undo it.

    Not guarded: ``HfFileSystem`` and what reads through it (``datasets``, ``hf://`` paths), ``torch.hub`` and other
    plain HTTP, local folders given to ``from_pretrained``, files opened by a path that was taken before the guard, and
    other processes: those begun by ``spawn``, and downloads that were under way.

    Args:
        options: see ``options.GuardOptions``.

    Raises:
        HubcleanError: on entering, ``huggingface_hub`` is built in a way that cannot be guarded.
        UnsafeRepoError, RefusedError, IntegrityError, TransportError: from the guarded calls.
    """

    def __init__(self, options: GuardOptions | None = None) -> None:
        self.verdicts = Verdicts(options or GuardOptions())

    @property
    def reports(self) -> tuple[ScanReport, ...]:
        """The reports of all scans so far."""
        return self.verdicts.reports

    def __enter__(self) -> Guard:
        global _active
        with _SWITCH:
            if not _active:
                _install()
            _active = (*_active, self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _active
        with _SWITCH:
            last = max(index for index, guard in enumerate(_active) if guard is self)
            _active = _active[:last] + _active[last + 1 :]
            if not _active:
                for seam in _seams.values():
                    seam.restore()


def _install() -> None:
    if not _seams:
        _seams.update(seams())
    bodies = {FILE: _file, SNAPSHOT: _snapshot, LOOKUP: _lookup}
    for name, seam in _seams.items():
        seam.put(_guarded(seam, bodies[name]))


def _guarded(seam: Seam, body: Callable[[Seam, tuple[Any, ...], dict[str, Any]], Any]) -> Body:
    def run(*args: Any, **given: Any) -> Any:
        try:
            return body(seam, args, given)
        except HubcleanError as error:
            if isinstance(error, OSError):
                raise
            raise _as_os_error(type(error))(str(error)).with_traceback(error.__traceback__) from error.__cause__

    return run


def _as_os_error(kind: type[HubcleanError]) -> type[Exception]:
    """The same error, an ``OSError`` too, for the reason that ``UnsafeRepoError`` is one."""
    return type(kind.__name__, (kind, OSError), {"__module__": kind.__module__, "__init__": OSError.__init__})


def _asked(
    seam: Seam, args: tuple[Any, ...], given: dict[str, Any]
) -> tuple[dict[str, Any], GuardedCall, list[Verdicts]]:
    """The arguments by name, the call they make, and those who have a say in it (none for a type that may pass)."""
    named = seam.signature.bind(*args, **given).arguments
    call = GuardedCall.of(named)
    judges = list(dict.fromkeys(guard.verdicts for guard in _active))
    return named, call, [judge for judge in judges if judge.check_type(call)]


def _pinned(call: GuardedCall, judges: list[Verdicts]) -> list[tuple[Verdicts, Verdict]]:
    """The verdict of each; all on the commit that the first one found the revision to name."""
    verdicts = []
    for judge in judges:
        verdict = judge.of_commit(call)
        call = replace(call, revision=verdict.commit)
        verdicts.append((judge, verdict))
    return verdicts


def _file(seam: Seam, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
    """``hf_hub_download``: scan, fetch from the scanned commit, compare."""
    named, call, judges = _asked(seam, args, given)
    path = "/".join(part for part in (named.get("subfolder"), named["filename"]) if part)
    if not judges or call.offline:
        place = seam.body(*args, **given)  # without a request
        if isinstance(place, str):
            for judge in judges:
                judge.of_folder(_root(place, path), (path,), call.repo_id)
        return place
    verdicts = _pinned(call, judges)
    for _, verdict in verdicts:
        refuse(verdict.report, (path,))
    mine = _state(Path(named["local_dir"]).expanduser() / path) if named.get("local_dir") else None
    place = seam.body(**named | {"revision": verdicts[0][1].commit})
    if isinstance(place, str):  # a dry run tells of a file
        root = _root(place, path)
        for judge, verdict in verdicts:
            judge.vouch(verdict, root, path, keep=mine is not None and mine == _state(Path(place)))
        _name_commit(root, call.revision)
    return place


def _snapshot(seam: Seam, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
    """``snapshot_download``, which gets every file by ``hf_hub_download``, or answers with a folder that lies there.

    Files that nobody may have and that no loader opens are left out of it.
    """
    named, call, judges = _asked(seam, args, given)
    if not judges or call.offline:
        folder = seam.body(*args, **given)
        for judge in judges:
            judge.of_folder(Path(folder), ALL, call.repo_id)
        return folder
    verdicts = _pinned(call, judges)
    patterns = {name: named.get(name) for name in ("allow_patterns", "ignore_patterns")}
    unfit: set[str] = set()
    for _, verdict in verdicts:
        asked = list(filter_repo_objects(list(verdict.entries), **patterns))
        unfit |= refuse_snapshot(verdict.report, asked)
    given_up = patterns["ignore_patterns"] or []
    patterns["ignore_patterns"] = [*([given_up] if isinstance(given_up, str) else given_up), *map(glob.escape, unfit)]
    folder = seam.body(**named | patterns | {"revision": verdicts[0][1].commit})
    if isinstance(folder, str):
        root = Path(folder)
        for judge, verdict in verdicts:
            for path in filter_repo_objects(list(verdict.entries), **patterns):
                if (root / path).is_file():
                    judge.vouch(verdict, root, path, keep=named.get("local_dir") is not None)
        _name_commit(root, call.revision)
    return folder


def _lookup(seam: Seam, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
    """``try_to_load_from_cache``: what nobody has scanned yet is not there, so that callers ask for a download."""
    named, call, judges = _asked(seam, args, given)
    commit = next(filter(None, (judge.commit_known(call) for judge in judges)), None)
    place = seam.body(**named | ({"revision": commit} if commit else {}))
    if not isinstance(place, str):
        return place
    root = _root(place, named["filename"])
    return place if all(judge.vouch_cached(call, root, named["filename"]) for judge in judges) else None


def _root(place: str, path: str) -> Path:
    """The folder in which ``path`` is ``place``: a snapshot of the cache, or the ``local_dir``."""
    return Path(place).parents[len(PurePosixPath(path).parts) - 1]


def _state(place: Path) -> tuple[int, int] | None:
    """What changes when the client writes a file; ``None`` where there is none."""
    try:
        facts = place.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns


def _name_commit(root: Path, revision: str) -> None:
    """Note in the cache which commit a branch named, as the client does when it is asked by the branch's name."""
    note = getattr(file_download, "_cache_commit_hash_for_specific_revision", None)
    if note is not None and root.parent.name == "snapshots":
        with contextlib.suppress(OSError):
            note(str(root.parents[1]), revision, root.name)
