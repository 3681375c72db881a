"""Lists of requirements: where pip would install from, and whether anything of the repo's kind installs them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding, Severity
from hubclean.scanning.configs.requirements import Kind, foreign_sources
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, not_checked

_NAMES = re.compile(
    r"(^|[/_.-])(requirements|constraints)[\w.-]*\.(txt|in)$|(^|/)requirements/[^/]+\.(txt|in)$"
    r"|(^|/)(conda|environment)[\w.-]*\.ya?ml$",
    re.IGNORECASE,
)
_LARGEST = 1 << 20
_INSTALLED: dict[Kind, Severity | None] = {"foreign": "high", "unguarded": "high", "code": "medium", "local": "low"}
_LEFT_TO_PEOPLE: dict[Kind, Severity | None] = {"foreign": "high", "unguarded": "low", "code": None, "local": "low"}


@dataclass(frozen=True)
class RequirementLists:
    """Reads every ``requirements*.txt`` as pip does, and conda's environment files.

    HC-PY-002: an index, a file or a repo of code from elsewhere. High for a host that is no known index and no Hub of
    code, and without TLS where the repo's own loader has the list installed (``custom_generate/``, beside an endpoint's
    ``handler.py`` or an ``MLmodel``); medium for a repo at a Hub of code there, and nothing at all where nothing
    installs it. Paths of the machine that wrote the list, as ``pip freeze`` leaves them, are low.
    """

    name: ClassVar[str] = "requirements"
    paper: ClassVar[str] = "pip documentation, requirements file format; Birsan 2021 (dependency confusion)"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        lists = [entry for entry in files if _NAMES.search(entry.path) and entry.size]
        paths = {entry.path for entry in files} if lists else set()

        def judge(entry: RepoEntry) -> Judgement:
            folder = entry.path[: entry.path.rfind("/") + 1]
            installed = folder.endswith("custom_generate/") or not paths.isdisjoint(
                {f"{folder}handler.py", f"{folder}MLmodel"}
            )
            if entry.size > _LARGEST:
                yield from not_checked(entry, f"more than {_LARGEST} bytes of requirements")
                return
            for row in dict.fromkeys(foreign_sources(reader.read(entry.path, _LARGEST))):
                if severity := (_INSTALLED if installed else _LEFT_TO_PEOPLE)[row.kind]:
                    what = f"installs from {row.shown[:160]}"
                    yield finding(Problem("HC-PY-002", what, severity=severity), entry.path)

        yield from each(lists, judge)
