"""``HubServer``: starts and stops the two hosts, seeds repos, injects faults, shows the log."""

from __future__ import annotations

import contextlib
import mmap
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.hub_server.faults import Exchange, Fault, Faults, Kind
from support.hub_server.handler import Host
from support.hub_server.storage import Blob, Commit, Repository, Storage, User
from support.hub_server.xet import XetStore

_LARGE = 64 << 20

Files = Mapping[str, bytes | str | Path]


def _content(path: Path) -> bytes:
    """A file's bytes; those of a large one stay on disk, mapped."""
    if path.stat().st_size < _LARGE:
        return path.read_bytes()
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # type: ignore[return-value]


class HubServer:
    """A Hub on loopback.

    Attributes:
        write_token: may write in the namespaces ``alice`` and ``org``.
        read_token: the same user, reading only.
        stranger_token: another user's write token, with no right on ``alice`` or ``org``.
        log: every request so far, in order of arrival.
        detour: small files go through a redirect on the Hub first, as on the real one.
        prefix: the path below which the Hub lies, as ``/mirror``; everything else is not there.
        xet: a Xet store, or ``None`` for a Hub without Xet.
    """

    write_token = "hf_" + "w" * 34
    read_token = "hf_" + "r" * 34
    stranger_token = "hf_" + "s" * 34

    def __init__(self) -> None:
        self.storage = Storage(
            {
                self.write_token: User("alice", "write", ("alice", "org")),
                self.read_token: User("alice", "read", ("alice", "org")),
                self.stranger_token: User("bob", "write", ("bob",)),
            }
        )
        self.faults = Faults()
        self.log: list[Exchange] = []
        self.detour, self.prefix = False, ""
        self.xet: XetStore | None = None
        self._hub = Host("127.0.0.1", "hub", self)
        try:
            self._cdn = Host("127.0.0.2", "cdn", self)
        except OSError:  # only Linux answers on all of 127.0.0.0/8
            self._cdn = Host("127.0.0.1", "cdn", self)

    def start(self) -> HubServer:
        for host in (self._hub, self._cdn):
            threading.Thread(target=host.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        for host in (self._hub, self._cdn):
            host.shutdown()
            host.server_close()

    def __enter__(self) -> HubServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def clear(self) -> None:
        """Forget repos, objects, faults, log and switches: a new Hub at the same address."""
        self.storage.repos.clear()
        self.storage.lfs.clear()
        self.faults.clear()
        self.log.clear()
        self.detour, self.prefix, self.xet = False, "", None

    @property
    def url(self) -> str:
        return self._hub.url

    @property
    def cdn_url(self) -> str:
        return self._cdn.url

    def env(self, home: Path | None = None, token: str | None = None) -> dict[str, str]:
        """Environment of a subprocess that talks to this Hub; ``home`` becomes its HF_HOME."""
        import os

        kept = {name: value for name, value in os.environ.items() if name not in ("HF_TOKEN", "HF_HUB_CACHE")}
        kept |= {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
        if home is not None:
            kept["HF_HOME"] = str(home)
        return kept | ({"HF_TOKEN": token} if token else {})

    def create(
        self, repo_id: str, files: Files | None = None, *, repo_type: str = "model",
        private: bool = False, gated: bool = False, disabled: bool = False, security: dict[str, Any] | None = None,
    ) -> str:  # fmt: skip
        """Make a repo whose first commit holds exactly ``files`` (bytes, text or a path); its commit id."""
        repo = Repository(repo_id, repo_type, private, gated, disabled, security)
        self.storage.repos[repo_type, repo_id] = repo
        return self.commit(repo_id, files or {}, repo_type=repo_type, title="initial commit").sha

    def commit(
        self, repo_id: str, files: Files, *, delete: tuple[str, ...] = (), branch: str = "main",
        repo_type: str = "model", title: str = "a commit",
    ) -> Commit:  # fmt: skip
        """Commit to a branch from the server's side: nothing is asked over HTTP."""
        repo = self.storage.repos[repo_type, repo_id]
        parent = repo.refs.get(branch) or repo.refs.get("main")
        tree = dict(repo.commits[parent].tree) if parent else {}
        for path, content in files.items():
            data = _content(content) if isinstance(content, Path) else content
            data = data.encode() if isinstance(data, str) else data
            tree[path] = Blob(data, repo.lfs_wanted(path, len(data), branch))
            if tree[path].lfs:
                self.storage.lfs[tree[path].sha256] = data
        for path in delete:
            del tree[path]
        return repo.add(tree, title, branch, parent)

    def repo(self, repo_id: str, repo_type: str = "model") -> Repository:
        return self.storage.repos[repo_type, repo_id]

    def files(self, repo_id: str, revision: str = "main", repo_type: str = "model") -> dict[str, bytes]:
        """What a revision holds, byte for byte."""
        tree = self.repo(repo_id, repo_type).resolve(revision).tree
        return {path: blob.data for path, blob in tree.items()}

    def fault(self, kind: Kind, **details: Any) -> Fault:
        """Let matching requests fail from now on; see ``Fault`` for ``path``, ``method``, ``where``, ``times``."""
        return self.faults.add(Fault(kind, **details))

    def asked(self, method: str | None = None, contains: str = "", where: str | None = None) -> list[Exchange]:
        """The logged requests with this method, host and part of a path."""
        rows = [row for row in list(self.log) if contains in row.path]
        return [row for row in rows if method in (None, row.method) and where in (None, row.where)]

    def newest_commit(self) -> str:
        """The id of the commit made last, of any repo."""
        shas = [sha for repo in self.storage.repos.values() for sha in repo.commits]
        return shas[-1] if shas else "0" * 40

    @contextlib.contextmanager
    def with_xet(self, folder: Path) -> Any:
        """Turn this into a Hub with Xet whose store is ``folder``, for the time of a ``with`` block."""
        self.xet = XetStore(folder)
        try:
            yield self.xet
        finally:
            self.xet = None
