"""Packages of Node.js beside a model, for pages with transformers.js: what an install fetches and runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding, Severity
from hubclean.scanning.formats.strict_json import JsonProblem, read_json
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, ok

_LARGEST = 8 << 20
_TABLES = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "resolutions", "overrides")
_INSTALL = ("preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare", "prepublish")
_REGISTRIES = ("https://registry.npmjs.org/", "https://registry.yarnpkg.com/", "https://registry.npmmirror.com/")
_CODE_HOSTS = re.compile(
    r"^(?:git\+)?(?:https|ssh)://(?:git@)?(?:github\.com|gitlab\.com|bitbucket\.org|codeload\.github\.com)/"
    r"|^(?:github|gitlab|bitbucket|gist):|^[\w.-]+/[\w.-]+(?:#.*)?$"
)
_ADDRESS = re.compile(r"^(?:[a-z+]{2,12}://|git@|[\w.-]+@[\w.-]+:)", re.IGNORECASE)
# What a step after an install has no need of.
_REACHES = re.compile(
    r"\b(?:curl|wget|nc|ncat|powershell|pwsh|certutil|bitsadmin|base64|eval)\b|https?://|\bnode\s+(?:-e|--eval|-p)\b"
    r"|\bpython3?\s+-c\b|\b(?:ba)?sh\s+-c\b|\|\s*(?:ba)?sh\b|/dev/tcp/",
    re.IGNORECASE,
)
_ADVICE = "install nothing from it before you have read it"


@dataclass(frozen=True)
class NodePackages:
    """Reads ``package.json``, ``package-lock.json`` and ``.npmrc``.

    HC-PY-002: high for a package from a host that is no registry and no Hub of code, for a foreign registry, and for a
    step of the install that fetches or evaluates; medium for other steps, which npm runs unasked; low for a package
    straight from a Hub of code.
    """

    name: ClassVar[str] = "node-packages"
    paper: ClassVar[str] = "npm documentation, package.json (scripts, dependencies), npmrc; Birsan 2021"
    handles: ClassVar[frozenset[str]] = frozenset({".npmrc"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            name = entry.path.rsplit("/", 1)[-1]
            text = reader.read(entry.path, _LARGEST)
            rows = list(_registries(text.decode("utf-8", "replace")) if name == ".npmrc" else _package(text, name))
            for what, severity in dict(rows).items():
                yield finding(Problem("HC-PY-002", what, advice=_ADVICE, severity=severity), entry.path)
            if not rows and name == ".npmrc":
                yield ok(entry, "npm's settings; no foreign registry")

        names = ("package.json", "package-lock.json", ".npmrc")
        chosen = [e for e in files if 0 < e.size <= _LARGEST and e.path.rsplit("/", 1)[-1] in names]
        yield from each(chosen, judge)


def _registries(text: str) -> Iterator[tuple[str, Severity]]:
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key.strip().endswith("registry") and not f"{value.strip().rstrip('/')}/".startswith(_REGISTRIES):
            yield f"npm's registry is {value.strip()[:160]!r}", "high"


def _package(text: bytes, name: str) -> Iterator[tuple[str, Severity]]:
    try:
        root = read_json(text)[0]
    except JsonProblem:
        return  # the scanner of configs says so
    if not isinstance(root, dict):
        return
    if name == "package-lock.json":
        yield from _locked(root)
        return
    held = root.get("scripts")
    scripts = held if isinstance(held, dict) else {}
    for step in _INSTALL:
        command = scripts.get(step)
        if isinstance(command, str) and command.strip():
            reaches = _REACHES.search(command) is not None
            yield f"npm install runs {command[:120]!r} ({step})", "high" if reaches else "medium"
    for table in _TABLES:
        held = root.get(table)
        for package, version in held.items() if isinstance(held, dict) else ():
            if isinstance(version, str) and (severity := _of_address(version)):
                yield f"npm installs {package[:60]!r} from {version[:160]!r}", severity


def _locked(root: dict[str, Any]) -> Iterator[tuple[str, Severity]]:
    for table in ("packages", "dependencies"):
        held = root.get(table)
        for package, row in held.items() if isinstance(held, dict) else ():
            place = row.get("resolved") if isinstance(row, dict) else None
            if isinstance(place, str) and (severity := _of_address(place)):
                yield f"npm installs {package[:60]!r} from {place[:160]!r}", severity


def _of_address(value: str) -> Severity | None:
    """How grave a place of a package is; ``None`` for versions, registries and folders of the repo."""
    value = value.strip()
    if value.startswith(_REGISTRIES) or value.startswith(("npm:", "workspace:")):
        return None
    if _CODE_HOSTS.match(value):
        return "low"
    return "high" if _ADDRESS.match(value) else None
