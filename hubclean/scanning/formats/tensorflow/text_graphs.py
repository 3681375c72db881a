"""Graphs as protobuf text: ``saved_model.pbtxt``, ``graph.pbtxt``, and label maps, which hold none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubclean.scanning.budget import spend
from hubclean.scanning.formats.tensorflow.graphs import Graph, leaves
from hubclean.scanning.formats.tensorflow.keras_config import is_keras, keras_problems
from hubclean.scanning.formats.tensorflow.operators import BY_ATTRIBUTE, reach
from hubclean.scanning.rules import Problem

LARGEST = 8 << 20
# No two alternatives begin alike and no step is taken back, so nothing is read twice; a text without its end, which no
# parser takes, goes to the end of its line.
_TOKEN = re.compile(r"\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?|#[^\n]*+|\w++|[^\s\w]")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|(.))")
_SIGNS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def read_text_graph(text: str) -> Graph:
    """Judge protobuf text by its ``op`` fields, by the notes of Keras's in it, and by the files that it names."""
    found = Graph("text of a graph")
    passed = bytes_passed = 0
    for key, value, at in _fields(text):
        offset = None
        if key in ("op", "metadata", "filename"):
            passed, bytes_passed = at, bytes_passed + len(text[passed:at].encode())
            offset = bytes_passed
        if key == "op":
            found.nodes += 1
            if severity := reach(value):
                found.problems[Problem("HC-TF-001", f"the operator {value[:80]}", offset, severity=severity)] = None
        elif key == "metadata" and is_keras(value.encode("utf-8", "replace")):
            problems, why = keras_problems(value.encode("utf-8", "replace"), offset, "metadata")
            found.problems.update(dict.fromkeys(problems))
            found.unchecked += [why] if why else []
        elif key == "filename" and leaves(value):
            found.problems[Problem("HC-TF-002", f"an asset lies at {value[:160]!r}", offset)] = None
        elif key == "s" and any(
            pattern.match(value.encode("utf-8", "replace")) for _, pattern in BY_ATTRIBUTE.values()
        ):
            found.unchecked.append(f"a text that is an address: {value[:80]!r}")
    return found


def _fields(text: str) -> Iterator[tuple[str, str, int]]:
    """Every field whose value is text, with its place."""
    key, colon, parts, place = "", False, [], 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        spend()
        if token[0] == "#":
            continue
        if token[0] in "\"'" and len(token) > 1 and token[-1] == token[0] and colon:
            parts.append(token[1:-1])
            place = place or match.start()
            continue
        if parts:
            yield key, _unescaped("".join(parts)), place
            parts, place = [], 0
        if token == ":":
            colon = True
        else:
            key, colon = token, False
    if parts:
        yield key, _unescaped("".join(parts)), place


def _unescaped(text: str) -> str:
    def sign(match: re.Match[str]) -> str:
        hexed, octal, plain = match.groups()
        if hexed:
            return chr(int(hexed, 16))
        return chr(int(octal, 8)) if octal else _SIGNS.get(plain, plain)

    return _ESCAPE.sub(sign, text)
