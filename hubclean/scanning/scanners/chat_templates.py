"""Chat templates of processors and tokenizers: parsed by jinja2, never rendered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.registry import Doc
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.formats.strict_json import JsonProblem, read_json
from hubclean.scanning.formats.templates import LONGEST_TEMPLATES, TEMPLATE_ADVICE, template_faults
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, ok

TEMPLATES = (".jinja", ".jinja2", ".j2")


@dataclass(frozen=True)
class ChatTemplates:
    """Walks the syntax tree of every ``chat_template`` and ``*.jinja`` file.

    HC-CFG-004: a template that does not parse, reads members by names with an underscore in front, or by names that are
    put together at run time and may be such, includes other templates, or calls what templates need not call.
    """

    name: ClassVar[str] = "chat-templates"
    paper: ClassVar[str] = "CVE-2024-34359 (template injection in llama-cpp-python); jinja2 documentation, sandbox"
    handles: ClassVar[frozenset[str]] = frozenset(TEMPLATES)

    max_bytes: Annotated[
        int, Doc("longest templates that are parsed, all of a file together, in bytes", 1, 8 << 20)
    ] = LONGEST_TEMPLATES

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            if suffix(entry.path) == ".json" and entry.size <= 8 << 20:
                templates = _inside(reader.read(entry.path, 8 << 20))
            elif suffix(entry.path) in TEMPLATES:
                templates = [reader.read(entry.path, self.max_bytes).decode("utf-8", "replace")]
                yield ok(entry, "a template, parsed and never rendered")
            else:
                return
            if sum(map(len, templates)) > self.max_bytes:
                what = f"template text longer than the {self.max_bytes} bytes that are parsed"
                yield finding(Problem("HC-CFG-004", what, advice=TEMPLATE_ADVICE), entry.path)
                return
            for template in templates:
                for what in dict.fromkeys(template_faults(template)):
                    yield finding(Problem("HC-CFG-004", f"template {what}", advice=TEMPLATE_ADVICE), entry.path)

        yield from each(files, judge)


def _inside(text: bytes) -> list[str]:
    """The strings under every key that ends in ``chat_template``; files that do not parse are reported elsewhere."""
    if b"chat_template" not in text and b"\\u" not in text:  # no key can be that; saves parsing it once more
        return []
    try:
        todo: list[tuple[bool, Any]] = [(False, read_json(text)[0])]
    except JsonProblem:
        return []
    found = []
    while todo:
        inside, value = todo.pop()
        if isinstance(value, dict):
            todo += [(inside or key.endswith("chat_template"), item) for key, item in value.items()]
        elif isinstance(value, list):
            todo += [(inside, item) for item in value]
        elif inside and isinstance(value, str):
            found.append(value)
    return found
