"""Chat templates of processors and tokenizers: parsed by jinja2, never rendered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding
from hubclean.registry import Doc
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.formats.strict_json import JsonProblem, read_json
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, ok

_ADVICE = "render it nowhere; ask the author what it is for"
_FUNCTIONS = {"raise_exception", "strftime_now", "range", "namespace", "dict", "joiner", "cycler", "caller"}
_METHODS = {
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "rsplit",
    "splitlines",
    "startswith",
    "endswith",
    "replace",
    "items",
    "keys",
    "values",
    "get",
    "lower",
    "upper",
    "title",
    "capitalize",
    "join",
    "append",
    "extend",
    "insert",
    "index",
    "count",
    "find",
    "rfind",
    "isdigit",
    "isspace",
    "update",
    "cycle",
    "removeprefix",
    "removesuffix",
    "partition",
    "rpartition",
    "zfill",
}


@dataclass(frozen=True)
class ChatTemplates:
    """Walks the syntax tree of every ``chat_template`` and ``*.jinja`` file.

    HC-CFG-004: a template that does not parse, reaches for names with an underscore in front, uses the ``attr`` or
    ``map(attribute=...)`` filter on them, includes other templates, or calls what templates need not call.
    """

    name: ClassVar[str] = "chat-templates"
    paper: ClassVar[str] = "CVE-2024-34359 (template injection in llama-cpp-python); jinja2 documentation, sandbox"
    handles: ClassVar[frozenset[str]] = frozenset({".jinja"})

    max_bytes: Annotated[
        int, Doc("longest templates that are parsed, all of a file together, in bytes", 1, 8 << 20)
    ] = 256 << 10

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            if suffix(entry.path) == ".json" and entry.size <= 8 << 20:
                templates = _inside(reader.read(entry.path, 8 << 20))
            elif suffix(entry.path) == ".jinja":
                templates = [reader.read(entry.path, self.max_bytes).decode("utf-8", "replace")]
                yield ok(entry, "a template, parsed and never rendered")
            else:
                return
            if sum(map(len, templates)) > self.max_bytes:
                what = f"template text longer than the {self.max_bytes} bytes that are parsed"
                yield finding(Problem("HC-CFG-004", what, advice=_ADVICE), entry.path)
                return
            for template in templates:
                for what in dict.fromkeys(self._judge(template)):
                    yield finding(Problem("HC-CFG-004", f"template {what}", advice=_ADVICE), entry.path)

        yield from each(files, judge)

    def _judge(self, template: str) -> Iterator[str]:
        # Imported here: most repos of image classifiers have no template, and the import takes 50 ms.
        import jinja2
        from jinja2 import nodes

        try:
            tree = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(_without_generation(template))
        except (jinja2.TemplateError, RecursionError) as error:
            yield f"does not parse: {str(error)[:120] or type(error).__name__}"
            return
        try:
            macros = {macro.name for macro in tree.find_all(nodes.Macro)}
        except RecursionError:
            yield "is nested too deep to be judged"
            return
        for node, key in template_nodes(tree):
            yield from _node(node, macros, key)


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


def _without_generation(template: str) -> str:
    """transformers' own tag, which marks what the model said and does nothing else."""
    for dash in ("", "-"):
        for end in ("", "-"):
            for word in ("generation", "endgeneration"):
                template = template.replace(f"{{%{dash} {word} {end}%}}", "")
    return template


def template_nodes(tree: Any) -> Iterator[tuple[Any, bool]]:
    """Every node in order, and whether it is part of a key by which a member is read."""
    todo = [(tree, False)]
    while todo:
        node, key = todo.pop()
        yield node, key
        argument = node.arg if type(node).__name__ == "Getitem" else None
        todo += [(child, key or child is argument) for child in reversed(list(node.iter_child_nodes()))]


def _node(node: Any, macros: set[str], key: bool) -> Iterator[str]:
    """What is wrong with one node of the tree; ``key``: see ``template_nodes``."""
    text = getattr(node, "value", None)
    if key and isinstance(text, str) and text.startswith("_"):
        yield "reads a member whose name begins with an underscore, or is put together from one"
    kind = type(node).__name__
    if kind == "Getattr" and node.attr.startswith("_"):
        yield f"reaches for the attribute {node.attr!r}"
    elif kind == "Const" and isinstance(node.value, str) and "__" in node.value:
        yield f"holds the name {node.value[:60]!r}"
    elif kind == "Name" and node.name.startswith("__"):
        yield f"reaches for {node.name!r}"
    elif kind == "Filter" and node.name in ("attr", "format", "xmlattr"):
        yield f"uses the filter {node.name!r}"
    elif kind in ("Include", "Import", "FromImport", "Extends"):
        yield f"loads another template ({kind.lower()})"
    elif kind == "Call":
        called = node.node
        name = getattr(called, "name", None) or getattr(called, "attr", None)
        plain = (type(called).__name__ == "Name" and name in _FUNCTIONS | macros) or (
            type(called).__name__ == "Getattr" and name in _METHODS
        )
        if not plain:
            yield f"calls {name or 'what an expression gives'!r}"
