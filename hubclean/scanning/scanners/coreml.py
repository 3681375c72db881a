"""Core ML: models and packages, the weights beside them, and what an app must bring. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from hubclean.errors import FormatError
from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.graphs.coreml_model import CoremlModel, read_coreml
from hubclean.scanning.formats.graphs.locations import leaves, resolved
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.formats.strict_json import JsonProblem, read_json
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, format_of, judged, not_checked, ok
from hubclean.scanning.sources import RepoSource

_MANIFEST = ".mlpackage/Manifest.json"
_OWN = "@model_path/"  # how a program names the folder that its model lies in
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Coreml:
    """Walks every Core ML model, and reads the manifest of every package.

    HC-NET-001 layers and models that a class of the app must compute, HC-NET-003 weights, linked models or parts of a
    package outside of it. A file in which a model says its weights lie is raw weights if it is there, is of no other
    format, and is long enough.
    """

    name: ClassVar[str] = "coreml"
    paper: ClassVar[str] = "coremltools mlmodel/format/Model.proto, MIL.proto; modelpackage/src/ModelPackage.cpp"
    handles: ClassVar[frozenset[str]] = frozenset({".mlmodel", "coreml"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        sizes = {entry.path: entry.size for entry in files}
        raw: dict[str, str] = {}

        def judge(entry: RepoEntry) -> Judgement:
            if entry.path.endswith(_MANIFEST):
                yield from _manifest(reader, entry, sizes)
                return
            content = format_of(reader, entry) if entry.size else "empty"
            if content != "coreml" and not (suffix(entry.path) == ".mlmodel" and content in ("unknown", "text")):
                return
            try:
                found = read_coreml(RepoSource(reader, entry))
            except FormatError as error:
                yield from not_checked(entry, f"no Core ML model that can be followed: {error}")
                return
            unchecked = ["it holds a model in a form that is not described"] if found.sealed else []
            for name, offset in found.blobs.items():
                path = resolved(entry.path, name.removeprefix(_OWN))
                if leaves(name.removeprefix(_OWN)) or reader.alone:
                    continue
                if offset >= sizes.get(path, 0):
                    unchecked.append(f"its weights lie in {name[:100]!r}, which is not there or shorter")
                else:
                    raw[path] = entry.path
            said = f"Core ML of version {found.version}: {found.parts:,} layers or operations"
            yield from judged(entry, _problems(found), unchecked, said)

        def weights(entry: RepoEntry) -> Judgement:
            content = format_of(reader, entry)
            if content == "unknown":
                yield ok(entry, f"numbers of tensors, as long as {raw[entry.path]} says; nothing else reads them")
            else:
                yield from not_checked(entry, f"{raw[entry.path]} says that weights lie here, but it is: {content}")

        yield from each(files, judge)
        yield from each([entry for entry in files if entry.path in raw], weights)


def _problems(found: CoremlModel) -> Iterator[Problem]:
    for name, at in dict(found.custom).items():
        yield Problem("HC-NET-001", f"a layer or model that the class {name[:80]!r} of an app computes", at)
    for name, at in dict(found.linked).items():
        if why := leaves(name):
            yield Problem("HC-NET-003", f"a model linked from {why}: {name[:100]!r}", at)
        elif name:
            yield Problem("HC-NET-001", f"a part that lies in another model of an app: {name[:80]!r}", at)
    for name in found.blobs:
        if why := leaves(name.removeprefix(_OWN)):
            yield Problem("HC-NET-003", f"weights at {why}: {name[:100]!r}")


def _manifest(reader: Reader, entry: RepoEntry, sizes: dict[str, int]) -> Judgement:
    """Every part of a package must lie in its folder ``Data``."""
    try:
        value, _ = read_json(reader.read(entry.path, _LONGEST))
    except JsonProblem as error:
        yield from not_checked(entry, f"a manifest that does not parse: {error}")
        return
    items = value.get("itemInfoEntries") if isinstance(value, dict) else None
    if not isinstance(items, dict):
        yield from not_checked(entry, "a manifest of a package without parts")
        return
    problems: list[Problem] = []
    unchecked: list[str] = []
    for item in items.values():
        path = item.get("path") if isinstance(item, dict) else None
        if not isinstance(path, str) or not path:
            unchecked.append("a part without a path")
        elif why := leaves(path):
            problems.append(Problem("HC-NET-003", f"a part of the package at {why}: {path[:100]!r}"))
        elif not _there(resolved(entry.path, f"Data/{path}"), sizes) and not reader.alone:
            unchecked.append(f"the part {path[:100]!r} is not there")
    yield from judged(entry, problems, unchecked, f"a package of {len(items)} parts, all inside")


def _there(path: str, sizes: dict[str, int]) -> bool:
    return path in sizes or any(other.startswith(f"{path}/") for other in sizes)
