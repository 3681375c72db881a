"""GGUF: templates that llama-cpp-python renders, headers that lie."""

from __future__ import annotations

import struct
from typing import Any

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import gguf, gguf_text
from benchmarks.scan.hostile.ordinary import chat

RENDERS = "llama-cpp-python before 0.2.72 renders it by jinja2.Environment without a sandbox (CVE-2024-34359)"
READS = "llama.cpp before its hardening (CVE-2024-21802 and others) reads or writes outside of its memory"
ESCAPE = "{{ cycler.__init__.__globals__.os.system('true') }}"
SPLIT = "{{ (messages|attr('__' ~ 'class__'))|attr('__' ~ 'mro__') }}"
HEAD: dict[str, Any] = {"general.architecture": "llama", "general.name": "x", "general.file_type": 7}
CHATML = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content']}}{% endfor %}"


def _template(label: str, key: str, template: str) -> Case:
    return bad(label, RENDERS, lambda: chat({"model-q8_0.gguf": gguf(HEAD | {key: template})}))


def _info(
    name: str = "w", sides: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0, rank: int | None = None
) -> bytes:
    ranks = len(sides) if rank is None else rank
    return gguf_text(name) + struct.pack(f"<I{len(sides)}QIQ", ranks, *sides, kind, offset)


def _lie(label: str, body: bytes) -> Case:
    return bad(label, READS, lambda: {"model.gguf": body, "README.md": "# Weights\n"})


def _filled(infos: bytes, count: int = 1, data: int = 16) -> bytes:
    front = gguf(HEAD, (count, len(HEAD)), infos)
    return front + bytes(-len(front) % 32 + data)


CASES: tuple[Case, ...] = (
    _template("template", "tokenizer.chat_template", ESCAPE),
    _template("named-template", "tokenizer.chat_template.tool_use", ESCAPE),
    _template("attr-of-joined-names", "tokenizer.chat_template", SPLIT),
    bad(
        "template-in-a-file-that-is-renamed",
        RENDERS,
        lambda: chat({"weights.bin": gguf(HEAD | {"tokenizer.chat_template": ESCAPE})}),
    ),
    _lie("text-longer-than-the-file", b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62) + b"general"),
    _lie("pairs-without-end", gguf(HEAD, (0, 1 << 60))),
    _lie("tensors-without-end", gguf(HEAD, (1 << 60, len(HEAD)))),
    _lie("rank-of-a-tensor", _filled(_info(rank=1 << 31))),
    _lie("sides-overflow", _filled(_info(sides=(1 << 32, 1 << 32, 4)))),
    _lie("offset-outside", _filled(_info(offset=1 << 40))),
    _lie(
        "text-array-overflows",
        b"GGUF"
        + struct.pack("<IQQ", 3, 0, 1)
        + gguf_text("tokenizer.ggml.tokens")
        + struct.pack("<IIQ", 9, 8, 1 << 61)
        + gguf_text("a"),
    ),
    # twins
    twin(
        "chatml",
        "llama.cpp",
        lambda: chat(
            {"model-q8_0.gguf": gguf(HEAD | {"tokenizer.chat_template": CHATML, "tokenizer.ggml.tokens": ["a", "b"]})}
        ),
    ),
    twin("one-tensor", "llama.cpp", lambda: {"model.gguf": _filled(_info()), "README.md": "# Weights\n"}),
    twin(
        "card-that-begins-with-gguf",
        "a reader",
        lambda: {"model.gguf": _filled(_info()), "README.md": "GGUF files of x.\n"},
    ),
    twin(
        "two-templates",
        "llama.cpp",
        lambda: chat(
            {
                "model-f16.gguf": gguf(
                    HEAD
                    | {
                        "tokenizer.chat_template": CHATML,
                        "tokenizer.chat_template.rag": CHATML,
                        "tokenizer.chat_templates": ["rag"],
                    }
                )
            }
        ),
    ),
)
