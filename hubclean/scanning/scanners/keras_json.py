"""Configs of Keras that lie in a repo as JSON: KerasHub's, and what ``model.to_json()`` gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.formats.tensorflow.keras_config import is_keras, is_keras_root, keras_problems
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import finding
from hubclean.scanning.scanners import Judgement, each, head_of

_LARGEST = 8 << 20


@dataclass(frozen=True)
class KerasJson:
    """Judges every JSON file that names a class of Keras, at its root or below, as ``model_from_json`` does.

    HC-KER-001 bytecode, HC-KER-002 classes and functions from outside Keras, HC-KER-003 files, addresses, and what is
    no layer. Files that do not parse are the business of the scanner of configs.
    """

    name: ClassVar[str] = "keras-json"
    paper: ClassVar[str] = "keras/src/saving/serialization_lib.py; CVE-2025-1550, CVE-2025-8747, CVE-2025-12058"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            if head_of(reader, entry).lstrip()[:1] not in (b"{", b"[") or entry.size > _LARGEST:
                return
            text = reader.read(entry.path, _LARGEST)
            if is_keras(text) and is_keras_root(text):
                for problem in keras_problems(text, None, "the config")[0]:
                    yield finding(problem, entry.path)

        yield from each([entry for entry in files if suffix(entry.path) == ".json"], judge)
