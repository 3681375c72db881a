"""Texts of about ``size`` bytes: JSON in many shapes, and every other format with long lines, nesting, repeats."""

from __future__ import annotations

import functools
import json

from benchmarks.scan.shapes import Files, Shape


def repeated(path: str, unit: str, before: str, after: str, size: int) -> Files:
    """``unit`` as often as fits, between two ends."""
    return {path: (before + unit * max(1, size // len(unit.encode())) + after).encode()}


def nested(path: str, opening: str, closing: str, inner: str, size: int) -> Files:
    """``opening`` and ``closing`` around ``inner``, as deep as fits."""
    depth = size // (len(opening) + len(closing))
    return {path: (opening * depth + inner + closing * depth).encode()}


def keys(path: str, size: int, form: str = "key{}") -> Files:
    """One object of many different keys."""
    return {path: json.dumps({form.format(at): at for at in range(size // 24)}).encode()}


def lines(path: str, line: str, size: int) -> Files:
    """Numbered lines."""
    return {path: "".join(line.format(at) for at in range(size // max(1, len(line)))).encode()}


def _repeat(path: str, unit: str, before: str = "", after: str = "") -> Shape:
    return functools.partial(repeated, path, unit, before, after)


def _nest(path: str, opening: str, closing: str, inner: str = "") -> Shape:
    return functools.partial(nested, path, opening, closing, inner)


def _lines(path: str, line: str) -> Shape:
    return functools.partial(lines, path, line)


_JSON: dict[str, Shape] = {
    "deep lists": _nest("config.json", "[", "]"),
    "deep objects": _nest("config.json", '{"a":', "}", "1"),
    "open lists": _repeat("config.json", "["),
    "long list": _repeat("config.json", "1,", '{"a":[', "1]}"),
    "long string": _repeat("config.json", "x", '{"a":"', '"}'),
    "long path": _repeat("config.json", "a/", '{"file":"', '"}'),
    "dots": _repeat("config.json", "../", '{"url":"', '"}'),
    "dashes": _repeat("config.json", "-", '{"auto":"', '"}'),
    "references": _repeat("config.json", '"a--b.c",', '{"a":[', "1]}"),
    "references, long": _repeat("config.json", f'"{"a--" * 60}{"b." * 100}!",', '{"a":[', "1]}"),
    "names in names": _nest("model.json", '{"config":{},"class_name":', "}", "1"),
    "escapes": _repeat("config.json", "\\u0041", '{"a":"', '"}'),
    "surrogates": _repeat("config.json", "\\ud800", '{"a":"', '"}'),
    "long number": _repeat("config.json", "9", '{"a":', "}"),
    "long fraction": _repeat("config.json", "9", '{"a":0.', "}"),
    "many numbers": _repeat("config.json", "1e99,", '{"a":[', "1]}"),
    "many keys": functools.partial(keys, "config.json"),
    "long keys": functools.partial(keys, "config.json", form="k" * 100 + "{}"),
    "same key": _repeat("config.json", '"a":1,', "{", '"b":1}'),
    "white space": _repeat("config.json", " ", '{"a":1', "}"),
    "objects": _repeat("config.json", '{"a":{"b":[]}},', '{"a":[', "1]}"),
    "lists in lists": _repeat("config.json", "[[[[[[]]]]]],", '{"a":[', "1]}"),
    "code keys": _repeat("config.json", '{"auto_map":"a"},', '{"a":[', "1]}"),
    "tokenizer": functools.partial(keys, "tokenizer.json"),
    "tokenizer, odd": _repeat("tokenizer.json", '"\\"",', '{"a":[', "1]}"),
    "tokenizer, open quote": _repeat("tokenizer.json", "\\", '{"a":"'),
    "index": functools.partial(keys, "model.safetensors.index.json"),
    "templates": _repeat("tokenizer_config.json", '"{{ a }}",', '{"chat_template":[', '""]}'),
    "keras": _repeat("model.json", '{"class_name":"A","config":{}},', '{"class_name":"M","config":{"layers":[', "1]}}"),
    "notebook": _repeat("a.ipynb", '{"cell_type":"code","source":[]},', '{"cells":[', "{}]}"),
    "lines": _lines("data.jsonl", '{{"a": {}, "b": "x"}}\n'),
}
_YAML: dict[str, Shape] = {
    "long line": _repeat("a.yaml", "x", "a: "),
    "long tag": _repeat("a.yaml", "x", "a: !"),
    "open tag": _repeat("a.yaml", "a", "a: !<"),
    "percents": _repeat("a.yaml", "%41", "a: !<", "> b"),
    "quote": _repeat("a.yaml", "x", 'a: "', '": !b'),
    "open quote": _repeat("a.yaml", "x", 'a: !b "'),
    "quoted keys": _repeat("a.yaml", '"\\x41": 1\n', "a: !b\n"),
    "backslashes": _repeat("a.yaml", "\\\\", 'a: !b "'),
    "quotes": _repeat("a.yaml", '"\\x', "! "),
    "escapes": _repeat("a.yaml", "\\x41", 'a: "'),
    "deep flow": _repeat("a.yaml", "[", "a: !b "),
    "deep maps": _repeat("a.yaml", "{a: ", "a: !b "),
    "deep dashes": _repeat("a.yaml", "- ", "!b\n"),
    "question marks": _repeat("a.yaml", "? ", "!b\n"),
    "wide flow": _repeat("a.yaml", "a,", "a: !b [", "a]"),
    "flow keys": _repeat("a.yaml", "a: b,", "a: !b {", "a: b}"),
    "anchors": _lines("a.yaml", "- &a{} !b x\n"),
    "aliases": _repeat("a.yaml", "- *a\n", "- &a !b x\n"),
    "nested aliases": _lines("a.yaml", "- &a{0} [!b x, *a0, *a0]\n"),
    "tags": _repeat("a.yaml", "- !!python/tuple []\n"),
    "documents": _repeat("a.yaml", "--- !b\n"),
    "directives": _lines("a.yaml", "%TAG !a{}! tag:b\n"),
    "comments": _repeat("a.yaml", "# !\n"),
    "spaces": _repeat("a.yaml", " ", "a: !b"),
    "blank lines": _repeat("a.yaml", "\n", "a: !b |\n  x"),
    "block text": _repeat("a.yaml", "  x\n", "a: !b |\n"),
    "folded text": _repeat("a.yaml", "  x\n\n", "a: !b >\n"),
    "plain lines": _repeat("a.yaml", "  x\n", "a: !b\n"),
    "colons": _repeat("a.yaml", ":", "a: !b "),
    "indents": _lines("a.yaml", "a{}: !b\n b: c\n"),
    "plain": _lines("a.yaml", "a{}: 1\n"),
    "line separators": _repeat("a.yaml", "\u2028", "a: !b"),
    "templates": _repeat("a.yaml", "{{ a }}", "chat_template: !b '", "'"),
}
_OTHERS: dict[str, Shape] = {
    "python, long line": _repeat("a.py", "1+", "a = ", "1"),
    "python, fields": _repeat("a.py", "{a}", "a = f'", "'"),
    "python, texts": _repeat("a.py", "'a' ", "a = "),
    "python, attributes": _repeat("a.py", ".a", "a"),
    "python, blanks": _repeat("a.py", " ", "a", "."),
    "python, one word": _repeat("a.py", "a"),
    "python, brackets": _repeat("a.py", "(", "a = "),
    "python, imports": _lines("a.py", "import a{}\n"),
    "python, dotted": _repeat("a.py", "a.", "import ", "b"),
    "python, text": _repeat("a.py", "x", 'a = "', '"'),
    "python, comments": _repeat("a.py", "#\n"),
    "python, indents": _nest("a.py", "if 1:\n ", "", "pass"),
    "jinja, long": _repeat("a.jinja", "x"),
    "jinja, openings": _repeat("a.jinja", "{{"),
    "jinja, blocks": _repeat("a.jinja", "{% if a %}"),
    "jinja, prints": _repeat("a.jinja", "{{ a }}"),
    "jinja, brackets": _repeat("a.jinja", "[", "{{ a"),
    "jinja, filters": _repeat("a.jinja", "|trim", "{{ a", "}}"),
    "jinja, sums": _repeat("a.jinja", "~a", "{{ a", "}}"),
    "jinja, attributes": _repeat("a.jinja", ".a", "{{ a", "}}"),
    "jinja, macros": _lines("a.jinja", "{{% macro a{}() %}}{{% endmacro %}}"),
    "jinja, comment": _repeat("a.jinja", "{#"),
    "jinja, spaces": _repeat("a.jinja", " ", "a", "{%- if a %}"),
    "jinja, raw": _repeat("a.jinja", "{% raw %}"),
    "jinja, generation": _repeat("a.jinja", "{% generation %"),
    "markdown, long line": _repeat("README.md", "x"),
    "markdown, front matter": _repeat("README.md", "x", "---\nlibrary_name: ", "\n---\n"),
    "markdown, brackets": _repeat("README.md", "[", "# a\n"),
    "markdown, spaces": _repeat("README.md", " ", "---\nlibrary_name:", "\n---\n"),
    "csv": _repeat("a.csv", "1,"),
    "csv, quotes": _repeat("a.csv", '"'),
    "txt": _repeat("a.txt", "x"),
    "txt, lines": _repeat("a.txt", "\n"),
    "txt, like a pickle": _repeat("a.txt", "(lp0\n"),
    "txt, like opcodes": _repeat("a.txt", "0"),
    "vocab": _lines("vocab.txt", "word{}\n"),
    "toml": _repeat("a.toml", "x", 'a = "', '"'),
    "toml, brackets": _repeat("a.toml", "[", "a = "),
    "ini": _repeat("a.ini", "x", "[a]\nb = "),
    "xml, deep": _nest("a.xml", "<a>", "</a>"),
    "xml, wide": _repeat("model.xml", "<layer type='Const'/>", "<net version='11'>", "</net>"),
    "xml, attribute": _repeat("model.xml", "x", "<net a='", "'/>"),
    "xml, open": _repeat("model.xml", "<"),
    "pbtxt": _repeat("a.pbtxt", 'node { name: "a" op: "b" }\n'),
    "pbtxt, quotes": _repeat("a.pbtxt", "\\", 'node { name: "'),
    "pbtxt, open quotes": _repeat("a.pbtxt", '"\\', "node { name: '"),
    "pbtxt, deep": _repeat("a.pbtxt", "a {", "node {"),
    "html": _repeat("a.html", "<a>"),
    "shell": _repeat("a.sh", "x", "#!/bin/sh\n"),
    "no ending": _repeat("notes", "x"),
}
SHAPES: dict[str, Shape] = {
    **{f"json, {name}": shape for name, shape in _JSON.items()},
    **{f"yaml, {name}": shape for name, shape in _YAML.items()},
    **_OTHERS,
}
