"""TensorBoard's logs and other TFRecord files: sound frames around plain protobuf messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.tensorflow.tfrecord import HEAD, TAIL, is_tfrecord, read_records
from hubclean.scanning.reader import Reader
from hubclean.scanning.scanners import Judgement, each, head_of, not_checked, ok
from hubclean.scanning.sources import RepoSource


@dataclass(frozen=True)
class TfEvents:
    """Follows the frames of every file that begins with one, and the messages inside as far as they are read.

    A record holds numbers, images and graphs for TensorBoard to draw; nothing in it is run. No rule of its own: a file
    whose frames break is not checked.
    """

    name: ClassVar[str] = "tfevents"
    paper: ClassVar[str] = "tensorflow/core/lib/io/record_writer.cc, tensorflow/core/util/event.proto"
    handles: ClassVar[frozenset[str]] = frozenset({".tfrecord", ".tfrecords"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            if is_tfrecord(head_of(reader, entry)):
                yield from _records(reader, entry)

        yield from each(files, judge)


def _records(reader: Reader, entry: RepoEntry) -> Judgement:
    found = read_records(RepoSource(reader, entry))
    if found.unchecked:
        yield from not_checked(entry, f"TFRecord: {found.unchecked}")
        return
    said = f"TFRecord: {found.records} {found.kind} in sound frames"
    if not found.whole:
        said += f" in its first {HEAD >> 10} and last {TAIL >> 10} KiB; what lies between was not read"
    if found.cut:
        said += "; the last one was not finished"
    yield ok(entry, said + "; nothing runs what is inside")
