"""Fields of JSON configs that make a loader run code, or load from elsewhere, at any depth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding, Severity
from hubclean.registry import Doc
from hubclean.scanning.configs.asking import ADVICE, CONFIG_NAMES, Ask, Path, Place, asks, where
from hubclean.scanning.configs.components import components
from hubclean.scanning.configs.renaming import Renaming
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.formats.strict_json import MOST_VALUES, JsonProblem, read_json, values_in
from hubclean.scanning.formats.tokenizing.vocabulary import BrokenText, condensed
from hubclean.scanning.pickles.inside import encoded_pickles
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, not_checked, ok

_LONGEST_KEY = 256


@dataclass(frozen=True)
class ConfigCode:
    """Walks every JSON file (config, processor, generation, tokenizer, adapter, model_index, timm's pretrained_cfg).

    What the fields mean stands in ``scanning/configs/loader_fields``; they are judged after the renamings that the
    config itself asks for. HC-CFG-001 asks for repo or remote code, HC-CFG-002 reaches code without consent on known
    versions, HC-CFG-003 path or repo redirection, HC-CFG-005 does not parse, holds a key twice, is too deep, too long
    or not finite.
    """

    name: ClassVar[str] = "config-code"
    paper: ClassVar[str] = "CVE-2026-4372 (kernels from config), CVE-2026-5241 (LightGlue); timm pretrained_cfg"
    handles: ClassVar[frozenset[str]] = frozenset({".json"})

    max_bytes: Annotated[int, Doc("largest JSON file that is read, in bytes", 1, 64 << 20)] = 8 << 20
    max_depth: Annotated[int, Doc("deepest nesting of objects and lists", 1, 500)] = 64

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            if suffix(entry.path) != ".json" or not entry.size:
                return
            text = self._text(reader, entry)
            if text is None:
                what = f"{entry.size} bytes, more than the {self.max_bytes} that are read"
                yield _finding("HC-CFG-005", "medium", entry, what)
                yield from not_checked(entry, what)
                return
            yield from self._json(entry, text, reader.ref.repo_id)
            yield from _encoded(entry, text)

        yield from each(files, judge)

    def _text(self, reader: Reader, entry: RepoEntry) -> bytes | None:
        """The text to be judged, a long vocabulary condensed; ``None`` if it is too long."""
        text = reader.read(entry.path, self.max_bytes) if entry.size <= self.max_bytes else b""
        if (text and values_in(text) <= MOST_VALUES) or CONFIG_NAMES.search(entry.path):
            return text or None
        text = text or reader.stream(entry.path)
        try:
            return None if b"chat_template" in text else condensed(text, self.max_bytes)
        except BrokenText:
            return None

    def _json(self, entry: RepoEntry, text: bytes, own: str) -> Judgement:
        try:
            root, twice = read_json(text)
        except JsonProblem as error:
            yield _finding("HC-CFG-005", "medium", entry, f"does not parse as JSON: {error}")
            yield from not_checked(entry, f"does not parse as JSON: {error}")
            return
        for key in dict.fromkeys(key for key, _ in twice):
            yield _finding("HC-CFG-005", "medium", entry, f"the key {key[:80]!r} is given twice: loaders may differ")
        roots = (root, *({key: value} for key, value in twice))
        yield from _asked(entry, components(entry.path, root))
        place = Place(entry.path, own, Renaming.of(list(roots)))
        for count, (path, value) in enumerate(walk_config(*roots)):
            if len(path) > self.max_depth or count > MOST_VALUES:
                what = f"nested deeper than {self.max_depth}, or more than {MOST_VALUES} values"
                yield _finding("HC-CFG-005", "medium", entry, what)
                yield from not_checked(entry, what)
                return
            yield from _unfinite(entry, path, value)
            yield from _asked(entry, asks(path, value, place))
        yield ok(entry, "JSON; no field asks for code, kernels, foreign repos or paths")


def walk_config(*roots: object) -> Iterator[tuple[Path, object]]:
    """Every value of JSON trees with the keys that lead to it, objects and lists before what they hold.

    A list's items carry the list's own key, so that ``{"url": ["x"]}`` is judged like ``{"url": "x"}``. Keys longer
    than any loader's are cut.
    """
    todo: list[tuple[Path, str | None, object]] = [((), None, root) for root in reversed(roots)]
    while todo:
        path, key, value = todo.pop()
        if key is not None:
            path = (*path, key[:_LONGEST_KEY])
        yield path, value
        if isinstance(value, dict):
            todo += [(path, key, item) for key, item in reversed(value.items())]
        elif isinstance(value, list):
            inside = (*path, path[-1] if path else "")
            todo += [(inside, None, item) for item in reversed(value)]


def _finding(rule: str, severity: Severity, entry: RepoEntry, what: str) -> Finding:
    return finding(Problem(rule, what, advice=ADVICE["json"], severity=severity), entry.path)


def _asked(entry: RepoEntry, asked: Iterable[Ask]) -> Judgement:
    for ask in asked:
        advice = ADVICE[ask.advice]
        yield finding(
            Problem(ask.rule, ask.what, advice=advice, severity=ask.severity, hostile=ask.hostile), entry.path
        )


def _encoded(entry: RepoEntry, text: bytes) -> Judgement:
    """Pickles in base64, which some libraries keep in their JSON."""
    rows, why = encoded_pickles(text)
    for row in rows:
        yield finding(row, entry.path)
    if why:
        yield from not_checked(entry, why)


def _unfinite(entry: RepoEntry, path: Path, value: object) -> Judgement:
    if isinstance(value, float) and not math.isfinite(value):
        yield _finding("HC-CFG-005", "medium", entry, f"{where(path)} is {value}, which JSON does not know")
