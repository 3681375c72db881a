"""OpenVINO's IR: layers of an XML and where their weights lie. Parsed by expat, without entities, bounded.

Source: OpenVINO documentation, "OpenVINO IR format"; src/frontends/ir.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from hubclean.errors import BudgetError, FormatError
from hubclean.scanning.budget import spend

DEEPEST, MOST_ELEMENTS, MOST_KINDS = 200, 1_000_000, 1000
_OPSET = re.compile(r"opset\d{1,3}")
_LIBRARIES = (
    "library",
    "lib",
    "plugin",
    "extension",
    "extensions",
    "kernel",
    "kernel_source",
    "so",
    "dll",
    "custom_op",
)
_CODE = (".so", ".dll", ".dylib", ".cl", ".xml")  # endings of what such an attribute would load
_PLACES = ("data", "weights", "biases", "custom")


class BrokenIr(FormatError):
    """XML that does not parse or is not followed here; ``str`` says why."""


@dataclass(slots=True)
class OpenvinoIr:
    """What was seen in an XML whose root is ``net``.

    Args:
        custom: (set of operators, type) of layers that OpenVINO does not have by itself, to how many there are.
        libraries: attributes that name a library or kernel.
        declares: the XML has a DOCTYPE, with which entities come.
        last: the largest byte that a layer's weights end at.
        wild: offsets and sizes that are no numbers of bytes.
    """

    version: str = ""
    layers: int = 0
    custom: Counter[tuple[str, str]] = field(default_factory=Counter)
    libraries: list[str] = field(default_factory=list)
    declares: bool = False
    last: int = 0
    wild: list[str] = field(default_factory=list)


class _Root(Exception):
    """The root was met."""


def root_of(text: bytes) -> str | None:
    """The name of the outermost element of an XML that begins with ``text``; empty if it is none, ``None`` if the text
    ends before it.
    """
    parser = expat.ParserCreate()

    def start(name: str, _: dict[str, str]) -> None:
        raise _Root(name)

    parser.StartElementHandler = start
    try:
        parser.Parse(text, False)
    except _Root as root:
        return str(root)
    except expat.ExpatError:
        return ""
    return None


def read_ir(text: bytes) -> OpenvinoIr:
    """Parse an XML whose root is ``net``, up to a DOCTYPE if it has one.

    Raises:
        BrokenIr: XML that does not parse, or is nested too deep.
        BudgetError: too many elements.
    """
    found = OpenvinoIr()
    parser, depth, seen = expat.ParserCreate(), 0, 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, seen
        depth, seen = depth + 1, seen + 1
        if depth > DEEPEST:
            raise BrokenIr(f"elements nested deeper than {DEEPEST}")
        spend()
        if seen > MOST_ELEMENTS:
            raise BudgetError(f"more than {MOST_ELEMENTS:,} elements")
        _element(found, name, attributes)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_: Any) -> None:
        found.declares = True
        raise _Root("!DOCTYPE")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text, True)
    except _Root:
        return found
    except expat.ExpatError as error:
        raise BrokenIr(f"XML that does not parse: {error}") from error
    return found


def _element(found: OpenvinoIr, name: str, attributes: dict[str, str]) -> None:
    if name == "net":
        found.version = found.version or attributes.get("version", "")[:20]
    elif name == "layer":
        found.layers += 1
        opset = attributes.get("version", "opset1")
        if not _OPSET.fullmatch(opset) and len(found.custom) < MOST_KINDS:
            found.custom[opset[:60], attributes.get("type", "")[:60]] += 1
    for key, value in attributes.items():
        if key.lower() in _LIBRARIES and value.lower().endswith(_CODE):
            found.libraries[49:] = [f"{key}={value[:100]!r}"]
    if name in _PLACES and "offset" in attributes and "size" in attributes:
        offset, size = attributes["offset"], attributes["size"]
        if not (offset.isdecimal() and size.isdecimal() and len(offset) < 16 and len(size) < 16):
            found.wild[49:] = [f"{size[:30]!r} bytes at {offset[:30]!r}"]
        else:
            found.last = max(found.last, int(offset) + int(size))
