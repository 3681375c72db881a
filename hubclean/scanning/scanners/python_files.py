"""Python files of a repo: present or not, what they import, and whether a config points to them."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from hubclean.errors import DeadlineError
from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding, Severity
from hubclean.registry import Doc
from hubclean.scanning.budget import spend
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, not_checked

_WORD = re.compile(r"""["/.]([^"/.\n]{1,255}+)(?=\.\w)""")
_SIGNS = re.compile(r"""["/.]""")
_STARTED = ("sitecustomize.py", "usercustomize.py")
_LIBRARIES = (
    "torch",
    "numpy",
    "safetensors",
    "transformers",
    "timm",
    "huggingface_hub",
    "tokenizers",
    "accelerate",
    "PIL",
)
# Of the standard library what every start of transformers imports, but for names that people give to their own files.
_STANDARD = (
    *(
        "os",
        "re",
        "json",
        "random",
        "pickle",
        "typing",
        "functools",
        "collections",
        "dataclasses",
        "importlib",
        "logging",
    ),
    *(
        "warnings",
        "copy",
        "math",
        "struct",
        "socket",
        "ssl",
        "threading",
        "subprocess",
        "tempfile",
        "shutil",
        "pathlib",
    ),
    *(
        "hashlib",
        "urllib",
        "http",
        "zipfile",
        "contextlib",
        "itertools",
        "weakref",
        "enum",
        "abc",
        "io",
        "ast",
        "inspect",
    ),
)
_SHADOWS = frozenset(f"{name}{tail}" for name in (*_LIBRARIES, *_STANDARD) for tail in (".py", "/__init__.py"))
_GENERATES = re.compile(r"(^|/)custom_generate/generate\.py$")
_LONGEST_PARSED = 256 << 10  # a syntax tree takes 600 bytes for one of text
# Python's own parser takes the square of their number for the fields of one f-string, and for the parts of one name.
_MOST_BRACES = 8000
_BLANK, _PART = rb"[ \t\f\\\r\n]*+", rb"[\w\x80-\xff]++"
_CHAIN = re.compile(rb"(?<![\w\x80-\xff.])" + _PART + rb"(?:" + _BLANK + rb"\." + _BLANK + _PART + rb"){100}")


@dataclass(frozen=True)
class PythonFiles:
    """Lists Python files with what they import; hubclean never runs them and never calls them harmless.

    HC-PY-001: medium, high when a JSON file of the repo names the module as code to load, or transformers runs it for
    its name.
    """

    name: ClassVar[str] = "python-files"
    paper: ClassVar[str] = "transformers documentation, custom models and trust_remote_code; CVE-2026-5241"
    handles: ClassVar[frozenset[str]] = frozenset({".py"})

    max_bytes: Annotated[int, Doc("largest Python file whose imports are listed, in bytes", 1, 16 << 20)] = 1 << 20

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        python = [entry for entry in files if suffix(entry.path) == ".py"]
        named = _named(reader, files) if python else frozenset[str]()

        def judge(entry: RepoEntry) -> Judgement:
            module = entry.path.rsplit("/", 1)[-1].removesuffix(".py")
            pointed = all(part in named for part in _SIGNS.split(module) if part)
            how = " that a config names as code to load" if pointed else _by_place(entry.path)
            severity: Severity = "high" if how else "medium"
            if entry.size > self.max_bytes:
                what = "a Python file, too long to be read"
                yield finding(Problem("HC-PY-001", what, advice="do not run it", severity=severity), entry.path)
                yield from not_checked(entry, f"more than {self.max_bytes} bytes of Python")
                return
            what = f"a Python file{how}; imports: {_imports(reader.read(entry.path, self.max_bytes))}"
            advice = "read it before you pass trust_remote_code=True"
            yield finding(Problem("HC-PY-001", what, advice=advice, severity=severity), entry.path)

        yield from each(python, judge)


def _by_place(path: str) -> str:
    """What runs a file because of its name; from a folder without asking, before transformers 5."""
    if path in _STARTED:
        return " that Python runs when it starts in this folder"
    if path in _SHADOWS:
        return " that Python imports in place of the library of that name"
    return " that generate(custom_generate=...) runs" if _GENERATES.search(path) else ""


def _named(reader: Reader, files: tuple[RepoEntry, ...]) -> frozenset[str]:
    """What the repo's JSON files may name as modules: words in front of a dot and a name. Every text is read once."""
    named: set[str] = set()
    for entry in files:
        if suffix(entry.path) == ".json" and entry.size <= 1 << 20:
            try:
                text = reader.read(entry.path, 1 << 20).decode("utf-8", "replace")
            except DeadlineError:
                raise
            except Exception:  # the scanner of configs reports what cannot be read
                continue
            for word in _WORD.findall(text):
                named.add(word)
                named.add(word.rpartition("--")[2])
    return frozenset(named)


def _imports(source: bytes) -> str:
    if len(source) > _LONGEST_PARSED:
        return f"not listed, its {len(source):,} bytes are too many to parse"
    if source.count(b"{") > _MOST_BRACES or _CHAIN.search(source):
        return "not listed, its expressions are too long to parse"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"unknown, it does not parse ({type(error).__name__})"
    names: set[str] = set()
    for node in ast.walk(tree):
        spend()
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    shown = sorted(names)[:20]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "") if shown else "nothing"
