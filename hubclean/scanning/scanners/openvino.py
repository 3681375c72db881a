"""OpenVINO: the XML of a model, and the weights beside it. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import FILE_BUDGET, RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.content import sniff
from hubclean.scanning.formats.graphs.openvino_ir import OpenvinoIr, read_ir, root_of
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, format_of, head_of, judged, not_checked, ok

_LONGEST_PROLOG = 1 << 20  # bytes of comments before the root that are read
_TEXT = ("text", "json")


@dataclass(frozen=True)
class Openvino:
    """Reads every XML whose root is ``net``; of others the listing speaks.

    HC-NET-001 layers of an extension, HC-NET-003 a DOCTYPE (through which a parser may read files) or an attribute that
    names a library, HC-NET-004 offsets and sizes that no file has. The ``.bin`` of the same name is raw weights if it
    is of no other format and long enough.
    """

    name: ClassVar[str] = "openvino"
    paper: ClassVar[str] = "OpenVINO documentation, IR format and extensibility; CWE-611 (external entities of XML)"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        entries = {entry.path: entry for entry in files}
        raw: dict[str, str] = {}

        def judge(entry: RepoEntry) -> Judgement:
            if not entry.size or not _is_model(reader, entry):
                return
            found = read_ir(reader.read(entry.path, FILE_BUDGET))
            weights = entries.get(entry.path[: -len(".xml")] + ".bin")
            unchecked = []
            if found.last and not reader.alone and (weights is None or weights.size < found.last):
                unchecked.append(f"its weights end at byte {found.last:,} of a .bin that is shorter or not there")
            elif weights:
                raw[weights.path] = entry.path
            said = f"OpenVINO model of version {found.version}: {found.layers:,} layers, weights in the .bin beside it"
            yield from judged(entry, _problems(found), unchecked, said)

        def weights(entry: RepoEntry) -> Judgement:
            content = format_of(reader, entry)
            if content in ("unknown", "empty"):
                yield ok(entry, f"numbers of tensors, as long as {raw[entry.path]} says; nothing else reads them")
            else:
                yield from not_checked(entry, f"{raw[entry.path]} says that weights lie here, but it is: {content}")

        yield from each([entry for entry in files if suffix(entry.path) == ".xml"], judge)
        yield from each([entry for entry in files if entry.path in raw], weights)


def _is_model(reader: Reader, entry: RepoEntry) -> bool:
    head = head_of(reader, entry)
    if sniff(head, entry.size) not in _TEXT:
        return False
    root = root_of(head)
    if root is None and len(head) < entry.size:
        root = root_of(reader.read_range(entry.path, 0, min(entry.size, _LONGEST_PROLOG)))
    return root == "net"


def _problems(found: OpenvinoIr) -> Iterator[Problem]:
    if found.declares:
        yield Problem("HC-NET-003", "the XML declares a document type: parsers may read files that it names", 0)
    for said in found.libraries:
        yield Problem("HC-NET-003", f"an attribute names code to load: {said}")
    for what in found.wild:
        yield Problem("HC-NET-004", f"weights of {what}")
    for (opset, kind), count in found.custom.items():
        yield Problem("HC-NET-001", f"layer {kind!r} of {opset!r} ({count} of them), which an extension brings")
