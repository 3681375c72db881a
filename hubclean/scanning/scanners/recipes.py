"""Recipes by which servers and pipelines put a model together: Ollama's, Triton's, spaCy's, gin's."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.configs.asking import foreign
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem
from hubclean.scanning.scanners import Judgement, each, judged, not_checked

_LARGEST = 1 << 20
_MODELFILE = re.compile(r"(^|/)Modelfile([._-][\w.-]{1,40})?$", re.IGNORECASE)
_INSTRUCTION = re.compile(r"^\s*(FROM|ADAPTER)\s+(\S.*?)\s*$", re.IGNORECASE)
_BLOCK = re.compile(r'""".*?(?:"""|\Z)', re.DOTALL)  # templates and system prompts, in which anything may be said
_NATIVE = re.compile(r'\bop_library_filename\s*:\s*\[?\s*((?:"[^"]*"\s*,?\s*)+)')
_TRITON_PATH = re.compile(r'\b(default_model_filename|string_value|value)\s*:\s*"([^"]*)"')
_SPACY_SOURCE = re.compile(r"^\s*source\s*=\s*[\"']?([^\"'\r\n]+)", re.MULTILINE)
_GIN_IMPORT = re.compile(r"^\s*import\s+([\w.]+)|^\s*from\s+([\w.]+)\s+import\b", re.MULTILINE)
_GIN_INCLUDE = re.compile(r"^\s*include\s+[\"']([^\"'\r\n]+)", re.MULTILINE)
_ADVICE = "load nothing from there; remove the line"
_CODE = "read the code it names first"


@dataclass(frozen=True)
class Recipes:
    """Reads Ollama's ``Modelfile``, Triton's ``config.pbtxt``, spaCy's ``config.cfg``, ``.gin`` files.

    HC-CFG-003: a model, an adapter or another pipeline from outside the repo. HC-CFG-001: a native library that a
    server loads, a module of the repo that gin imports.
    """

    name: ClassVar[str] = "recipes"
    paper: ClassVar[str] = (
        "Ollama, Modelfile reference; Triton, model_config.proto; spaCy 3, training config; gin-config"
    )
    handles: ClassVar[frozenset[str]] = frozenset({".gin"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        paths = frozenset(entry.path for entry in files)

        def judge(entry: RepoEntry) -> Judgement:
            said, read = _reader_of(entry.path) or ("", None)
            if read is None:
                return
            if entry.size > _LARGEST:
                yield from not_checked(entry, f"more than {_LARGEST:,} bytes of a recipe")
                return
            text = reader.read(entry.path, _LARGEST).decode("utf-8", "replace")
            yield from judged(entry, read(text, entry.path, paths), [], f"{said}; nothing from outside the repo")

        yield from each([entry for entry in files if entry.size], judge)


_Read = Callable[[str, str, frozenset[str]], Iterator[Problem]]


def _reader_of(path: str) -> tuple[str, _Read] | None:
    name = path.rsplit("/", 1)[-1].lower()
    if _MODELFILE.search(path):
        return "a recipe of Ollama's", _modelfile
    if name == "config.pbtxt":
        return "a configuration of Triton's", _triton
    if name == "config.cfg":
        return "a configuration of spaCy's", _spacy
    return ("a configuration of gin's", _gin) if name.endswith(".gin") else None


def _leaves(place: str, path: str) -> bool:
    """Whether a path that is joined to the folder of its file ends outside the repo."""
    if not foreign(place):
        return False
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(path), place.strip().replace("\\", "/")))
    return whole.startswith(("..", "/", "~")) or "://" in place or whole[1:2] == ":"


def _modelfile(text: str, path: str, paths: frozenset[str]) -> Iterator[Problem]:
    for line in _BLOCK.sub("", text).splitlines():
        if (found := _INSTRUCTION.match(line)) and _leaves(place := found.group(2).strip("\"'"), path):
            what = f"{found.group(1).upper()} {place[:160]!r}: Ollama opens a file outside the repo and uploads it"
            # Where the author's own model lay; it is there on no other machine.
            own = found.group(1).upper() == "FROM" and place.startswith(
                ("/home/", "/Users/", "/mnt/", "/data/", "C:\\")
            )
            yield Problem("HC-CFG-003", what, advice=_ADVICE, severity="low" if own and ".." not in place else None)


def _triton(text: str, path: str, paths: frozenset[str]) -> Iterator[Problem]:
    for found in _NATIVE.finditer(text):
        what = f"op_library_filename is {found.group(1).strip()[:160]}: native code, which the server loads"
        yield Problem("HC-CFG-001", what, advice=_CODE, hostile=True)
    for found in _TRITON_PATH.finditer(text):
        if ".." in re.split(r"[/\\]", found.group(2)) or (found.group(1)[0] == "d" and foreign(found.group(2))):
            what = f"{found.group(1)} is {found.group(2)[:160]!r}: a path outside the repo"
            yield Problem("HC-CFG-003", what, advice=_ADVICE)


def _spacy(text: str, path: str, paths: frozenset[str]) -> Iterator[Problem]:
    for found in _SPACY_SOURCE.finditer(text):
        if foreign(place := found.group(1).strip()):
            what = f"source is {place[:160]!r}: spaCy loads a component from there"
            yield Problem("HC-CFG-003", what, advice=_ADVICE)


def _gin(text: str, path: str, paths: frozenset[str]) -> Iterator[Problem]:
    for found in _GIN_IMPORT.finditer(text):
        module = found.group(1) or found.group(2)
        place = module.replace(".", "/")
        if {f"{place}.py", f"{place}/__init__.py"} & paths:
            yield Problem("HC-CFG-001", f"gin imports {module[:120]!r}, a file of the repo", advice=_CODE, hostile=True)
    for found in _GIN_INCLUDE.finditer(text):
        if _leaves(place := found.group(1), path):
            yield Problem("HC-CFG-003", f"gin includes {place[:160]!r}, outside the repo", advice=_ADVICE)
