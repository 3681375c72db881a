"""Compiled Python: whether Python would take it in place of a source that people read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding, Severity
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, judged

_HEAD = 16  # magic number, flags, then time and size of the source, or a hash of it
_HASHED, _CHECKED = 1, 2


@dataclass(frozen=True)
class Bytecode:
    """Reads the head of every ``.pyc``; its code is neither loaded nor judged.

    HC-PY-001: high where Python imports it without a look at a source (an unchecked hash, or no source beside it);
    medium where it is taken only if time and size of the source are those it was made of, which no clone keeps.
    """

    name: ClassVar[str] = "bytecode"
    paper: ClassVar[str] = "PEP 552 (deterministic pycs), PEP 3147; importlib/_bootstrap_external.py"
    handles: ClassVar[frozenset[str]] = frozenset({".pyc", ".pyo"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            head = reader.read_range(entry.path, 0, min(entry.size, _HEAD))
            what, severity = _said(entry.path, head)
            advice = "delete it: Python makes it anew from the source"
            problem = Problem("HC-PY-001", what, advice=advice, severity=severity)
            yield from judged(entry, [problem], [], "")

        yield from each([entry for entry in files if entry.size and suffix(entry.path) in self.handles], judge)


def _said(path: str, head: bytes) -> tuple[str, Severity]:
    flags = int.from_bytes(head[4:8], "little")
    if "__pycache__" not in path.split("/")[:-1]:
        return "compiled Python outside __pycache__: it is imported as it is, without a source", "high"
    if len(head) == _HEAD and flags & _HASHED and not flags & _CHECKED:
        return "compiled Python that is taken in place of the source beside it, whatever that says", "high"
    return "compiled Python; taken only where time and size, or hash, of the source are those it was made of", "medium"
