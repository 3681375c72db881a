"""GGUF once more."""

from __future__ import annotations

import struct
from typing import Any

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import gguf, gguf_text
from benchmarks.scan.hostile.ordinary import chat

RENDERS = "llama-cpp-python before 0.2.72 renders it by jinja2.Environment without a sandbox (CVE-2024-34359)"
READS = "llama.cpp before its hardening reads outside of its memory, or divides by zero"
HEAD: dict[str, Any] = {"general.architecture": "clip", "general.name": "mmproj", "clip.has_vision_encoder": 1}
LOOP = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{% endfor %}"
KEY = "tokenizer.chat_template"


def _template(label: str, template: str) -> Case:
    return bad(label, RENDERS, lambda: chat({"model.Q4_K_M.gguf": gguf(HEAD | {KEY: LOOP + template})}))


def _lie(label: str, body: bytes) -> Case:
    return bad(label, READS, lambda: {"mmproj.gguf": body, "README.md": "# Weights\n"})


def _tensor(kind: int = 0, sides: tuple[int, ...] = (4,), offset: int = 0) -> bytes:
    return gguf_text("v.patch_embd.weight") + struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, kind, offset)


def _filled(infos: bytes, count: int, more: dict[str, Any] | None = None, data: int = 64) -> bytes:
    pairs = HEAD | (more or {})
    front = gguf(pairs, (count, len(pairs)), infos)
    return front + bytes(-len(front) % 32 + data)


CASES: tuple[Case, ...] = (
    _template("map-of-a-member", "{{ messages|map(attribute='__class__')|first }}"),
    _template("of-the-cycler", "{{ cycler['__init__']['__globals__']['os']['system']('true') }}"),
    _template("upper-case-name", "{{ messages|attr('__CLASS__'|lower) }}"),
    bad(
        "template-twice",
        RENDERS + "; of equal keys readers take the first or the last",
        lambda: chat({"model.gguf": _twice()}),
    ),
    _lie("seven-ranks", _filled(_tensor(sides=(1, 1, 1, 1, 1, 1, 4)), 1)),
    _lie("unknown-type-of-tensor", _filled(_tensor(kind=9999), 1)),
    _lie("alignment-zero", _filled(_tensor(), 1, {"general.alignment": 0})),
    _lie(
        "unknown-type-of-value",
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_text("a") + struct.pack("<I", 99) + bytes(16),
    ),
    # twins
    twin("projector", "llama.cpp", lambda: {"mmproj.gguf": _filled(_tensor(), 1), "README.md": "# Weights\n"}),
    twin(
        "two-tensors",
        "llama.cpp",
        lambda: {
            "m.gguf": _filled(_tensor() + gguf_text("b") + struct.pack("<IQIQ", 1, 4, 0, 32), 2),
            "README.md": "# Weights\n",
        },
    ),
    twin("template-of-a-chat", "llama.cpp", lambda: chat({"model.Q4_K_M.gguf": gguf(HEAD | {KEY: LOOP})})),
)


def _twice() -> bytes:
    good, evil = LOOP, "{{ lipsum.__globals__.os.system('true') }}"
    body = b"".join(gguf_text(KEY) + struct.pack("<I", 8) + gguf_text(value) for value in (good, evil))
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + body
