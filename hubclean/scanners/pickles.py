"""Pickle containers by name and content: named, counted, never opened."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from hubclean import formats
from hubclean.records import FileVerdict, Finding, Severity
from hubclean.repos import Repo, RepoEntry
from hubclean.scanners import Judgement, each, format_of, head_of

NOT_JUDGED = "pickle contents are not judged by this version: hubclean never loads it"
_INSTEAD = "load the safetensors file instead"
_CONVERT = "convert to safetensors in an isolated machine"
_FIRST_RECORDS = (b"/data.pkl", b"/.format_version", b"/.data/serialization_id", b"/byteorder")
_PLAIN = re.compile(r"[<>|=]?[?bBhHiIlLqQefdgFDGcuSUVmMa]\d*(\[\w+\])?")
_ARRAYS = (".npy", ".npz")


@dataclass(frozen=True)
class Pickles:
    """Names every file that a loader would unpickle: torch (zip, legacy, tar), pickle, joblib, object arrays.

    HC-PKL-009: medium when the repo has no safetensors weights to load instead, else low. HC-NPY-001: an array of
    Python objects, which are pickled. All of these files count as not checked.
    """

    name: ClassVar[str] = "pickles"
    paper: ClassVar[str] = "Python's pickle documentation (warning); CVE-2025-1716, CVE-2025-32434, CVE-2026-24747"

    def scan(self, repo: Repo, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        weights = any(formats.suffix(entry.path) == ".safetensors" for entry in files)

        def judge(entry: RepoEntry) -> Judgement:
            suffix, content = formats.suffix(entry.path), format_of(repo, entry)
            if kind := _kind(suffix, content, head_of(repo, entry)):
                severity: Severity = "low" if weights else "medium"
                advice = _INSTEAD if weights else _CONVERT
                yield Finding("HC-PKL-009", severity, entry.path, f"{kind}: loading it can run code", advice)
                yield FileVerdict(entry.path, entry.size, "unchecked", NOT_JUDGED)
            elif content == "numpy" and _holds_objects(head_of(repo, entry)):
                what = "an array of Python objects: reading it unpickles them"
                yield Finding("HC-NPY-001", "high", entry.path, what, "do not load it with allow_pickle=True")
                yield FileVerdict(entry.path, entry.size, "unchecked", NOT_JUDGED)

        yield from each(files, judge)


def _kind(suffix: str, content: str, head: bytes) -> str | None:
    """What sort of pickle container this is; None if it is none that we can tell."""
    if content in ("empty", "lfs-pointer", "safetensors"):
        return None
    if content == "pickle":
        return "a pickle"
    if content == "zip" and suffix not in _ARRAYS and _is_torch_zip(head):
        return "a torch zip with a pickle inside"
    if suffix in formats.PICKLE_NAMES:
        return {"zip": "a zip that torch may read", "tar": "a tar that torch may read"}.get(
            content, f"named {suffix}, which loaders unpickle"
        )
    return None


def _is_torch_zip(head: bytes) -> bool:
    """PyTorch writes ``<folder>/data.pkl`` (or ``.data/``, ``.format_version``) as the first record of its zip."""
    length = int.from_bytes(head[26:28], "little")
    name = head[30 : 30 + length]
    return name == b"data.pkl" or name.endswith(_FIRST_RECORDS)


def _holds_objects(head: bytes) -> bool:
    """Whether an array may hold objects: a dtype that is not plainly a number, text, time or bytes counts as such."""
    start = 10 if head[6:7] == b"\x01" else 12
    length = int.from_bytes(head[8:start], "little")
    try:
        return not _is_plain(ast.literal_eval(head[start : start + length].decode("latin-1").strip())["descr"])
    except (ValueError, SyntaxError, TypeError, KeyError, IndexError, MemoryError, RecursionError):
        return True


def _is_plain(descr: Any) -> bool:
    if isinstance(descr, str):
        return _PLAIN.fullmatch(descr) is not None
    return isinstance(descr, list) and all(_is_plain(field[1]) for field in descr)
