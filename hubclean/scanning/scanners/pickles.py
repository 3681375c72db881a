"""Pickle streams of files that are no archive: raw pickles and torch's legacy format, walked and never loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.compression.unpacking import packing
from hubclean.scanning.formats import names, pickle_sniff
from hubclean.scanning.formats.graphs.locations import may_be_described
from hubclean.scanning.pickles import allowed_names as pickle_names
from hubclean.scanning.pickles.advice import advised
from hubclean.scanning.pickles.joblib_arrays import is_joblib, read_joblib
from hubclean.scanning.pickles.streams import read_pickles
from hubclean.scanning.reader import Reader
from hubclean.scanning.scanners import Judgement, each, format_of, head_of, judged, not_checked, only_pickle
from hubclean.scanning.sources import RepoSource

_UNOPENED = ("7z", "rar")
_LINES = (b"F", b"I", b"L", b"S", b"c", b"i", b"g", b"p", b"P")  # opcodes whose argument is a short line
# Other scanners speak of them.
_ELSEWHERE = ("safetensors", "numpy", "executable", "onnx", "coreml", "gguf", "tflite")


@dataclass(frozen=True)
class Pickles:
    """Walks the opcodes of every file that a loader would unpickle, by an allow-list of exact names.

    HC-PKL-001 to HC-PKL-008 as in the list of rules, HC-PKL-009 when a repo has no safetensors weights. What
    is packed is left to ``packed``; 7z and rar cannot be opened: they count as not checked.
    """

    name: ClassVar[str] = "pickles"
    paper: ClassVar[str] = "torch._weights_only_unpickler; CVE-2025-1716, CVE-2025-32434, GHSA-97f8-7cmv-76j2"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        described = may_be_described(entry.path for entry in files)

        def judge(entry: RepoEntry) -> Judgement:
            named = names.suffix(entry.path) in names.PICKLE_NAMES
            content = format_of(reader, entry)
            if content in ("empty", "lfs-pointer", "zip"):
                return  # of a zip the scanner of archives speaks
            reads = content == "pickle" or _reads(reader, entry, content, named)
            if reads:
                yield from _walked(reader, entry, files, content)
            elif reads is None:
                yield from not_checked(entry, "it reads as the constants of a pickle, as far as it was read", True)
            elif named and content not in _ELSEWHERE:
                yield from _nothing(reader, entry, files, content, described(entry.path))

        yield from each(files, judge)


def _reads(reader: Reader, entry: RepoEntry, content: str, named: bool) -> bool | None:
    """Whether it reads as a pickle too, also where its first bytes are the constant of one.

    The length at the beginning of safetensors may look like an opcode; numbers and names then end in the head or
    nowhere. No length that the library writes, a multiple of eight, looks like that of a text without an end.
    """
    head, source = head_of(reader, entry), RepoSource(reader, entry)
    if content == "safetensors" and head[:1] in _LINES:
        return pickle_sniff.is_pickle(head, entry.size, named)
    # Of its length only the upper bytes are that of a constant: what a parser of safetensors takes is below 400 kB.
    most = 1 << 20 if content == "safetensors" else 16 << 20
    return pickle_sniff.reads_as_pickle(head, entry.size, named, lambda length: source.at(0, length), most)


def _nothing(
    reader: Reader, entry: RepoEntry, files: tuple[RepoEntry, ...], content: str, described: bool
) -> Judgement:
    """A name that promises a pickle, and no pickle that could be walked; ``described``: some model may speak of it."""
    ending = names.suffix(entry.path)
    if content == "tar" or packing(content, head_of(reader, entry), named=True):
        yield from only_pickle(reader, entry, files, "a pickle inside")  # ``packed`` speaks of what it holds
    elif content in _UNOPENED:
        yield from only_pickle(reader, entry, files, "a pickle inside")
        where = "unpack it in a place apart and scan the folder"
        yield from not_checked(entry, f"a {content} file named {ending} is not opened here: {where}")
    elif content != "unknown" or not described:
        yield from not_checked(entry, f"named {ending}, but no pickle, zip or other format known here ({content})")


def _walked(reader: Reader, entry: RepoEntry, files: tuple[RepoEntry, ...], content: str) -> Judgement:
    source = RepoSource(reader, entry)
    found = read_pickles(source, reader.allowed_names)
    if is_joblib(found):
        found = read_joblib(source, reader.allowed_names, found)
    yield from only_pickle(reader, entry, files, found.kind)
    unchecked = [found.unchecked] if found.unchecked else []
    if content == "tar":
        unchecked.append("a tar that is also a pickle")
    names = sum(len(walk.names) for walk in found.walks)
    said = f"{found.kind}: {found.opcodes:,} opcodes and {names} names, all on the list"
    problems = advised(found.problems, found.kind == "torch (legacy)")
    yield from judged(entry, problems, unchecked, f"{said} of {pickle_names.source()}; never loaded", True)
