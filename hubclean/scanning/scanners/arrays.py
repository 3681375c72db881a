"""NumPy arrays by their header: plain data, or Python objects that a loader would unpickle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from hubclean.errors import BudgetError
from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.names import HEAD
from hubclean.scanning.formats.npy import (
    LONGEST,
    MAGIC,
    BrokenHeader,
    ShortHeader,
    header_length,
    object_problems,
    read_array_header,
)
from hubclean.scanning.formats.pickle_sniff import is_pickle
from hubclean.scanning.formats.zip_directory import LARGEST_MEMBER
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, format_of, head_of, judged
from hubclean.scanning.sources import BytesSource, Part, RepoSource

_MOST_ARRAYS = 64  # of one file; each may take a read


@dataclass(frozen=True)
class Arrays:
    """Reads the headers of every ``.npy`` by content, without numpy, and those of arrays behind the first.

    Archives of arrays are judged by ``archives``. HC-NPY-001: the type is an object, holds one in a field or sub-array,
    or is spelled in a way that may be one; medium where its pickle makes plain values alone. What the pickle refers to
    is reported as for other pickles.
    """

    name: ClassVar[str] = "arrays"
    paper: ClassVar[str] = "numpy/lib/_format_impl.py (NEP 1); numpy.load and allow_pickle, CVE-2019-6446"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            if format_of(reader, entry) == "numpy":
                yield from _judge(reader, entry)

        yield from each(files, judge)


def _judge(reader: Reader, entry: RepoEntry) -> Judgement:
    """The array that a file begins with, and those that ``numpy.save`` has put behind it."""
    problems: list[Problem] = []
    unchecked: list[str] = []
    said, at, source = "", 0, RepoSource(reader, entry)
    for number in range(_MOST_ARRAYS):
        head = source.at(at, min(at + LONGEST + 12, entry.size)) if at else head_of(reader, entry)
        if not head.startswith(MAGIC):
            unchecked.append(f"{entry.size - at:,} bytes behind the array were not looked at")
            if is_pickle(head[:HEAD], entry.size - at):
                problems += _behind(at, read_pickles(Part(source, at, entry.size), reader.allowed_names).problems)
            break
        found = _one(reader, head, Part(source, at, entry.size))
        problems += _behind(at, found.problems)
        unchecked += found.unchecked
        said = said or found.said
        if found.stop is None or at + found.stop >= entry.size:
            said += f", the first of {number + 1} arrays" if number else ""
            break
        at += found.stop
    else:
        unchecked.append(f"more than {_MOST_ARRAYS} arrays in one file")
    yield from judged(entry, problems, unchecked, said[:200])


def _behind(at: int, problems: Iterable[Problem]) -> list[Problem]:
    """With places counted from the beginning of the file."""
    return [replace(row, offset=at + (row.offset or 0)) for row in problems]


@dataclass(frozen=True, slots=True)
class _Array:
    """One array of a file; ``stop`` is where it ends, ``None`` where nothing behind it can be told apart."""

    problems: list[Problem]
    unchecked: list[str]
    said: str
    stop: int | None


def _one(reader: Reader, head: bytes, source: Part) -> _Array:
    problems: list[Problem] = []
    unchecked: list[str] = []
    said, behind = "", None
    try:
        stop = header_length(head)
        if len(head) < stop <= source.size:
            head = source.at(0, min(source.size, LONGEST + 12))
        header = read_array_header(head)
        odd, said = header.odd, f"an array of {header.descr}, shape {header.shape}"
        if not odd:
            behind = header.stop
            if behind is None or behind > source.size:
                unchecked.append(header.differs(source.size))
    except BrokenHeader as error:
        odd = str(error)
        if isinstance(error, ShortHeader):
            what = f"{odd}: readers that look for them go beyond it"
            problems = [Problem("HC-NPY-001", what, 0, hostile=True)]
            return _Array(problems, unchecked, said, None)
    if odd:
        what = f"is, or may be, an array of Python objects ({odd}): reading it unpickles them"
        plain = False
        try:
            if source.size > LARGEST_MEMBER:
                raise BudgetError(f"{source.size:,} bytes are more than the {LARGEST_MEMBER:,} looked at")
            allow = reader.allowed_names
            body = source.at(0, source.size)
            problems, plain = object_problems(body, lambda body: read_pickles(BytesSource(body), allow))
        except BudgetError as error:
            unchecked.append(str(error))
        problems.append(Problem("HC-NPY-001", what, 0, severity="medium" if plain else None))
    return _Array(problems, unchecked, said, behind)
