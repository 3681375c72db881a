"""What the Hub keeps: repos with kept history, LFS objects, users and their rights."""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

LFS_PATTERNS = (
    "*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.h5", "*.onnx", "*.npy", "*.npz",
    "*.parquet", "*.arrow", "*.msgpack", "*.gguf", "*.zip", "*.7z", "*.gz", "*.tar",
)  # fmt: skip
LFS_SIZE = 10 * 1024 * 1024
GITATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS).encode()


class Refusal(Exception):
    """An HTTP error as the Hub words it: status, ``X-Error-Code``, ``X-Error-Message``."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class Blob:
    """One version of one file."""

    data: bytes
    lfs: bool

    @functools.cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def pointer(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @property
    def oid(self) -> str:
        """The git blob id: sha1 over the pointer text for LFS files, over the content otherwise."""
        content = self.pointer if self.lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class Commit:
    """One commit: its 40-hex id, parents, message and whole tree."""

    sha: str
    parents: tuple[str, ...]
    title: str
    message: str
    date: str
    tree: dict[str, Blob]


@dataclass
class PullRequest:
    """One pull request; its branch is ``refs/pr/<num>``."""

    num: int
    title: str
    author: str
    base: str
    status: str = "open"


@dataclass
class Repository:
    """One repo with all its commits; an old id keeps resolving after the branch moved."""

    repo_id: str
    repo_type: str = "model"
    private: bool = False
    gated: bool = False
    disabled: bool = False
    security: dict[str, Any] | None = None
    tamper: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: list[PullRequest] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return self.repo_id.split("/")[0]

    def resolve(self, revision: str) -> Commit:
        """The commit of a branch, tag, ``refs/...`` or (short) id; RevisionNotFound otherwise."""
        for table in (self.refs, self.tags):
            for name in (revision, revision.removeprefix("refs/heads/"), revision.removeprefix("refs/tags/")):
                if name in table:
                    return self.commits[table[name]]
        found = [sha for sha in self.commits if len(revision) >= 7 and sha.startswith(revision)]
        if len(found) != 1:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.commits[found[0]]

    def lfs_wanted(self, path: str, size: int, branch: str = "main") -> bool:
        """Whether ``.gitattributes`` of the branch, or the size, makes this file an LFS file."""
        tree = self.commits[self.refs[branch]].tree if branch in self.refs else {}
        patterns: tuple[str, ...] = LFS_PATTERNS
        if ".gitattributes" in tree:
            lines = tree[".gitattributes"].data.decode().splitlines()
            patterns = tuple(line.split()[0] for line in lines if "filter=lfs" in line)
        name = path.rsplit("/", 1)[-1]
        return size > LFS_SIZE or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)

    def add(self, tree: dict[str, Blob], title: str, branch: str, parent: str | None, message: str = "") -> Commit:
        """Append a commit to ``branch`` and move it there."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        sha = hashlib.sha1(uuid.uuid4().bytes + title.encode()).hexdigest()
        commit = Commit(sha, (parent,) if parent else (), title, message, now, dict(sorted(tree.items())))
        self.commits[sha] = commit
        self.refs[branch] = sha
        return commit

    def history(self, commit: Commit) -> list[Commit]:
        rows = [commit]
        while rows[-1].parents:
            rows.append(self.commits[rows[-1].parents[0]])
        return rows


@dataclass(frozen=True)
class User:
    """The bearer of a token: name, ``read`` or ``write``, and the namespaces where it may write."""

    name: str
    role: str
    namespaces: tuple[str, ...]


class Storage:
    """All repos and LFS objects of one Hub, and who may do what."""

    def __init__(self, tokens: dict[str, User]) -> None:
        self.tokens = tokens
        self.repos: dict[tuple[str, str], Repository] = {}
        self.lfs: dict[str, bytes] = {}
        self.serial = itertools.count(1)

    def user(self, authorization: str | None) -> User | None:
        """Who asks; a token nobody issued is refused with 401 as the Hub does."""
        if not authorization:
            return None
        user = self.tokens.get(authorization.removeprefix("Bearer "))
        if user is None:
            raise Refusal(401, None, "Invalid credentials in Authorization header")
        return user

    def visible(self, repo_type: str, repo_id: str, user: User | None) -> Repository:
        """The repo, if it exists, is not private to others and not disabled."""
        repo = self.repos.get((repo_type, repo_id))
        hidden = repo is not None and repo.private and (user is None or repo.namespace not in user.namespaces)
        if repo is None or hidden:
            raise Refusal(404 if user else 401, "RepoNotFound", "Repository not found")
        if repo.disabled:
            raise Refusal(403, None, "Access to this resource is disabled.")
        return repo

    def readable(self, repo_type: str, repo_id: str, user: User | None) -> Repository:
        """The repo, if its files may be read too (gated repos show only their listing)."""
        repo = self.visible(repo_type, repo_id, user)
        if repo.gated and (user is None or repo.namespace not in user.namespaces):
            raise Refusal(
                403 if user else 401, "GatedRepo", f"Access to model {repo_id} is restricted and you are not allowed."
            )
        return repo

    def writable(self, repo_type: str, repo_id: str, user: User | None, *, pull: bool = False) -> Repository:
        """The repo, if ``user`` may commit to it (``pull``: may open a pull request)."""
        if user is None:
            self.visible(repo_type, repo_id, None)
            raise Refusal(401, None, "Invalid username or password.")
        repo = self.readable(repo_type, repo_id, user)
        if user.role != "write" or (not pull and repo.namespace not in user.namespaces):
            raise Refusal(403, None, "Forbidden: you must have write access to this repository.")
        return repo
