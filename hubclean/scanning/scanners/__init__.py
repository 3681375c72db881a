"""One static check a file; nothing here imports torch, numpy or code of a repo."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol

from hubclean.errors import BudgetError, HubcleanError
from hubclean.escaping import printable
from hubclean.hub import deadline
from hubclean.hub.repos import RepoEntry
from hubclean.records import SEVERITIES, FileVerdict, Finding
from hubclean.registry import methods
from hubclean.scanning import budget
from hubclean.scanning.formats.content import sniff
from hubclean.scanning.formats.names import HEAD
from hubclean.scanning.reader import Inside, Reader
from hubclean.scanning.rules import RULES, Problem, finding
from hubclean.scanning.sources import BytesSource, Source

MOST_UNPACKED = 64 << 20  # bytes of all streams of one file, those inside included
DEEPEST = 8  # a .tgz is two; what all of them unpack to is bounded
MOST_PER_FILE = 50  # a file made to be noisy must not drown the others
# Why nobody knows anything of a file that a check could not finish: it may, another time.
FAILED, BROKE_OFF = "the check failed on it", "broke off"


class Scanner(Protocol):
    """A static check over the files of one commit.

    ``scan`` yields ``Finding`` (something seen in a file) and ``FileVerdict`` (``ok`` with what was checked, or
    ``unchecked`` with why not). It yields nothing for files it knows nothing of: a file no scanner spoke of is
    reported as not checked. It reads by ``reader.read_range`` and ``reader.read`` only and never raises: see ``each``.

    A scanner for a format that nobody else checks also has ``handles: ClassVar[frozenset[str]]``: the endings (``.h5``,
    with the dot, lower case) and contents (``hdf5``, as ``content.sniff`` names them) that it speaks of. The listing
    leaves such files to it, as long as their content is what their name promises: a scanner that says nothing of one
    leaves it not checked.
    """

    name: ClassVar[str]
    paper: ClassVar[str]

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]: ...


Judgement = Iterable[Finding | FileVerdict]


def handled_by(scanners: Iterable[type]) -> frozenset[str]:
    """The endings and contents that the listing leaves to one of ``scanners``."""
    return frozenset().union(*(getattr(scanner, "handles", ()) for scanner in scanners))


def each(files: Iterable[RepoEntry], judge: Callable[[RepoEntry], Judgement]) -> Iterator[Finding | FileVerdict]:
    """Judge file by file; whatever goes wrong with one file makes that file not checked, never silent."""
    for entry in files:
        try:
            with budget.of_file(entry.path, entry.size):
                deadline.check()
                rows = list(itertools.islice(judge(entry), MOST_PER_FILE + 1))
        except HubcleanError as error:
            rows = list(not_checked(entry, str(error)))
        except Exception as error:
            rows = list(not_checked(entry, f"{FAILED}: {type(error).__name__}: {error}"))
        if len(rows) > MOST_PER_FILE:
            rows[MOST_PER_FILE:] = not_checked(entry, f"more than {MOST_PER_FILE} findings, the rest is left out")
        yield from rows


def not_checked(entry: RepoEntry, reason: str, pickled: bool = False) -> Judgement:
    """Say that nobody can tell: the verdict ``unchecked``, ``pickled`` or not, and the finding HC-INC-001."""
    yield FileVerdict(entry.path, entry.size, "unchecked", reason, pickled=pickled)
    yield finding(Problem("HC-INC-001", f"not checked: {reason}"), entry.path)


def ok(entry: RepoEntry, reason: str) -> FileVerdict:
    """Nothing was found; ``reason`` says what was looked at."""
    return FileVerdict(entry.path, entry.size, "ok", reason)


def judged(
    entry: RepoEntry, problems: Iterable[Problem], unchecked: Iterable[str], looked_at: str, pickled: bool = False
) -> Judgement:
    """The verdict on a file of which parts may have stayed unchecked: findings first, then what nobody looked at.

    ``pickled``: what stayed unchecked is, or may be, the rest of a pickle.
    """
    seen = False
    worst = sorted(dict.fromkeys(problems), key=lambda row: -SEVERITIES.index(RULES[row.rule].severity))
    for problem in worst[: MOST_PER_FILE - 10]:
        seen = True
        yield finding(problem, entry.path)
    reasons = list(dict.fromkeys(unchecked))
    for reason in reasons[:3]:
        yield from not_checked(entry, reason, pickled)
    if len(reasons) > 3:
        yield from not_checked(entry, f"and {len(reasons) - 3} more parts")
    if not seen and not reasons:
        yield ok(entry, looked_at)


def only_pickle(reader: Reader, entry: RepoEntry, files: tuple[RepoEntry, ...], kind: str) -> Judgement:
    """HC-PKL-009 for weights that exist as a pickle only; of the neighbours of a single file nothing is known."""
    if not reader.alone and not reader.has_safetensors:
        yield finding(Problem("HC-PKL-009", f"{kind}, and the repo has no safetensors weights"), entry.path)


def head_of(reader: Reader, entry: RepoEntry) -> bytes:
    """The first bytes of a file, as many as ``sniff`` needs."""
    return reader.read_range(entry.path, 0, min(entry.size, HEAD)) if entry.size else b""


def format_of(reader: Reader, entry: RepoEntry) -> str:
    """What the file is by its content: see ``content.sniff``."""
    if entry.path not in reader.formats:
        reader.formats[entry.path] = sniff(head_of(reader, entry), entry.size)
    return reader.formats[entry.path]


class Members:
    """What lies in an archive, as a repo of its own: each file a name, a source, where it begins, its size."""

    def __init__(self, reader: Reader, inside: Inside, rows: Iterable[tuple[str, Source, int, int]]) -> None:
        self.ref = reader.ref
        self.hub_security: dict[str, Any] | None = None
        self.requests = self.bytes_read = 0
        self.alone, self.inside = True, inside
        self._rows = {name: (source, begin, size) for name, source, begin, size in rows}

    def files(self) -> tuple[RepoEntry, ...]:
        return tuple(RepoEntry(name, size) for name, (_, _, size) in sorted(self._rows.items()))

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        source, begin, _ = self._rows[path]
        return source.at(begin + start, begin + stop)

    def read(self, path: str, limit: int) -> bytes:
        return self.read_range(path, 0, self._rows[path][2])

    def fetch(self, paths: Iterable[str], into: Path | None = None) -> Path:
        raise BudgetError("nothing is unpacked to disk")


def judged_inside(reader: Reader, entry: RepoEntry, name: str, body: bytes) -> Judgement:
    """The verdict on a compressed or tarred member of another archive, every file in it judged by all scanners."""
    inside = reader.inside.deeper() if reader.inside else Inside()
    inside.spent.size += len(body)
    budget.grow(len(body))
    if inside.depth > DEEPEST or inside.spent.size > MOST_UNPACKED:
        yield from not_checked(entry, f"{name[:100]}: packed too often, or too large")
        return
    yield from judge_members(
        reader, entry, Members(reader, inside, [(name, BytesSource(body), 0, len(body))]), [], [], "zip"
    )


def judge_members(
    reader: Reader, entry: RepoEntry, members: Members, problems: list[Problem], unchecked: list[str], kind: str
) -> Judgement:
    """The verdict on an archive of which ``problems`` and ``unchecked`` are known: all scanners on all its members."""
    files = members.files()
    inner = Reader(members, files, reader.allowed_names, reader.handled)
    spoken: set[str] = set()
    for row in _rows(inner, files):
        spoken.add(row.path)
        if isinstance(row, FileVerdict):
            if row.state == "unchecked":
                unchecked.append(f"{row.path[:100]}: {row.reason}")
        elif row.rule != "HC-INC-001":
            what = printable(f"{row.path[:100]}: {row.what}", 300)
            yield Finding(row.rule, row.severity, entry.path, what, row.advice, None, row.hostile)
    unchecked += [f"{row.path[:100]}: no scanner knows this kind of file" for row in files if row.path not in spoken]
    yield from judged(entry, problems, unchecked, f"{kind}: {len(files)} files inside, every one judged")


def _rows(inner: Reader, files: tuple[RepoEntry, ...]) -> Iterator[Any]:
    for name, scanner in sorted(methods("scanners").items()):
        try:
            yield from scanner().scan(inner, files)
        except Exception as error:  # a plugin's; ours never raise
            for entry in files:
                yield from not_checked(entry, f"the scanner {name} {BROKE_OFF}: {type(error).__name__}: {error}")
