"""Everything that a static verdict on a repo of a Hub depends on: with the same of all, another scan says the same."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hubclean.hub.repos import Repo
from hubclean.scanning.policy.baseline import fingerprint
from hubclean.version import __version__

_PARTS = ("scanning", "hub")  # and the modules beside them: what judges
_PARSERS = ("huggingface-hub", "safetensors", "pyyaml", "jinja2")


@dataclass(frozen=True, slots=True)
class VerdictKey:
    """What a verdict is of, and by whom.

    Args:
        endpoint, repo_id, commit: the repo, pinned.
        listing: of its files' paths, sizes and hashes.
        security: of what the Hub's own scanners say, which changes while the commit stays.
        policy: of gate, loader, what may pass, accepted findings, variant, subfolder.
        hubclean: the version.
        code: of the sources that judge, of the libraries that parse, and of Python: a version may have several.
    """

    endpoint: str
    repo_id: str
    commit: str
    listing: str
    security: str
    policy: str
    hubclean: str
    code: str


def key_of(repo: Repo, options: Mapping[str, Any]) -> VerdictKey | None:
    """The key of a scan of ``repo`` with these options of ``engine.scan``.

    Returns:
        ``None`` where a verdict is not to be kept: of local files, which have no commit, and where scanners of other
        packages judge, whose code nobody here can see.
    """
    from hubclean.hub.hub_repo import HubRepo

    if not isinstance(repo, HubRepo) or scanners_of_others():
        return None
    said = {name: options.get(name) for name in ("gate", "loader", "variant", "subfolder")}
    said |= {name: sorted(options.get(name) or ()) for name in ("allow", "allow_unchecked")}
    baseline = options.get("baseline")
    said["baseline"] = fingerprint(baseline) if baseline else None
    rows = [[entry.path, entry.size, entry.sha256, entry.blob_id] for entry in repo.files()]
    return VerdictKey(
        repo.endpoint,
        repo.ref.repo_id,
        repo.commit,
        _digest(rows),
        _digest(repo.hub_security),
        _digest(said),
        __version__,
        _code(),
    )


@cache
def scanners_of_others() -> tuple[str, ...]:
    """The scanners that other packages bring, looked up once: that takes as long as all the rest."""
    return tuple(entry.value for entry in importlib.metadata.entry_points(group="hubclean.scanners"))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


@cache
def _code() -> str:
    digest = hashlib.sha256(f"{sys.version}\0{code_of(Path(__file__).parents[1])}".encode())
    for name in _PARSERS:
        digest.update(f"{name} {importlib.metadata.version(name)}\0".encode())
    return digest.hexdigest()


def code_of(package: Path) -> str:
    """A hash of the files of the package that judge, its tables among them."""
    digest = hashlib.sha256()
    places = [*package.glob("*.py"), *(place for part in _PARTS for place in (package / part).rglob("*"))]
    for place in sorted(place for place in places if place.suffix in (".py", ".json", ".toml") and place.is_file()):
        body = place.read_bytes()
        digest.update(f"{place.relative_to(package)}\0{len(body)}\0".encode() + body)
    return digest.hexdigest()
