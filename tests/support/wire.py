"""Protobuf messages, byte by byte."""

from __future__ import annotations


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """Fields in the order given: integers as varints, strings and bytes (messages too) with their length."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            body = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(body)) + body
    return out


def tensor(name: str = "w", raw: bytes = b"", used: bool = True, **entries: str) -> bytes:
    """A tensor of ONNX; with entries, one whose numbers lie elsewhere."""
    rows = [(13, message((1, key), (2, value))) for key, value in entries.items()]
    head: list[tuple[int, int | str | bytes]] = [(1, 4), (2, 1), (8, name)]
    return message(*head, *([] if rows else [(9, raw)]), *rows, *([(14, 1)] if rows and used else []))


def node(kind: str, domain: str = "", *attributes: bytes) -> bytes:
    """A node of an ONNX graph."""
    named: list[tuple[int, int | str | bytes]] = [(1, "x"), (2, "y"), (4, kind)]
    return message(*named, *((5, row) for row in attributes), *([(7, domain)] if domain else []))


def graph(*rows: tuple[int, bytes]) -> bytes:
    """Nodes are field 1, tensors 5, sparse ones 15."""
    return message(*(row for row in rows if row[0] == 1), (2, "net"), *(row for row in rows if row[0] != 1))


def onnx(graph: bytes, *more: tuple[int, bytes]) -> bytes:
    """An ONNX model; functions are field 25, training graphs 20."""
    return message((1, 9), (2, "pytorch"), (3, "2.9.0"), (7, graph), (8, message((1, ""), (2, 17))), *more)
