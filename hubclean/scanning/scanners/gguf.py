"""GGUF: keys, templates and the table of tensors of every file by content; the numbers are not read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.graphs.gguf import AbsurdGguf, GgufFile, read_gguf
from hubclean.scanning.formats.templates import LONGEST_TEMPLATES, TEMPLATE_ADVICE, template_faults
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, format_of, judged, not_checked
from hubclean.scanning.sources import RepoSource


@dataclass(frozen=True)
class Gguf:
    """Walks the head of every GGUF file.

    HC-NET-004 counts, lengths and shapes that have made loaders write out of bounds, HC-CFG-004 a chat template that
    reaches for attributes or calls what templates need not call.
    """

    name: ClassVar[str] = "gguf"
    paper: ClassVar[str] = "the GGUF specification of ggml; CVE-2024-21802, CVE-2024-23496, -34359, CVE-2025-53630"
    handles: ClassVar[frozenset[str]] = frozenset({".gguf", "gguf"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            if format_of(reader, entry) != "gguf":
                return
            try:
                found = read_gguf(RepoSource(reader, entry))
            except AbsurdGguf as error:
                yield from judged(entry, [Problem("HC-NET-004", str(error), error.offset, hostile=True)], [], "")
                return
            yield from _judged(entry, found)

        yield from each(files, judge)


def _judged(entry: RepoEntry, found: GgufFile) -> Judgement:
    if sum(len(text) for _, text in found.templates) > LONGEST_TEMPLATES:
        yield from not_checked(entry, f"chat templates of more than the {LONGEST_TEMPLATES:,} bytes that are parsed")
        return
    problems = [
        Problem("HC-CFG-004", f"{key[:80]}: template {what}", advice=TEMPLATE_ADVICE)
        for key, text in found.templates
        for what in dict.fromkeys(template_faults(text))
    ]
    unchecked = [f"tensors of type {kind}, whose size is not known here" for kind in sorted(found.unknown)]
    if found.twice:
        unchecked.append(f"the key {found.twice[:60]!r} is given twice: readers may take either")
    said = f"GGUF of architecture {found.architecture[:40] or 'unsaid'}: {len(found.keys)} keys"
    said += f", {len(found.templates)} chat templates parsed" if found.templates else ""
    yield from judged(entry, problems, unchecked, f"{said}, {found.tensors} tensors inside the file")
