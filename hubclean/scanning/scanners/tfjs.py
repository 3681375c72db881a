"""TensorFlow.js models: the manifest of their weights, and the files of plain numbers that it names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.scanning.formats.tensorflow.tfjs import is_named, manifest_of
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import finding
from hubclean.scanning.scanners import Judgement, each, not_checked, ok


@dataclass(frozen=True)
class TfjsModels:
    """Reads every ``model.json`` with a manifest of weights; the weights themselves are not read.

    HC-TF-002 weights outside the repo or at an address, HC-TF-001 and HC-KER-001 to HC-KER-003 for its graph or Keras
    config, which converters load. Files that the manifest names are plain numbers if they are as long as it says.
    """

    name: ClassVar[str] = "tfjs"
    paper: ClassVar[str] = "tfjs-core/src/io/weights_loader.ts, tensorflowjs/write_weights.py"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        entries = {entry.path: entry for entry in files}
        sizes = {entry.path: entry.size for entry in files}

        def judge(entry: RepoEntry) -> Judgement:
            if (found := manifest_of(reader, entry, sizes)) is None:
                return
            for problem in dict.fromkeys(found.problems):
                yield finding(problem, entry.path)
            for reason in found.unchecked[:3]:
                yield from not_checked(entry, f"TensorFlow.js: {reason}")
            for path, why in found.shards.items():
                if why:
                    yield from not_checked(entries[path], f"weights of TensorFlow.js: {why}")
                else:
                    yield ok(entries[path], "numbers of a TensorFlow.js model, as many as its manifest says; not read")

        yield from each([entry for entry in files if is_named(entry)], judge)
