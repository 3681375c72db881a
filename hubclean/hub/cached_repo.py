"""A model in the cache of the Hub's client, read without a request: one snapshot, as far as it was ever fetched.

Nothing here loads the client: ``models--org--name/{refs,snapshots,blobs,trees}`` is its layout on disk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hubclean.errors import IntegrityError, OutputError, TargetError, TransportError
from hubclean.escaping import printable
from hubclean.hub.repos import LocalRepo, RepoEntry, named
from hubclean.records import RepoRef

_HEX40, _HEX64 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")
_FOLDER = re.compile(r"(models|datasets|spaces|kernels)--([^/]+)")
_BESIDE = re.compile(r"\..*|version(_\w+)?\.txt|CACHEDIR\.TAG|tmp\w*|token|stored_tokens|.*\.lock")
_PARTS = ("blobs", "refs", "trees", ".no_exist")
_LONGEST_TREE = 64 << 20


class CachedRepo(LocalRepo):
    """A snapshot of the cache. Where the client kept the commit's listing, its missing files are known by name.

    Args:
        folder: ``.../models--org--name``.
        revision: branch, tag or commit as it was asked for when it was fetched; ``None`` for ``main``.

    Raises:
        TransportError: that revision was never fetched.
    """

    def __init__(self, folder: Path, revision: str | None = None) -> None:
        self._folder = folder
        commit = _commit(folder, revision)
        super().__init__(folder / "snapshots" / commit)
        self.ref = RepoRef(_repo_id(folder), commit, "cache")
        self._listed = _tree(folder / "trees" / f"{commit}.json") or _shards(self._root)

    def files(self) -> tuple[RepoEntry, ...]:
        here = {entry.path: entry for entry in super().files()}
        rows = [self._hashed(entry) for entry in here.values()]
        rows += [entry for path, entry in self._listed.items() if path not in here]
        return tuple(sorted(rows, key=lambda row: row.path))

    def _hashed(self, entry: RepoEntry) -> RepoEntry:
        """With the hash of the listing, or of the name that the client gave the bytes."""
        if entry.path in self._listed:
            return self._listed[entry.path]
        place = self._root / entry.path
        target = place.parent / place.readlink() if place.is_symlink() else place
        if target.parent.resolve() != (self._folder / "blobs").resolve():
            return entry
        if _HEX64.fullmatch(target.name):
            return RepoEntry(entry.path, entry.size, target.name)
        return RepoEntry(entry.path, entry.size, None, target.name if _HEX40.fullmatch(target.name) else None)

    def _inside(self, path: str) -> Path:
        if path in self._listed and not (self._root / path).exists():
            raise TransportError(
                f"{printable(path)!r} is not in the cache, which holds only a part of {self.ref}: fetch it while online"
            )
        return super()._inside(path)

    def read(self, path: str, limit: int) -> bytes:
        body = super().read(path, limit)
        entry = self._hashed(RepoEntry(path, len(body)))
        if not entry.fits(body):
            raise IntegrityError(f"{printable(path)!r} in the cache does not have the hash its commit says")
        return body

    def fetch(self, paths: Iterable[str], into: Path | None = None) -> Path:
        """As ``LocalRepo``, every byte checked.

        Raises:
            TransportError: a file is not in the cache. IntegrityError: it is not what its commit says.
        """
        from hubclean.hub.hub_repo import intact

        paths = named(paths)
        for path in paths:
            place = self._inside(path)
            entry = self._hashed(RepoEntry(path, place.stat().st_size))
            if entry.hash and not intact(place, entry):
                raise IntegrityError(f"{printable(path)!r} in the cache does not have the hash its commit says")
        try:
            return super().fetch(paths, into)
        except OSError as error:
            raise OutputError(f"{str(error.filename or into)!r} cannot be written: {error.strerror}") from error


def in_cache(repo_id: str, revision: str | None = None) -> CachedRepo:
    """A repo as the cache of this machine holds it (``HF_HUB_OFFLINE``).

    Raises:
        TransportError: nothing of it, or not this revision, is there.
    """
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    folder = cache / f"models--{repo_id.replace('/', '--')}"
    if not (folder / "snapshots").is_dir():
        raise TransportError(
            f"HF_HUB_OFFLINE is set, so {repo_id} cannot be reached, and it is not in the cache at"
            f" {printable(str(cache), 300)!r}; unset it or name a local folder"
        )
    return CachedRepo(folder, revision)


def cached_target(place: Path, revision: str | None) -> CachedRepo | None:
    """The model that a folder of the cache stands for; ``None`` for every other folder.

    Raises:
        TargetError: it is the whole cache, or a part of a model in it that is no model.
    """
    place = place.absolute()
    if place.name == "snapshots" and _FOLDER.fullmatch(place.parent.name):
        place = place.parent
    if place.name in _PARTS and (place.parent / "snapshots").is_dir() and _FOLDER.fullmatch(place.parent.name):
        whole = printable(str(place.parent), 300)
        raise TargetError(f"{printable(str(place), 300)!r} is a part of a cached repo: name the whole, {whole!r}")
    found = _FOLDER.fullmatch(place.name)
    if found and (place / "snapshots").is_dir():
        if found[1] != "models":
            raise TargetError(f"{place.name!r} is one of the Hub's {found[1]}; hubclean looks at models")
        return CachedRepo(place, revision)
    for cache in (place, place / "hub") if not _files_of_its_own(place) else ():
        if models := _models(cache):
            raise TargetError(
                f"{printable(str(place), 300)!r} is a cache of the Hub's client (models: {len(models)}): name one, as"
                f" {printable(str(cache / models[0]), 300)!r}"
            )
    return None


def _models(place: Path) -> list[str]:
    """The model folders of a cache."""
    try:
        names = sorted(entry.name for entry in place.iterdir() if entry.name.startswith("models--"))
    except OSError:
        return []
    return [name for name in names if _FOLDER.fullmatch(name) and (place / name / "snapshots").is_dir()]


def _files_of_its_own(place: Path) -> bool:
    """Whether files lie in the folder itself that no cache holds: then it is a repo, whatever lies below."""
    try:
        return any(entry.is_file() and not _BESIDE.fullmatch(entry.name) for entry in place.iterdir())
    except OSError:
        return True


def _repo_id(folder: Path) -> str:
    return folder.name.removeprefix("models--").replace("--", "/", 1)


def _commit(folder: Path, revision: str | None) -> str:
    """The commit that a revision named when it was fetched last."""
    asked = revision or "main"
    noted = folder / "refs" / asked
    commit = asked
    if noted.is_file() and noted.stat().st_size < 100:
        commit = noted.read_text(encoding="ascii", errors="replace").strip()
    if _HEX40.fullmatch(commit) and (folder / "snapshots" / commit).is_dir():
        return commit
    there = sorted(row.name for row in (folder / "snapshots").iterdir() if _HEX40.fullmatch(row.name))
    if revision is None and len(there) == 1:
        return there[0]
    held = f"commits {', '.join(there[:5])}: name one of them" if there else "no commit of it"
    raise TransportError(f"the cache does not hold {printable(asked, 80)!r} of {_repo_id(folder)}; it holds {held}")


def _tree(place: Path) -> dict[str, RepoEntry]:
    """The listing of a commit as the client keeps it since 2.0; empty where there is none, or none that makes sense."""
    try:
        if place.stat().st_size > _LONGEST_TREE:
            return {}
        files: Any = json.loads(place.read_text(encoding="utf-8"))["files"]
        return {str(path): _entry(str(path), row) for path, row in files.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _shards(snapshot: Path) -> dict[str, RepoEntry]:
    """Shards that an index names and that are not there: of one byte, so that they are asked for."""
    missing: dict[str, RepoEntry] = {}
    for index in snapshot.glob("**/*.index.json"):
        try:
            if index.stat().st_size > _LONGEST_TREE:
                continue
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue  # the scan says what is wrong with it
        for name in names:
            plain = isinstance(name, str) and re.fullmatch(r"[\w-][\w.-]{0,200}", name)
            if plain and not (index.parent / name).exists():
                path = (index.parent / name).relative_to(snapshot).as_posix()
                missing[path] = RepoEntry(path, 1)
    return missing


def _entry(path: str, row: dict[str, Any]) -> RepoEntry:
    size, sha256, blob = row["size"], row.get("lfs_sha256"), row["blob_id"]
    hashed = _HEX40.fullmatch(blob) and (sha256 is None or _HEX64.fullmatch(sha256))
    if type(size) is not int or size < 0 or not hashed or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(path)
    return RepoEntry(path, size, sha256, blob)
