"""Tokenizers that are no JSON: SentencePiece models, whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.formats.tokenizing.sentencepiece import BrokenModel, read_sentencepiece
from hubclean.scanning.reader import Reader
from hubclean.scanning.scanners import Judgement, each, format_of, judged


@dataclass(frozen=True)
class Tokenizers:
    """Reads every SentencePiece model (``.model``, ``.spm``) field by field; one it cannot follow is not checked.

    Such a model holds pieces of text with scores and compiled rules of normalisation, and nothing that runs.
    """

    name: ClassVar[str] = "tokenizers"
    paper: ClassVar[str] = "sentencepiece_model.proto; CVE-2026-1260 (a crafted model writes behind its buffer)"
    handles: ClassVar[frozenset[str]] = frozenset({".model", ".spm"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            if format_of(reader, entry) != "unknown":
                return
            try:
                found = read_sentencepiece(reader.read_range(entry.path, 0, entry.size))
            except BrokenModel as error:
                what = f"no SentencePiece model that can be followed: {error}, at byte {error.offset:,}"
                yield from judged(entry, [], [what], "")
                return
            unchecked = [f"the field {number}, which SentencePiece does not know" for number in found.foreign]
            yield from judged(entry, [], unchecked, f"a SentencePiece model of {found.pieces:,} pieces")

        yield from each([entry for entry in files if entry.size and suffix(entry.path) in self.handles], judge)
