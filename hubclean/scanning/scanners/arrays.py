"""NumPy arrays by their header: plain data, or Python objects that a loader would unpickle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.errors import BudgetError
from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.npy import LONGEST, BrokenHeader, header_length, object_problems, read_array_header
from hubclean.scanning.formats.zip_directory import LARGEST_MEMBER
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, format_of, head_of, judged
from hubclean.scanning.sources import BytesSource, RepoSource


@dataclass(frozen=True)
class Arrays:
    """Reads the header of every ``.npy`` by content, without numpy; archives of arrays are judged by ``archives``.

    HC-NPY-001: the type is an object, holds one in a field or sub-array, or is spelled in a way that may be one; medium
    where its pickle makes plain values alone. What the pickle refers to is reported as for other pickles.
    """

    name: ClassVar[str] = "arrays"
    paper: ClassVar[str] = "numpy/lib/_format_impl.py (NEP 1); numpy.load and allow_pickle, CVE-2019-6446"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            if format_of(reader, entry) == "numpy":
                yield from _judge(reader, entry)

        yield from each(files, judge)


def _judge(reader: Reader, entry: RepoEntry) -> Judgement:
    head, source = head_of(reader, entry), RepoSource(reader, entry)
    problems: list[Problem] = []
    unchecked: list[str] = []
    said = ""
    try:
        stop = header_length(head)
        if len(head) < stop <= entry.size:
            head = source.at(0, min(entry.size, LONGEST + 12))
        header = read_array_header(head)
        if not header.odd and (cut := header.differs(entry.size)):
            unchecked.append(cut)
        odd, said = header.odd, f"an array of {header.descr}, shape {header.shape}"
    except BrokenHeader as error:
        odd = str(error)
    if odd:
        what = f"is, or may be, an array of Python objects ({odd}): reading it unpickles them"
        plain = False
        try:
            if entry.size > LARGEST_MEMBER:
                raise BudgetError(f"{entry.size:,} bytes are more than the {LARGEST_MEMBER:,} looked at")
            allow = reader.allowed_names
            body = source.at(0, entry.size)
            problems, plain = object_problems(body, lambda body: read_pickles(BytesSource(body), allow))
        except BudgetError as error:
            unchecked.append(str(error))
        problems.append(Problem("HC-NPY-001", what, 0, severity="medium" if plain else None))
    yield from judged(entry, problems, unchecked, said[:200])
