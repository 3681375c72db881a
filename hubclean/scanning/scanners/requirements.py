"""Lists of requirements: where pip would install from, and whether anything of the repo's kind installs them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from hubclean.errors import FormatError
from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding, Severity
from hubclean.scanning.configs.project_files import project_sources
from hubclean.scanning.configs.requirements import Kind, Source, foreign_sources
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, not_checked, ok

_NAMES = re.compile(
    r"(^|[/_.-])(requirements|constraints)[\w.-]*\.(txt|in)$|(^|/)requirements/[^/]+\.(txt|in)$"
    r"|(^|/)(conda|environment|python_env)[\w.-]*\.ya?ml$|(^|/)(uv|poetry|pdm)\.lock$|(^|/)Pipfile\.lock$|(^|/)pip\.(conf|ini)$",
    re.IGNORECASE,
)
_PROJECTS = re.compile(r"(^|/)((pyproject|uv|pixi)\.toml|Pipfile)$")
_LARGEST = 2 << 20
_INSTALLED: dict[Kind, Severity | None] = {"foreign": "high", "unguarded": "high", "code": "medium", "local": "low"}
_LEFT_TO_PEOPLE: dict[Kind, Severity | None] = {"foreign": "high", "unguarded": "low", "code": None, "local": "low"}


@dataclass(frozen=True)
class RequirementLists:
    """Reads ``requirements*.txt`` as pip does, conda's environment files, lock files, and the TOML of Python projects.

    HC-PY-002: an index, a file or a repo of code from elsewhere. High for a host that is no known index and no Hub of
    code, and without TLS where the repo's own loader has the list installed (``custom_generate/``, beside an endpoint's
    ``handler.py`` or an ``MLmodel``); medium for a repo at a Hub of code there, and nothing at all where nothing
    installs it. Paths of the machine that wrote the list, as ``pip freeze`` leaves them, are low.
    """

    name: ClassVar[str] = "requirements"
    paper: ClassVar[str] = "pip documentation, requirements file format; Birsan 2021 (dependency confusion)"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        lists = [entry for entry in files if _is_list(entry.path) and entry.size]
        paths = {entry.path for entry in files} if lists else set()

        def judge(entry: RepoEntry) -> Judgement:
            folder = entry.path[: entry.path.rfind("/") + 1]
            installed = folder.endswith("custom_generate/") or not paths.isdisjoint(
                {f"{folder}handler.py", f"{folder}MLmodel"}
            )
            if entry.size > _LARGEST:
                yield from not_checked(entry, f"more than {_LARGEST} bytes of requirements")
                return
            try:
                rows = dict.fromkeys(_sources(entry.path, reader.read(entry.path, _LARGEST)))
            except FormatError as error:
                yield from not_checked(entry, str(error))
                return
            found = False
            for row in rows:
                if severity := (_INSTALLED if installed else _LEFT_TO_PEOPLE)[row.kind]:
                    what = f"installs from {row.shown[:160]}"
                    found = True
                    yield finding(Problem("HC-PY-002", what, severity=severity), entry.path)
            if not found:
                yield ok(entry, "a list of requirements; no address of a host that nobody knows")

        yield from each(lists, judge)


def _is_list(path: str) -> bool:
    return _NAMES.search(path) is not None or _PROJECTS.search(path) is not None


def _sources(path: str, text: bytes) -> Iterator[Source]:
    return project_sources(text) if _PROJECTS.search(path) else foreign_sources(text)
