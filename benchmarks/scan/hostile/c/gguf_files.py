"""GGUF: lengths and counts that wrap, templates under other keys and byte orders, and Ollama's recipe beside it."""

from __future__ import annotations

import struct

from benchmarks.scan.hostile.cases import bad, twin
from benchmarks.scan.hostile.file_bytes import gguf_text
from benchmarks.scan.hostile.ordinary import Repo, vit

LOOSE = "{{ messages.append.__class__.__base__.__subclasses__() }}"
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
RECIPE = """FROM ./model-q4_0.gguf
{}TEMPLATE \"\"\"{{{{ if .System }}}}<|im_start|>system
{{{{ .System }}}}<|im_end|>
{{{{ end }}}}<|im_start|>user
{{{{ .Prompt }}}}<|im_end|>
<|im_start|>assistant
\"\"\"
PARAMETER stop "<|im_end|>"
PARAMETER temperature 0.7
"""


def pair(key: str, kind: int, value: bytes) -> bytes:
    """A pair of any type; texts are 8, arrays 9, uint32 4."""
    return gguf_text(key) + struct.pack("<I", kind) + value


def array(kind: int, count: int, items: bytes) -> bytes:
    """The value of an array, with a count that need not be true."""
    return struct.pack("<IQ", kind, count) + items


def texts(*values: str) -> bytes:
    """The value of an array of texts."""
    return array(8, len(values), b"".join(map(gguf_text, values)))


def info(name: str, sides: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    """What is said of a tensor."""
    shape = struct.pack(f"<I{len(sides)}Q", len(sides), *sides)
    return gguf_text(name) + shape + struct.pack("<IQ", kind, offset)


def model(*pairs: bytes, infos: tuple[bytes, ...] = (), data: int = 32) -> bytes:
    """A file of a small llama with more pairs and tensors."""
    held = [
        pair("general.architecture", 8, gguf_text("llama")),
        pair("general.name", 8, gguf_text("Tiny")),
        pair("llama.context_length", 4, struct.pack("<I", 64)),
        *pairs,
    ]
    named = infos or (info("token_embd.weight", (8,)),)
    body = b"GGUF" + struct.pack("<IQQ", 3, len(named), len(held)) + b"".join(held) + b"".join(named)
    return body + bytes(-len(body) % 32) + bytes(data)


def words(kinds: int) -> bytes:
    """A vocabulary of four tokens, with so many types."""
    return b"".join((
        pair("tokenizer.ggml.model", 8, gguf_text("llama")),
        pair("tokenizer.ggml.tokens", 9, texts("<unk>", "<s>", "</s>", "a")),
        pair("tokenizer.ggml.scores", 9, array(6, 4, bytes(16))),
        pair("tokenizer.ggml.token_type", 9, array(5, kinds, struct.pack(f"<{kinds}i", *([1] * kinds)))),
    ))  # fmt: skip


def vocabulary(kinds: int) -> bytes:
    """The same as a file."""
    whole = model()
    count = struct.unpack_from("<Q", whole, 16)[0]
    front = whole[24 : whole.index(gguf_text("token_embd.weight"))]
    body = b"GGUF" + struct.pack("<IQQ", 3, 1, count + 4) + front + words(kinds) + info("token_embd.weight", (8,))
    return body + bytes(-len(body) % 32) + bytes(32)


def swapped(template: str) -> bytes:
    """A file of a machine with the other byte order."""
    pairs = (("general.architecture", "llama"), ("tokenizer.chat_template", template))
    body = b"GGUF" + struct.pack(">IQQ", 3, 0, len(pairs))
    for key, value in pairs:
        body += struct.pack(">Q", len(key)) + key.encode() + struct.pack(">IQ", 8, len(value)) + value.encode()
    return body + bytes(-len(body) % 32)


def beside(body: bytes, recipe: str | None = None) -> Repo:
    """A ViT with a GGUF file, and a recipe if there is one."""
    files: Repo = {"model-q4_0.gguf": body}
    return vit(files | ({} if recipe is None else {"Modelfile": recipe}))


CASES = [
    bad(
        "sizes-wrap",
        "llama.cpp before b5854 (CVE-2025-53630): the sum of the tensors' sizes wraps to a small heap block",
        lambda: beside(
            model(infos=tuple(info(f"blk.{index}.weight", (2**31, 2**29), 0, index * 2**62) for index in range(4)))
        ),
    ),
    bad(
        "second-template",
        "llama-cpp-python before 0.2.72 (CVE-2024-34359): of two templates the last is rendered, without a sandbox",
        lambda: beside(
            model(
                pair("tokenizer.chat_template", 8, gguf_text(CHAT)),
                pair("tokenizer.chat_template", 8, gguf_text(LOOSE)),
            )
        ),
    ),
    bad(
        "named-template",
        "llama-cpp-python renders the templates under tokenizer.chat_template.NAME, too",
        lambda: beside(
            model(
                pair("tokenizer.chat_template", 8, gguf_text(CHAT)),
                pair("tokenizer.chat_template.rag", 8, gguf_text(LOOSE)),
            )
        ),
    ),
    bad(
        "other-byte-order",
        "the gguf package reads both orders; whoever renders the template of it runs the code "
        "(llama-cpp-python on s390x before 0.2.72)",
        lambda: beside(swapped(LOOSE)),
    ),
    bad(
        "array-of-texts-wraps",
        "ggml before March 2024 (CVE-2024-21825): count times the size of a text wraps, the heap "
        "is written past its block",
        lambda: beside(model(pair("tokenizer.ggml.tokens", 9, array(8, 2**60, gguf_text("a") * 4)))),
    ),
    bad(
        "many-sides",
        "ggml before March 2024 (CVE-2024-21802): sides beyond the fourth are written past the tensor's info",
        lambda: beside(model(infos=(info("token_embd.weight", (1,) * 64),))),
    ),
    bad(
        "short-types",
        "llama.cpp: token types are read by the number of tokens, past an array that is shorter",
        lambda: beside(vocabulary(1)),
    ),
    bad(
        "adapter-outside",
        "ollama create opens the adapter that the recipe names, outside the repo, and uploads it",
        lambda: beside(model(), RECIPE.format("ADAPTER ../../../var/tmp/adapter.gguf\n")),
    ),
    twin("recipe", "ollama create", lambda: beside(model(), RECIPE.format("SYSTEM You are a helpful assistant.\n"))),
    twin(
        "sources",
        "llama.cpp: where the model comes from, in the words of its converter",
        lambda: beside(
            model(
                pair("general.base_model.count", 4, struct.pack("<I", 1)),
                pair("general.base_model.0.repo_url", 8, gguf_text("https://huggingface.co/Qwen/Qwen2.5-0.5B")),
                pair("general.tags", 9, texts("chat", "text-generation")),
                pair("tokenizer.chat_template", 8, gguf_text(CHAT)),
                pair("general.alignment", 4, struct.pack("<I", 32)),
            )
        ),
    ),
    twin("vocabulary", "llama.cpp: as many types as tokens", lambda: beside(vocabulary(4))),
]
