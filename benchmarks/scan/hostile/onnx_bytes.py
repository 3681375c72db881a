"""ONNX models, by hand."""

from __future__ import annotations

from benchmarks.scan.hostile.file_bytes import field


def tensor(location: str | None = None, more: bytes = b"", name: str = "w") -> bytes:
    """A TensorProto of six numbers, with its data inside or in the file of that name."""
    body = field(1, 2) + field(1, 3) + field(2, 1) + field(8, name)
    if location is None:
        return body + field(9, bytes(24))
    return body + more + field(13, field(1, "location") + field(2, location)) + field(14, 1)


def node(kind: str, attributes: bytes = b"", domain: str = "") -> bytes:
    """A NodeProto."""
    return (
        field(1, "x")
        + field(1, "w")
        + field(2, "y")
        + field(4, kind)
        + attributes
        + (field(7, domain) if domain else b"")
    )


def value(name: str) -> bytes:
    """A ValueInfoProto of two by three floats."""
    shape = field(1, field(1, 2)) + field(1, field(1, 3))
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def graph(nodes: bytes = b"", initializers: bytes = b"") -> bytes:
    """A GraphProto with one input and one output."""
    inside = nodes or field(1, node("MatMul"))
    return inside + field(2, "g") + initializers + field(11, value("x")) + field(12, value("y"))


def model(body: bytes, more: bytes = b"", domains: tuple[str, ...] = ("",)) -> bytes:
    """A ModelProto."""
    sets = b"".join(field(8, (field(1, domain) if domain else b"") + field(2, 17)) for domain in domains)
    return field(1, 8) + field(2, "pytorch") + field(7, body) + sets + more


def attribute(name: str, number: int, kind: int, data: bytes | str | int) -> bytes:
    """An AttributeProto in a node."""
    return field(5, field(1, name) + field(20, kind) + field(number, data))
