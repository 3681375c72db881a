"""Files that git and git-lfs read of a clone: where they fetch from, and what they run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, judged, not_checked

_LARGEST = 256 << 10
_SECTION = re.compile(r"^\s*\[\s*([\w.-]+)(?:\s+\"((?:[^\"\\]|\\.)*)\")?\s*\](.*)$")
_PAIR = re.compile(r"^\s*([\w-]+)\s*(?:=\s*(.*?))?\s*$")
_HUBS = ("huggingface.co", "hf.co", "github.com", "gitlab.com", "hf-mirror.com")
# Keys of git's own config whose value is run, or that name what is.
_RUN = re.compile(
    r"^(core\.(fsmonitor|sshcommand|pager|editor|hookspath|gitproxy|askpass|alternaterefscommand)"
    r"|(diff|merge|filter|gpg|credential|sequence|uploadpack|pager|browser|man|difftool|mergetool)\..*"
    r"|alias\..*|include(if)?\..*|remote\..*\.(vcs|uploadpack|receivepack)|protocol\..*\.allow)$"
)
_HARMLESS = re.compile(r"^(diff\.(renames|algorithm|mnemonicprefix)|filter\.lfs\.(clean|smudge|process|required))$")


@dataclass(frozen=True)
class GitFiles:
    """Reads ``.lfsconfig``, ``.gitmodules``, and the config and hooks of a bare repo that lies in the folder.

    HC-CFG-003: weights or submodules from another host, or a submodule whose path leaves the repo. HC-CFG-001: a
    command, which git runs in a folder that looks like a repo of its own, or as the transport of a submodule.
    """

    name: ClassVar[str] = "git-files"
    paper: ClassVar[str] = "git-lfs-config(5), gitmodules(5); CVE-2018-11235, CVE-2022-24765 (bare repos inside others)"
    handles: ClassVar[frozenset[str]] = frozenset({".lfsconfig", ".gitmodules"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        bare = _bare_repos(entry.path for entry in files)

        def judge(entry: RepoEntry) -> Judgement:
            folder, _, name = entry.path.rpartition("/")
            where = {".lfsconfig": _lfs, ".gitmodules": _modules}.get(name)
            if folder in bare and name == "config":
                where = _commands
            if where is None:
                hooks = folder.removesuffix("/hooks") if folder.endswith("/hooks") else None
                if hooks in bare and not name.endswith(".sample"):
                    yield from judged(entry, [Problem("HC-CFG-001", "a hook of a bare git repo, which git runs",
                                                      advice=_ADVICE, hostile=True)], [], "")  # fmt: skip
                return
            if entry.size > _LARGEST:
                yield from not_checked(entry, f"more than {_LARGEST:,} bytes of git's configuration")
                return
            rows = list(_pairs(reader.read(entry.path, _LARGEST).decode("utf-8", "replace")))
            yield from judged(entry, where(rows), [], "git's configuration; no foreign address and no command")

        yield from each([entry for entry in files if entry.size], judge)


_ADVICE = "clone it nowhere; fetch single files over HTTP, as hubclean download does"
Pairs = list[tuple[str, str]]


def _bare_repos(paths: Iterable[str]) -> frozenset[str]:
    """Folders that git takes for a repository as soon as somebody stands in them."""
    found: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for at, part in enumerate(parts[1:], 1):
            if part in ("HEAD", "config", "objects", "refs"):
                found.setdefault("/".join(parts[:at]), set()).add(part)
    return frozenset(folder for folder, held in found.items() if {"HEAD", "config"} <= held)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Keys in full (``section.sub.key``, lower case but for the part in quotes) and values."""
    section = ""
    for line in text.replace("\\\n", "").splitlines():
        if line.lstrip().startswith(("#", ";")):
            continue
        if head := _SECTION.match(line):
            sub = f".{head.group(2)}" if head.group(2) is not None else ""
            section, line = head.group(1).lower() + sub, head.group(3)
        if (pair := _PAIR.match(line)) and section:
            yield f"{section}.{pair.group(1).lower()}", (pair.group(2) or "").strip().strip('"')


def _is_foreign(address: str) -> bool:
    """Whether it names a host that is no Hub of code."""
    if re.match(r"^\.{1,2}/", address):
        return False
    scp = re.match(r"^(?:[\w.-]+@)?([\w.-]+):(?!//)", address)
    try:
        host = (scp.group(1) if scp else urlsplit(address).hostname) or ""
    except ValueError:
        return True
    return not any(host.lower() == hub or host.lower().endswith(f".{hub}") for hub in _HUBS)


def _lfs(rows: Pairs) -> Iterator[Problem]:
    for key, value in rows:
        if key.endswith(("url", "extraheader")) and value and _is_foreign(value):
            what = f"{key[:80]} is {value[:160]!r}: a clone asks that host for the weights"
            yield Problem("HC-CFG-003", what, advice=_ADVICE)


def _modules(rows: Pairs) -> Iterator[Problem]:
    for key, value in rows:
        kind, shown = key.rsplit(".", 1)[-1], f"{key[:80]} is {value[:160]!r}"
        if ".." in re.split(r"[/\\]", key.partition(".")[2]):
            yield Problem("HC-CFG-001", f"{key[:160]!r}: the name of a submodule leaves .git/modules", advice=_ADVICE,
                          hostile=True)  # fmt: skip
        elif kind == "url" and (re.match(r"^(ext|fd)::|^-", value) or "::-" in value):
            yield Problem("HC-CFG-001", f"{shown}: git runs it to fetch", advice=_ADVICE, hostile=True)
        elif kind == "url" and _is_foreign(value):
            yield Problem("HC-CFG-003", f"{shown}: a submodule from a host that is no Hub of code", advice=_ADVICE)
        elif kind == "path" and (value.startswith(("/", "-", "~")) or ".." in re.split(r"[/\\]", value)):
            yield Problem("HC-CFG-003", f"{shown}: a submodule outside the repo", advice=_ADVICE)
        elif kind == "update" and value.startswith("!"):
            yield Problem("HC-CFG-001", f"{shown}: a command", advice=_ADVICE, hostile=True)


def _commands(rows: Pairs) -> Iterator[Problem]:
    for key, value in rows:
        lower = key.lower()
        if value and value.lower() not in ("true", "false") and _RUN.match(lower) and not _HARMLESS.match(lower):
            what = f"{key[:80]} is {value[:160]!r}: git runs it for whoever stands in this folder"
            yield Problem("HC-CFG-001", what, advice=_ADVICE, hostile=True)
