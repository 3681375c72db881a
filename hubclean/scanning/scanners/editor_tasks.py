"""What an editor runs when somebody opens the folder of a repo: tasks of VS Code, commands of dev containers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each

_LARGEST = 1 << 20
_FILES = re.compile(
    r"(^|/)(\.vscode/tasks\.json|[\w.-]+\.code-workspace|(\.devcontainer/([\w.-]+/)?|\.)devcontainer\.json)$"
)
_RUNS = re.compile(r'"runOn"\s*:\s*"folderOpen"')
_ON_HOST = re.compile(r'"initializeCommand"\s*:')
_ADVICE = "do not open the folder in an editor that trusts it; read the tasks first"


@dataclass(frozen=True)
class EditorTasks:
    """Looks for tasks that start with the folder, as text: these files are JSON with comments.

    HC-CFG-001: a task of VS Code with ``runOn: folderOpen``, a dev container's ``initializeCommand``, which runs
    outside of the container.
    """

    name: ClassVar[str] = "editor-tasks"
    paper: ClassVar[str] = (
        "VS Code documentation, tasks (runOptions) and workspace trust; containers.dev, lifecycle scripts"
    )

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            text = reader.read(entry.path, _LARGEST).decode("utf-8", "replace")
            for pattern, what in (
                (_RUNS, "a task that the editor starts when the folder is opened"),
                (_ON_HOST, "a command that the editor runs outside of the container, before it is made"),
            ):
                if pattern.search(text):
                    yield finding(Problem("HC-CFG-001", what, advice=_ADVICE, hostile=True), entry.path)

        yield from each([e for e in files if 0 < e.size <= _LARGEST and _FILES.search(e.path)], judge)
