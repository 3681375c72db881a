"""Chat templates, wherever they are kept: parsed by jinja2, never rendered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hubclean.scanning.budget import spend

TEMPLATE_ADVICE = "render it nowhere; ask the author what it is for"
LONGEST_TEMPLATES = 256 << 10  # bytes of templates of one file that are parsed
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


def template_faults(template: str) -> Iterator[str]:
    """What is wrong with a chat template, in words that follow "template"; it is parsed and never rendered."""
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
        spend()
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
