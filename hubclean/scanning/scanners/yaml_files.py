"""YAML files: tags and targets by which a loader calls what they name, and chat templates inside."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.registry import Doc
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.formats.templates import LONGEST_TEMPLATES, TEMPLATE_ADVICE, template_faults
from hubclean.scanning.formats.yaml_configs.events import LONGEST, YamlFile, decoded, may_ask, read_yaml
from hubclean.scanning.formats.yaml_configs.targets import mlflow_problems, raw_problems, yaml_problems
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, judged, not_checked

# Without an ending, as scripts name what they dump by ``yaml.dump``.
_BARE = re.compile(r"(^|/)[\w-]*(param|config|conf|opts?|options|args|setting|train)[\w-]*$", re.IGNORECASE)
_LONGEST_MLMODEL = 128 << 10  # mlflow writes one of a few hundred bytes
_TEMPLATES = ("chat_template", "chat_template_jinja")  # how keys end


@dataclass(frozen=True)
class YamlFiles:
    """Follows YAML by PyYAML's events, so that no spelling hides a tag, and constructs nothing of it.

    HC-CFG-001: a ``!!python/`` tag, ``!new:``, ``!name:``, ``!apply:`` or ``!module:`` of HyperPyYAML, Hydra's
    ``_target_``, a function that runs commands under any key, an expression of MONAI's, the code that an ``MLmodel``
    has mlflow import; HC-CFG-003: an ``!include:`` from outside; HC-CFG-004: a chat template that does not stay with
    its messages; HC-CFG-005: too long. Text without a sign that any of these needs is not parsed.
    """

    name: ClassVar[str] = "yaml-files"
    paper: ClassVar[str] = "PyYAML documentation, yaml.load; CVE-2020-14343; HyperPyYAML; Hydra, instantiate"
    handles: ClassVar[frozenset[str]] = frozenset({".yaml", ".yml"})

    max_bytes: Annotated[int, Doc("largest YAML file that is read, in bytes", 1, 16 << 20)] = 8 << 20

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            if entry.size > self.max_bytes:
                what = f"{entry.size} bytes, more than the {self.max_bytes} that are read"
                advice = "ask the author for a clean export"
                yield finding(Problem("HC-CFG-005", what, advice=advice, severity="medium"), entry.path)
                yield from not_checked(entry, what)
            else:
                yield from _judged(entry, reader.read(entry.path, self.max_bytes))

        yield from each([entry for entry in files if entry.size and self._is_yaml(entry.path)], judge)

    def _is_yaml(self, path: str) -> bool:
        return suffix(path) in self.handles or _is_mlflow(path) or _BARE.search(path) is not None


def _is_mlflow(path: str) -> bool:
    return path.rsplit("/", 1)[-1] == "MLmodel"


def _judged(entry: RepoEntry, body: bytes) -> Judgement:
    said = "YAML; no tag, target or template asks for code"
    try:
        text = decoded(body)
    except UnicodeDecodeError as error:
        yield from not_checked(entry, f"YAML that is not UTF-8 at byte {error.start}")
        return
    if "\0" in text:
        yield from not_checked(entry, "YAML with zero bytes")
        return
    mlflow = _is_mlflow(entry.path)
    if mlflow and len(text) > _LONGEST_MLMODEL:
        yield from not_checked(entry, f"an MLmodel of more than {_LONGEST_MLMODEL:,} signs")
        return
    if not mlflow and not may_ask(text):
        yield from judged(entry, [], [], said)
        return
    if len(text) > LONGEST:
        what = f"{len(text):,} signs of YAML with tags or escapes, more than the {LONGEST:,} that are followed"
        file = YamlFile(broken=what)
    else:
        file = read_yaml(text)
    found = yaml_problems(file) | (mlflow_problems(file) if mlflow else {})
    unchecked = []
    if file.broken and (mlflow or may_ask(text[file.stop :])):
        found |= {problem: at for problem, at in raw_problems(text, file.stop).items() if problem not in found}
        unchecked = [f"YAML of which not all can be followed: {file.broken}"]
    yield from judged(entry, [*_placed(text, found), *_templates(file)], unchecked, said)


def _placed(text: str, found: dict[Problem, int]) -> Iterable[Problem]:
    """Places in bytes, of as many as are told: each is counted from the one before."""
    passed = offset = 0
    for problem, at in sorted(found.items(), key=lambda row: row[1]):
        offset += len(text[passed:at].encode("utf-8", "surrogatepass"))
        passed = at
        yield replace(problem, offset=offset)


def _templates(file: YamlFile) -> Iterable[Problem]:
    rows = [
        pair.value
        for pair in file.pairs
        if any(key.endswith(("chat_template", "chat_template_jinja")) for key in pair.keys)
    ]
    rows = [row for row in dict.fromkeys(rows) if "{" in row]
    if sum(map(len, rows)) > LONGEST_TEMPLATES:
        what = f"template text longer than the {LONGEST_TEMPLATES} bytes that are parsed"
        yield Problem("HC-CFG-004", what, advice=TEMPLATE_ADVICE)
        return
    for row in rows:
        for what in dict.fromkeys(template_faults(row)):
            yield Problem("HC-CFG-004", f"template {what}", advice=TEMPLATE_ADVICE)
