"""TFLite models by content: operators, indexes and buffers. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.graphs.tflite_model import TfliteModel, read_tflite
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, format_of, judged
from hubclean.scanning.sources import RepoSource

# Custom operators that TFLite's own resolver brings along (tensorflow/lite/core/kernels/register.cc).
_BUILT_IN = {"TFLite_Detection_PostProcess", "NumericVerify", "Mfcc", "AudioSpectrogram"}


@dataclass(frozen=True)
class Tflite:
    """Walks the tables of every TFLite model, whatever it is called.

    HC-NET-001 a custom operator or one of TensorFlow (*Flex*), HC-NET-002 a Flex operator that reads or writes files or
    calls Python, HC-NET-004 indexes that point outside of their tables, or graphs that run in a circle.
    """

    name: ClassVar[str] = "tflite"
    paper: ClassVar[str] = "tensorflow/lite/schema/schema.fbs; CVE-2020-15211, CVE-2021-29591, CVE-2022-23558"
    handles: ClassVar[frozenset[str]] = frozenset({".tflite", "tflite"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            if format_of(reader, entry) == "tflite":
                found = read_tflite(RepoSource(reader, entry))
                said = f"TFLite: {found.operators:,} operators in {found.subgraphs} graphs, {found.tensors:,} tensors"
                yield from judged(entry, _problems(found), found.cut, f"{said}, every index and buffer inside")

        yield from each(files, judge)


def _problems(found: TfliteModel) -> Iterator[Problem]:
    for what, at in dict(found.wild).items():
        yield Problem("HC-NET-004", what, at)
    for kind in sorted(found.reaching):
        yield Problem("HC-NET-002", f"TensorFlow's operator {kind} as a Flex operator")
    for name, count in found.custom.items():
        if name not in _BUILT_IN and name.removeprefix("Flex") not in found.reaching:
            kind = "operator of TensorFlow" if name.startswith("Flex") else "custom operator"
            yield Problem("HC-NET-001", f"{kind} {name[:80]!r} ({count} nodes)")
