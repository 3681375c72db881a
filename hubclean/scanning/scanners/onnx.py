"""ONNX models under any name: operators, and where their tensors lie. Nothing is run, weights are not read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import ClassVar

from hubclean.errors import FormatError, HubcleanError
from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.budget import of_file
from hubclean.scanning.formats.graphs.locations import leaves, resolved
from hubclean.scanning.formats.graphs.onnx_model import ExternalTensor, OnnxModel, read_onnx
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, format_of, judged, not_checked, ok
from hubclean.scanning.sources import RepoSource

IN_FLIGHT = 8
# Operators of these domains come with onnxruntime itself (onnxruntime/core/graph/constants.h).
_BUILT_IN = {
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "com.microsoft",
    "com.microsoft.nchwc",
    "com.microsoft.dml",
    "com.microsoft.experimental",
    "com.ms.internal.nhwc",
    "org.pytorch.aten",
}
# Of onnxruntime-extensions, domain com.microsoft.extensions: they ask the service whose address the node holds.
_CALLS_OUT = re.compile(r"(Azure|OpenAI)\w*(Invoker|To(Text|Audio|Image|Speech))$", re.IGNORECASE)
_PYTHON = ("pyop", "pyopmulti", "pythonop", "pythonopgrad", "pycustomop", "pyfunc")
_KEYS = ("location", "offset", "length", "checksum", "basepath")  # of onnx; onnxruntime writes prepacked_* too
_PATHS = ("location", "basepath")
_ABSURD = 1 << 46  # bytes: 64 TiB


@dataclass(frozen=True)
class Onnx:
    """Walks every ONNX model, whatever it is called, with subgraphs, local functions and training graphs.

    HC-NET-001 an operator of a domain that the runtime does not know and the model does not define, HC-NET-002 one that
    calls Python, HC-NET-003 a tensor outside the repo or in memory, HC-NET-004 keys and numbers on external tensors
    that set attributes of loaders or ask for memory without end. A file in which a model says its tensors lie is raw
    weights if it is there, is of no other format, and is long enough.
    """

    name: ClassVar[str] = "onnx"
    paper: ClassVar[str] = "onnx/onnx.proto3; CVE-2022-25882, CVE-2024-27318, CVE-2025-51480, CVE-2026-34445"
    handles: ClassVar[frozenset[str]] = frozenset({".onnx", "onnx"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        sizes = {other.path: other.size for other in files}
        models: dict[str, OnnxModel | Exception] = {}
        raw: dict[str, set[str]] = {}

        def judge(entry: RepoEntry) -> Judgement:
            found = models[entry.path]
            if isinstance(found, Exception):
                raise found
            problems, unchecked, beside = _external(entry, found.external, sizes, reader.alone)
            problems += [*_operators(found), *_compiled(found)]
            for path in beside:
                raw.setdefault(path, set()).add(entry.path)
            yield from judged(entry, problems, unchecked, _said(found, beside))

        def weights(entry: RepoEntry) -> Judgement:
            content, of = format_of(reader, entry), ", ".join(sorted(raw[entry.path])[:3])
            if content == "unknown":
                yield ok(entry, f"numbers of tensors, as long as {of} says; nothing else reads them")
            else:
                yield from not_checked(entry, f"{of} says that tensors lie here, but it is: {content}")

        entries = []
        for entry in files:
            try:
                if not entry.size or not _is_model(entry, format_of(reader, entry)):
                    continue
            except Exception as error:
                models[entry.path] = error
            entries.append(entry)
        with ThreadPoolExecutor(IN_FLIGHT) as pool:  # each read waits for the one before: the files side by side
            todo = [entry for entry in entries if entry.path not in models]
            rows = pool.map(lambda one: one[0].run(_read, reader, one[1]), [(copy_context(), row) for row in todo])
            models.update((entry.path, found) for entry, found in zip(todo, rows, strict=True))
        yield from each(entries, judge)
        yield from each([entry for entry in files if entry.path in raw], weights)


def _is_model(entry: RepoEntry, content: str) -> bool:
    """By content, or by name as long as no other format lies there (of which the listing speaks)."""
    return content == "onnx" or (suffix(entry.path) == ".onnx" and content in ("unknown", "text"))


def _read(reader: Reader, entry: RepoEntry) -> OnnxModel | Exception:
    try:
        with of_file(entry.path, entry.size):
            return read_onnx(RepoSource(reader, entry))
    except FormatError as error:
        return FormatError(f"no ONNX model that can be followed: {error}")
    except HubcleanError as error:
        return error
    except Exception as error:  # ``each`` words it
        return error


def _external(
    entry: RepoEntry, tensors: list[ExternalTensor], sizes: dict[str, int], alone: bool
) -> tuple[list[Problem], list[str], list[str]]:
    """Problems, what could not be judged, and the files of the listing in which tensors lie."""
    problems: list[Problem] = []
    unchecked: list[str] = []
    needed: dict[str, int] = {}
    for tensor in tensors:
        said = dict(tensor.entries)
        problems += _keys(tensor)
        away = [(key, value, why) for key, value in tensor.entries if key in _PATHS and (why := leaves(value))]
        for key, value, why in away:
            what = f"the {key} of tensor {tensor.name[:60]!r} is {why}: {value[:100]!r}"
            problems.append(Problem("HC-NET-003", what, tensor.at))
        offset, length = (_number(said.get(key, "0")) for key in ("offset", "length"))
        if away or offset is None or length is None or not tensor.used or alone:
            continue
        path = resolved(entry.path, said.get("location", ""))
        if not said.get("location") or path not in sizes:
            unchecked.append(f"its tensors lie in {said.get('location', '')[:100]!r}, which the repo does not have")
        else:
            needed[path] = max(needed.get(path, 0), offset + length)
    cut = [path for path, stop in needed.items() if stop > sizes[path]]
    unchecked += [f"{path[-100:]!r} has {sizes[path]:,} bytes, less than its tensors need" for path in cut]
    return problems, unchecked, [path for path in needed if path not in cut]


def _number(text: str) -> int | None:
    """A number of bytes as loaders read it; ``None`` if it is none, or larger than any file."""
    value = int(text) if text.strip().isdecimal() and len(text) < 20 else -1
    return value if 0 <= value < _ABSURD else None


def _keys(tensor: ExternalTensor) -> Iterator[Problem]:
    for key, value in tensor.entries:
        if key not in _KEYS and not key.startswith("prepacked"):
            what = f"tensor {tensor.name[:60]!r} sets {key[:60]!r} on the loader's own object (CVE-2026-34445)"
            yield Problem("HC-NET-004", what, tensor.at)
        elif key in ("offset", "length") and _number(value) is None:
            what = f"the {key} of tensor {tensor.name[:60]!r} is no number of bytes that a file has: {value[:40]!r}"
            yield Problem("HC-NET-004", what, tensor.at)


def _operators(model: OnnxModel) -> Iterator[Problem]:
    local = model.functions
    for (domain, kind), count in model.operators.items():
        shown, at = f"{domain[:80]}::{kind[:80]}", model.places[domain, kind]
        parts = [kind.lower(), *domain.lower().split(".")]
        python = any(part.rstrip("_0123456789") in _PYTHON for part in parts)
        if python and (domain, kind) not in local:
            yield Problem("HC-NET-002", f"operator {shown} calls a Python function ({count} nodes)", at)
        elif _CALLS_OUT.match(kind) and (domain, kind) not in local:
            what = f"operator {shown} sends what the model is given to an address ({count} nodes)"
            yield Problem("HC-NET-002", what, at)
        elif domain not in _BUILT_IN and (domain, kind) not in local:
            yield Problem("HC-NET-001", f"operator {shown} ({count} nodes), which no runtime has by itself", at)


def _compiled(model: OnnxModel) -> Iterator[Problem]:
    for path, at in model.compiled:
        if why := leaves(path):
            yield Problem("HC-NET-003", f"a compiled part of the graph lies at {why}: {path[:100]!r}", at)
        else:
            yield Problem("HC-NET-001", f"a part of the graph compiled for one device, in {path[:100]!r}", at)


def _said(model: OnnxModel, beside: list[str]) -> str:
    domains = sorted({domain or "ai.onnx" for domain, _ in model.operators})
    text = f"ONNX: {model.nodes:,} nodes of {', '.join(domains[:5]) or 'no domain'}, {model.tensors:,} tensors"
    return text + (f", those in {', '.join(beside[:3])} as long as it says" if beside else "")
